/* SPDX-License-Identifier: Apache-2.0 */
#include "base/status.h"
#include "model/parts.h"
#include "tensor/transposed.h"
#include "tensor/weight.h"

static int gptq_rows(const struct llqi_part *part, int64_t first, int64_t n,
                     void *rows) {
  llqi_gptq_pack(part->weight, first, n, rows);
  return LLQ_OK;
}

static int awq_rows(const struct llqi_part *part, int64_t first, int64_t n,
                    void *rows) {
  llqi_awq_pack(part->weight, first, n, rows);
  return LLQ_OK;
}

static int zero_rows_v1(const struct llqi_part *part, int64_t first, int64_t n,
                        void *rows) {
  llqi_zeros_pack(part->weight, llqi_gptq_order, 1, first, n, rows);
  return LLQ_OK;
}

static int zero_rows_v2(const struct llqi_part *part, int64_t first, int64_t n,
                        void *rows) {
  llqi_zeros_pack(part->weight, llqi_gptq_order, 0, first, n, rows);
  return LLQ_OK;
}

static int zero_rows_awq(const struct llqi_part *part, int64_t first, int64_t n,
                         void *rows) {
  llqi_zeros_pack(part->weight, llqi_awq_order, 0, first, n, rows);
  return LLQ_OK;
}

static int scale_rows(const struct llqi_part *part, int64_t first, int64_t n,
                      void *rows) {
  llqi_scales_transpose(part->weight, first, n, part->tensor.dtype, rows);
  return LLQ_OK;
}

static int group_rows(const struct llqi_part *part, int64_t first, int64_t n,
                      void *rows) {
  const llq_weight *w = part->weight;
  int32_t *index = rows;
  for (int64_t i = 0; i < n; i++)
    index[i] = w->group_index != NULL ? w->group_index[first + i]
                                      : (int32_t)((first + i) / w->group_size);
  return LLQ_OK;
}

/* qzeros and scales. */
static int add_grids(struct llqi_parts *parts, const char *module,
                     const struct llqi_layout_plan *plan, const llq_weight *w,
                     llqi_part_rows *zero_rows) {
  const int64_t n_groups = llqi_weight_n_groups(w);
  const int a_word = w->format == LLQ_WEIGHT_INT4 ? 8 : 4;
  LLQ_TRY(llqi_parts_add_rows(parts, module, "qzeros", LLQ_I32, n_groups,
                              w->n_out / a_word, w, zero_rows));
  return llqi_parts_add_rows(parts, module, "scales",
                             llqi_layout_scale_dtype(plan, w), n_groups,
                             w->n_out, w, scale_rows);
}

int llqi_parts_add_gptq(struct llqi_parts *parts, const char *module,
                        const struct llqi_layout_plan *plan,
                        const llq_weight *w) {
  const int a_word = w->format == LLQ_WEIGHT_INT4 ? 8 : 4;
  LLQ_TRY(llqi_parts_add_rows(parts, module, "qweight", LLQ_I32,
                              w->n_in / a_word, w->n_out, w, gptq_rows));
  LLQ_TRY(add_grids(parts, module, plan, w,
                    plan->gptq_version == 1 ? zero_rows_v1 : zero_rows_v2));
  return llqi_parts_add_rows(parts, module, "g_idx", LLQ_I32, w->n_in, 0, w,
                             group_rows);
}

int llqi_parts_add_awq(struct llqi_parts *parts, const char *module,
                       const struct llqi_layout_plan *plan,
                       const llq_weight *w) {
  LLQ_TRY(llqi_parts_add_rows(parts, module, "qweight", LLQ_I32, w->n_in,
                              w->n_out / 8, w, awq_rows));
  return add_grids(parts, module, plan, w, zero_rows_awq);
}
