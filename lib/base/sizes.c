/* SPDX-License-Identifier: Apache-2.0 */
/* Sizes of the public structs, for bindings without a compiler. */
#include <llq/llq.h>

#include <string.h>

size_t llq_sizeof(const char *name) {
#define SIZE(type)                                                             \
  { #type, sizeof(type) }
  static const struct {
    const char *name;
    size_t size;
  } sizes[] = {
      SIZE(llq_progress),          SIZE(llq_backend_options),
      SIZE(llq_device_info),       SIZE(llq_message),
      SIZE(llq_model_options),     SIZE(llq_model_info),
      SIZE(llq_save_options),      SIZE(llq_scale_statistics),
      SIZE(llq_linear_diff),       SIZE(llq_quantizer_options),
      SIZE(llq_generator_options), SIZE(llq_sampling),
      SIZE(llq_generation),        SIZE(llq_evaluator_options),
      SIZE(llq_perplexity),        SIZE(llq_sweep_options),
      SIZE(llq_quantized_linear),  SIZE(llq_device_rates),
      SIZE(llq_profile_entry),
  };
#undef SIZE
  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
    if (strcmp(sizes[i].name, name) == 0)
      return sizes[i].size;
  return 0;
}
