/* SPDX-License-Identifier: Apache-2.0 */
/* How long operations take: an event before and after each. Steps are then not
   recorded, and since events lie between kernels, none overlap. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/cuda/cuda.h"

#define N_ENTRIES 64
#define N_SPANS 1024 /* operations between two collections */

struct span {
  cudaEvent_t from, to;
  int entry;
};

struct cuda_profile {
  int is_on, n_entries, n_spans;
  llq_profile_entry entries[N_ENTRIES];
  struct span spans[N_SPANS];
};

static int open_profile(struct cuda_device *device) {
  struct cuda_profile *profile = calloc(1, sizeof *profile);
  if (profile == NULL)
    return cuda_error(LLQ_ERROR_MEMORY, "cuda: out of host memory");
  device->profile = profile;
  for (int i = 0; i < N_SPANS; i++) {
    CUDA_TRY(device, cudaEventCreate(&profile->spans[i].from));
    CUDA_TRY(device, cudaEventCreate(&profile->spans[i].to));
  }
  return LLQ_OK;
}

void cuda_profile_close(struct cuda_profile *profile) {
  for (int i = 0; profile != NULL && i < N_SPANS; i++) {
    cudaEventDestroy(profile->spans[i].from);
    cudaEventDestroy(profile->spans[i].to);
  }
  free(profile);
}

int cuda_is_profiling(const struct cuda_device *device) {
  return device->profile != NULL && device->profile->is_on;
}

static int find_entry(struct cuda_profile *profile, const char *name) {
  for (int i = 0; i < profile->n_entries; i++)
    if (strcmp(profile->entries[i].name, name) == 0)
      return i;
  if (profile->n_entries == N_ENTRIES)
    return N_ENTRIES - 1; /* shares the last one */
  llq_profile_entry *entry = &profile->entries[profile->n_entries];
  *entry = (llq_profile_entry)LLQ_PROFILE_ENTRY_INIT;
  snprintf(entry->name, sizeof entry->name, "%s", name);
  return profile->n_entries++;
}

/* Adds the spans' times to their entries. */
static int collect(struct cuda_device *device) {
  struct cuda_profile *profile = device->profile;
  CUDA_TRY(device, cudaStreamSynchronize(device->stream));
  for (int i = 0; i < profile->n_spans; i++) {
    const struct span *span = &profile->spans[i];
    float milliseconds;
    CUDA_TRY(device, cudaEventElapsedTime(&milliseconds, span->from, span->to));
    profile->entries[span->entry].n_calls++;
    profile->entries[span->entry].seconds += 1e-3 * (double)milliseconds;
  }
  profile->n_spans = 0;
  return LLQ_OK;
}

static int begin_span(struct cuda_device *device, const char *name) {
  struct cuda_profile *profile = device->profile;
  if (profile->n_spans == N_SPANS) {
    int status = collect(device);
    if (status < 0)
      return status;
  }
  struct span *span = &profile->spans[profile->n_spans];
  span->entry = find_entry(profile, name);
  CUDA_TRY(device, cudaEventRecord(span->from, device->stream));
  return LLQ_OK;
}

static int end_span(struct cuda_device *device) {
  struct cuda_profile *profile = device->profile;
  CUDA_TRY(device, cudaEventRecord(profile->spans[profile->n_spans++].to, device->stream));
  return LLQ_OK;
}

int cuda_begin(struct cuda_device *device, const char *name) {
  return cuda_is_profiling(device) ? begin_span(device, name) : (int)LLQ_OK;
}

int cuda_end(struct cuda_device *device, int status) {
  return status >= 0 && cuda_is_profiling(device) ? end_span(device) : status;
}

int cuda_profile_switch(void *self, int is_on) {
  struct cuda_device *device = self;
  int status = LLQ_OK;
  if (device->profile == NULL && !is_on)
    return LLQ_OK;
  if (device->profile == NULL)
    status = open_profile(device);
  if (status >= 0)
    status = collect(device);
  if (status < 0)
    return status;
  device->profile->is_on = is_on;
  if (is_on)
    device->profile->n_entries = 0;
  return LLQ_OK;
}

int cuda_profile_get(void *self, uint64_t index, llq_profile_entry *entry) {
  const struct cuda_device *device = self;
  const struct cuda_profile *profile = device->profile;
  if (profile == NULL || index >= (uint64_t)profile->n_entries)
    return 0;
  *entry = profile->entries[index];
  return 1;
}
