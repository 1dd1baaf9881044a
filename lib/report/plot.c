/* SPDX-License-Identifier: Apache-2.0 */
/* pass@1 with its interval over bytes of weights, as SVG. */
#include <math.h>

#include "base/status.h"
#include "report/report.h"

#define WIDTH 720
#define HEIGHT 400
#define LEFT 60 /* margins, which hold the axes' labels */
#define RIGHT 20
#define TOP 20
#define BOTTOM 50
#define N_TICKS 5

/* Axes from data to the picture. */
struct scale {
  double bytes_max, unit;
  const char *unit_name;
  double low, high; /* pass@1 */
};

static struct scale choose_scale(const llq_report *report) {
  struct scale scale = {.bytes_max = 1, .low = 1, .high = 0};
  for (size_t i = 0; i < report->n_rows; i++) {
    const struct llqi_report_row *row = &report->rows[i];
    if (isfinite(row->weight_bytes))
      scale.bytes_max = fmax(scale.bytes_max, row->weight_bytes);
    scale.low = fmin(scale.low, row->pass_low);
    scale.high = fmax(scale.high, row->pass_high);
  }
  scale.bytes_max *= 1.15;
  scale.low = fmax(0, floor(scale.low * 20) / 20);
  scale.high = fmin(1, ceil(scale.high * 20) / 20);
  if (!(scale.high > scale.low))
    scale.low = 0, scale.high = 1;
  int large = scale.bytes_max > (double)(1 << 30);
  scale.unit = large ? 1 << 30 : 1 << 20;
  scale.unit_name = large ? "GiB" : "MiB";
  return scale;
}

static double x_of(const struct scale *scale, double bytes) {
  return LEFT + bytes / scale->bytes_max * (WIDTH - LEFT - RIGHT);
}

static double y_of(const struct scale *scale, double pass) {
  double share = (pass - scale->low) / (scale->high - scale->low);
  return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM);
}

static int put_grid(const struct scale *scale, struct llqi_text *out) {
  for (int i = 0; i <= N_TICKS; i++) {
    double pass = scale->low + (scale->high - scale->low) * i / N_TICKS;
    double bytes = scale->bytes_max * i / N_TICKS;
    double x = x_of(scale, bytes), y = y_of(scale, pass);
    LLQ_TRY(llqi_text_printf(
        out,
        "<path d=\"M%d %.1fH%d\" stroke=\"#ddd\"/>\n"
        "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.0f %%</text>\n"
        "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.3g</text>\n",
        LEFT, y, WIDTH - RIGHT, LEFT - 8, y + 4, 100 * pass, x,
        HEIGHT - BOTTOM + 20, bytes / scale->unit));
  }
  return llqi_text_printf(
      out,
      "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">weights, %s</text>\n"
      "<text x=\"%d\" y=\"%d\">pass@1, with 95 %% interval</text>\n",
      (WIDTH + LEFT - RIGHT) / 2, HEIGHT - 8, scale->unit_name, LEFT, TOP - 6);
}

/* `left`: the label's side. Formats of equal size alternate. */
static int put_point(const struct scale *scale,
                     const struct llqi_report_row *row, int left,
                     struct llqi_text *out) {
  if (!isfinite(row->weight_bytes))
    return LLQ_OK;
  double x = x_of(scale, row->weight_bytes), y = y_of(scale, row->pass);
  const char *colour = row->compared ? "#1f6fb4" : "#c24b1e";
  LLQ_TRY(llqi_text_printf(
      out,
      "<path d=\"M%.1f %.1fV%.1f\" stroke=\"%s\" stroke-width=\"1.5\"/>\n"
      "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4.5\" fill=\"%s\"/>\n"
      "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">",
      x, y_of(scale, row->pass_low), y_of(scale, row->pass_high), colour, x, y,
      colour, left ? x - 8 : x + 8, y - 6, left ? "end" : "start"));
  LLQ_TRY(llqi_report_escape(out, row->name));
  return llqi_text_puts(out, "</text>\n");
}

int llqi_report_plot(const llq_report *report, struct llqi_text *out) {
  struct scale scale = choose_scale(report);
  LLQ_TRY(llqi_text_printf(
      out,
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" "
      "width=\"%d\" height=\"%d\" role=\"img\" font-size=\"12\" "
      "aria-label=\"pass@1 over bytes of weights\">\n",
      WIDTH, HEIGHT, WIDTH, HEIGHT));
  LLQ_TRY(put_grid(&scale, out));
  for (size_t i = 0; i < report->n_rows; i++)
    LLQ_TRY(put_point(&scale, &report->rows[i], i % 2 == 1, out));
  return llqi_text_puts(out, "</svg>\n");
}
