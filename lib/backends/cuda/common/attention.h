/* SPDX-License-Identifier: Apache-2.0 */
/* Rope, append to the cache, and attention, as one operation of the fast
   tables: on bf16 activations and a cache of bf16 or of codes. */
#ifndef LLQ_CUDA_ATTENTION_H
#define LLQ_CUDA_ATTENTION_H

#include "backends/cuda/kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Rotates q and k by each row's position, stores k and v in the cache there,
   and attends over the row's own sequence, positions 0 up to its own. A row's
   result is, bit by bit, a function of that row and its sequence alone.

   With `overlaps`, a kernel reads before the one ahead of it has ended: the
   batch, and those positions of one-row segments that lie before their own. So
   an earlier step must have written these, and the first kernel of a step is to
   be launched without overlap. */
struct cuda_attention {
  const struct cuda_batch *batch; /* n_rows, n_segments, n_segment_rows_max and
                                     n_positions_max shape the launch */
  const void *qkv;                /* bf16 [n_rows, (n_heads + 2 n_kv_heads) *
                                     head_size]: heads of q, of k, of v */
  int n_heads;
  const struct cuda_cache *cache;
  const float *cos_sin; /* [n_positions, head_size]: cosines, then sines */
  float scale;          /* positive */
  void *out;            /* bf16 [n_rows, n_heads * head_size] */
};

/* Head sizes 32, 64, 96 and 128; up to 16 heads of q for one of k; pages of a
   power of two of at least 16 positions. */
int sm80_attend_takes(const struct cuda_attention *attention);
int sm90_attend_takes(const struct cuda_attention *attention);

/* Bytes of scratch memory that a call needs. */
size_t sm80_attend_scratch(const struct cuda_attention *attention, int n_units);
size_t sm90_attend_scratch(const struct cuda_attention *attention, int n_units);

cudaError_t sm80_attend(const struct cuda_launch *launch, const struct cuda_attention *attention);
cudaError_t sm90_attend(const struct cuda_launch *launch, const struct cuda_attention *attention);

/* sm90_attend() with a kernel of choice for segments of several rows; all give
   the same bits. */
enum sm90_prefill {
  SM90_PREFILL_MMA,
  SM90_PREFILL_WGMMA,
  SM90_PREFILL_DEFAULT = SM90_PREFILL_WGMMA
};
cudaError_t sm90_attend_with(const struct cuda_launch *launch,
                             const struct cuda_attention *attention, int kernel);

#ifdef __cplusplus
}
#endif

#endif
