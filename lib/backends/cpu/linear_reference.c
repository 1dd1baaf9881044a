/* SPDX-License-Identifier: Apache-2.0 */
/* y = x W^T, as llq/backend.h defines it for every format. Sums are in double,
   so that the result is the exact one but for a rounding or two: what other
   kernels' sums in float are held against. */
#include <string.h>

#include "backends/cpu/cpu.h"
#include "backends/cpu/packed.h"
#include "base/alloc.h"
#include "base/status.h"
#include "tensor/dtype.h"
#include "tensor/weight.h"

/* A call's inputs as floats: the values themselves, or what quantization made
   of them with a scale for each row; and what the product's rows become. */
struct inputs {
  float *x;     /* [n_rows, n_in] */
  float *scale; /* [n_rows]; NULL: not quantized */
  float *row;   /* [n_threads, n_in]: dequantized weights */
  float *y;     /* [n_rows, n_out] */
};

static void quantize_row(int activation, float *x, int64_t n, int8_t *q,
                         float *scale) {
  if (activation == LLQ_ACTIVATION_FP8) {
    *scale = llqi_cpu_quantize_e4m3(x, n, x);
  } else {
    *scale = llqi_cpu_quantize_int8(x, n, q);
    for (int64_t i = 0; i < n; i++)
      x[i] = q[i];
  }
}

static int prepare(struct llqi_cpu *cpu, const llq_weight *weight,
                   const llq_view *x, struct inputs *in) {
  size_t n_in = (size_t)weight->n_in, n_rows = (size_t)x->n_rows;
  size_t n_threads = (size_t)llqi_threads_count(cpu->threads);
  float *memory = llqi_cpu_scratch(
      cpu, (n_rows * (n_in + (size_t)weight->n_out + 1) + n_threads * n_in) *
                   sizeof(float) +
               n_in);
  if (memory == NULL)
    return LLQ_ERROR_MEMORY;
  in->x = memory;
  in->row = in->x + n_rows * n_in;
  in->y = in->row + n_threads * n_in;
  float *scale = in->y + n_rows * (size_t)weight->n_out;
  int8_t *q = (int8_t *)(scale + n_rows);
  in->scale = weight->activation == LLQ_ACTIVATION_NONE ? NULL : scale;
  for (int64_t r = 0; r < x->n_rows; r++) {
    float *row = in->x + r * weight->n_in;
    llqi_cpu_load_row(x, r, row);
    if (in->scale != NULL)
      quantize_row(weight->activation, row, weight->n_in, q, &scale[r]);
  }
  return LLQ_OK;
}

/* An output's weights before the product: dequantized, or, when inputs are
   quantized too, the quantized values themselves. */
static void weight_row(const llq_weight *weight, int64_t o, float *row) {
  int64_t n = weight->n_in;
  if (weight->activation == LLQ_ACTIVATION_NONE)
    llqi_weight_row(weight, o, row);
  else if (weight->format == LLQ_WEIGHT_FP8)
    llqi_to_f32(LLQ_F8_E4M3, (const uint8_t *)weight->data + o * n, (size_t)n,
                row);
  else
    for (int64_t i = 0; i < n; i++)
      row[i] = ((const int8_t *)weight->data)[o * n + i];
}

/* Exact for int8: products and sums are integers far below 2^53. */
static double dot(const float *a, const float *b, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; i++)
    sum += (double)a[i] * b[i];
  return sum;
}

struct product {
  const llq_weight *weight;
  struct inputs in;
  int64_t n_rows;
};

/* One output of every row. */
static void output_item(void *user, uint32_t o, int thread) {
  const struct product *p = user;
  const struct inputs *in = &p->in;
  const llq_weight *weight = p->weight;
  float *row = in->row + thread * weight->n_in;
  weight_row(weight, o, row);
  float scale =
      in->scale != NULL ? llqi_load_f32(weight->dtype, weight->scale, o) : 1;
  for (int64_t r = 0; r < p->n_rows; r++) {
    float sum = (float)dot(row, in->x + r * weight->n_in, weight->n_in);
    in->y[r * weight->n_out + o] =
        in->scale != NULL ? sum * in->scale[r] * scale : sum;
  }
}

static int run(struct llqi_cpu *cpu, const struct llqi_cpu_linear *linear,
               const llq_view *x, llq_view *out) {
  const llq_weight *weight = &linear->weight;
  struct product product = {.weight = weight, .n_rows = x->n_rows};
  LLQ_TRY(prepare(cpu, weight, x, &product.in));
  double work = (double)x->n_rows * weight->n_in * weight->n_out;
  llqi_threads_run(cpu->threads, llqi_cpu_threads(cpu, work),
                   (uint32_t)weight->n_out, output_item, &product);
  for (int64_t r = 0; r < x->n_rows; r++)
    llqi_cpu_store_row(out, r, product.in.y + r * weight->n_out);
  return LLQ_OK;
}

int llqi_cpu_linear_upload(void *self, const llq_weight *weight, int compute,
                           void **out) {
  struct llqi_cpu_linear *linear = llqi_calloc(1, sizeof *linear);
  if (linear == NULL)
    return LLQ_ERROR_MEMORY;
  linear->weight = *weight;
  linear->run = run;
  *out = linear;
  return LLQ_OK;
}

void llqi_cpu_linear_free(void *self, void *memory) {
  struct llqi_cpu_linear *linear = memory;
  llqi_cpu_packed_free(linear->packed);
  llqi_free(linear);
}

int llqi_cpu_linear_run(void *self, const void *linear, const llq_view *x,
                        llq_view *out) {
  return ((const struct llqi_cpu_linear *)linear)->run(self, linear, x, out);
}
