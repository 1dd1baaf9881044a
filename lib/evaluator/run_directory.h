/* SPDX-License-Identifier: Apache-2.0 */
/* A run's directory: manifest.json, samples.jsonl, result.json. The manifest
   is written first and the result last, both beside and renamed; samples are
   appended, so that a run killed at any moment loses what was not yet
   appended, and continues from there. */
#ifndef LLQI_EVALUATOR_RUN_DIRECTORY_H
#define LLQI_EVALUATOR_RUN_DIRECTORY_H

#include <jansson.h>
#include <stddef.h>

struct llqi_run_directory {
  char *path;
  char *samples; /* the path of samples.jsonl */
  int lock;      /* held while open, against a second process; -1: none */
};

/* Opens a directory, made if absent, for the run that the manifest describes.
   One that has a manifest already is continued if its "run" is the same, and
   refused otherwise (LLQ_ERROR_STATE). */
int llqi_run_directory_open(struct llqi_run_directory *out, const char *path,
                            const json_t *manifest);
void llqi_run_directory_close(struct llqi_run_directory *directory);

/* Passes each line of samples.jsonl on; `where` is "path:line". A last line
   that was cut off is dropped from the file. */
typedef int (*llqi_line_reader)(void *user, const json_t *line,
                                const char *where);
int llqi_run_directory_load(const struct llqi_run_directory *directory,
                            llqi_line_reader reader, void *user);

/* Appends whole lines, and has them on disk on return. */
int llqi_run_directory_append(const struct llqi_run_directory *directory,
                              const char *lines, size_t n);

int llqi_run_directory_finish(const struct llqi_run_directory *directory,
                              const json_t *result);

/* Reads DIRECTORY/NAME; *out is NULL, and that is no error, if it is absent. */
int llqi_run_directory_read(const char *directory, const char *name,
                            json_t **out);

#endif
