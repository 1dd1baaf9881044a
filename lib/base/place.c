/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "base/place.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"

/* Any address in this code. */
static const char here = 0;

int llqi_own_directory(char *out, size_t size) {
  Dl_info info;
  if (dladdr(&here, &info) == 0 || info.dli_fname == NULL)
    return 0;
  const char *slash = strrchr(info.dli_fname, '/');
  if (slash == NULL || (size_t)(slash - info.dli_fname) >= size)
    return 0;
  snprintf(out, size, "%.*s", (int)(slash - info.dli_fname), info.dli_fname);
  return 1;
}

char *llqi_data_directory(void) {
  const char *named = getenv("LLQ_DATA");
  if (named != NULL)
    return llqi_strdup(named);
  char own[4096];
  if (!llqi_own_directory(own, sizeof own))
    return llqi_strdup(LLQ_DATADIR);
  char *moved = llqi_path_join(own, LLQ_DATA_FROM_LIB);
  if (moved == NULL || llqi_directory_exists(moved))
    return moved;
  llqi_free(moved);
  return llqi_strdup(LLQ_DATADIR);
}
