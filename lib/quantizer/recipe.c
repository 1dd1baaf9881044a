/* SPDX-License-Identifier: Apache-2.0 */
#include "quantizer/recipe.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/status.h"

#define SIZE_MAX_RECIPE ((size_t)1 << 20)
#define SPACES " \t\r"

/* The options with what a line's words say. */
static int read_word(const char *word, llq_quantizer_options *options) {
  static const char key[] = "group-size=";
  if (strcmp(word, "asymmetric") == 0) {
    options->asymmetric = 1;
  } else if (strncmp(word, key, sizeof key - 1) == 0) {
    char *end;
    long size = strtol(word + sizeof key - 1, &end, 10);
    LLQ_REQUIRE(*end == '\0' && end != word + sizeof key - 1 && size >= -1 &&
                    size <= 1 << 20,
                "'%s': expected a number", word);
    options->group_size = (int32_t)size;
  } else {
    options->method = word;
  }
  return LLQ_OK;
}

/* A line without its pattern. Groups and zero points are taken from the options
   only by the scheme that has them. */
static int read_choice(char *rest, const llq_quantizer_options *options,
                       struct llqi_choice *choice) {
  llq_quantizer_options ours = *options;
  char *place, *word = strtok_r(rest, SPACES, &place);
  LLQ_REQUIRE(word != NULL, "expected a scheme after the pattern");
  ours.scheme = word;
  if (strcmp(word, "w4a16-int") != 0)
    ours.group_size = ours.asymmetric = 0;
  while ((word = strtok_r(NULL, SPACES, &place)) != NULL)
    LLQ_TRY(read_word(word, &ours));
  LLQ_TRY(llqi_target_read(&ours, &choice->target));
  return llqi_method_find(ours.method, &choice->method);
}

/* The rest of a line about the KV cache. */
static int read_kv_cache(char *rest, int *dtype) {
  char *place, *name = strtok_r(rest, SPACES, &place);
  LLQ_REQUIRE(name != NULL && strtok_r(NULL, SPACES, &place) == NULL,
              "expected fp8 or int8 after kv-cache");
  return llqi_kv_cache_read(name, dtype);
}

static int apply_line(struct llqi_recipe *recipe, char *line,
                      const llq_quantizer_options *options) {
  char *place, name[128], *comment = strchr(line, '#');
  struct llqi_choice choice;
  int64_t n_fitting = 0;
  if (comment != NULL)
    *comment = '\0';
  const char *pattern = strtok_r(line, SPACES, &place);
  if (pattern == NULL)
    return LLQ_OK;
  if (strcmp(pattern, "kv-cache") == 0)
    return read_kv_cache(place, &recipe->kv_dtype);
  LLQ_TRY(read_choice(place, options, &choice));
  for (int64_t i = 0; i <= recipe->n_layers * LLQI_N_LINEARS; i++) {
    llqi_linear_name(recipe->n_layers, i, name, sizeof name);
    if (fnmatch(pattern, name, 0) == 0) {
      recipe->choices[i] = choice;
      n_fitting++;
    }
  }
  LLQ_REQUIRE(n_fitting > 0, "'%s' fits no linear", pattern);
  return LLQ_OK;
}

int llqi_recipe_apply(struct llqi_recipe *recipe, const char *path,
                      const llq_quantizer_options *options) {
  char *text;
  size_t n;
  int number = 0, status = LLQ_OK;
  LLQ_TRY(llqi_file_read(path, SIZE_MAX_RECIPE, &text, &n));
  if (strlen(text) != n)
    status = llqi_fail(LLQ_ERROR_FORMAT, "%s: is no text", path);
  for (char *line = text, *next; line != NULL && status >= 0; line = next) {
    next = strchr(line, '\n');
    if (next != NULL)
      *next++ = '\0';
    number++;
    status = apply_line(recipe, line, options);
    if (status < 0)
      llqi_fail_within(status, "%s:%d", path, number);
  }
  llqi_free(text);
  return status;
}
