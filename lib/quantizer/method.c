/* SPDX-License-Identifier: Apache-2.0 */
#include "quantizer/method.h"

#include <stddef.h>
#include <string.h>

#include "base/status.h"

static const struct llqi_method methods[] = {
    {"rtn", LLQI_FOLD_NOTHING, 0},
    {"gptq", LLQI_FOLD_NOTHING, 1},
    {"awq", LLQI_FOLD_AWQ, 0},
    {"awq+gptq", LLQI_FOLD_AWQ, 1},
    {"smoothquant", LLQI_FOLD_SMOOTHQUANT, 0},
    {"smoothquant+gptq", LLQI_FOLD_SMOOTHQUANT, 1},
};

int llqi_method_find(const char *name, const struct llqi_method **out) {
  for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
    if (strcmp(methods[i].name, name != NULL ? name : "rtn") == 0) {
      *out = &methods[i];
      return LLQ_OK;
    }
  return llqi_fail(LLQ_ERROR_ARGUMENT,
                   "method: expected rtn, gptq, awq, smoothquant, awq+gptq or "
                   "smoothquant+gptq, found '%s'",
                   name);
}
