/* SPDX-License-Identifier: Apache-2.0 */
/* JSON with errors that name the file, the line and the key (over jansson). */
#ifndef LLQI_BASE_JSON_H
#define LLQI_BASE_JSON_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

/* Parses a file, or n bytes that came from `where` (a path, or "path:line").
   The root must be an object. *out is the caller's to json_decref. */
int llqi_json_read(const char *path, json_t **out);
int llqi_json_parse(const char *where, const char *bytes, size_t n,
                    json_t **out);

/* Typed members of an object that came from `where`. The first form fails when
   the key is absent; the _or forms leave *out as it is when the key is absent
   or null. All fail on another type or a number out of [low, high]. */
int llqi_json_int(const json_t *object, const char *where, const char *key,
                  int64_t low, int64_t high, int64_t *out);
int llqi_json_int_or(const json_t *object, const char *where, const char *key,
                     int64_t low, int64_t high, int64_t *out);
int llqi_json_real(const json_t *object, const char *where, const char *key,
                   double *out);
int llqi_json_real_or(const json_t *object, const char *where, const char *key,
                      double *out);
int llqi_json_bool_or(const json_t *object, const char *where, const char *key,
                      int *out);
/* Borrowed from the object; text with NUL inside is refused. */
int llqi_json_string(const json_t *object, const char *where, const char *key,
                     const char **out);
int llqi_json_string_or(const json_t *object, const char *where,
                        const char *key, const char **out);
int llqi_json_array(const json_t *object, const char *where, const char *key,
                    const json_t **out);

/* Appends JSON text; flags as for json_dumps. */
int llqi_json_dump(const json_t *value, size_t flags, struct llqi_text *out);

/* Writes indented JSON and a newline to a file, through a writer. */
int llqi_json_write(const char *path, const json_t *value);

#endif
