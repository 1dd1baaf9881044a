/* SPDX-License-Identifier: Apache-2.0 */
#include "generator/sampling.h"

#include <math.h>

#include "base/alloc.h"
#include "base/status.h"

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
static int precedes(const double *weights, int32_t a, int32_t b) {
  return weights[a] > weights[b] || (weights[a] == weights[b] && a < b);
}

static void sift_down(const double *weights, int32_t *heap, int32_t n,
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

static double sum_of_top(struct llqi_sampler *s, int32_t k) {
  double sum = 0;
  for (int32_t i = 0; i < k; i++)
    sum += s->weights[pop(s, s->n - i)];
  return sum;
}

static double sum_of_all(const struct llqi_sampler *s) {
  double sum = 0;
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
  double sum = has_k ? sum_of_top(s, k) : sum_of_all(s);
  double wanted = top_p > 0 && top_p < 1 ? top_p * sum : INFINITY;
  double running = 0;
  int32_t id = 0;
  for (int32_t i = 0; i < k && (i == 0 || running < wanted); i++) {
    id = has_k ? s->ranked[s->n - 1 - i] : pop(s, s->n - i);
    running += s->weights[id];
  }
  return id;
}

/* Sets the weights of all tokens that the filters drop to 0. */
static void filter(struct llqi_sampler *s, const llq_sampling *sampling) {
  int has_k = sampling->top_k > 0 && sampling->top_k < s->n;
  int has_p = sampling->top_p > 0 && sampling->top_p < 1;
  if (has_k || has_p) {
    int32_t last = last_kept(s, sampling->top_k, sampling->top_p);
    double least = s->weights[last];
    for (int32_t i = 0; i < s->n; i++)
      if (s->weights[i] < least || (s->weights[i] == least && i > last))
        s->weights[i] = 0;
  }
  /* The largest weight is exp(0) = 1. */
  if (sampling->min_p > 0)
    for (int32_t i = 0; i < s->n; i++)
      if (s->weights[i] < sampling->min_p)
        s->weights[i] = 0;
}

int32_t llqi_sample(struct llqi_sampler *s, const float *logits,
                    const struct llqi_top *top, const llq_sampling *sampling,
                    double u) {
  for (int32_t i = 0; i < s->n; i++)
    s->weights[i] =
        exp(((double)logits[i] - (double)top->largest) / sampling->temperature);
  filter(s, sampling);
  double target = u * sum_of_all(s), running = 0;
  int32_t id = top->id;
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
