/* SPDX-License-Identifier: Apache-2.0 */
#include "base/options.h"

#include <string.h>

#include "base/status.h"

int llqi_options_copy(void *ours, size_t size, const void *theirs,
                      const char *name) {
  memset(ours, 0, size);
  if (theirs == NULL) {
    memcpy(ours, &size, sizeof size);
    return LLQ_OK;
  }
  size_t given;
  memcpy(&given, theirs, sizeof given);
  LLQ_REQUIRE(given >= sizeof given, "%s: struct_size is %zu; use its INIT",
              name, given);
  memcpy(ours, theirs, given < size ? given : size);
  memcpy(ours, &size, sizeof size);
  const unsigned char *bytes = theirs;
  for (size_t i = size; i < given; i++)
    if (bytes[i] != 0)
      return llqi_fail(LLQ_ERROR_VERSION,
                       "%s: uses a field that libllq %s does not know", name,
                       llq_version());
  return LLQ_OK;
}

int llqi_struct_return(void *theirs, const void *ours, size_t size,
                       const char *name) {
  size_t given;
  memcpy(&given, theirs, sizeof given);
  LLQ_REQUIRE(given >= sizeof given, "%s: struct_size is %zu; use its INIT",
              name, given);
  size_t n = given < size ? given : size;
  memcpy((char *)theirs + sizeof given, (const char *)ours + sizeof given,
         n - sizeof given);
  return LLQ_OK;
}
