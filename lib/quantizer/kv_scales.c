/* SPDX-License-Identifier: Apache-2.0 */
#include "quantizer/kv_scales.h"

#include <math.h>

#include "base/status.h"
#include "model/kv_scheme.h"
#include "quantizer/inputs.h"
#include "tensor/dtype.h"

/* Keys, then values, as inputs of which only the largest are wanted. */
struct seen {
  struct llqi_streams *streams;
  struct llqi_inputs both[2];
};

static int open_seen(struct seen *seen, llq_backend *calibrator) {
  const struct llqi_streams *s = seen->streams;
  const int64_t n = (int64_t)s->cache.n_kv_heads * s->cache.head_size;
  const int64_t n_held_out = (int64_t)s->set->n_held_out;
  for (int i = 0; i < 2; i++)
    LLQ_TRY(llqi_inputs_open(&seen->both[i], calibrator, n,
                             (int64_t)s->set->n_ids - n_held_out, n_held_out,
                             LLQI_GRAM_NONE));
  return LLQ_OK;
}

/* By the time of o's input, attention has filled the cache. */
static int tap(void *user, int layer, enum llqi_linear linear,
               const llq_view *input) {
  struct seen *seen = user;
  const struct llqi_streams *s = seen->streams;
  for (int i = 0; linear == LLQI_O && i < s->n_segments; i++)
    for (int j = 0; j < 2; j++) {
      const llq_view rows = llqi_streams_cached(s, i, j);
      LLQ_TRY(llqi_inputs_add(&seen->both[j], s->backend, &rows));
    }
  return LLQ_OK;
}

/* In the model's type, so that a checkpoint can have it as any other scale;
   as it is where that cannot hold it. */
static float scale_of(const struct llqi_inputs *inputs, int kv_dtype,
                      int model_dtype) {
  float largest = 0;
  for (int64_t i = 0; i < inputs->n; i++)
    largest = fmaxf(largest, inputs->largest[i]);
  const float exact = largest / llqi_kv_largest(kv_dtype);
  float scale = exact;
  llqi_round_f32(model_dtype, &scale, 1);
  if (!isfinite(scale) || scale == 0)
    scale = exact;
  return scale > 0 ? scale : 1; /* all are 0 */
}

static int find(struct seen *seen, struct llqi_layer *layer, int kv_dtype,
                int advance) {
  static const char *const names[] = {"keys", "values"};
  float *const scales[] = {&layer->key_scale, &layer->value_scale};
  LLQ_TRY(llqi_streams_run(seen->streams, layer, tap, seen, advance));
  for (int i = 0; i < 2; i++) {
    int status = llqi_inputs_finish(&seen->both[i]);
    if (status < 0)
      return llqi_fail_within(status, "%s", names[i]);
    *scales[i] =
        scale_of(&seen->both[i], kv_dtype, seen->streams->model->config.dtype);
  }
  return LLQ_OK;
}

int llqi_kv_scales_find(struct llqi_streams *streams, llq_backend *calibrator,
                        struct llqi_layer *layer, int kv_dtype, int advance) {
  struct seen seen = {.streams = streams};
  int status = open_seen(&seen, calibrator);
  if (status >= 0)
    status = find(&seen, layer, kv_dtype, advance);
  for (int i = 0; i < 2; i++)
    llqi_inputs_close(&seen.both[i]);
  return status;
}
