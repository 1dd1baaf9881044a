/* SPDX-License-Identifier: Apache-2.0 */
/* Which modules a target of a quantization_config means. */
#ifndef LLQI_MODEL_MATCH_H
#define LLQI_MODEL_MATCH_H

#include <jansson.h>

/* How well a target fits a linear, best first, as compressed-tensors ranks
   them. */
enum llqi_match {
  LLQI_MATCH_NAME = 1, /* the module's whole name */
  LLQI_MATCH_REGEX,    /* "re:...", from the name's beginning */
  LLQI_MATCH_CLASS,    /* "Linear" */
  LLQI_MATCH_NONE
};

/* The best match in a list of targets; `target` (NULL if not wanted) is the one
   that matched, borrowed from the list. Where a regular expression is invalid
   or too costly, fails; `where` begins its message. */
int llqi_match_targets(const char *where, const json_t *targets,
                       const char *module, enum llqi_match *match,
                       const char **target);

/* Whether a regular expression matches a module's name from its beginning: 1,
   0, or an error. */
int llqi_match_pattern(const char *where, const char *pattern,
                       const char *module);

#endif
