/* SPDX-License-Identifier: Apache-2.0 */
#define PCRE2_CODE_UNIT_WIDTH 8

#include "model/match.h"

#include <pcre2.h>
#include <string.h>

#include "base/alloc.h"
#include "base/status.h"

/* Patterns come from untrusted files; honest ones need a few dozen steps. */
#define STEP_LIMIT 100000

static void *allocate(size_t size, void *user) {
  return llqi_alloc(size);
}

static void release(void *memory, void *user) {
  llqi_free(memory);
}

static int run(const char *where, const char *pattern, const char *module,
               const pcre2_code *code, pcre2_general_context *memory) {
  pcre2_match_data *data = pcre2_match_data_create(1, memory);
  pcre2_match_context *limits = pcre2_match_context_create(memory);
  int found = PCRE2_ERROR_NOMEMORY;
  if (data != NULL && limits != NULL) {
    pcre2_set_match_limit(limits, STEP_LIMIT);
    found = pcre2_match(code, (PCRE2_SPTR)module, strlen(module), 0,
                        PCRE2_ANCHORED, data, limits);
  }
  pcre2_match_data_free(data);
  pcre2_match_context_free(limits);
  if (found == PCRE2_ERROR_NOMEMORY)
    return LLQ_ERROR_MEMORY;
  if (found < 0 && found != PCRE2_ERROR_NOMATCH)
    return llqi_fail(LLQ_ERROR_FORMAT, "%s: cannot match \"%.100s\"", where,
                     pattern);
  return found >= 0;
}

int llqi_match_pattern(const char *where, const char *pattern,
                       const char *module) {
  pcre2_general_context *memory =
      pcre2_general_context_create(allocate, release, NULL);
  if (memory == NULL)
    return LLQ_ERROR_MEMORY;
  pcre2_compile_context *context = pcre2_compile_context_create(memory);
  int error = PCRE2_ERROR_NOMEMORY, result;
  PCRE2_SIZE at = 0;
  pcre2_code *code = context != NULL ? pcre2_compile((PCRE2_SPTR)pattern,
                                                     PCRE2_ZERO_TERMINATED, 0,
                                                     &error, &at, context)
                                     : NULL;
  if (code != NULL)
    result = run(where, pattern, module, code, memory);
  else if (error == PCRE2_ERROR_NOMEMORY || error == PCRE2_ERROR_HEAP_FAILED)
    result = llqi_fail(LLQ_ERROR_MEMORY, "%s: out of memory", where);
  else
    result =
        llqi_fail(LLQ_ERROR_FORMAT, "%s: \"%.100s\" is no regular expression",
                  where, pattern);
  pcre2_code_free(code);
  pcre2_compile_context_free(context);
  pcre2_general_context_free(memory);
  return result;
}

static int match_target(const char *where, const char *target,
                        const char *module, enum llqi_match *match) {
  *match = LLQI_MATCH_NONE;
  if (strncmp(target, "re:", 3) == 0) {
    int found = llqi_match_pattern(where, target + 3, module);
    LLQ_TRY(found);
    if (found)
      *match = LLQI_MATCH_REGEX;
  } else if (strcmp(target, module) == 0) {
    *match = LLQI_MATCH_NAME;
  } else if (strcmp(target, "Linear") == 0) {
    *match = LLQI_MATCH_CLASS;
  }
  return LLQ_OK;
}

int llqi_match_targets(const char *where, const json_t *targets,
                       const char *module, enum llqi_match *match,
                       const char **target) {
  *match = LLQI_MATCH_NONE;
  for (size_t i = 0; i < json_array_size(targets); i++) {
    const char *text = json_string_value(json_array_get(targets, i));
    if (text == NULL)
      return llqi_fail(LLQ_ERROR_FORMAT, "%s: a target is no string", where);
    enum llqi_match found;
    LLQ_TRY(match_target(where, text, module, &found));
    const int is_better =
        found < *match || (found == *match && found != LLQI_MATCH_NONE &&
                           target != NULL && strcmp(text, *target) < 0);
    if (!is_better)
      continue;
    *match = found;
    if (target != NULL)
      *target = text;
  }
  return LLQ_OK;
}
