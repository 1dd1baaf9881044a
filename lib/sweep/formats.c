/* SPDX-License-Identifier: Apache-2.0 */
#include "sweep/formats.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/status.h"

#define N_FORMATS_MAX 256

/* Takes the next name off a comma-separated list. Names become directories'
   names: letters, digits, and + - only. */
static int next_name(const char **list, const char *what, char *name,
                     size_t size) {
  size_t n = strcspn(*list, ",");
  LLQ_REQUIRE(n > 0 && n < size, "%s: \"%s\" is not a list of names", what,
              *list);
  for (size_t i = 0; i < n; i++)
    LLQ_REQUIRE(isalnum((unsigned char)(*list)[i]) || (*list)[i] == '-' ||
                    (*list)[i] == '+',
                "%s: \"%s\" is not a list of names", what, *list);
  memcpy(name, *list, n);
  name[n] = '\0';
  *list += n;
  if (**list == ',')
    (*list)++;
  return LLQ_OK;
}

static int add(struct llqi_formats *formats, const char *scheme,
               const char *method) {
  struct llqi_format *format = &formats->items[formats->n];
  LLQ_REQUIRE(formats->n < N_FORMATS_MAX, "more than %d formats",
              N_FORMATS_MAX);
  snprintf(format->scheme, sizeof format->scheme, "%s", scheme);
  snprintf(format->method, sizeof format->method, "%s", method);
  snprintf(format->name, sizeof format->name, "%s%s%s", scheme,
           *method != '\0' ? "-" : "", method);
  for (size_t i = 0; i < formats->n; i++)
    LLQ_REQUIRE(strcmp(formats->items[i].name, format->name) != 0,
                "%s is named twice", format->name);
  formats->n++;
  return LLQ_OK;
}

static int fill(struct llqi_formats *formats, const char *schemes,
                const char *methods) {
  char scheme[16], method[32];
  do {
    LLQ_TRY(next_name(&schemes, "schemes", scheme, sizeof scheme));
    if (strcmp(scheme, "bf16") == 0) {
      LLQ_TRY(add(formats, scheme, ""));
      continue;
    }
    const char *rest = methods;
    do {
      LLQ_TRY(next_name(&rest, "methods", method, sizeof method));
      LLQ_TRY(add(formats, scheme, method));
    } while (*rest != '\0');
  } while (*schemes != '\0');
  return LLQ_OK;
}

int llqi_formats_make(struct llqi_formats *out, const char *schemes,
                      const char *methods) {
  out->n = 0;
  out->items = llqi_array(N_FORMATS_MAX + 1, sizeof *out->items);
  if (out->items == NULL)
    return LLQ_ERROR_MEMORY;
  int status = fill(out, schemes, methods);
  if (status < 0)
    llqi_formats_free(out);
  return status;
}

void llqi_formats_free(struct llqi_formats *formats) {
  llqi_free(formats->items);
  *formats = (struct llqi_formats){0};
}
