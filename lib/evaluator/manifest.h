/* SPDX-License-Identifier: Apache-2.0 */
/* What ran: the content of manifest.json. */
#ifndef LLQI_EVALUATOR_MANIFEST_H
#define LLQI_EVALUATOR_MANIFEST_H

#include <jansson.h>
#include <llq/device.h>
#include <llq/model.h>

#include "evaluator/settings.h"

/* Makes a manifest. Its member "run" holds all that a verdict may depend on,
   and nothing else: a directory is continued only by a run with an equal one.
   @param backend, model  NULL when programs are scored that exist already */
int llqi_manifest_make(const struct llqi_settings *settings,
                       const llq_backend *backend, const llq_model *model,
                       json_t **out);

#endif
