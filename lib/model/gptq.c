/* SPDX-License-Identifier: Apache-2.0 */
#include "model/gptq.h"

#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/log.h"
#include "base/status.h"
#include "model/load.h"
#include "model/match.h"
#include "tensor/dtype.h"
#include "tensor/transposed.h"
#include "tensor/weight.h"

/* A linear on its way from file to memory. */
struct linear {
  llq_model *model;
  const struct llqi_gptq *config;
  const char *module;
  int bits, a_word; /* codes in a word */
  llq_weight *weight;
};

static int is_quantized(const struct linear *l) {
  return llqi_has_part(l->model, l->module, "qweight");
}

/* Memory of the model's, for as long as the weight lives. */
static int allocate(const struct linear *l, size_t n, size_t size,
                    void *memory) {
  void *block = llqi_alloc_aligned(n, size);
  if (block == NULL)
    return LLQ_ERROR_MEMORY;
  memcpy(memory, &block, sizeof block);
  return llqi_model_own(l->model, block);
}

/* GPTQModel's "dynamic": the first pattern that matches a module counts;
   "-:..." says that the module is not quantized, "+:..." or "..." what is
   different about it. */
static int find_exception(const struct llqi_gptq *config, const char *module,
                          int *is_dense, const json_t **out) {
  const char *key;
  json_t *value;
  *is_dense = 0;
  *out = NULL;
  json_object_foreach((json_t *)config->dynamic, key, value) {
    const int is_signed =
        strncmp(key, "-:", 2) == 0 || strncmp(key, "+:", 2) == 0;
    int found =
        llqi_match_pattern(config->where, is_signed ? key + 2 : key, module);
    LLQ_TRY(found);
    if (!found)
      continue;
    *is_dense = key[0] == '-' && is_signed;
    *out = value;
    return LLQ_OK;
  }
  return LLQ_OK;
}

static int read_exception(const struct llqi_gptq *config, const char *module,
                          int *is_dense, int64_t *bits, int64_t *group_size) {
  const json_t *exception;
  LLQ_TRY(find_exception(config, module, is_dense, &exception));
  if (exception == NULL || *is_dense)
    return LLQ_OK;
  if (!json_is_object(exception))
    return llqi_fail(LLQ_ERROR_FORMAT, "%s: \"dynamic\": %s: not an object",
                     config->where, module);
  LLQ_TRY(llqi_json_int_or(exception, config->where, "bits", 1, 32, bits));
  return llqi_json_int_or(exception, config->where, "group_size", -1, 1 << 20,
                          group_size);
}

static int check_sizes(const struct linear *l, int64_t bits) {
  const llq_weight *w = l->weight;
  if (bits != 4 && bits != 8)
    return llqi_fail(LLQ_ERROR_UNSUPPORTED,
                     "%s: %s: %lld bits are not supported, only 4 and 8",
                     l->config->where, l->module, (long long)bits);
  if (w->group_size < 1 || w->n_in % w->group_size != 0)
    return llqi_fail(LLQ_ERROR_UNSUPPORTED,
                     "%s: %s: groups of %lld do not divide its %lld inputs",
                     l->config->where, l->module, (long long)w->group_size,
                     (long long)w->n_in);
  if (w->n_in % l->a_word != 0 || w->n_out % l->a_word != 0)
    return llqi_fail(LLQ_ERROR_UNSUPPORTED,
                     "%s: %s: %lldx%lld codes of %lld bits do not fill 32-bit "
                     "words",
                     l->config->where, l->module, (long long)w->n_out,
                     (long long)w->n_in, (long long)bits);
  return LLQ_OK;
}

static int load_codes(const struct linear *l) {
  llq_weight *w = l->weight;
  struct llqi_tensor tensor;
  void *codes;
  const int64_t gptq[] = {w->n_in / l->a_word, w->n_out};
  const int64_t awq[] = {w->n_in, w->n_out / l->a_word};
  LLQ_TRY(llqi_load_typed(l->model, l->module, "qweight", LLQ_I32, 2,
                          l->config->is_awq ? awq : gptq, &tensor));
  LLQ_TRY(allocate(l, tensor.n_bytes, 1, &codes));
  if (l->config->is_awq)
    llqi_awq_unpack(w->n_out, w->n_in, tensor.data, codes);
  else
    llqi_gptq_unpack(l->bits, w->n_out, w->n_in, tensor.data, codes);
  w->data = codes;
  return LLQ_OK;
}

/* [n_groups, n_out] to [n_out, n_groups]. */
static int load_scales(const struct linear *l) {
  llq_weight *w = l->weight;
  const int64_t n_groups = llqi_weight_n_groups(w);
  struct llqi_tensor tensor;
  char *scales;
  LLQ_TRY(llqi_load_part(l->model, l->module, "scales", 2,
                         (int64_t[]){n_groups, w->n_out}, &tensor));
  LLQ_TRY(llqi_check_float(&tensor));
  LLQ_TRY(allocate(l, tensor.n_bytes, 1, &scales));
  const size_t size = llqi_dtype_size(tensor.dtype);
  const char *from = tensor.data;
  for (int64_t g = 0; g < n_groups; g++)
    for (int64_t o = 0; o < w->n_out; o++, from += size)
      memcpy(scales + (size_t)(o * n_groups + g) * size, from, size);
  w->dtype = tensor.dtype;
  w->scale = scales;
  return LLQ_OK;
}

static int are_all(const uint8_t *values, size_t n, int wanted) {
  size_t i = 0;
  while (i < n && values[i] == wanted)
    i++;
  return i == n;
}

/* Files with the label of GPTQ's first version, where 1 is taken off zero
   points, exist without that, and the reverse. Symmetric ones give themselves
   away: all words say the middle of the codes, or one less. */
static int version_of(const struct linear *l, const uint8_t *zeros, size_t n) {
  const int middle = 1 << (l->bits - 1), labelled = l->config->version;
  int found = labelled;
  if (l->config->is_awq)
    return labelled;
  if (are_all(zeros, n, middle - 1))
    found = 1;
  else if (are_all(zeros, n, middle))
    found = 2;
  if (found != labelled)
    llqi_log(LLQ_LOG_WARNING,
             "%s: %s: labelled as version %d of GPTQ, but its zero points are "
             "those of version %d",
             l->config->where, l->module, labelled, found);
  return found;
}

/* Zero points become signed, as codes are; where all are 0, there are none. */
static int load_zeros(const struct linear *l) {
  llq_weight *w = l->weight;
  const int64_t n_groups = llqi_weight_n_groups(w);
  const size_t n = (size_t)(w->n_out * n_groups);
  const int middle = 1 << (l->bits - 1), mask = 2 * middle - 1;
  struct llqi_tensor tensor;
  uint8_t *zeros;
  LLQ_TRY(llqi_load_typed(l->model, l->module, "qzeros", LLQ_I32, 2,
                          (int64_t[]){n_groups, w->n_out / l->a_word},
                          &tensor));
  LLQ_TRY(allocate(l, n, 1, &zeros));
  llqi_zeros_unpack(l->bits,
                    l->config->is_awq ? llqi_awq_order : llqi_gptq_order,
                    w->n_out, n_groups, tensor.data, zeros);
  const int more = version_of(l, zeros, n) == 1;
  for (size_t i = 0; i < n; i++)
    zeros[i] = (uint8_t)(((zeros[i] + more) & mask) - middle);
  w->zero = are_all(zeros, n, 0) ? NULL : (const int8_t *)zeros;
  return LLQ_OK;
}

/* Most files have it, though few need it. */
static int load_group_index(const struct linear *l) {
  llq_weight *w = l->weight;
  if (l->config->is_awq || !llqi_has_part(l->model, l->module, "g_idx"))
    return LLQ_OK;
  LLQ_TRY(llqi_load_group_index(l->model, l->module, "g_idx", w));
  if (w->group_index == NULL)
    return LLQ_OK;
  int64_t i = 0;
  while (i < w->n_in && w->group_index[i] == i / w->group_size)
    i++;
  if (i == w->n_in)
    w->group_index = NULL;
  return LLQ_OK;
}

/* What the codes mean, in the type of the scales. */
static int make_dense(const struct linear *l) {
  const llq_weight from = *l->weight;
  llq_weight to = from;
  const size_t row_bytes = (size_t)from.n_in * llqi_dtype_size(from.dtype);
  char *data;
  LLQ_TRY(allocate(l, (size_t)from.n_out, row_bytes, &data));
  float *row = llqi_array((size_t)from.n_in, sizeof *row);
  if (row == NULL)
    return LLQ_ERROR_MEMORY;
  for (int64_t o = 0; o < from.n_out; o++) {
    llqi_weight_row(&from, o, row);
    llqi_from_f32(from.dtype, row, (size_t)from.n_in,
                  data + (size_t)o * row_bytes);
  }
  llqi_free(row);
  to.format = LLQ_WEIGHT_DENSE;
  to.group_size = to.n_in;
  to.data = data;
  to.scale = NULL;
  to.zero = NULL;
  to.group_index = NULL;
  *l->weight = to;
  llqi_log(LLQ_LOG_INFO,
           "%s: 8-bit codes with zero points or an order of groups are held "
           "as %s values",
           l->module, llqi_dtype_name(from.dtype));
  return LLQ_OK;
}

int llqi_load_gptq(llq_model *model, const struct llqi_gptq *config,
                   const char *module, int64_t n_out, int64_t n_in,
                   llq_weight *out) {
  struct linear l = {model, config, module, 4, 8, out};
  int64_t bits = config->bits, group_size = config->group_size;
  int is_dense = 0;
  if (config->dynamic != NULL)
    LLQ_TRY(read_exception(config, module, &is_dense, &bits, &group_size));
  if (is_dense || !is_quantized(&l))
    return LLQ_OK;
  if (bits == 8)
    l.bits = 8, l.a_word = 4;
  *out = (llq_weight){.struct_size = sizeof *out,
                      .format = bits == 8 ? LLQ_WEIGHT_INT8 : LLQ_WEIGHT_INT4,
                      .n_out = n_out,
                      .n_in = n_in,
                      .group_size = group_size == -1 ? n_in : group_size};
  LLQ_TRY(check_sizes(&l, bits));
  LLQ_TRY(load_codes(&l));
  LLQ_TRY(load_scales(&l));
  LLQ_TRY(load_zeros(&l));
  LLQ_TRY(load_group_index(&l));
  const int fits = bits == 4 || (out->zero == NULL && out->group_index == NULL);
  return fits ? LLQ_OK : make_dense(&l);
}
