/* SPDX-License-Identifier: Apache-2.0 */
/* Backends in files of their own, named llq-<name>.so. */
#ifndef LLQI_BACKEND_PLUGIN_H
#define LLQI_BACKEND_PLUGIN_H

#include <llq/backend.h>

#include "base/status.h"

#define LLQI_PLUGINS_MAX 16

/* A plugin that was found: its table, or why it has none. */
struct llqi_plugin {
  char name[16]; /* of the file: "cuda" for llq-cuda.so */
  const llq_backend_table *table;
  struct llqi_error error;
};

/* Loads every plugin of the directory LLQ_BACKEND_PATH, of libllq.so's own, of
   the llq-N beside it, and of the configured one; the first of a name is taken. Returns how many
   there are; a plugin that cannot be used is one of them. Plugins stay loaded:
   drivers don't survive being unloaded. */
int llqi_plugins_load(struct llqi_plugin plugins[LLQI_PLUGINS_MAX]);

/* Refuses a table of another ABI, or one without a required entry, which the
   message names. */
int llqi_table_check(const llq_backend_table *table, const char *where);

#endif
