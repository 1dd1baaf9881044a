/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "model/gguf.h"

static const struct {
  const char *key, *name;
} sizes[] = {
    {"llama.block_count", "num_hidden_layers"},
    {"llama.embedding_length", "hidden_size"},
    {"llama.feed_forward_length", "intermediate_size"},
    {"llama.attention.head_count", "num_attention_heads"},
    {"llama.attention.head_count_kv", "num_key_value_heads"},
    {"llama.attention.key_length", "head_dim"},
    {"llama.context_length", "max_position_embeddings"},
    {"tokenizer.ggml.bos_token_id", "bos_token_id"},
};

static const struct {
  const char *key, *name;
} reals[] = {
    {"llama.attention.layer_norm_rms_epsilon", "rms_norm_eps"},
    {"llama.rope.freq_base", "rope_theta"},
};

static int no_memory(const struct llqi_gguf *gguf) {
  return llqi_fail(LLQ_ERROR_MEMORY, "%s: out of memory", gguf->path);
}

/* The digits that a person typed, where the file has them as a float. */
static double tidy(double x) {
  char text[32];
  snprintf(text, sizeof text, "%.7g", x);
  const double typed = strtod(text, NULL);
  return (float)typed == (float)x ? typed : x;
}

static int copy_values(const struct llqi_gguf *gguf, json_t *json) {
  int status = 0;
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    int64_t value = -1;
    LLQ_TRY(llqi_gguf_int(gguf, sizes[i].key, 0, INT64_MAX, &value));
    if (value >= 0)
      status |= json_object_set_new(json, sizes[i].name, json_integer(value));
  }
  for (size_t i = 0; i < sizeof reals / sizeof *reals; i++) {
    double value = NAN;
    LLQ_TRY(llqi_gguf_real(gguf, reals[i].key, &value));
    if (isfinite(value))
      status |=
          json_object_set_new(json, reals[i].name, json_real(tidy(value)));
  }
  return status == 0 ? LLQ_OK : no_memory(gguf);
}

/* All tokens that end a text. */
static int copy_ends(const struct llqi_gguf *gguf, json_t *json) {
  static const char *const keys[] = {"tokenizer.ggml.eos_token_id",
                                     "tokenizer.ggml.eot_token_id",
                                     "tokenizer.ggml.eom_token_id"};
  json_t *ids = json_array();
  int64_t found[3];
  int n = 0, status = json_object_set_new(json, "eos_token_id", ids);
  for (int i = 0; i < 3; i++) {
    int64_t id = -1;
    LLQ_TRY(llqi_gguf_int(gguf, keys[i], 0, INT32_MAX, &id));
    int is_new = id >= 0;
    for (int k = 0; k < n; k++)
      is_new &= found[k] != id;
    if (!is_new)
      continue;
    found[n++] = id;
    status |= json_array_append_new(ids, json_integer(id));
  }
  return status == 0 ? LLQ_OK : no_memory(gguf);
}

static int check_text(const struct llqi_gguf *gguf, const char *key,
                      const char *wanted) {
  const char *text = wanted;
  size_t n = strlen(wanted);
  LLQ_TRY(llqi_gguf_text(gguf, key, &text, &n));
  if (n == strlen(wanted) && memcmp(text, wanted, n) == 0)
    return LLQ_OK;
  return llqi_fail(LLQ_ERROR_UNSUPPORTED,
                   "%s: %s \"%.*s\" is not supported, only %s", gguf->path, key,
                   (int)(n < 60 ? n : 60), text, wanted);
}

static int check_kind(const struct llqi_gguf *gguf) {
  int64_t n_experts = 0;
  if (!llqi_gguf_has(gguf, "general.architecture"))
    return llqi_fail(LLQ_ERROR_FORMAT, "%s: no general.architecture",
                     gguf->path);
  LLQ_TRY(check_text(gguf, "general.architecture", "llama"));
  LLQ_TRY(check_text(gguf, "llama.rope.scaling.type", "none"));
  LLQ_TRY(llqi_gguf_int(gguf, "llama.expert_count", 0, INT32_MAX, &n_experts));
  if (n_experts > 0)
    return llqi_fail(LLQ_ERROR_UNSUPPORTED,
                     "%s: a mixture of experts is not supported", gguf->path);
  for (size_t i = 0; i < gguf->n_tensors; i++) {
    const char *name = gguf->tensors[i].name, *dot = strrchr(name, '.');
    if (dot != NULL && strcmp(dot, ".bias") == 0)
      return llqi_fail(LLQ_ERROR_UNSUPPORTED,
                       "%s: %s: biases are not supported", gguf->path, name);
  }
  return LLQ_OK;
}

static int check_rope(const struct llqi_gguf *gguf,
                      const struct llqi_config *config) {
  int64_t width = config->head_size, value_width = config->head_size;
  LLQ_TRY(
      llqi_gguf_int(gguf, "llama.rope.dimension_count", 0, INT32_MAX, &width));
  LLQ_TRY(llqi_gguf_int(gguf, "llama.attention.value_length", 0, INT32_MAX,
                        &value_width));
  if (width == config->head_size && value_width == config->head_size)
    return LLQ_OK;
  return llqi_fail(LLQ_ERROR_UNSUPPORTED,
                   "%s: %lld of a head's %lld numbers are rotated, values have "
                   "%lld: only all of them, and as many, are supported",
                   gguf->path, (long long)width, (long long)config->head_size,
                   (long long)value_width);
}

/* Whether a formula gives the factors of a file, but for rounding. */
static int gives(const struct llqi_config *config, const float *factors) {
  int64_t i = 0;
  while (i < config->head_size / 2 &&
         fabsf(llqi_rope_factor(config, i) - factors[i]) <= 1e-4f * factors[i])
    i++;
  return i == config->head_size / 2;
}

/* Finds the parameters of Llama 3's formula that gives the file's factors: the
   largest is its own factor, and no model has other bounds than 1 and 4. */
static int find_scaling(const struct llqi_gguf *gguf,
                        const struct llqi_config *config, const float *factors,
                        json_t *json) {
  struct llqi_config guess = *config;
  float largest = 1;
  for (int64_t i = 0; i < config->head_size / 2; i++)
    largest = fmaxf(largest, factors[i]);
  for (int64_t context = 8; context <= 1 << 24; context *= 2) {
    guess.rope =
        (struct llqi_rope){config->rope.theta, (double)largest, 1, 4, context};
    if (!gives(&guess, factors))
      continue;
    json_t *scaling =
        json_pack("{s:s, s:f, s:f, s:f, s:I}", "rope_type", "llama3", "factor",
                  (double)largest, "low_freq_factor", 1.0, "high_freq_factor",
                  4.0, "original_max_position_embeddings", (json_int_t)context);
    return json_object_set_new(json, "rope_scaling", scaling) == 0
               ? LLQ_OK
               : no_memory(gguf);
  }
  return llqi_fail(LLQ_ERROR_UNSUPPORTED,
                   "%s: rope_freqs.weight: factors that are not of Llama 3's "
                   "formula are not supported",
                   gguf->path);
}

static int add_scaling(const struct llqi_gguf *gguf,
                       const struct llqi_config *config, json_t *json) {
  const struct llqi_gguf_tensor *t = llqi_gguf_find(gguf, "rope_freqs.weight");
  if (t == NULL)
    return LLQ_OK;
  if (strcmp(t->type->name, "F32") != 0 || t->n_rows != 1 ||
      t->n_cols != config->head_size / 2)
    return llqi_fail(LLQ_ERROR_FORMAT,
                     "%s: rope_freqs.weight: expected %lld numbers of F32",
                     gguf->path, (long long)config->head_size / 2);
  return find_scaling(gguf, config, t->data, json);
}

static int fill(const struct llqi_gguf *gguf,
                const struct llqi_gguf_tensor *embedding, json_t *json,
                struct llqi_config *out) {
  LLQ_TRY(copy_values(gguf, json));
  LLQ_TRY(copy_ends(gguf, json));
  /* Once to learn the sizes that the factors need. */
  LLQ_TRY(llqi_config_of(json_incref(json), gguf->path, out));
  int status = check_rope(gguf, out);
  if (status >= 0)
    status = add_scaling(gguf, out, json);
  llqi_config_free(out);
  if (status < 0)
    return status;
  out->dtype = embedding->type->dtype;
  return llqi_config_of(json_incref(json), gguf->path, out);
}

int llqi_gguf_config(const struct llqi_gguf *gguf, struct llqi_config *out) {
  *out = (struct llqi_config){0};
  LLQ_TRY(check_kind(gguf));
  const struct llqi_gguf_tensor *embedding =
      llqi_gguf_find(gguf, "token_embd.weight");
  if (embedding == NULL)
    return llqi_fail(LLQ_ERROR_FORMAT, "%s: no tensor token_embd.weight",
                     gguf->path);
  const int dtype = embedding->type->dtype;
  json_t *json = json_pack(
      "{s:[s], s:s, s:s, s:I, s:b, s:s}", "architectures", "LlamaForCausalLM",
      "model_type", "llama", "hidden_act", "silu", "vocab_size",
      (json_int_t)embedding->n_rows, "tie_word_embeddings",
      llqi_gguf_find(gguf, "output.weight") == NULL, "torch_dtype",
      dtype == LLQ_F16    ? "float16"
      : dtype == LLQ_BF16 ? "bfloat16"
                          : "float32");
  if (json == NULL)
    return no_memory(gguf);
  int status = fill(gguf, embedding, json, out);
  json_decref(json);
  return status;
}
