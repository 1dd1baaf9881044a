/* SPDX-License-Identifier: Apache-2.0 */
#include "quantizer/settings.h"

#include <string.h>

#include "base/status.h"
#include "model/kv_scheme.h"

#define DAMPING 0.01
#define BLOCK_SIZE 128
#define BLOCK_SIZE_MAX 1024
#define STRENGTH 0.8
#define N_SAMPLES 512
#define N_TOKENS 2048

/* Ranges that are tried: down to four fifths of the whole. */
#define MSE_STEPS 20
#define MSE_STEP 0.01f

/* The index of an option's text in a list that ends with NULL; the first for
   NULL. */
static int find_text(const char *option, const char *text,
                     const char *const *names, int *out) {
  for (*out = 0; names[*out] != NULL; (*out)++)
    if (text == NULL || strcmp(names[*out], text) == 0)
      return LLQ_OK;
  return llqi_fail(LLQ_ERROR_ARGUMENT, "%s: '%s' is not known", option, text);
}

static int or_default(const char *option, int32_t value, int32_t normal,
                      int32_t low, int32_t high, int64_t *out) {
  LLQ_REQUIRE(value == 0 || (value >= low && value <= high),
              "%s: expected %d to %d, found %d", option, low, high, value);
  *out = value != 0 ? value : normal;
  return LLQ_OK;
}

static int read_gptq(const llq_quantizer_options *options,
                     struct llqi_gptq_options *out) {
  static const char *const observers[] = {"minmax", "mse", NULL};
  static const char *const orders[] = {"static", "none", "group", NULL};
  static const enum llqi_order meanings[] = {LLQI_ORDER_STATIC, LLQI_ORDER_NONE,
                                             LLQI_ORDER_GROUP};
  int observer, order;
  LLQ_TRY(find_text("observer", options->observer, observers, &observer));
  LLQ_TRY(find_text("order", options->order, orders, &order));
  LLQ_TRY(or_default("block_size", options->block_size, BLOCK_SIZE, 32,
                     BLOCK_SIZE_MAX, &out->n_block));
  LLQ_REQUIRE((out->n_block & (out->n_block - 1)) == 0,
              "block_size: %d is not a power of two", options->block_size);
  LLQ_REQUIRE(options->damping >= 0 && options->damping <= 1,
              "damping: expected 0 to 1, found %g", options->damping);
  out->damping = options->damping > 0 ? options->damping : DAMPING;
  out->order = meanings[order];
  out->observer =
      (struct llqi_observer){observer == 1 ? MSE_STEPS : 1, MSE_STEP, NULL};
  return LLQ_OK;
}

static int read_samples(const llq_quantizer_options *options,
                        struct llqi_choice_of_samples *out) {
  int64_t n_samples = 0, n_tokens = 0;
  LLQ_TRY(or_default("n_samples", options->n_samples, N_SAMPLES, 1, 1 << 20,
                     &n_samples));
  LLQ_TRY(or_default("n_tokens", options->n_tokens, N_TOKENS, 2, 1 << 20,
                     &n_tokens));
  *out = (struct llqi_choice_of_samples){(size_t)n_samples, (size_t)n_tokens,
                                         options->seed};
  return LLQ_OK;
}

int llqi_kv_cache_read(const char *name, int *dtype) {
  *dtype = name != NULL ? llqi_kv_dtype_find(name) : 0;
  LLQ_REQUIRE(name == NULL || *dtype != 0,
              "kv_cache: expected fp8 or int8, found '%s'", name);
  return LLQ_OK;
}

int llqi_quantizer_settings_read(const llq_quantizer_options *options,
                                 struct llqi_quantizer_settings *out) {
  static const char *const types[] = {"bf16", "f32", NULL};
  int type;
  LLQ_TRY(llqi_target_read(options, &out->choice.target));
  LLQ_TRY(llqi_method_find(options->method, &out->choice.method));
  LLQ_TRY(read_gptq(options, &out->gptq));
  LLQ_TRY(read_samples(options, &out->samples));
  LLQ_TRY(find_text("compute", options->compute, types, &type));
  out->compute = type == 0 ? LLQ_BF16 : LLQ_F32;
  LLQ_REQUIRE(options->smoothing >= 0 && options->smoothing <= 1,
              "smoothing: expected 0 to 1, found %g", options->smoothing);
  const double strength =
      options->smoothing > 0 ? options->smoothing : STRENGTH;
  out->strength[LLQI_INPUT_QKV] = out->strength[LLQI_INPUT_GATE_UP] = strength;
  LLQ_TRY(llqi_kv_cache_read(options->kv_cache, &out->kv_dtype));
  out->is_parallel = options->is_parallel != 0;
  out->measures = options->measure != 0;
  LLQ_REQUIRE(options->measure_file == NULL || out->measures,
              "measure_file: without measure");
  return LLQ_OK;
}
