/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/cpu/packed.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/status.h"
#include "tensor/dtype.h"
#include "tensor/weight.h"

#define LANES 16

static int64_t round_up(int64_t n, int64_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

/* Groups that a kernel's tables serve: one for the row, or whole blocks, or
   equal parts of a block. */
static int has_even_groups(const llq_weight *weight) {
  int64_t size = weight->group_size;
  return size == weight->n_in || size == 32 || size == 64 ||
         size % LLQI_INT4_BLOCK == 0;
}

static int has_e4m3_nan(const llq_weight *weight) {
  const uint8_t *codes = weight->data;
  int found = 0;
  for (int64_t i = 0; i < weight->n_out * weight->n_in; i++)
    found |= (codes[i] & 0x7f) == 0x7f;
  return found;
}

/* The layout for a weight, or -1. */
static int choose_kind(const llq_weight *weight) {
  int is_quantized = weight->activation != LLQ_ACTIVATION_NONE;
  switch (weight->format) {
  case LLQ_WEIGHT_DENSE:
    return weight->dtype == LLQ_F32   ? LLQI_ROWS_F32
           : weight->dtype == LLQ_F16 ? LLQI_ROWS_F16
                                      : LLQI_ROWS_BF16;
  case LLQ_WEIGHT_INT8: /* sums of a longer row might overflow */
    if (is_quantized)
      return weight->n_in <= 1 << 16 ? (int)LLQI_PANELS_INT8 : -1;
    return weight->group_size == weight->n_in ? (int)LLQI_ROWS_INT8 : -1;
  case LLQ_WEIGHT_FP8:
    return is_quantized && !has_e4m3_nan(weight) ? (int)LLQI_ROWS_E4M3 : -1;
  default:
    return has_even_groups(weight) ? (int)LLQI_ROWS_INT4 : -1;
  }
}

/* The inputs sorted by their group, if every group has its share of them. */
static int sort_by_group(const llq_weight *weight, int32_t *order) {
  int64_t n_groups = weight->n_in / weight->group_size;
  int64_t *next = llqi_array((size_t)n_groups, sizeof *next);
  if (next == NULL)
    return LLQ_ERROR_MEMORY;
  for (int64_t g = 0; g < n_groups; g++)
    next[g] = g * weight->group_size;
  int status = LLQ_OK;
  for (int64_t i = 0; i < weight->n_in; i++) {
    int64_t group = weight->group_index[i];
    if (next[group] == (group + 1) * weight->group_size)
      status = LLQ_MORE; /* too many of this group */
    else
      order[next[group]++] = (int32_t)i;
  }
  llqi_free(next);
  return status;
}

/* Scales of all groups, in rows of packed->n_groups: padded inputs have groups
   too, whose scale is 0. */
static int pack_scales(const llq_weight *weight,
                       struct llqi_cpu_packed *packed) {
  int64_t n_groups = llqi_weight_n_groups(weight);
  size_t size = llqi_dtype_size(weight->dtype);
  size_t n = (size_t)(weight->n_out * packed->n_groups);
  /* A panel's scales are read sixteen at a time. */
  packed->scale = llqi_calloc(n + LANES, sizeof *packed->scale);
  if (packed->scale == NULL)
    return LLQ_ERROR_MEMORY;
  for (int64_t out = 0; out < weight->n_out; out++)
    llqi_to_f32(weight->dtype,
                (const char *)weight->scale + (size_t)(out * n_groups) * size,
                (size_t)n_groups, packed->scale + out * packed->n_groups);
  for (size_t i = 0; i < n; i++)
    if (!isfinite(packed->scale[i]))
      return LLQ_MORE;
  return LLQ_OK;
}

static int pack_zeros(const llq_weight *weight,
                      struct llqi_cpu_packed *packed) {
  int64_t n_groups = llqi_weight_n_groups(weight);
  packed->zero = llqi_calloc((size_t)(weight->n_out * packed->n_groups),
                             sizeof *packed->zero);
  if (packed->zero == NULL)
    return LLQ_ERROR_MEMORY;
  for (int64_t out = 0; out < weight->n_out; out++)
    for (int64_t g = 0; g < n_groups; g++)
      packed->zero[out * packed->n_groups + g] =
          (float)(8 + weight->zero[out * n_groups + g]);
  return LLQ_OK;
}

static void pack_int4_row(const llq_weight *weight,
                          const struct llqi_cpu_packed *packed, int64_t out) {
  const uint32_t *from =
      (const uint32_t *)weight->data + out * (weight->n_in / 8);
  uint32_t *to = (uint32_t *)packed->owned + out * (packed->n_in / 8);
  memset(to, 0, packed->stride);
  for (int64_t i = 0; i < weight->n_in; i++) {
    int64_t in = packed->order != NULL ? packed->order[i] : i;
    uint32_t nibble = from[in / 8] >> 4 * (in % 8) & 15;
    int64_t block = i / LLQI_INT4_BLOCK, at = i % LLQI_INT4_BLOCK;
    int64_t sixteen = at / LANES;
    to[block * LANES + at % LANES] |= nibble
                                      << 4 * (sixteen / 2 + 4 * (sixteen % 2));
  }
}

static void pack_int8_row(const llq_weight *weight,
                          const struct llqi_cpu_packed *packed, int64_t out) {
  const int8_t *from = (const int8_t *)weight->data + out * weight->n_in;
  uint8_t *to = (uint8_t *)packed->owned +
                (size_t)(out / LLQI_PANEL_OUTPUTS) * packed->stride +
                4 * (out % LLQI_PANEL_OUTPUTS);
  for (int64_t i = 0; i < weight->n_in; i++)
    to[i / 4 * 4 * LLQI_PANEL_OUTPUTS + i % 4] = (uint8_t)(from[i] + 128);
}

static void pack_plain_row(const llq_weight *weight,
                           const struct llqi_cpu_packed *packed, int64_t out) {
  size_t size = llqi_weight_data_bytes(weight) / (size_t)weight->n_out;
  char *to = (char *)packed->owned + (size_t)out * packed->stride;
  memcpy(to, (const char *)weight->data + (size_t)out * size, size);
  memset(to + size, 0, packed->stride - size);
}

struct packing {
  const llq_weight *weight;
  const struct llqi_cpu_packed *packed;
  void (*pack_row)(const llq_weight *, const struct llqi_cpu_packed *, int64_t);
};

#define ROWS_AT_ONCE 64

static void pack_item(void *user, uint32_t item, int thread) {
  const struct packing *p = user;
  int64_t first = (int64_t)item * ROWS_AT_ONCE, end = first + ROWS_AT_ONCE;
  for (int64_t out = first; out < end && out < p->weight->n_out; out++)
    p->pack_row(p->weight, p->packed, out);
}

static int pack_rows(const llq_weight *weight, struct llqi_threads *threads,
                     struct llqi_cpu_packed *packed) {
  int is_panels = packed->kind == LLQI_PANELS_INT8;
  int64_t n_rows = is_panels ? round_up(weight->n_out, LLQI_PANEL_OUTPUTS) /
                                   LLQI_PANEL_OUTPUTS
                             : weight->n_out;
  packed->owned = llqi_alloc_aligned((size_t)n_rows, packed->stride);
  if (packed->owned == NULL)
    return LLQ_ERROR_MEMORY;
  packed->data = packed->owned;
  if (is_panels) /* the padding is read, and must be defined */
    memset(packed->owned, 128, (size_t)n_rows * packed->stride);
  struct packing packing = {weight, packed,
                            is_panels                        ? pack_int8_row
                            : packed->kind == LLQI_ROWS_INT4 ? pack_int4_row
                                                             : pack_plain_row};
  int64_t n_items = (weight->n_out + ROWS_AT_ONCE - 1) / ROWS_AT_ONCE;
  llqi_threads_run(threads, 0, (uint32_t)n_items, pack_item, &packing);
  return LLQ_OK;
}

static int pack_order(const llq_weight *weight,
                      struct llqi_cpu_packed *packed) {
  packed->order = llqi_array((size_t)weight->n_in, sizeof *packed->order);
  if (packed->order == NULL)
    return LLQ_ERROR_MEMORY;
  return sort_by_group(weight, packed->order);
}

/* The sizes that follow from a kind. */
static void set_shape(const llq_weight *weight,
                      struct llqi_cpu_packed *packed) {
  size_t row_bytes = llqi_weight_data_bytes(weight) / (size_t)weight->n_out;
  int is_int4 = packed->kind == LLQI_ROWS_INT4;
  packed->n_in = round_up(weight->n_in, is_int4 ? LLQI_INT4_BLOCK : LANES);
  packed->n_groups = llqi_weight_n_groups(weight);
  packed->group_size = weight->group_size;
  if (packed->n_groups > 1)
    packed->n_groups = packed->n_in / weight->group_size;
  if (is_int4)
    packed->stride = (size_t)packed->n_in / 2;
  else if (packed->kind == LLQI_PANELS_INT8)
    packed->stride = (size_t)packed->n_in * LLQI_PANEL_OUTPUTS;
  else
    packed->stride = row_bytes / (size_t)weight->n_in * (size_t)packed->n_in;
}

/* LLQ_MORE: no kernel fits. */
static int pack(const llq_weight *weight, struct llqi_threads *threads,
                struct llqi_cpu_packed *packed) {
  int status = LLQ_OK;
  set_shape(weight, packed);
  if (weight->format != LLQ_WEIGHT_DENSE)
    status = pack_scales(weight, packed);
  if (status == LLQ_OK && weight->zero != NULL)
    status = pack_zeros(weight, packed);
  if (status == LLQ_OK && weight->group_index != NULL)
    status = pack_order(weight, packed);
  if (status != LLQ_OK)
    return status;
  packed->data = weight->data;
  if (packed->kind >= LLQI_ROWS_INT4 || packed->n_in != weight->n_in)
    return pack_rows(weight, threads, packed);
  return LLQ_OK;
}

int llqi_cpu_pack(const llq_weight *weight, struct llqi_threads *threads,
                  struct llqi_cpu_packed **out) {
  *out = NULL;
  int kind = choose_kind(weight);
  if (kind < 0)
    return LLQ_OK;
  struct llqi_cpu_packed *packed = llqi_calloc(1, sizeof *packed);
  if (packed == NULL)
    return LLQ_ERROR_MEMORY;
  packed->kind = (enum llqi_cpu_kind)kind;
  int status = pack(weight, threads, packed);
  if (status == LLQ_OK)
    *out = packed;
  else
    llqi_cpu_packed_free(packed);
  return status < 0 ? status : LLQ_OK;
}

void llqi_cpu_packed_free(struct llqi_cpu_packed *packed) {
  if (packed == NULL)
    return;
  llqi_free(packed->owned);
  llqi_free(packed->scale);
  llqi_free(packed->zero);
  llqi_free(packed->order);
  llqi_free(packed);
}
