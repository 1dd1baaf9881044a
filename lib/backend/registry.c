/* SPDX-License-Identifier: Apache-2.0 */
/* Which backends and devices there are, and opening one by name. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/backend.h"
#include "backend/plugin.h"
#include "base/alloc.h"
#include "base/options.h"

/* The CPU, then the plugins. */
struct backends {
  int n;
  struct llqi_plugin all[1 + LLQI_PLUGINS_MAX];
};

static struct backends *find_backends(void) {
  struct backends *backends = llqi_calloc(1, sizeof *backends);
  if (backends == NULL)
    return NULL;
  strcpy(backends->all[0].name, "cpu");
  backends->all[0].table = &llqi_cpu_backend;
  backends->n = 1 + llqi_plugins_load(backends->all + 1);
  return backends;
}

/* A plugin that cannot be used shows as one device that says why. */
static int n_devices_of(const struct llqi_plugin *backend) {
  if (backend->table == NULL)
    return 1;
  int n = backend->table->registry->count();
  return n > 0 ? n : 0;
}

static int describe(const struct llqi_plugin *backend, int index,
                    llq_device_info *info) {
  *info = (llq_device_info)LLQ_DEVICE_INFO_INIT;
  int status = LLQ_OK;
  if (backend->table != NULL)
    status = backend->table->registry->describe(index, info);
  else
    snprintf(info->reason, sizeof info->reason, "%.*s",
             (int)sizeof info->reason - 1, backend->error.message);
  snprintf(info->backend, sizeof info->backend, "%s", backend->name);
  info->index = index;
  return status;
}

int llq_device_count(size_t *n_devices) {
  llqi_error_clear();
  LLQ_REQUIRE(n_devices != NULL, "llq_device_count: n_devices is NULL");
  struct backends *backends = find_backends();
  if (backends == NULL)
    return LLQ_ERROR_MEMORY;
  *n_devices = 0;
  for (int i = 0; i < backends->n; i++)
    *n_devices += (size_t)n_devices_of(&backends->all[i]);
  llqi_free(backends);
  return LLQ_OK;
}

int llq_device_get(size_t index, llq_device_info *info) {
  llqi_error_clear();
  LLQ_REQUIRE(info != NULL, "llq_device_get: info is NULL");
  struct backends *backends = find_backends();
  if (backends == NULL)
    return LLQ_ERROR_MEMORY;
  size_t left = index;
  int i = 0;
  while (i < backends->n && left >= (size_t)n_devices_of(&backends->all[i]))
    left -= (size_t)n_devices_of(&backends->all[i++]);
  llq_device_info found;
  int status = i < backends->n
                   ? describe(&backends->all[i], (int)left, &found)
                   : llqi_fail(LLQ_ERROR_ARGUMENT, "no device %zu", index);
  llqi_free(backends);
  LLQ_TRY(status);
  return llqi_struct_return(info, &found, sizeof found, "llq_device_info");
}

/* "cuda:1" is device 1 of "cuda"; without a number, *index is -1. */
static int parse_name(const char *text, char name[16], int *index) {
  size_t length = strcspn(text, ":");
  LLQ_REQUIRE(length > 0 && length < 16, "no backend \"%s\"", text);
  memcpy(name, text, length);
  name[length] = '\0';
  *index = -1;
  if (text[length] == '\0')
    return LLQ_OK;
  const char *digits = text + length + 1;
  size_t n_digits = strspn(digits, "0123456789");
  LLQ_REQUIRE(n_digits > 0 && n_digits < 6 && digits[n_digits] == '\0',
              "backend \"%s\": expected a device number after ':'", text);
  *index = atoi(digits);
  return LLQ_OK;
}

/* The device asked for, or the first usable one; info tells about it. */
static int choose_device(const struct llqi_plugin *backend, int *index,
                         llq_device_info *info) {
  int n = n_devices_of(backend);
  LLQ_REQUIRE(*index < n, "%s:%d: there are %d devices", backend->name, *index,
              n);
  int first = *index >= 0 ? *index : 0;
  int last = *index >= 0 ? *index : n - 1;
  strcpy(info->reason, "no device");
  for (int i = first; i <= last; i++) {
    LLQ_TRY(describe(backend, i, info));
    *index = i;
    if (info->usable)
      return LLQ_OK;
  }
  return llqi_fail(LLQ_ERROR_DEVICE, "%s: %s", backend->name, info->reason);
}

static int open_on(struct llq_backend *backend, const struct llqi_plugin *from,
                   int index, const llq_backend_options *options) {
  if (from->table == NULL)
    return llqi_error_raise(&from->error);
  llq_device_info info;
  LLQ_TRY(choose_device(from, &index, &info));
  backend->table = from->table;
  backend->index = index;
  snprintf(backend->arch, sizeof backend->arch, "%s",
           options->arch != NULL ? options->arch : info.arch);
  return from->table->registry->open(&backend->self, index, options);
}

static int open_named(struct llq_backend *backend, const char *text,
                      const llq_backend_options *options) {
  char name[16];
  int index;
  LLQ_TRY(parse_name(text, name, &index));
  struct backends *backends = find_backends();
  if (backends == NULL)
    return LLQ_ERROR_MEMORY;
  int i = 0;
  while (i < backends->n && strcmp(backends->all[i].name, name) != 0)
    i++;
  int status = i < backends->n
                   ? open_on(backend, &backends->all[i], index, options)
                   : llqi_fail(LLQ_ERROR_ARGUMENT,
                               "no backend \"%s\": there is no llq-%s.so in "
                               "LLQ_BACKEND_PATH, beside libllq.so or in %s",
                               text, name, LLQ_BACKENDDIR);
  llqi_free(backends);
  return status;
}

int llq_backend_open(llq_backend **out, const char *name,
                     const llq_backend_options *options) {
  llqi_error_clear();
  LLQ_REQUIRE(out != NULL, "llq_backend_open: out is NULL");
  llq_backend_options ours;
  LLQ_TRY(
      llqi_options_copy(&ours, sizeof ours, options, "llq_backend_options"));
  LLQ_REQUIRE(ours.n_threads >= 0 && ours.n_threads <= 1024,
              "llq_backend_options: %d threads", ours.n_threads);
  if (name == NULL)
    name = getenv("LLQ_BACKEND");
  struct llq_backend *backend = llqi_calloc(1, sizeof *backend);
  if (backend == NULL)
    return LLQ_ERROR_MEMORY;
  int status = open_named(
      backend, name != NULL && name[0] != '\0' ? name : "cpu", &ours);
  if (status == LLQ_OK)
    *out = backend;
  else
    llqi_free(backend);
  return status;
}

int llq_backend_describe(const llq_backend *backend, llq_device_info *info) {
  llqi_error_clear();
  LLQ_REQUIRE(backend != NULL && info != NULL,
              "llq_backend_describe: an argument is NULL");
  llq_device_info found = LLQ_DEVICE_INFO_INIT;
  LLQ_TRY(backend->table->registry->describe(backend->index, &found));
  snprintf(found.backend, sizeof found.backend, "%s",
           backend->table->registry->name);
  snprintf(found.arch, sizeof found.arch, "%s", backend->arch);
  found.index = backend->index;
  return llqi_struct_return(info, &found, sizeof found, "llq_device_info");
}

void llq_backend_close(llq_backend *backend) {
  if (backend == NULL)
    return;
  backend->table->registry->close(backend->self);
  llqi_free(backend);
}
