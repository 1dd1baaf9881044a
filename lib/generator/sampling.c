/* SPDX-License-Identifier: Apache-2.0 */
#include "generator/sampling.h"

#include <math.h>

#include "base/alloc.h"
#include "base/status.h"

#define ONE 0x1p40 /* the largest weight */

int llqi_logits_top(const float *logits, int32_t n, struct llqi_top *top) {
  float largest = -INFINITY, second = -INFINITY;
  int32_t id = 0;
  int is_nan = 0;
  for (int32_t i = 0; i < n; i++) {
    float x = logits[i];
    is_nan |= x != x;
    if (x > largest) {
      second = largest;
      largest = x;
      id = i;
    } else if (x > second) {
      second = x;
    }
  }
  *top = (struct llqi_top){id, largest, (double)largest - (double)second};
  return !is_nan && isfinite(largest);
}

int llqi_sampler_open(struct llqi_sampler *sampler, int32_t n) {
  sampler->n = n;
  sampler->weights = llqi_array((size_t)n, sizeof *sampler->weights);
  sampler->ranked = llqi_array((size_t)n, sizeof *sampler->ranked);
  if (sampler->weights != NULL && sampler->ranked != NULL)
    return LLQ_OK;
  llqi_sampler_close(sampler);
  return LLQ_ERROR_MEMORY;
}

void llqi_sampler_close(struct llqi_sampler *sampler) {
  llqi_free(sampler->weights);
  llqi_free(sampler->ranked);
  *sampler = (struct llqi_sampler){0};
}

/* Comparisons are written so that NaN fails them. */
int llqi_sampling_check(const llq_sampling *s) {
  LLQ_REQUIRE(s->temperature >= 0 && isfinite(s->temperature),
              "temperature is %g; expected 0 or more", s->temperature);
  LLQ_REQUIRE(s->top_p >= 0 && s->top_p <= 1, "top_p is %g; expected 0 to 1",
              s->top_p);
  LLQ_REQUIRE(s->min_p >= 0 && s->min_p <= 1, "min_p is %g; expected 0 to 1",
              s->min_p);
  LLQ_REQUIRE(s->top_k >= 0, "top_k is %d; expected 0 or more", s->top_k);
  LLQ_REQUIRE(s->n_tokens_max >= 0, "n_tokens_max is %d; expected 0 or more",
              s->n_tokens_max);
  return LLQ_OK;
}

/* Does a rank before b? */
static int precedes(const uint64_t *weights, int32_t a, int32_t b) {
  return weights[a] > weights[b] || (weights[a] == weights[b] && a < b);
}

static void sift_down(const uint64_t *weights, int32_t *heap, int32_t n,
                      int32_t at) {
  int32_t id = heap[at];
  for (;;) {
    int32_t child = 2 * at + 1;
    if (child >= n)
      break;
    if (child + 1 < n && precedes(weights, heap[child + 1], heap[child]))
      child++;
    if (!precedes(weights, heap[child], id))
      break;
    heap[at] = heap[child];
    at = child;
  }
  heap[at] = id;
}

static void make_heap(struct llqi_sampler *s) {
  for (int32_t i = 0; i < s->n; i++)
    s->ranked[i] = i;
  for (int32_t i = s->n / 2 - 1; i >= 0; i--)
    sift_down(s->weights, s->ranked, s->n, i);
}

/* Moves the next id in rank out of a heap of n, to behind its end. */
static int32_t pop(struct llqi_sampler *s, int32_t n) {
  int32_t id = s->ranked[0];
  s->ranked[0] = s->ranked[n - 1];
  sift_down(s->weights, s->ranked, n - 1, 0);
  s->ranked[n - 1] = id;
  return id;
}

static uint64_t sum_of_top(struct llqi_sampler *s, int32_t k) {
  uint64_t sum = 0;
  for (int32_t i = 0; i < k; i++)
    sum += s->weights[pop(s, s->n - i)];
  return sum;
}

static uint64_t sum_of_all(const struct llqi_sampler *s) {
  uint64_t sum = 0;
  for (int32_t i = 0; i < s->n; i++)
    sum += s->weights[i];
  return sum;
}

/* The last id in rank that top-k and top-p keep. Ranks only as many ids as it
   needs, for a vocabulary is large and what is kept usually small. */
static int32_t last_kept(struct llqi_sampler *s, int32_t top_k, double top_p) {
  int has_k = top_k > 0 && top_k < s->n;
  int32_t k = has_k ? top_k : s->n;
  make_heap(s);
  uint64_t sum = has_k ? sum_of_top(s, k) : sum_of_all(s), running = 0;
  double wanted = top_p > 0 && top_p < 1 ? top_p * (double)sum : INFINITY;
  int32_t id = 0;
  for (int32_t i = 0; i < k && (i == 0 || (double)running < wanted); i++) {
    id = has_k ? s->ranked[s->n - 1 - i] : pop(s, s->n - i);
    running += s->weights[id];
  }
  return id;
}

/* Sets the weights of all tokens that the filters drop to 0. */
static void filter(struct llqi_sampler *s, const llq_draw *draw) {
  int has_k = draw->top_k > 0 && draw->top_k < s->n;
  int has_p = draw->top_p > 0 && draw->top_p < 1;
  if (has_k || has_p) {
    int32_t last = last_kept(s, draw->top_k, draw->top_p);
    uint64_t least = s->weights[last];
    for (int32_t i = 0; i < s->n; i++)
      if (s->weights[i] < least || (s->weights[i] == least && i > last))
        s->weights[i] = 0;
  }
  if (draw->min_p > 0)
    for (int32_t i = 0; i < s->n; i++)
      if ((double)s->weights[i] < draw->min_p * ONE)
        s->weights[i] = 0;
}

static int32_t draw_id(const struct llqi_sampler *s, int32_t largest,
                       double uniform) {
  uint64_t target = (uint64_t)(uniform * (double)sum_of_all(s)), running = 0;
  int32_t id = largest;
  for (int32_t i = 0; i < s->n; i++) {
    if (s->weights[i] == 0)
      continue;
    id = i; /* rounding may leave the target unreached: then the last kept */
    running += s->weights[i];
    if (running > target)
      break;
  }
  return id;
}

void llqi_sample(struct llqi_sampler *s, const float *logits, llq_draw *draw) {
  struct llqi_top top;
  draw->is_finite = llqi_logits_top(logits, s->n, &top);
  draw->id = top.id;
  draw->margin = top.margin;
  if (!draw->is_finite || draw->temperature == 0)
    return;
  for (int32_t i = 0; i < s->n; i++)
    s->weights[i] = (uint64_t)(exp(((double)logits[i] - (double)top.largest) /
                                   draw->temperature) *
                                   ONE +
                               0.5);
  filter(s, draw);
  draw->id = draw_id(s, top.id, draw->uniform);
}
