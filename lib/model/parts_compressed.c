/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/status.h"
#include "model/parts.h"
#include "tensor/weight.h"

#define NIBBLES 8 /* a word */
#define BYTES 4   /* a word */

static int64_t n_words(int64_t n, int64_t a_word) {
  return (n + a_word - 1) / a_word;
}

/* int8 codes, + 128, in words. */
static int byte_rows(const struct llqi_part *part, int64_t first, int64_t n,
                     void *rows) {
  const llq_weight *w = part->weight;
  const uint8_t *codes = (const uint8_t *)w->data + first * w->n_in;
  const int64_t row_bytes = part->tensor.shape[1] * BYTES;
  uint8_t *bytes = rows;
  memset(rows, 0, (size_t)(n * row_bytes));
  for (int64_t o = 0; o < n; o++)
    for (int64_t i = 0; i < w->n_in; i++)
      bytes[o * row_bytes + i] = codes[o * w->n_in + i] ^ 0x80;
  return LLQ_OK;
}

/* Zero points, eight outputs a word. */
static int zero_rows(const struct llqi_part *part, int64_t first, int64_t n,
                     void *rows) {
  const llq_weight *w = part->weight;
  const int64_t n_groups = llqi_weight_n_groups(w);
  uint32_t *words = rows;
  memset(rows, 0, (size_t)(n * n_groups) * sizeof *words);
  for (int64_t o = first * NIBBLES; o < (first + n) * NIBBLES && o < w->n_out;
       o++)
    for (int64_t g = 0; g < n_groups; g++)
      words[(o / NIBBLES - first) * n_groups + g] |=
          (uint32_t)(w->zero[o * n_groups + g] + 8) << 4 * (o % NIBBLES);
  return LLQ_OK;
}

static int shape_rows(const struct llqi_part *part, int64_t first, int64_t n,
                      void *rows) {
  const int64_t shape[] = {part->weight->n_out, part->weight->n_in};
  memcpy(rows, shape + first, (size_t)n * sizeof *shape);
  return LLQ_OK;
}

/* weight_packed and weight_shape, for 4 bits and for 8. */
static int add_packed(struct llqi_parts *parts, const char *module,
                      const llq_weight *w) {
  if (w->format == LLQ_WEIGHT_INT4)
    LLQ_TRY(llqi_parts_add(parts, module, "weight_packed", LLQ_I32, w->n_out,
                           w->n_in / NIBBLES, w->data));
  else
    LLQ_TRY(llqi_parts_add_rows(parts, module, "weight_packed", LLQ_I32,
                                w->n_out, n_words(w->n_in, BYTES), w,
                                byte_rows));
  return llqi_parts_add_rows(parts, module, "weight_shape", LLQ_I64, 2, 0, w,
                             shape_rows);
}

int llqi_parts_add_compressed(struct llqi_parts *parts, const char *module,
                              const llq_weight *w) {
  const int64_t n_groups = llqi_weight_n_groups(w);
  if (w->activation == LLQ_ACTIVATION_NONE)
    LLQ_TRY(add_packed(parts, module, w));
  else
    LLQ_TRY(llqi_parts_add(parts, module, "weight",
                           w->format == LLQ_WEIGHT_FP8 ? LLQ_F8_E4M3 : LLQ_I8,
                           w->n_out, w->n_in, w->data));
  LLQ_TRY(llqi_parts_add(parts, module, "weight_scale", w->dtype, w->n_out,
                         n_groups, w->scale));
  if (w->zero != NULL)
    LLQ_TRY(llqi_parts_add_rows(parts, module, "weight_zero_point", LLQ_I32,
                                n_words(w->n_out, NIBBLES), n_groups, w,
                                zero_rows));
  if (w->group_index != NULL)
    LLQ_TRY(llqi_parts_add(parts, module, "weight_g_idx", LLQ_I32, w->n_in, 0,
                           w->group_index));
  return LLQ_OK;
}
