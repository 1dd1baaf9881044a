/* SPDX-License-Identifier: Apache-2.0 */
#include "evaluator/sanitize.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>

#include "base/status.h"
#include "base/text.h"

/* After so many definitions that never end, the rest is not code. */
#define N_UNFINISHED_MAX 64

static int is_name(char c) {
  return isalnum((unsigned char)c) || c == '_' || (c & 0x80);
}

static const char *skip_spaces(const char *at, const char *end) {
  while (at < end && (*at == ' ' || *at == '\t'))
    at++;
  return at;
}

static const char *skip_name(const char *at, const char *end) {
  while (at < end && (is_name(*at) || *at == '.'))
    at++;
  return at;
}

static const char *line_end(const char *at, const char *end) {
  const char *newline = memchr(at, '\n', (size_t)(end - at));
  return newline != NULL ? newline : end;
}

static const char *next_line(const char *at, const char *end) {
  const char *stop = line_end(at, end);
  return stop < end ? stop + 1 : end;
}

/* Past `word` and the spaces after it; NULL if the text is not that word. */
static const char *take_word(const char *at, const char *end,
                             const char *word) {
  size_t n = strlen(word);
  if ((size_t)(end - at) <= n || memcmp(at, word, n) != 0 || is_name(at[n]))
    return NULL;
  return skip_spaces(at + n, end);
}

static int defines(const char *at, const char *end, const char *entry_point) {
  const char *name = take_word(at, end, "async");
  name = take_word(name != NULL ? name : at, end, "def");
  size_t n = strlen(entry_point);
  return name != NULL && (size_t)(end - name) > n &&
         memcmp(name, entry_point, n) == 0 && !is_name(name[n]);
}

static int is_fence(const char *at, const char *end) {
  return end - at >= 3 && memcmp(at, "```", 3) == 0;
}

/* Narrows [*at, *end) to the first part between fences that has the entry
   point; leaves it alone if none has. */
static void choose_part(const char **at, const char **end,
                        const char *entry_point) {
  const char *part = *at;
  int found = 0;
  for (const char *line = *at; line < *end; line = next_line(line, *end)) {
    if (is_fence(line, *end) && found) {
      *at = part;
      *end = line;
      return;
    }
    if (is_fence(line, *end))
      part = next_line(line, *end);
    else if (defines(line, *end, entry_point))
      found = 1;
  }
  if (found)
    *at = part;
}

/* Past a string literal that begins at `at`; NULL if it never ends. One of a
   single quote ends at the end of its line at the latest. */
static const char *skip_string(const char *at, const char *end) {
  char quote = *at;
  int triple = end - at >= 3 && at[1] == quote && at[2] == quote;
  for (at += triple ? 3 : 1; at < end; at++) {
    if (*at == '\\' && at + 1 < end)
      at++;
    else if (!triple && *at == '\n')
      return at;
    else if (*at == quote && !triple)
      return at + 1;
    else if (*at == quote && end - at >= 3 && at[1] == quote && at[2] == quote)
      return at + 3;
  }
  return triple ? NULL : end;
}

/* Past the logical line at `at`, its newline included: brackets, strings and
   backslashes continue it. NULL if it is cut off. */
static const char *skip_logical_line(const char *at, const char *end) {
  int depth = 0;
  while (at < end) {
    char c = *at;
    if (c == '"' || c == '\'') {
      at = skip_string(at, end);
      if (at == NULL)
        return NULL;
      continue;
    }
    if (c == '#') {
      at = line_end(at, end);
      continue;
    }
    if (c == '\\' && at + 1 < end)
      at++;
    depth += (c == '(' || c == '[' || c == '{');
    depth -= (c == ')' || c == ']' || c == '}');
    at++;
    if (c == '\n' && depth <= 0)
      return at;
  }
  return depth <= 0 ? end : NULL;
}

/* "import a.b as c, d", and not a sentence that begins with "import". */
static int is_import(const char *at, const char *end) {
  const char *after = skip_name(at, end);
  if (after == at)
    return 0;
  after = skip_spaces(after, end);
  return after == end || strchr("\n\r,;#", *after) != NULL ||
         take_word(after, end, "as") != NULL;
}

static int is_from_import(const char *at, const char *end) {
  const char *after = skip_name(at, end);
  return after != at &&
         take_word(skip_spaces(after, end), end, "import") != NULL;
}

/* "NAME(", "NAME:" or "NAME[". */
static int is_header(const char *at, const char *end) {
  const char *after = skip_name(at, end);
  if (after == at)
    return 0;
  after = skip_spaces(after, end);
  return after < end && strchr("(:[", *after) != NULL;
}

/* A target that may stand left of "=": names, attributes, subscripts and
   commas, but no two names side by side, as in a sentence. */
static int is_target(const char *at, const char *end) {
  if (at == end || !(is_name(*at) || strchr("([*", *at)) ||
      isdigit((unsigned char)*at))
    return 0;
  while (at < end) {
    const char *after = skip_name(at, end);
    const char *next = skip_spaces(after, end);
    if (after != at && next != after && next < end && is_name(*next))
      return 0;
    if (after == at && strchr("()[],*'\" -+:", *at) == NULL)
      return 0;
    at = next > at ? next : at + 1;
  }
  return 1;
}

/* The colon of an annotation, outside brackets; `end` if there is none. */
static const char *find_annotation(const char *at, const char *end) {
  int depth = 0;
  for (; at < end && (*at != ':' || depth > 0); at++)
    depth += (*at == '[' || *at == '(') - (*at == ']' || *at == ')');
  return at;
}

static int is_assignment(const char *at, const char *end) {
  end = line_end(at, end);
  for (const char *sign = at; sign < end && *sign != '#'; sign++) {
    if (*sign != '=')
      continue;
    if (sign == at || strchr("=!<>+-*/%&|^@:~", sign[-1]) != NULL ||
        (sign + 1 < end && sign[1] == '='))
      return 0;
    return is_target(at, find_annotation(at, sign));
  }
  return 0;
}

/* Whether a top-level line begins something to keep. */
static int is_kept(const char *at, const char *end) {
  const char *after;
  if ((after = take_word(at, end, "import")) != NULL)
    return is_import(after, end);
  if ((after = take_word(at, end, "from")) != NULL)
    return is_from_import(after, end);
  const char *word = take_word(at, end, "async");
  word = word != NULL ? word : at;
  if ((after = take_word(word, end, "def")) != NULL ||
      (after = take_word(word, end, "class")) != NULL)
    return is_header(after, end);
  if (*at == '@')
    return at + 1 < end && is_name(at[1]);
  return is_assignment(at, end);
}

static int is_indented_or_blank(const char *at) {
  return *at == ' ' || *at == '\t' || *at == '\n' || *at == '\r' || *at == '#';
}

/* Whether a header, which ends at `after`, has no body following it. */
static int lacks_body(const char *header, const char *after, const char *end) {
  const char *last = after;
  while (last > header && isspace((unsigned char)last[-1]))
    last--;
  return last > header && last[-1] == ':' &&
         (after == end || !is_indented_or_blank(after));
}

/* Past a statement with its indented body; NULL if it is cut off. */
static const char *skip_block(const char *at, const char *end) {
  const char *after = skip_logical_line(at, end);
  if (after == NULL || lacks_body(at, after, end))
    return NULL;
  while (after != NULL && after < end && is_indented_or_blank(after))
    after = skip_logical_line(after, end);
  return after;
}

int llqi_sanitize(const char *text, const char *entry_point, char **out) {
  const char *at = text, *end = text + strlen(text);
  choose_part(&at, &end, entry_point);
  struct llqi_text kept = {0};
  int status = LLQ_OK, n_unfinished = 0;
  while (at < end && status >= 0 && n_unfinished < N_UNFINISHED_MAX) {
    const char *after = NULL;
    if (is_kept(at, end)) {
      after = skip_block(at, end);
      n_unfinished += after == NULL;
    }
    if (after != NULL)
      status = llqi_text_append(&kept, at, (size_t)(after - at));
    at = after != NULL ? after : next_line(at, end);
  }
  *out = status >= 0 ? llqi_text_take(&kept) : NULL;
  llqi_text_free(&kept);
  return *out != NULL ? LLQ_OK : LLQ_ERROR_MEMORY;
}
