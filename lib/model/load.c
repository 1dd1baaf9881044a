/* SPDX-License-Identifier: Apache-2.0 */
#include "model/load.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/status.h"
#include "checkpoint/checkpoint.h"
#include "model/compressed.h"
#include "model/compression.h"
#include "model/gptq.h"
#include "model/kv_scheme.h"
#include "model/layout.h"
#include "tensor/dtype.h"
#include "tensor/weight.h"

/* Names are built in place: "model.layers.4095.self_attn.q_proj.weight" and
   the like are far shorter. */
#define NAME_SIZE 96

void llqi_linear_shape(const struct llqi_config *c, enum llqi_linear linear,
                       int64_t *n_out, int64_t *n_in) {
  *n_in = c->hidden_size;
  switch (linear) {
  case LLQI_Q:
    *n_out = c->n_heads * c->head_size;
    break;
  case LLQI_K:
  case LLQI_V:
    *n_out = c->n_kv_heads * c->head_size;
    break;
  case LLQI_O:
    *n_out = c->hidden_size;
    *n_in = c->n_heads * c->head_size;
    break;
  case LLQI_GATE:
  case LLQI_UP:
    *n_out = c->intermediate_size;
    break;
  default:
    *n_out = c->hidden_size;
    *n_in = c->intermediate_size;
  }
}

/* "4096x14336" */
static void shape_text(int n_dims, const int64_t *shape, char *text,
                       size_t size) {
  size_t length = 0;
  text[0] = '\0';
  for (int i = 0; i < n_dims && i < LLQI_TENSOR_DIMS_MAX && length < size; i++)
    length += (size_t)snprintf(text + length, size - length, "%s%lld",
                               i > 0 ? "x" : "", (long long)shape[i]);
}

static int check_shape(const struct llqi_tensor *tensor, int n_dims,
                       const int64_t *shape) {
  if (tensor->n_dims == n_dims &&
      memcmp(tensor->shape, shape, (size_t)n_dims * sizeof *shape) == 0)
    return LLQ_OK;
  char found[100], expected[100];
  shape_text(tensor->n_dims, tensor->shape, found, sizeof found);
  shape_text(n_dims, shape, expected, sizeof expected);
  return llqi_fail(
      LLQ_ERROR_FORMAT, "%s: %s: shape %s of %d dimensions, expected %s",
      tensor->where, tensor->name, found, tensor->n_dims, expected);
}

int llqi_load_tensor(const llq_model *model, const char *name, int n_dims,
                     const int64_t *shape, struct llqi_tensor *out) {
  const struct llqi_tensor *found =
      llqi_checkpoint_find(model->checkpoint, name);
  if (found == NULL)
    return llqi_fail(LLQ_ERROR_FORMAT, "%s: no tensor %s", model->directory,
                     name);
  *out = *found;
  return check_shape(out, n_dims, shape);
}

int llqi_load_part(const llq_model *model, const char *prefix,
                   const char *suffix, int n_dims, const int64_t *shape,
                   struct llqi_tensor *out) {
  char name[2 * NAME_SIZE];
  snprintf(name, sizeof name, "%s.%s", prefix, suffix);
  return llqi_load_tensor(model, name, n_dims, shape, out);
}

int llqi_load_typed(const llq_model *model, const char *prefix,
                    const char *suffix, int dtype, int n_dims,
                    const int64_t *shape, struct llqi_tensor *out) {
  LLQ_TRY(llqi_load_part(model, prefix, suffix, n_dims, shape, out));
  if (out->dtype == dtype)
    return LLQ_OK;
  return llqi_fail(LLQ_ERROR_FORMAT, "%s: %s: dtype %s, expected %s",
                   out->where, out->name, llqi_dtype_name(out->dtype),
                   llqi_dtype_name(dtype));
}

int llqi_load_group_index(const llq_model *model, const char *prefix,
                          const char *suffix, llq_weight *w) {
  struct llqi_tensor tensor;
  LLQ_TRY(llqi_load_typed(model, prefix, suffix, LLQ_I32, 1,
                          (int64_t[]){w->n_in}, &tensor));
  const int32_t *index = tensor.data;
  int is_unused = 1;
  for (int64_t i = 0; i < w->n_in && is_unused; i++)
    is_unused = index[i] == -1;
  for (int64_t i = 0; i < w->n_in && !is_unused; i++)
    if (index[i] < 0 || index[i] >= llqi_weight_n_groups(w))
      return llqi_fail(LLQ_ERROR_FORMAT,
                       "%s: %s: group %d of input %lld, expected 0 to %lld",
                       tensor.where, tensor.name, (int)index[i], (long long)i,
                       (long long)llqi_weight_n_groups(w) - 1);
  w->group_index = is_unused ? NULL : index;
  return LLQ_OK;
}

int llqi_has_part(const llq_model *model, const char *prefix,
                  const char *suffix) {
  char name[2 * NAME_SIZE];
  snprintf(name, sizeof name, "%s.%s", prefix, suffix);
  return llqi_checkpoint_find(model->checkpoint, name) != NULL;
}

int llqi_check_float(const struct llqi_tensor *tensor) {
  if (tensor->dtype == LLQ_F32 || tensor->dtype == LLQ_F16 ||
      tensor->dtype == LLQ_BF16)
    return LLQ_OK;
  return llqi_fail(LLQ_ERROR_UNSUPPORTED,
                   "%s: %s: dtype %s, expected F32, F16 or BF16", tensor->where,
                   tensor->name, llqi_dtype_name(tensor->dtype));
}

llq_weight llqi_dense_weight(const struct llqi_tensor *tensor) {
  return (llq_weight){.struct_size = sizeof(llq_weight),
                      .format = LLQ_WEIGHT_DENSE,
                      .dtype = tensor->dtype,
                      .n_out = tensor->shape[0],
                      .n_in = tensor->shape[1],
                      .group_size = tensor->shape[1],
                      .data = tensor->data};
}

static int load_norm(const llq_model *model, const char *prefix,
                     struct llqi_tensor *out) {
  LLQ_TRY(llqi_load_part(model, prefix, "weight", 1, &model->config.hidden_size,
                         out));
  return llqi_check_float(out);
}

static int load_dense(const llq_model *model, const char *prefix, int64_t n_out,
                      int64_t n_in, llq_weight *out) {
  struct llqi_tensor tensor;
  LLQ_TRY(llqi_load_part(model, prefix, "weight", 2, (int64_t[]){n_out, n_in},
                         &tensor));
  LLQ_TRY(llqi_check_float(&tensor));
  *out = llqi_dense_weight(&tensor);
  return LLQ_OK;
}

/* What is quantized, and how it is stored. */
struct packing {
  enum llqi_layout layout;
  const json_t *json; /* "quantization_config"; NULL: nothing is quantized */
  char where[300];    /* what to call it */
  struct llqi_gptq gptq;
};

/* Old GPTQ files have it in a file of its own. */
static int find_json(llq_model *model, struct packing *out) {
  json_t *config = model->config.json, *json;
  snprintf(out->where, sizeof out->where,
           "%.250s/config.json: quantization_config", model->directory);
  out->json = json_object_get(config, "quantization_config");
  if (out->json != NULL && !json_is_null(out->json))
    return LLQ_OK;
  out->json = NULL;
  char *path = llqi_path_join(model->directory, "quantize_config.json");
  if (path == NULL)
    return LLQ_ERROR_MEMORY;
  int status = LLQ_OK;
  if (llqi_file_exists(path)) {
    snprintf(out->where, sizeof out->where, "%.290s", path);
    status = llqi_json_read(path, &json);
    if (status >= 0 && json_object_get(json, "quant_method") == NULL)
      json_object_set_new(json, "quant_method", json_string("gptq"));
    if (status >= 0 &&
        json_object_set_new(config, "quantization_config", json) < 0)
      status = llqi_fail(LLQ_ERROR_MEMORY, "out of memory");
    out->json = json_object_get(config, "quantization_config");
  }
  llqi_free(path);
  return status;
}

static int read_packing(llq_model *model, struct packing *out) {
  const char *method = "";
  *out = (struct packing){.layout = LLQI_LAYOUT_DENSE};
  if (model->directory == NULL)
    return LLQ_OK;
  LLQ_TRY(find_json(model, out));
  if (out->json == NULL)
    return LLQ_OK;
  LLQ_TRY(llqi_json_string(out->json, out->where, "quant_method", &method));
  out->layout = llqi_layout_find(method);
  switch (out->layout) {
  case LLQI_LAYOUT_COMPRESSED:
    return llqi_compression_check(out->json, out->where);
  case LLQI_LAYOUT_GPTQ:
    return llqi_gptq_read(out->json, out->where, &out->gptq);
  case LLQI_LAYOUT_AWQ:
    return llqi_awq_read(out->json, out->where, &out->gptq);
  default:
    return llqi_fail(LLQ_ERROR_UNSUPPORTED,
                     "%s: quant_method \"%.60s\" is not supported, only "
                     "compressed-tensors, gptq and awq",
                     out->where, method);
  }
}

/* A linear whose module compressed-tensors has quantized. */
static int load_compressed(llq_model *model, const struct packing *packing,
                           const char *module, int64_t n_out, int64_t n_in,
                           llq_weight *out) {
  struct llqi_stored stored;
  LLQ_TRY(llqi_stored_find(packing->json, packing->where, module, &stored));
  if (stored.format == LLQ_WEIGHT_DENSE)
    return LLQ_OK;
  return llqi_load_compressed(model, &stored, module, n_out, n_in, out);
}

static int load_linear(llq_model *model, const struct packing *packing,
                       const char *module, int64_t n_out, int64_t n_in,
                       llq_weight *out) {
  out->format = 0;
  if (packing->layout == LLQI_LAYOUT_COMPRESSED)
    LLQ_TRY(load_compressed(model, packing, module, n_out, n_in, out));
  else if (packing->layout != LLQI_LAYOUT_DENSE)
    LLQ_TRY(llqi_load_gptq(model, &packing->gptq, module, n_out, n_in, out));
  return out->format != 0 ? LLQ_OK
                          : load_dense(model, module, n_out, n_in, out);
}

static int load_layer(llq_model *model, const struct packing *packing,
                      int64_t number) {
  struct llqi_layer *layer = &model->layers[number];
  char prefix[NAME_SIZE];
  for (int i = 0; i < LLQI_N_LINEARS; i++) {
    int64_t n_out, n_in;
    llqi_linear_shape(&model->config, i, &n_out, &n_in);
    llqi_linear_name(model->config.n_layers, number * LLQI_N_LINEARS + i,
                     prefix, sizeof prefix);
    LLQ_TRY(
        load_linear(model, packing, prefix, n_out, n_in, &layer->linears[i]));
  }
  snprintf(prefix, sizeof prefix, "model.layers.%lld.input_layernorm",
           (long long)number);
  LLQ_TRY(load_norm(model, prefix, &layer->input_norm));
  snprintf(prefix, sizeof prefix, "model.layers.%lld.post_attention_layernorm",
           (long long)number);
  return load_norm(model, prefix, &layer->post_attention_norm);
}

/* A quantized output matrix is no embedding, whatever config.json says. */
static int load_output(llq_model *model, const struct packing *packing) {
  struct llqi_config *c = &model->config;
  if (c->tied && !llqi_has_part(model, "lm_head", "weight_scale") &&
      !llqi_has_part(model, "lm_head", "qweight")) {
    model->output = llqi_dense_weight(&model->embedding);
    return LLQ_OK;
  }
  LLQ_TRY(llqi_config_untie(c));
  return load_linear(model, packing, "lm_head", c->n_vocab, c->hidden_size,
                     &model->output);
}

static int load_ends(llq_model *model, const struct packing *packing) {
  const struct llqi_config *c = &model->config;
  LLQ_TRY(llqi_load_tensor(model, "model.embed_tokens.weight", 2,
                           (int64_t[]){c->n_vocab, c->hidden_size},
                           &model->embedding));
  LLQ_TRY(llqi_check_float(&model->embedding));
  model->config.dtype = model->embedding.dtype;
  LLQ_TRY(load_norm(model, "model.norm", &model->final_norm));
  return load_output(model, packing);
}

static int is_zero(const struct llqi_tensor *tensor) {
  const char *bytes = tensor->data;
  size_t i = 0;
  while (i < tensor->n_bytes && bytes[i] == 0)
    i++;
  return i == tensor->n_bytes;
}

/* A bias that config.json does not mention would be lost; but many a GPTQ
   checkpoint has biases of 0. */
static int refuse_biases(const llq_model *model) {
  static const char prefix[] = "model.layers.", suffix[] = "_proj.bias";
  for (size_t i = 0; i < llqi_checkpoint_n_tensors(model->checkpoint); i++) {
    const struct llqi_tensor *t = llqi_checkpoint_at(model->checkpoint, i);
    const size_t length = strlen(t->name);
    if (strncmp(t->name, prefix, strlen(prefix)) == 0 &&
        length > strlen(suffix) &&
        strcmp(t->name + length - strlen(suffix), suffix) == 0 && !is_zero(t))
      return llqi_fail(LLQ_ERROR_UNSUPPORTED,
                       "%s: %s: biases are not supported", t->where, t->name);
  }
  return LLQ_OK;
}

int llqi_model_load(llq_model *model) {
  struct packing packing;
  LLQ_TRY(read_packing(model, &packing));
  LLQ_TRY(refuse_biases(model));
  LLQ_TRY(load_ends(model, &packing));
  model->layers =
      llqi_calloc((size_t)model->config.n_layers, sizeof *model->layers);
  if (model->layers == NULL)
    return LLQ_ERROR_MEMORY;
  for (int64_t i = 0; i < model->config.n_layers; i++)
    LLQ_TRY(load_layer(model, &packing, i));
  return packing.layout == LLQI_LAYOUT_COMPRESSED
             ? llqi_kv_load(model, packing.json, packing.where)
             : LLQ_OK;
}
