/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "backend/plugin.h"

#include <dirent.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/place.h"

static int host_fail(int status, const char *message) {
  return llqi_fail(status, "%s", message);
}

static void host_log(int level, const char *line) {
  llqi_log(level, "%s", line);
}

static const llq_host host = {sizeof host, host_fail, host_log};

/* A required entry of one of the tables. */
struct entry {
  const char *name;
  size_t offset;
};

#define REGISTRY(name)                                                         \
  { #name, offsetof(llq_backend_registry, name) }
#define MEMORY(name)                                                           \
  { #name, offsetof(llq_backend_memory, name) }
#define OPERATION(name)                                                        \
  { #name, offsetof(llq_backend_ops, name) }

#define FUSED(name)                                                            \
  { #name, offsetof(llq_backend_fused, name) }

#define CALIBRATION(name)                                                      \
  { #name, offsetof(llq_backend_calibration, name) }

static const struct entry registry_entries[] = {
    REGISTRY(name), REGISTRY(count), REGISTRY(describe),
    REGISTRY(open), REGISTRY(close), {NULL, 0}};

static const struct entry memory_entries[] = {
    MEMORY(alloc),    MEMORY(free),        MEMORY(upload),
    MEMORY(download), MEMORY(synchronize), {NULL, 0}};

static const struct entry operation_entries[] = {
    OPERATION(linear_upload), OPERATION(linear_free), OPERATION(embed),
    OPERATION(rms_norm),      OPERATION(linear),      OPERATION(rope_append),
    OPERATION(attention),     OPERATION(swiglu),      OPERATION(add),
    OPERATION(gather),        OPERATION(page_copy),   {NULL, 0}};

static const struct entry fused_entries[] = {
    FUSED(linear_join), FUSED(plan_open), FUSED(plan_close), FUSED(step_begin),
    FUSED(embed),       FUSED(linear),    FUSED(attend),     FUSED(gather),
    FUSED(draw),        FUSED(step_end),  {NULL, 0}};

static const struct entry calibration_entries[] = {
    CALIBRATION(gram),   CALIBRATION(magnitudes), CALIBRATION(factor),
    CALIBRATION(encode), CALIBRATION(update),     {NULL, 0}};

static int check_entries(const void *table, const struct entry *entries,
                         const char *what, const char *where) {
  if (table == NULL)
    return llqi_fail(LLQ_ERROR_DEVICE, "%s: no table of %s", where, what);
  size_t size;
  memcpy(&size, table, sizeof size);
  for (const struct entry *entry = entries; entry->name != NULL; entry++) {
    void *slot = NULL;
    if (entry->offset + sizeof slot <= size)
      memcpy(&slot, (const char *)table + entry->offset, sizeof slot);
    if (slot == NULL)
      return llqi_fail(LLQ_ERROR_DEVICE, "%s: no \"%s\" in its table of %s",
                       where, entry->name, what);
  }
  return LLQ_OK;
}

int llqi_table_check(const llq_backend_table *table, const char *where) {
  if (table == NULL)
    return llqi_fail(LLQ_ERROR_VERSION, "%s: does not serve ABI %d", where,
                     LLQ_BACKEND_ABI);
  if (table->abi != LLQ_BACKEND_ABI)
    return llqi_fail(LLQ_ERROR_VERSION, "%s: ABI %u, expected %d", where,
                     (unsigned)table->abi, LLQ_BACKEND_ABI);
  LLQ_TRY(check_entries(table->registry, registry_entries, "devices", where));
  LLQ_TRY(check_entries(table->memory, memory_entries, "memory", where));
  LLQ_TRY(check_entries(table->ops, operation_entries, "operations", where));
  if (table->fused != NULL)
    LLQ_TRY(
        check_entries(table->fused, fused_entries, "fused operations", where));
  if (table->calibration == NULL)
    return LLQ_OK;
  return check_entries(table->calibration, calibration_entries,
                       "operations of calibration", where);
}

static int load(const char *path, const llq_backend_table **table) {
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library == NULL)
    return llqi_fail(LLQ_ERROR_DEVICE, "%s", dlerror());
  void *symbol = dlsym(library, "llq_backend_entry");
  if (symbol == NULL)
    return llqi_fail(LLQ_ERROR_DEVICE, "%s: no llq_backend_entry", path);
  llq_backend_entry_fn entry;
  memcpy(&entry, &symbol, sizeof entry);
  const llq_backend_table *found = entry(&host, LLQ_BACKEND_ABI);
  LLQ_TRY(llqi_table_check(found, path));
  *table = found;
  return LLQ_OK;
}

/* The name in "llq-<name>.so"; 0 if that is not the file's form. */
static int plugin_name(const char *file, char *name, size_t size) {
  size_t length = strlen(file);
  if (length <= 7 || length - 7 >= size || strncmp(file, "llq-", 4) != 0 ||
      strcmp(file + length - 3, ".so") != 0)
    return 0;
  memcpy(name, file + 4, length - 7);
  name[length - 7] = '\0';
  return 1;
}

static int is_known(const struct llqi_plugin *plugins, int n,
                    const char *name) {
  for (int i = 0; i < n; i++)
    if (strcmp(plugins[i].name, name) == 0)
      return 1;
  return 0;
}

static int load_directory(const char *directory, struct llqi_plugin *plugins,
                          int n) {
  DIR *files = opendir(directory);
  if (files == NULL)
    return n;
  struct dirent *file;
  while (n < LLQI_PLUGINS_MAX && (file = readdir(files)) != NULL) {
    struct llqi_plugin *plugin = &plugins[n];
    char path[4096], name[sizeof plugin->name];
    if (!plugin_name(file->d_name, name, sizeof name) ||
        is_known(plugins, n, name))
      continue;
    snprintf(path, sizeof path, "%s/%s", directory, file->d_name);
    memset(plugin, 0, sizeof *plugin);
    memcpy(plugin->name, name, sizeof name);
    int status = load(path, &plugin->table);
    if (status != LLQ_OK)
      llqi_error_take(&plugin->error, status);
    n++;
  }
  closedir(files);
  return n;
}

int llqi_plugins_load(struct llqi_plugin plugins[LLQI_PLUGINS_MAX]) {
  int n = 0;
  char own[4096], plugins_of_own[sizeof own + sizeof LLQ_PLUGINS_FROM_LIB];
  /* A privileged program doesn't load what its caller's environment names. */
  const char *path = secure_getenv("LLQ_BACKEND_PATH");
  if (path != NULL && path[0] != '\0')
    n = load_directory(path, plugins, n);
  if (llqi_own_directory(own, sizeof own)) {
    n = load_directory(own, plugins, n);
    snprintf(plugins_of_own, sizeof plugins_of_own, "%s/%s", own,
             LLQ_PLUGINS_FROM_LIB);
    n = load_directory(plugins_of_own, plugins, n);
  }
  return load_directory(LLQ_BACKENDDIR, plugins, n);
}
