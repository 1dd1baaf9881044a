/* SPDX-License-Identifier: Apache-2.0 */
/* llq perplexity: how well a model predicts a text. */
#include <math.h>
#include <stdlib.h>

#include "command.h"

/* A text under measurement, a window at a time. */
struct measurement {
  llq_generator *model, *base;
  const int32_t *ids;
  size_t n_ids, at, n_window;
  llq_perplexity result;
};

static int step(void *handle, llq_progress *progress) {
  struct measurement *m = handle;
  size_t left = m->n_ids - m->at;
  size_t n = left < m->n_window ? left : m->n_window;
  int status = llq_perplexity_measure(m->model, m->base, m->ids + m->at, n,
                                      m->n_window, &m->result);
  if (status < 0)
    return status;
  m->at += n;
  progress->done = m->at;
  progress->total = m->n_ids;
  progress->unit = "tokens";
  snprintf(progress->what, sizeof progress->what, "perplexity %.3f",
           m->result.perplexity);
  return m->n_ids - m->at >= 2 ? LLQ_MORE : LLQ_OK;
}

static json_t *real_or_null(double x) {
  return isfinite(x) ? json_real(x) : json_null();
}

static int print_result(const struct command *command,
                        const llq_perplexity *result, int against, int json) {
  if (json)
    return command_print_json(
        command, json_pack("{s:I, s:o, s:o, s:o, s:o, s:o, s:o}", "n_tokens",
                           (json_int_t)result->n_tokens, "perplexity",
                           real_or_null(result->perplexity), "nll",
                           real_or_null(result->nll), "nll_error",
                           real_or_null(result->nll_error), "kl",
                           real_or_null(result->kl), "kl_error",
                           real_or_null(result->kl_error), "top1_agreement",
                           real_or_null(result->agreement)));
  printf("perplexity  %.4f  (%.5f +- %.5f nats a token, %llu tokens)\n",
         result->perplexity, result->nll, result->nll_error,
         (unsigned long long)result->n_tokens);
  if (against)
    printf("KL(base || model)  %.6f +- %.6f nats a token\n"
           "same most likely token  %.3f %%\n",
           result->kl, result->kl_error, 100 * result->agreement);
  return EXIT_DONE;
}

static int measure(const struct command *command, struct measurement *m,
                   int json) {
  if (m->n_ids < 2)
    return command_error(command, "the text has fewer than two tokens");
  int status = command_run(command, step, m);
  if (status == LLQ_MORE)
    return command_error(command, "interrupted");
  if (status < 0)
    return command_failed(command);
  return print_result(command, &m->result, m->base != NULL, json);
}

static int encode_file(const struct command *command, llq_model *model,
                       const char *path, int32_t **ids, size_t *n_ids) {
  size_t n_bytes;
  char *text = command_read(path, &n_bytes);
  if (text == NULL)
    return command_error(command, "%s: cannot read", path);
  const llq_tokenizer *tokenizer;
  int status = llq_model_tokenizer(model, &tokenizer);
  if (status == LLQ_OK)
    status =
        command_encode(tokenizer, text, n_bytes, LLQ_ENCODE_BOS, ids, n_ids);
  free(text);
  return status == LLQ_OK ? EXIT_DONE : command_failed(command);
}

int run_perplexity(const struct command *command, int argc, char **argv) {
  const char *source, *text = NULL, *against = NULL;
  struct common_options common = {0};
  llq_generator_options generator = LLQ_GENERATOR_OPTIONS_INIT;
  generator.n_context = 512;
  const struct option options[] = {
      {"text", OPTION_TEXT, &text, "FILE", "UTF-8 text (required)"},
      {"against", OPTION_TEXT, &against, "BASE",
       "a model to compare with: KL divergence, agreement"},
      {"window", OPTION_INT, &generator.n_context, "N",
       "tokens that are predicted together (default 512)"},
      {"compute", OPTION_TEXT, &generator.compute, "TYPE", "f32 or bf16"},
      KV_CACHE_OPTION(generator),
      COMMON_OPTIONS(common),
      {NULL, OPTION_FLAG, NULL, NULL, NULL}};
  int exit_status = arguments_parse(command, options, argc, argv, &source, 1);
  if (exit_status >= 0)
    return exit_status;
  if (text == NULL)
    return command_misused(command, "--text is required");
  struct runner model, base = {0};
  if (runner_open(&model, &common, source, &generator) < 0)
    return command_failed(command);
  generator.kv_cache = NULL; /* the base's own */
  if (against != NULL && runner_open(&base, &common, against, &generator) < 0) {
    runner_close(&model);
    return command_failed(command);
  }
  int32_t *ids = NULL;
  struct measurement m = {.model = model.generator,
                          .base = base.generator,
                          .n_window =
                              (size_t)llq_generator_n_context(model.generator),
                          .result = LLQ_PERPLEXITY_INIT};
  exit_status = encode_file(command, model.model, text, &ids, &m.n_ids);
  m.ids = ids;
  if (exit_status == EXIT_DONE)
    exit_status = measure(command, &m, common.json);
  free(ids);
  runner_close(&base);
  runner_close(&model);
  return exit_status;
}
