/* SPDX-License-Identifier: Apache-2.0 */
/* The methods: what is folded from a linear into what is before it, and how
   codes are found then. */
#ifndef LLQI_QUANTIZER_METHOD_H
#define LLQI_QUANTIZER_METHOD_H

enum llqi_folding { LLQI_FOLD_NOTHING, LLQI_FOLD_AWQ, LLQI_FOLD_SMOOTHQUANT };

struct llqi_method {
  const char *name;
  enum llqi_folding folding;
  int is_gptq; /* else codes are the nearest */
};

/* By name; NULL means "rtn". */
int llqi_method_find(const char *name, const struct llqi_method **out);

static inline int llqi_method_calibrates(const struct llqi_method *method) {
  return method->is_gptq || method->folding != LLQI_FOLD_NOTHING;
}

#endif
