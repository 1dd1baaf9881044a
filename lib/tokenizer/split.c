/* SPDX-License-Identifier: Apache-2.0 */
#include "tokenizer/split.h"

#include <stdint.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/alloc.h"
#include "base/status.h"

const char llqi_split_pattern[] =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|"
    " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/* Unicode's White_Space, which \s means where the pattern comes from; PCRE2's
   own \s is another set (it has U+180E). */
#define SPACE "\\t-\\r\\x{85}\\p{Z}"

/* The same pattern for PCRE2. One of its alternatives matches at any
   character, and none looks back or can try more than the one run of
   characters that it then takes, so that a text takes linear time. */
static const char pattern[] =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|"
    " ?[^" SPACE "\\p{L}\\p{N}]+[\\r\\n]*|[" SPACE "]*[\\r\\n]+|"
    "[" SPACE "]+(?![^" SPACE "])|[" SPACE "]+";

static void *allocate(size_t size, void *unused) {
  return llqi_alloc(size);
}

static void release(void *memory, void *unused) {
  llqi_free(memory);
}

static int compile(struct llqi_splitter *splitter) {
  int error;
  size_t at;
  pcre2_compile_context *context =
      pcre2_compile_context_create(splitter->memory);
  if (context == NULL)
    return LLQ_ERROR_MEMORY;
  splitter->code =
      pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
                    PCRE2_UTF | PCRE2_ANCHORED, &error, &at, context);
  pcre2_compile_context_free(context);
  if (splitter->code == NULL)
    return error == PCRE2_ERROR_HEAP_FAILED
               ? LLQ_ERROR_MEMORY
               : llqi_fail(LLQ_ERROR_INTERNAL,
                           "PCRE2 refuses the pattern: error %d at %zu", error,
                           at);
  /* Where code may not be made at run time, matching is slower, but the same.
     Only ordinary memory that runs out, which has set the message, counts. */
  error = pcre2_jit_compile(splitter->code, PCRE2_JIT_COMPLETE);
  return error == PCRE2_ERROR_NOMEMORY && llq_error_message()[0] != '\0'
             ? LLQ_ERROR_MEMORY
             : LLQ_OK;
}

int llqi_splitter_open(struct llqi_splitter *splitter) {
  int status = LLQ_ERROR_MEMORY;
  memset(splitter, 0, sizeof *splitter);
  splitter->memory = pcre2_general_context_create(allocate, release, NULL);
  if (splitter->memory != NULL)
    splitter->limits = pcre2_match_context_create(splitter->memory);
  if (splitter->limits != NULL) {
    /* A run of n spaces takes n steps back: long ones are no attack. */
    pcre2_set_match_limit(splitter->limits, UINT32_MAX);
    status = compile(splitter);
  }
  if (status < 0)
    llqi_splitter_close(splitter);
  return status;
}

void llqi_splitter_close(struct llqi_splitter *splitter) {
  pcre2_code_free(splitter->code);
  pcre2_match_context_free(splitter->limits);
  pcre2_general_context_free(splitter->memory);
  memset(splitter, 0, sizeof *splitter);
}

int llqi_split_open(struct llqi_split *split,
                    const struct llqi_splitter *splitter) {
  split->splitter = splitter;
  split->match = pcre2_match_data_create(1, splitter->memory);
  return split->match != NULL ? LLQ_OK : LLQ_ERROR_MEMORY;
}

void llqi_split_close(struct llqi_split *split) {
  pcre2_match_data_free(split->match);
  split->match = NULL;
}

int llqi_split_next(struct llqi_split *split, const char *text, size_t n,
                    size_t at, size_t *length) {
  int found =
      pcre2_match(split->splitter->code, (PCRE2_SPTR)text, n, at,
                  PCRE2_NO_UTF_CHECK, split->match, split->splitter->limits);
  if (found == PCRE2_ERROR_NOMEMORY || found == PCRE2_ERROR_HEAPLIMIT)
    return llqi_fail(LLQ_ERROR_MEMORY, "out of memory: matching text");
  size_t end = found >= 0 ? pcre2_get_ovector_pointer(split->match)[1] : at;
  if (end <= at)
    return llqi_fail(LLQ_ERROR_INTERNAL, "PCRE2 error %d at byte %zu of text",
                     found, at);
  *length = end - at;
  return LLQ_OK;
}
