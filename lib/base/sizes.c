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
      SIZE(llq_device_rates),      SIZE(llq_profile_entry),
