/* SPDX-License-Identifier: Apache-2.0 */
#include "generator/sequence.h"

#include <math.h>

#include "base/alloc.h"
#include "base/status.h"

int llqi_sequence_open(struct llqi_sequence **out, struct llqi_request *request,
                       int32_t sample, int32_t n_context) {
  struct llqi_sequence *sequence = llqi_calloc(1, sizeof *sequence);
  if (sequence == NULL)
    return LLQ_ERROR_MEMORY;
  sequence->request = request;
  sequence->sample = sample;
  sequence->min_margin = INFINITY;
  sequence->margin_at = -1;
  int status =
      llqi_page_table_open(&sequence->table, llqi_pages_for(n_context));
  if (status < 0)
    llqi_sequence_close(sequence, NULL);
  else
    *out = sequence;
  return status;
}

void llqi_sequence_close(struct llqi_sequence *sequence,
                         struct llqi_kv_cache *cache) {
  llqi_page_table_close(cache, &sequence->table);
  llqi_stream_free(&sequence->stream);
  llqi_free(sequence->ids);
  llqi_free(sequence);
}

int32_t llqi_sequence_position(const struct llqi_sequence *sequence) {
  return sequence->request->n_ids + sequence->n_ids;
}

/* The last token that is generated never goes in. */
int32_t llqi_sequence_n_positions_max(const struct llqi_sequence *sequence,
                                      int32_t n_context) {
  int32_t n_prompt = sequence->request->n_ids;
  int32_t n_max = sequence->request->sampling.n_tokens_max;
  int32_t n_room = n_context - n_prompt;
  return n_prompt + (n_max > 0 && n_max < n_room ? n_max : n_room) - 1;
}

static int reserve(struct llqi_sequence *sequence, size_t n_bytes) {
  if (sequence->n_ids == sequence->capacity) {
    int32_t capacity = sequence->capacity > 0 ? 2 * sequence->capacity : 32;
    int32_t *ids =
        llqi_resize(sequence->ids, (size_t)capacity, sizeof *sequence->ids);
    if (ids == NULL)
      return LLQ_ERROR_MEMORY;
    sequence->ids = ids;
    sequence->capacity = capacity;
  }
  return llqi_stream_reserve(&sequence->stream, n_bytes);
}

static void note_margin(struct llqi_sequence *sequence, double margin) {
  if (sequence->margin_at >= 0 && !(margin < sequence->min_margin))
    return;
  sequence->min_margin = margin;
  sequence->margin_at = sequence->n_ids;
}

int llqi_sequence_accept(struct llqi_sequence *sequence, int32_t id,
                         double margin, const char *bytes, size_t n,
                         int32_t n_context) {
  const struct llqi_request *request = sequence->request;
  LLQ_TRY(reserve(sequence, n));
  note_margin(sequence, margin);
  sequence->ids[sequence->n_ids++] = id;
  if (llqi_request_is_end(request, id))
    return LLQ_STOP_END;
  if (llqi_stream_add(&sequence->stream, &request->stops, bytes, n))
    return LLQ_STOP_STRING;
  if (sequence->n_ids == request->sampling.n_tokens_max)
    return LLQ_STOP_LENGTH;
  if (llqi_sequence_position(sequence) == n_context)
    return LLQ_STOP_CONTEXT;
  return LLQ_STOP_NONE;
}

void llqi_sequence_describe(const struct llqi_sequence *sequence,
                            llq_generation *out) {
  const struct llqi_text *text = &sequence->stream.text;
  *out = (llq_generation){.struct_size = sizeof *out,
                          .ids = sequence->ids,
                          .n_ids = (size_t)sequence->n_ids,
                          .text = text->data != NULL ? text->data : "",
                          .n_bytes = text->length,
                          .stop_reason = sequence->stop_reason,
                          .margin_at = sequence->margin_at,
                          .min_margin = sequence->min_margin};
}
