/* SPDX-License-Identifier: Apache-2.0 */
/* sweep.json: the results of all formats, and each against the base. */
#ifndef LLQI_SWEEP_TABLE_H
#define LLQI_SWEEP_TABLE_H

#include <jansson.h>

#include "evaluator/settings.h"
#include "sweep/formats.h"

/* Writes DIRECTORY/sweep.json. results: one for each format; the first is the
   base. */
int llqi_sweep_write(const struct llqi_settings *settings,
                     const struct llqi_formats *formats,
                     json_t *const *results);

#endif
