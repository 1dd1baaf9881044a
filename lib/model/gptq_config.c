/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/json.h"
#include "base/status.h"
#include "model/gptq.h"

#define BITS_MAX 32
#define GROUP_MAX (1 << 20)

static int refuse(const char *where, const char *key, const char *value) {
  return llqi_fail(LLQ_ERROR_UNSUPPORTED, "%s: %s \"%.60s\" is not supported",
                   where, key, value);
}

/* Both formats have a few names for the same things. */
static int read_sizes(const json_t *json, const char *where,
                      struct llqi_gptq *out) {
  out->bits = 0;
  LLQ_TRY(llqi_json_int_or(json, where, "w_bit", 1, BITS_MAX, &out->bits));
  LLQ_TRY(llqi_json_int_or(json, where, "bits", 1, BITS_MAX, &out->bits));
  LLQ_TRY(llqi_json_int_or(json, where, "q_group_size", -1, GROUP_MAX,
                           &out->group_size));
  LLQ_TRY(llqi_json_int_or(json, where, "group_size", -1, GROUP_MAX,
                           &out->group_size));
  if (out->bits == 0)
    return llqi_fail(LLQ_ERROR_FORMAT, "%s: no \"bits\"", where);
  if (out->group_size == 0)
    return llqi_fail(LLQ_ERROR_FORMAT, "%s: \"group_size\" is 0", where);
  return LLQ_OK;
}

static int check_pack_type(const json_t *json, const char *where) {
  const char *type = "int32";
  LLQ_TRY(llqi_json_string_or(json, where, "pack_dtype", &type));
  return strcmp(type, "int32") == 0 ? LLQ_OK
                                    : refuse(where, "pack_dtype", type);
}

int llqi_gptq_read(const json_t *json, const char *where,
                   struct llqi_gptq *out) {
  *out = (struct llqi_gptq){.group_size = -1, .version = 1, .where = where};
  const char *format = "gptq";
  int is_marlin = 0;
  LLQ_TRY(read_sizes(json, where, out));
  LLQ_TRY(llqi_json_string_or(json, where, "format", &format));
  LLQ_TRY(llqi_json_string_or(json, where, "checkpoint_format", &format));
  LLQ_TRY(llqi_json_bool_or(json, where, "is_marlin_format", &is_marlin));
  if (is_marlin)
    format = "marlin";
  if (strcmp(format, "gptq_v2") == 0)
    out->version = 2;
  else if (strcmp(format, "gptq") != 0)
    return refuse(where, "checkpoint_format", format);
  LLQ_TRY(check_pack_type(json, where));
  out->dynamic = json_object_get(json, "dynamic");
  if (json_is_null(out->dynamic))
    out->dynamic = NULL;
  if (out->dynamic != NULL && !json_is_object(out->dynamic))
    return llqi_fail(LLQ_ERROR_FORMAT, "%s: \"dynamic\" is no object", where);
  return LLQ_OK;
}

int llqi_awq_read(const json_t *json, const char *where,
                  struct llqi_gptq *out) {
  *out = (struct llqi_gptq){
      .is_awq = 1, .group_size = 128, .version = 2, .where = where};
  const char *version = "gemm", *backend = "autoawq";
  LLQ_TRY(read_sizes(json, where, out));
  LLQ_TRY(llqi_json_string_or(json, where, "version", &version));
  LLQ_TRY(llqi_json_string_or(json, where, "backend", &backend));
  if (strcmp(version, "gemm") != 0 && strcmp(version, "GEMM") != 0)
    return refuse(where, "version", version);
  if (strcmp(backend, "llm-awq") == 0)
    return refuse(where, "backend", backend);
  if (out->bits != 4)
    return llqi_fail(LLQ_ERROR_UNSUPPORTED,
                     "%s: AWQ of %lld bits is not supported, only of 4", where,
                     (long long)out->bits);
  return LLQ_OK;
}
