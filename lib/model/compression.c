/* SPDX-License-Identifier: Apache-2.0 */
#include "model/compression.h"

#include <llq/backend.h>

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/status.h"
#include "model/match.h"

/* QuantizationArgs of compressed-tensors, as far as they change anything. */
struct args {
  int64_t bits;
  const char *type;     /* "int", "float" */
  const char *strategy; /* "" if not given */
  int64_t group_size;   /* 0 if not given; -1 means per channel */
  int symmetric, dynamic;
};

static int is(const char *a, const char *b) {
  return strcmp(a, b) == 0;
}

static int refuse(const char *where, const char *key, const char *value) {
  return llqi_fail(LLQ_ERROR_UNSUPPORTED, "%s: %s \"%.60s\" is not supported",
                   where, key, value);
}

static int is_absent(const json_t *value) {
  return value == NULL || json_is_null(value) ||
         (json_is_object(value) && json_object_size(value) == 0);
}

static int read_args(const json_t *json, const char *where, struct args *out) {
  *out = (struct args){8, "int", "", 0, 1, 0};
  if (!json_is_object(json))
    return llqi_fail(LLQ_ERROR_FORMAT, "%s: not a JSON object", where);
  LLQ_TRY(llqi_json_int_or(json, where, "num_bits", 1, 64, &out->bits));
  LLQ_TRY(llqi_json_string_or(json, where, "type", &out->type));
  LLQ_TRY(llqi_json_string_or(json, where, "strategy", &out->strategy));
  LLQ_TRY(llqi_json_int_or(json, where, "group_size", -1, 1 << 20,
                           &out->group_size));
  LLQ_TRY(llqi_json_bool_or(json, where, "symmetric", &out->symmetric));
  const json_t *dynamic = json_object_get(json, "dynamic");
  if (json_is_string(dynamic))
    return refuse(where, "dynamic", json_string_value(dynamic));
  return llqi_json_bool_or(json, where, "dynamic", &out->dynamic);
}

static int refuse_args(const char *where, const struct args *a) {
  return llqi_fail(LLQ_ERROR_UNSUPPORTED,
                   "%s: num_bits %lld of type %.20s, strategy \"%.20s\", %s, "
                   "%s is not supported",
                   where, (long long)a->bits, a->type, a->strategy,
                   a->symmetric ? "symmetric" : "asymmetric",
                   a->dynamic ? "dynamic" : "static");
}

static int read_activation(const json_t *json, const char *where,
                           struct llqi_stored *out) {
  out->activation = LLQ_ACTIVATION_NONE;
  if (is_absent(json))
    return LLQ_OK;
  struct args a;
  LLQ_TRY(read_args(json, where, &a));
  const int per_token = a.dynamic && a.symmetric && is(a.strategy, "token");
  if (per_token && a.bits == 8 && is(a.type, "int"))
    out->activation = LLQ_ACTIVATION_INT8;
  else if (per_token && a.bits == 8 && is(a.type, "float"))
    out->activation = LLQ_ACTIVATION_FP8;
  else
    return refuse_args(where, &a);
  return LLQ_OK;
}

static int read_groups_of(const struct args *a, const char *where,
                          struct llqi_stored *out) {
  if (is(a->strategy, "group") || (is(a->strategy, "") && a->group_size > 0))
    out->group_size = a->group_size;
  else if (!is(a->strategy, "channel") &&
           !(is(a->strategy, "") && a->group_size == -1))
    return refuse_args(where, a);
  if (is(a->strategy, "group") && a->group_size < 1)
    return llqi_fail(LLQ_ERROR_FORMAT, "%s: no \"group_size\"", where);
  return LLQ_OK;
}

/* The schemes that exist: the weight's codes by what happens to the input. */
static int read_weights(const json_t *json, const char *where,
                        struct llqi_stored *out) {
  struct args a;
  LLQ_TRY(read_args(json, where, &a));
  LLQ_TRY(read_groups_of(&a, where, out));
  out->has_zeros = !a.symmetric;
  const int is_int = is(a.type, "int") && !a.dynamic;
  const int is_float = is(a.type, "float") && !a.dynamic;
  const int plain = a.symmetric && out->group_size == 0;
  if (is_int && a.bits == 4 && out->activation == LLQ_ACTIVATION_NONE)
    out->format = LLQ_WEIGHT_INT4;
  else if (is_int && a.bits == 8 && a.symmetric &&
           out->activation == LLQ_ACTIVATION_NONE)
    out->format = LLQ_WEIGHT_INT8;
  else if (is_int && a.bits == 8 && plain &&
           out->activation == LLQ_ACTIVATION_INT8)
    out->format = LLQ_WEIGHT_INT8;
  else if (is_float && a.bits == 8 && plain &&
           out->activation == LLQ_ACTIVATION_FP8)
    out->format = LLQ_WEIGHT_FP8;
  else
    return refuse_args(where, &a);
  return LLQ_OK;
}

/* Where the codes are, by the format's name. */
static int read_format(const char *name, const char *where,
                       struct llqi_stored *out) {
  const int weight_only = out->activation == LLQ_ACTIVATION_NONE;
  out->is_packed = is(name, "pack-quantized");
  if (out->is_packed && weight_only)
    return LLQ_OK;
  const int is_int = out->format == LLQ_WEIGHT_INT8;
  const int is_float = out->format == LLQ_WEIGHT_FP8;
  if ((is_int && is(name, "int-quantized")) ||
      (is_float && is(name, "float-quantized")) ||
      ((is_int || is_float) && is(name, "naive-quantized")))
    return LLQ_OK;
  return refuse(where, "format", name);
}

static int read_group(const json_t *config, const json_t *group,
                      const char *where, struct llqi_stored *out) {
  char part[400];
  const char *format = "";
  *out = (struct llqi_stored){0};
  LLQ_TRY(llqi_json_string_or(config, where, "format", &format));
  LLQ_TRY(llqi_json_string_or(group, where, "format", &format));
  if (!is_absent(json_object_get(group, "output_activations")))
    return refuse(where, "output_activations", "...");
  snprintf(part, sizeof part, "%.300s: input_activations", where);
  LLQ_TRY(
      read_activation(json_object_get(group, "input_activations"), part, out));
  snprintf(part, sizeof part, "%.300s: weights", where);
  LLQ_TRY(read_weights(json_object_get(group, "weights"), part, out));
  return read_format(format, where, out);
}

/* The group whose target fits best, or NULL; of equals, the last. */
static int find_group(const json_t *config, const char *where,
                      const char *module, const char **name,
                      const json_t **out) {
  enum llqi_match best = LLQI_MATCH_NONE;
  const char *best_target = NULL, *key;
  json_t *group;
  *out = NULL;
  json_object_foreach(json_object_get(config, "config_groups"), key, group) {
    enum llqi_match match;
    const char *target = NULL;
    LLQ_TRY(llqi_match_targets(where, json_object_get(group, "targets"), module,
                               &match, &target));
    if (match == LLQI_MATCH_NONE || match > best ||
        (match == best && strcmp(target, best_target) > 0))
      continue;
    best = match;
    best_target = target;
    *name = key;
    *out = group;
  }
  return LLQ_OK;
}

int llqi_stored_find(const json_t *json, const char *where, const char *module,
                     struct llqi_stored *out) {
  enum llqi_match ignored = LLQI_MATCH_NONE;
  const json_t *group = NULL;
  const char *name = NULL;
  char part[300];
  *out = (struct llqi_stored){.format = LLQ_WEIGHT_DENSE};
  if (json == NULL)
    return LLQ_OK;
  LLQ_TRY(llqi_match_targets(where, json_object_get(json, "ignore"), module,
                             &ignored, NULL));
  if (ignored != LLQI_MATCH_NONE)
    return LLQ_OK;
  LLQ_TRY(find_group(json, where, module, &name, &group));
  if (group == NULL)
    return LLQ_OK;
  snprintf(part, sizeof part, "%.200s: %.60s", where, name);
  return read_group(json, group, part, out);
}

int llqi_compression_kv(const json_t *json, const char *where, int *dtype) {
  const json_t *scheme = json_object_get(json, "kv_cache_scheme");
  char part[400];
  struct args a;
  *dtype = 0;
  if (is_absent(scheme))
    return LLQ_OK;
  snprintf(part, sizeof part, "%.300s: kv_cache_scheme", where);
  LLQ_TRY(read_args(scheme, part, &a));
  const int per_tensor =
      is(a.strategy, "tensor") || (is(a.strategy, "") && a.group_size == 0);
  if (a.bits != 8 || !a.symmetric || a.dynamic || !per_tensor)
    return refuse_args(part, &a);
  if (is(a.type, "float"))
    *dtype = LLQ_F8_E4M3;
  else if (is(a.type, "int"))
    *dtype = LLQ_I8;
  return *dtype != 0 ? LLQ_OK : refuse_args(part, &a);
}

static int check_groups(const json_t *json, const char *where) {
  const char *name;
  json_t *groups = json_object_get(json, "config_groups"), *group;
  if (!json_is_object(groups))
    return llqi_fail(LLQ_ERROR_FORMAT, "%s: no \"config_groups\"", where);
  json_object_foreach(groups, name, group) if (
      !json_is_array(json_object_get(
          group, "targets"))) return llqi_fail(LLQ_ERROR_FORMAT,
                                               "%s: %.60s: no \"targets\"",
                                               where, name);
  return LLQ_OK;
}

int llqi_compression_check(const json_t *json, const char *where) {
  const char *status = "compressed";
  LLQ_TRY(llqi_json_string_or(json, where, "quantization_status", &status));
  if (!is(status, "compressed"))
    return refuse(where, "quantization_status", status);
  if (!is_absent(json_object_get(json, "transform_config")))
    return refuse(where, "transform_config", "...");
  const json_t *sparsity = json_object_get(json, "sparsity_config");
  const char *format = "dense";
  if (!is_absent(sparsity))
    LLQ_TRY(llqi_json_string_or(sparsity, where, "format", &format));
  if (!is(format, "dense"))
    return refuse(where, "sparsity_config format", format);
  return check_groups(json, where);
}
