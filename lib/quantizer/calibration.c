/* SPDX-License-Identifier: Apache-2.0 */
#include "quantizer/calibration.h"

#include <string.h>

#include "base/alloc.h"
#include "base/random.h"
#include "base/status.h"

void llqi_calibration_free(struct llqi_calibration *set) {
  llqi_free(set->ids);
  llqi_free(set->ends);
  *set = (struct llqi_calibration){0};
}

/* Room for `wanted` elements, at least doubling what there is. */
static int reserve(void **memory, size_t *capacity, size_t wanted,
                   size_t size) {
  if (wanted <= *capacity)
    return LLQ_OK;
  const size_t more = wanted > 2 * *capacity ? wanted : 2 * *capacity;
  void *grown = llqi_resize(*memory, more, size);
  if (grown == NULL)
    return LLQ_ERROR_MEMORY;
  *memory = grown;
  *capacity = more;
  return LLQ_OK;
}

int llqi_calibration_add(struct llqi_calibration *set, const int32_t *ids,
                         size_t n_ids, int64_t n_vocab) {
  for (size_t i = 0; i < n_ids; i++)
    LLQ_REQUIRE(ids[i] >= 0 && ids[i] < n_vocab,
                "calibration: token %d at %zu, the vocabulary has %lld", ids[i],
                i, (long long)n_vocab);
  LLQ_REQUIRE(n_ids > 0, "calibration: a sample without tokens");
  LLQ_TRY(reserve((void **)&set->ids, &set->ids_capacity, set->n_ids + n_ids,
                  sizeof *set->ids));
  LLQ_TRY(reserve((void **)&set->ends, &set->ends_capacity, set->n_samples + 1,
                  sizeof *set->ends));
  memcpy(set->ids + set->n_ids, ids, n_ids * sizeof *ids);
  set->n_ids += n_ids;
  set->ends[set->n_samples++] = set->n_ids;
  return LLQ_OK;
}

int llqi_calibration_add_random(struct llqi_calibration *set, int64_t n_vocab,
                                const struct llqi_choice_of_samples *choice) {
  int32_t *ids = llqi_array(choice->n_tokens, sizeof *ids);
  int status = ids != NULL ? LLQ_OK : LLQ_ERROR_MEMORY;
  for (size_t s = 0; s < choice->n_samples && status >= 0; s++) {
    for (size_t i = 0; i < choice->n_tokens; i++)
      ids[i] = (int32_t)(llqi_uniform(choice->seed, s, i) * (double)n_vocab);
    status = llqi_calibration_add(set, ids, choice->n_tokens, n_vocab);
  }
  llqi_free(ids);
  return status;
}

static void put(uint8_t *bytes, uint32_t value) {
  for (int i = 0; i < 4; i++)
    bytes[i] = (uint8_t)(value >> 8 * i);
}

int llqi_calibration_hash(const struct llqi_calibration *set,
                          char out[LLQI_HASH_TEXT_SIZE]) {
  const size_t n_words = set->n_ids + set->n_samples;
  uint8_t *bytes = llqi_array(n_words, 4), *to = bytes;
  if (bytes == NULL)
    return LLQ_ERROR_MEMORY;
  for (size_t s = 0, i = 0; s < set->n_samples; s++) {
    put(to, (uint32_t)(set->ends[s] - i));
    for (to += 4; i < set->ends[s]; i++, to += 4)
      put(to, (uint32_t)set->ids[i]);
  }
  llqi_hash_bytes(bytes, 4 * n_words, out);
  llqi_free(bytes);
  return LLQ_OK;
}
