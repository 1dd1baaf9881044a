/* SPDX-License-Identifier: Apache-2.0 */
/* How well a model predicts a text, and how far it is from another model. */
#include <llq/evaluator.h>

#include <math.h>

#include "base/alloc.h"
#include "base/status.h"
#include "generator/generator.h"

/* A running mean with its sum of squared deviations (Welford). */
struct moments {
  double n, mean, squares;
};

static void add(struct moments *moments, double value) {
  double before = value - moments->mean;
  moments->n++;
  moments->mean += before / moments->n;
  moments->squares += before * (value - moments->mean);
}

static double error_of(const struct moments *moments) {
  if (moments->n < 2)
    return 0;
  return sqrt(moments->squares / (moments->n - 1) / moments->n);
}

/* The moments that gave this mean and standard error. */
static struct moments resume(uint64_t n_tokens, double mean, double error) {
  double n = (double)n_tokens;
  if (n_tokens == 0)
    return (struct moments){0};
  return (struct moments){n, mean, error * error * n * (n - 1)};
}

struct sums {
  struct moments nll, kl;
  double n_agreed;
};

/* What softmax divides by, as a logarithm. */
static double log_sum_exp(const float *logits, size_t n) {
  float largest = logits[0];
  for (size_t i = 1; i < n; i++)
    largest = logits[i] > largest ? logits[i] : largest;
  double sum = 0;
  for (size_t i = 0; i < n; i++)
    sum += exp((double)logits[i] - largest);
  return largest + log(sum);
}

static size_t most_likely(const float *logits, size_t n) {
  size_t best = 0;
  for (size_t i = 1; i < n; i++)
    best = logits[i] > logits[best] ? i : best;
  return best;
}

/* KL(base || model) of the distributions that two rows of logits give. */
static double divergence(const float *base, double base_sum, const float *model,
                         double model_sum, size_t n) {
  double kl = 0;
  for (size_t i = 0; i < n; i++) {
    double log_p = base[i] - base_sum;
    kl += exp(log_p) * (log_p - (model[i] - model_sum));
  }
  return kl;
}

/* Row i predicts ids[i + 1]. */
static void measure_window(const float *model, const float *base,
                           const int32_t *ids, size_t n, size_t n_vocab,
                           struct sums *sums) {
  for (size_t i = 0; i + 1 < n; i++, model += n_vocab) {
    double sum = log_sum_exp(model, n_vocab);
    add(&sums->nll, sum - model[ids[i + 1]]);
    if (base == NULL)
      continue;
    add(&sums->kl,
        divergence(base, log_sum_exp(base, n_vocab), model, sum, n_vocab));
    sums->n_agreed += most_likely(model, n_vocab) == most_likely(base, n_vocab);
    base += n_vocab;
  }
}

static int run_window(llq_generator *model, llq_generator *base,
                      const int32_t *ids, size_t n, float *logits,
                      float *base_logits, struct sums *sums) {
  LLQ_TRY(llq_generator_logits(model, ids, n, logits));
  if (base != NULL)
    LLQ_TRY(llq_generator_logits(base, ids, n, base_logits));
  measure_window(logits, base != NULL ? base_logits : NULL, ids, n,
                 llqi_generator_n_vocab(model), sums);
  return LLQ_OK;
}

static int run_windows(llq_generator *model, llq_generator *base,
                       const int32_t *ids, size_t n_ids, size_t n_window,
                       struct sums *sums) {
  size_t n_vocab = llqi_generator_n_vocab(model);
  float *logits = llqi_array(n_window, n_vocab * sizeof *logits);
  float *base_logits =
      llqi_array(base != NULL ? n_window : 0, n_vocab * sizeof *logits);
  int status = LLQ_OK;
  if (logits == NULL || base_logits == NULL)
    status = LLQ_ERROR_MEMORY;
  for (size_t at = 0; at + 1 < n_ids && status >= 0; at += n_window) {
    size_t n = n_ids - at < n_window ? n_ids - at : n_window;
    if (n >= 2)
      status = run_window(model, base, ids + at, n, logits, base_logits, sums);
  }
  llqi_free(base_logits);
  llqi_free(logits);
  return status;
}

static int check_arguments(llq_generator *model, llq_generator *base,
                           const int32_t *ids, size_t n_ids, size_t n_window,
                           const llq_perplexity *result) {
  LLQ_REQUIRE(model != NULL && result != NULL && (ids != NULL || n_ids == 0),
              "llq_perplexity_measure: NULL argument");
  LLQ_REQUIRE(result->struct_size == sizeof *result,
              "llq_perplexity: struct_size %zu, expected %zu",
              result->struct_size, sizeof *result);
  size_t n_context = (size_t)llq_generator_n_context(model);
  if (base != NULL && (size_t)llq_generator_n_context(base) < n_context)
    n_context = (size_t)llq_generator_n_context(base);
  LLQ_REQUIRE(n_window >= 2 && n_window <= n_context,
              "a window of %zu tokens, expected 2 to %zu", n_window, n_context);
  LLQ_REQUIRE(base == NULL ||
                  llqi_generator_n_vocab(base) == llqi_generator_n_vocab(model),
              "the models have vocabularies of %zu and %zu tokens",
              llqi_generator_n_vocab(model), llqi_generator_n_vocab(base));
  LLQ_REQUIRE(result->n_tokens == 0 || (base == NULL) == isnan(result->kl),
              "llq_perplexity_measure: earlier calls were %s a base",
              base == NULL ? "with" : "without");
  return LLQ_OK;
}

int llq_perplexity_measure(llq_generator *model, llq_generator *base,
                           const int32_t *ids, size_t n_ids, size_t n_window,
                           llq_perplexity *result) {
  llqi_error_clear();
  LLQ_TRY(check_arguments(model, base, ids, n_ids, n_window, result));
  struct sums sums = {
      .nll = resume(result->n_tokens, result->nll, result->nll_error)};
  if (base != NULL) {
    sums.kl = resume(result->n_tokens, result->kl, result->kl_error);
    sums.n_agreed = result->agreement * (double)result->n_tokens;
  }
  LLQ_TRY(run_windows(model, base, ids, n_ids, n_window, &sums));
  result->n_tokens = (uint64_t)sums.nll.n;
  result->nll = sums.nll.mean;
  result->nll_error = error_of(&sums.nll);
  result->perplexity = exp(sums.nll.mean);
  result->kl = base != NULL ? sums.kl.mean : NAN;
  result->kl_error = base != NULL ? error_of(&sums.kl) : NAN;
  result->agreement =
      base != NULL && sums.nll.n > 0 ? sums.n_agreed / sums.nll.n : NAN;
  return LLQ_OK;
}
