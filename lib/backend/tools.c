/* SPDX-License-Identifier: Apache-2.0 */
/* Measuring a backend's device, and timing its operations. */
#include "backend/backend.h"
#include "base/options.h"
#include "base/status.h"

static int check_tools(const llq_backend *backend) {
  LLQ_REQUIRE(backend != NULL, "backend is NULL");
  if (backend->table->tools == NULL)
    return llqi_fail(LLQ_ERROR_UNSUPPORTED, "%s: neither measures nor profiles",
                     backend->table->registry->name);
  return LLQ_OK;
}

int llq_backend_measure(llq_backend *backend, llq_device_rates *rates) {
  llqi_error_clear();
  llq_device_rates found = LLQ_DEVICE_RATES_INIT;
  LLQ_REQUIRE(rates != NULL, "llq_backend_measure: rates is NULL");
  LLQ_TRY(check_tools(backend));
  LLQ_TRY(backend->table->tools->measure(backend->self, &found));
  return llqi_struct_return(rates, &found, sizeof found, "llq_device_rates");
}

int llq_backend_profile(llq_backend *backend, int32_t is_on) {
  llqi_error_clear();
  LLQ_TRY(check_tools(backend));
  return backend->table->tools->profile(backend->self, is_on);
}

int llq_backend_profile_get(llq_backend *backend, uint64_t index,
                            llq_profile_entry *entry) {
  llqi_error_clear();
  llq_profile_entry found = LLQ_PROFILE_ENTRY_INIT;
  LLQ_REQUIRE(entry != NULL, "llq_backend_profile_get: entry is NULL");
  LLQ_TRY(check_tools(backend));
  LLQ_REQUIRE(backend->table->tools->profile_get(backend->self, index, &found),
              "profile: no entry %llu", (unsigned long long)index);
  return llqi_struct_return(entry, &found, sizeof found, "llq_profile_entry");
}
