/* SPDX-License-Identifier: Apache-2.0 */
#include "model/compressed.h"

#include "base/alloc.h"
#include "base/status.h"
#include "model/load.h"
#include "tensor/dtype.h"
#include "tensor/weight.h"

#define NIBBLES 8 /* a word */
#define BYTES 4   /* a word */

/* A linear on its way from file to memory. */
struct linear {
  llq_model *model;
  const char *module;
  llq_weight *weight;
};

static int64_t n_words(int64_t n, int64_t a_word) {
  return (n + a_word - 1) / a_word;
}

/* Codes as they are used: a byte each. */
static int load_plain(const struct linear *l) {
  llq_weight *w = l->weight;
  struct llqi_tensor tensor;
  const int dtype = w->format == LLQ_WEIGHT_FP8 ? LLQ_F8_E4M3 : LLQ_I8;
  LLQ_TRY(llqi_load_typed(l->model, l->module, "weight", dtype, 2,
                          (int64_t[]){w->n_out, w->n_in}, &tensor));
  w->data = tensor.data;
  return LLQ_OK;
}

/* The shape is stored because padding could hide it. */
static int check_packed_shape(const struct linear *l) {
  struct llqi_tensor tensor;
  LLQ_TRY(llqi_load_typed(l->model, l->module, "weight_shape", LLQ_I64, 1,
                          (int64_t[]){2}, &tensor));
  const int64_t *shape = tensor.data;
  if (shape[0] == l->weight->n_out && shape[1] == l->weight->n_in)
    return LLQ_OK;
  return llqi_fail(LLQ_ERROR_FORMAT, "%s: %s: %lldx%lld, expected %lldx%lld",
                   tensor.where, tensor.name, (long long)shape[0],
                   (long long)shape[1], (long long)l->weight->n_out,
                   (long long)l->weight->n_in);
}

static int load_nibbles(const struct linear *l) {
  llq_weight *w = l->weight;
  struct llqi_tensor tensor;
  if (w->n_in % NIBBLES != 0)
    return llqi_fail(LLQ_ERROR_UNSUPPORTED,
                     "%s: %lld inputs of 4 bits do not fill 32-bit words",
                     l->module, (long long)w->n_in);
  LLQ_TRY(llqi_load_typed(l->model, l->module, "weight_packed", LLQ_I32, 2,
                          (int64_t[]){w->n_out, w->n_in / NIBBLES}, &tensor));
  w->data = tensor.data;
  return check_packed_shape(l);
}

/* Words of four codes + 128, rows padded to whole words: to int8. */
static int load_packed_bytes(const struct linear *l) {
  llq_weight *w = l->weight;
  struct llqi_tensor tensor;
  const int64_t row = n_words(w->n_in, BYTES) * BYTES;
  LLQ_TRY(llqi_load_typed(l->model, l->module, "weight_packed", LLQ_I32, 2,
                          (int64_t[]){w->n_out, row / BYTES}, &tensor));
  LLQ_TRY(check_packed_shape(l));
  uint8_t *codes = llqi_alloc_aligned((size_t)w->n_out, (size_t)w->n_in);
  if (codes == NULL)
    return LLQ_ERROR_MEMORY;
  const uint8_t *bytes = tensor.data;
  for (int64_t o = 0; o < w->n_out; o++)
    for (int64_t i = 0; i < w->n_in; i++)
      codes[o * w->n_in + i] = bytes[o * row + i] ^ 0x80;
  w->data = codes;
  return llqi_model_own(l->model, codes);
}

static int load_scales(const struct linear *l) {
  llq_weight *w = l->weight;
  struct llqi_tensor tensor;
  LLQ_TRY(llqi_load_part(l->model, l->module, "weight_scale", 2,
                         (int64_t[]){w->n_out, llqi_weight_n_groups(w)},
                         &tensor));
  LLQ_TRY(llqi_check_float(&tensor));
  w->dtype = tensor.dtype;
  w->scale = tensor.data;
  return LLQ_OK;
}

/* Zero points of eight consecutive outputs share a word. */
static int load_zeros(const struct linear *l) {
  llq_weight *w = l->weight;
  const int64_t n_groups = llqi_weight_n_groups(w);
  struct llqi_tensor tensor;
  LLQ_TRY(llqi_load_typed(l->model, l->module, "weight_zero_point", LLQ_I32, 2,
                          (int64_t[]){n_words(w->n_out, NIBBLES), n_groups},
                          &tensor));
  int8_t *zeros = llqi_alloc_aligned((size_t)w->n_out, (size_t)n_groups);
  if (zeros == NULL)
    return LLQ_ERROR_MEMORY;
  const uint32_t *words = tensor.data;
  for (int64_t o = 0; o < w->n_out; o++)
    for (int64_t g = 0; g < n_groups; g++) {
      const uint32_t word = words[o / NIBBLES * n_groups + g];
      zeros[o * n_groups + g] =
          (int8_t)((int)(word >> 4 * (o % NIBBLES) & 15) - 8);
    }
  w->zero = zeros;
  return llqi_model_own(l->model, zeros);
}

static int load_group_index(const struct linear *l) {
  if (!llqi_has_part(l->model, l->module, "weight_g_idx"))
    return LLQ_OK;
  return llqi_load_group_index(l->model, l->module, "weight_g_idx", l->weight);
}

int llqi_load_compressed(llq_model *model, const struct llqi_stored *stored,
                         const char *module, int64_t n_out, int64_t n_in,
                         llq_weight *out) {
  const struct linear l = {model, module, out};
  *out = (llq_weight){.struct_size = sizeof *out,
                      .format = stored->format,
                      .activation = stored->activation,
                      .n_out = n_out,
                      .n_in = n_in,
                      .group_size =
                          stored->group_size > 0 ? stored->group_size : n_in};
  if (n_in % out->group_size != 0)
    return llqi_fail(LLQ_ERROR_UNSUPPORTED,
                     "%s: groups of %lld do not divide its %lld inputs", module,
                     (long long)out->group_size, (long long)n_in);
  LLQ_TRY(load_scales(&l));
  if (!stored->is_packed)
    return load_plain(&l);
  if (stored->format == LLQ_WEIGHT_INT8)
    return load_packed_bytes(&l);
  LLQ_TRY(load_nibbles(&l));
  if (stored->has_zeros)
    LLQ_TRY(load_zeros(&l));
  return load_group_index(&l);
}
