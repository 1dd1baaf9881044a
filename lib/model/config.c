/* SPDX-License-Identifier: Apache-2.0 */
#include "model/config.h"

#include <llq/backend.h>

#include <string.h>

#include "base/json.h"
#include "base/status.h"

/* Far above any known model, and low enough that no product of three of them
   overflows 64 bits. */
#define LAYERS_LIMIT 4096
#define WIDTH_LIMIT (1 << 20)
#define HEADS_LIMIT 4096
#define VOCAB_LIMIT (1 << 22)
#define CONTEXT_LIMIT (1 << 27)

/* What the backends' kernels are written for. */
#define HEAD_SIZE_MIN 32
#define HEAD_SIZE_MAX 128

static int unsupported(const char *where, const char *key, const char *found,
                       const char *wanted) {
  return llqi_fail(LLQ_ERROR_UNSUPPORTED,
                   "%s: %s \"%.60s\" is not supported, only %s", where, key,
                   found, wanted);
}

static int check_architecture(const json_t *json, const char *where) {
  const char *type = "llama";
  LLQ_TRY(llqi_json_string_or(json, where, "model_type", &type));
  const json_t *names = json_object_get(json, "architectures");
  const char *name = json_string_value(json_array_get(names, 0));
  if (name != NULL && strcmp(name, "LlamaForCausalLM") != 0)
    return unsupported(where, "architecture", name, "LlamaForCausalLM");
  if (strcmp(type, "llama") != 0)
    return unsupported(where, "model_type", type, "llama");
  if (name == NULL && json_object_get(json, "model_type") == NULL)
    return llqi_fail(LLQ_ERROR_FORMAT, "%s: no \"architectures\"", where);
  return LLQ_OK;
}

static int check_rotary(const json_t *json, const char *where) {
  double part = 1;
  LLQ_TRY(llqi_json_real_or(json, where, "partial_rotary_factor", &part));
  if (part != 1)
    return llqi_fail(LLQ_ERROR_UNSUPPORTED,
                     "%s: partial_rotary_factor %g is not supported, only 1",
                     where, part);
  return LLQ_OK;
}

/* Variants of a Llama that change the arithmetic. */
static int check_variants(const json_t *json, const char *where) {
  static const char *const biases[] = {"attention_bias", "mlp_bias"};
  for (int i = 0; i < 2; i++) {
    int bias = 0;
    LLQ_TRY(llqi_json_bool_or(json, where, biases[i], &bias));
    if (bias)
      return unsupported(where, biases[i], "true", "false");
  }
  const char *act = "silu";
  LLQ_TRY(llqi_json_string_or(json, where, "hidden_act", &act));
  if (strcmp(act, "silu") != 0)
    return unsupported(where, "hidden_act", act, "silu");
  return check_rotary(json, where);
}

static int read_sizes(const json_t *json, const char *where,
                      struct llqi_config *c) {
  LLQ_TRY(llqi_json_int(json, where, "num_hidden_layers", 1, LAYERS_LIMIT,
                        &c->n_layers));
  LLQ_TRY(llqi_json_int(json, where, "hidden_size", 1, WIDTH_LIMIT,
                        &c->hidden_size));
  LLQ_TRY(llqi_json_int(json, where, "intermediate_size", 1, WIDTH_LIMIT,
                        &c->intermediate_size));
  LLQ_TRY(llqi_json_int(json, where, "num_attention_heads", 1, HEADS_LIMIT,
                        &c->n_heads));
  LLQ_TRY(
      llqi_json_int(json, where, "vocab_size", 1, VOCAB_LIMIT, &c->n_vocab));
  c->n_kv_heads = c->n_heads;
  c->n_context = 2048;
  LLQ_TRY(llqi_json_int_or(json, where, "num_key_value_heads", 1, c->n_heads,
                           &c->n_kv_heads));
  LLQ_TRY(llqi_json_int_or(json, where, "max_position_embeddings", 1,
                           CONTEXT_LIMIT, &c->n_context));
  c->head_size = c->hidden_size / c->n_heads;
  LLQ_TRY(
      llqi_json_int_or(json, where, "head_dim", 1, WIDTH_LIMIT, &c->head_size));
  if (c->n_heads % c->n_kv_heads != 0)
    return llqi_fail(LLQ_ERROR_FORMAT,
                     "%s: %lld query heads cannot share %lld key-value heads",
                     where, (long long)c->n_heads, (long long)c->n_kv_heads);
  if (c->head_size < HEAD_SIZE_MIN || c->head_size > HEAD_SIZE_MAX ||
      c->head_size % 2 != 0)
    return llqi_fail(LLQ_ERROR_UNSUPPORTED,
                     "%s: head size %lld is not supported, only even ones "
                     "from %d to %d",
                     where, (long long)c->head_size, HEAD_SIZE_MIN,
                     HEAD_SIZE_MAX);
  return LLQ_OK;
}

static int check_real(const char *where, const char *key, double value,
                      double low, double high) {
  if (value > low && value <= high)
    return LLQ_OK;
  return llqi_fail(LLQ_ERROR_FORMAT,
                   "%s: \"%s\" is %g, expected above %g, at most %g", where,
                   key, value, low, high);
}

static int read_llama3(const json_t *json, const char *where,
                       struct llqi_config *c) {
  struct llqi_rope *rope = &c->rope;
  rope->original_context = c->n_context;
  LLQ_TRY(llqi_json_real(json, where, "factor", &rope->factor));
  LLQ_TRY(llqi_json_real(json, where, "low_freq_factor",
                         &rope->low_frequency_factor));
  LLQ_TRY(llqi_json_real(json, where, "high_freq_factor",
                         &rope->high_frequency_factor));
  LLQ_TRY(llqi_json_int_or(json, where, "original_max_position_embeddings", 1,
                           CONTEXT_LIMIT, &rope->original_context));
  LLQ_TRY(check_real(where, "factor", rope->factor, 0, 1e6));
  LLQ_TRY(
      check_real(where, "low_freq_factor", rope->low_frequency_factor, 0, 1e6));
  return check_real(where, "high_freq_factor", rope->high_frequency_factor,
                    rope->low_frequency_factor, 1e6);
}

/* transformers 5 writes "rope_parameters", with the base inside; before, it
   was "rope_scaling" beside "rope_theta", and its type was once "type". */
static int read_rope(const json_t *json, const char *where,
                     struct llqi_config *c) {
  c->rope = (struct llqi_rope){10000, 1, 1, 4, c->n_context};
  LLQ_TRY(llqi_json_real_or(json, where, "rope_theta", &c->rope.theta));
  const json_t *scaling = json_object_get(json, "rope_scaling");
  if (scaling == NULL || json_is_null(scaling))
    scaling = json_object_get(json, "rope_parameters");
  if (scaling != NULL && !json_is_null(scaling)) {
    if (!json_is_object(scaling))
      return llqi_fail(LLQ_ERROR_FORMAT, "%s: rope scaling is no object",
                       where);
    const char *type = "default";
    LLQ_TRY(llqi_json_string_or(scaling, where, "type", &type));
    LLQ_TRY(llqi_json_string_or(scaling, where, "rope_type", &type));
    LLQ_TRY(llqi_json_real_or(scaling, where, "rope_theta", &c->rope.theta));
    if (strcmp(type, "llama3") == 0)
      LLQ_TRY(read_llama3(scaling, where, c));
    else if (strcmp(type, "default") != 0)
      return unsupported(where, "rope_type", type, "llama3 and default");
    LLQ_TRY(check_rotary(scaling, where));
  }
  return check_real(where, "rope_theta", c->rope.theta, 0, 1e12);
}

static int read_dtype(const json_t *json, const char *where,
                      struct llqi_config *c) {
  const char *name = "bfloat16";
  LLQ_TRY(llqi_json_string_or(json, where, "torch_dtype", &name));
  LLQ_TRY(llqi_json_string_or(json, where, "dtype", &name));
  if (strcmp(name, "bfloat16") == 0)
    c->dtype = LLQ_BF16;
  else if (strcmp(name, "float16") == 0)
    c->dtype = LLQ_F16;
  else if (strcmp(name, "float32") == 0)
    c->dtype = LLQ_F32;
  else
    return unsupported(where, "dtype", name, "bfloat16, float16 and float32");
  return LLQ_OK;
}

static int parse(const json_t *json, const char *where, struct llqi_config *c) {
  LLQ_TRY(check_architecture(json, where));
  LLQ_TRY(check_variants(json, where));
  LLQ_TRY(read_sizes(json, where, c));
  LLQ_TRY(read_rope(json, where, c));
  LLQ_TRY(read_dtype(json, where, c));
  LLQ_TRY(llqi_json_bool_or(json, where, "tie_word_embeddings", &c->tied));
  c->norm_eps = 1e-6;
  LLQ_TRY(llqi_json_real_or(json, where, "rms_norm_eps", &c->norm_eps));
  return check_real(where, "rms_norm_eps", c->norm_eps, 0, 1);
}

int llqi_config_of(json_t *json, const char *where, struct llqi_config *out) {
  *out = (struct llqi_config){.json = json};
  int status = parse(json, where, out);
  if (status < 0)
    llqi_config_free(out);
  return status;
}

int llqi_config_read(const char *path, struct llqi_config *out) {
  json_t *json;
  *out = (struct llqi_config){0};
  LLQ_TRY(llqi_json_read(path, &json));
  return llqi_config_of(json, path, out);
}

/* Meta's published shapes; all have 8 key-value heads, 128,256 tokens and
   131,072 positions. */
static const struct shape {
  const char *name;
  int n_layers, hidden_size, intermediate_size, n_heads, head_size, tied;
  double rope_factor;
} known[] = {
    {"llama-3.1-8b", 32, 4096, 14336, 32, 128, 0, 8},
    {"llama-3.1-70b", 80, 8192, 28672, 64, 128, 0, 8},
    {"llama-3.1-405b", 126, 16384, 53248, 128, 128, 0, 8},
    {"llama-3.2-1b", 16, 2048, 8192, 32, 64, 1, 32},
    {"llama-3.2-3b", 28, 3072, 8192, 24, 128, 1, 32},
};

static json_t *json_of(const struct shape *s) {
  return json_pack(
      "{s:[s], s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:b, s:f, s:f, s:s,"
      " s:s, s:{s:s, s:f, s:f, s:f, s:i}, s:i, s:i}",
      "architectures", "LlamaForCausalLM", "model_type", "llama",
      "num_hidden_layers", s->n_layers, "hidden_size", s->hidden_size,
      "intermediate_size", s->intermediate_size, "num_attention_heads",
      s->n_heads, "num_key_value_heads", 8, "head_dim", s->head_size,
      "vocab_size", 128256, "max_position_embeddings", 131072,
      "tie_word_embeddings", s->tied, "rope_theta", 500000.0, "rms_norm_eps",
      1e-5, "hidden_act", "silu", "torch_dtype", "bfloat16", "rope_scaling",
      "rope_type", "llama3", "factor", s->rope_factor, "low_freq_factor", 1.0,
      "high_freq_factor", 4.0, "original_max_position_embeddings", 8192,
      "bos_token_id", 128000, "eos_token_id", 128001);
}

int llqi_config_known(const char *name, struct llqi_config *out) {
  *out = (struct llqi_config){0};
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    if (strcmp(known[i].name, name) != 0)
      continue;
    json_t *json = json_of(&known[i]);
    if (json == NULL)
      return llqi_fail(LLQ_ERROR_MEMORY, "%s: out of memory", name);
    return llqi_config_of(json, name, out);
  }
  return llqi_fail(LLQ_ERROR_ARGUMENT,
                   "\"%s\" is no known shape (such as llama-3.1-8b) and no "
                   "config.json",
                   name);
}

void llqi_config_free(struct llqi_config *config) {
  json_decref(config->json);
  config->json = NULL;
}

int llqi_config_untie(struct llqi_config *config) {
  if (!config->tied)
    return LLQ_OK;
  config->tied = 0;
  return json_object_set_new(config->json, "tie_word_embeddings",
                             json_false()) == 0
             ? LLQ_OK
             : llqi_fail(LLQ_ERROR_MEMORY, "out of memory");
}
