/* SPDX-License-Identifier: Apache-2.0 */
#include "generating.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "model/model.h"
#include "support.h"

static const char config_json[] =
    "{\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"llama\","
    " \"hidden_size\": 64, \"intermediate_size\": 96,"
    " \"num_hidden_layers\": 2, \"num_attention_heads\": 2,"
    " \"num_key_value_heads\": 1, \"head_dim\": 32, \"vocab_size\": 97,"
    " \"max_position_embeddings\": 256, \"rms_norm_eps\": 1e-5,"
    " \"rope_theta\": 10000.0, \"tie_word_embeddings\": false,"
    " \"eos_token_id\": [5, 17],"
    " \"hidden_act\": \"silu\", \"torch_dtype\": \"float32\"}";

/* Random weights are small; norms of 20 make up for it. */
static void enlarge(llq_model *model) {
  for (size_t i = 0; i < (size_t)model->config.hidden_size; i++)
    ((float *)model->final_norm.data)[i] = 20;
}

llq_model *tiny_random_model(void) {
  char source[600];
  const char *path = test_path("config.json");
  ck_assert_llq_ok(llqi_file_write(path, config_json, strlen(config_json)));
  snprintf(source, sizeof source, "random:%s", path);
  llq_model *model;
  ck_assert_llq_ok(llq_model_open(&model, source, NULL));
  enlarge(model);
  return model;
}

llq_backend *cpu_backend(void) {
  llq_backend_options options = LLQ_BACKEND_OPTIONS_INIT;
  options.n_threads = 1;
  llq_backend *backend;
  ck_assert_llq_ok(llq_backend_open(&backend, "cpu", &options));
  return backend;
}

void mixed_job(int i, struct job *job) {
  static const size_t lengths[] = {1, 5, 63, 64, 65, 180, 128, 17, 2, 100};
  static const int32_t no_ends[] = {0};
  *job = (struct job){.n_ids = lengths[i % 10]};
  for (size_t k = 0; k < job->n_ids; k++)
    job->ids[k] = (int32_t)((k * k + 31 * k + (size_t)i * 13) % TINY_VOCAB);
  job->sampling = (llq_sampling)LLQ_SAMPLING_INIT;
  job->sampling.temperature = i % 3 == 0 ? 0 : 0.3 * (i % 4 + 1);
  job->sampling.top_p = i % 5 == 1 ? 0.9 : 0;
  job->sampling.top_k = i % 7 == 2 ? 10 : 0;
  job->sampling.min_p = i % 4 == 3 ? 0.05 : 0;
  job->sampling.n_tokens_max = i % 6 == 4 ? 1 : 3 + i % 40;
  job->sampling.seed = (uint64_t)i / 2;
  job->sampling.end_ids = i % 2 == 0 ? no_ends : NULL;
  job->n_samples = i % 4 == 1 ? 5 : 1;
}

void get_outcome(const llq_generator *generator, int64_t sequence,
                 struct outcome *outcome) {
  llq_generation g = LLQ_GENERATION_INIT;
  ck_assert_llq_ok(llq_generator_get(generator, sequence, &g));
  memset(outcome, 0, sizeof *outcome);
  ck_assert_uint_le(g.n_ids, TINY_CONTEXT);
  ck_assert_uint_lt(g.n_bytes, sizeof outcome->text);
  if (g.n_ids > 0)
    memcpy(outcome->ids, g.ids, g.n_ids * sizeof *g.ids);
  outcome->n_ids = g.n_ids;
  ck_assert_int_eq(g.text[g.n_bytes], '\0');
  memcpy(outcome->text, g.text, g.n_bytes);
  outcome->n_bytes = g.n_bytes;
  outcome->stop_reason = g.stop_reason;
  outcome->margin_at = g.margin_at;
  outcome->min_margin = g.min_margin;
}

void expect_same(const struct outcome *a, const struct outcome *b, int which) {
  ck_assert_msg(a->n_ids == b->n_ids, "sequence %d: %zu and %zu tokens", which,
                a->n_ids, b->n_ids);
  ck_assert_mem_eq(a->ids, b->ids, a->n_ids * sizeof *a->ids);
  ck_assert_uint_eq(a->n_bytes, b->n_bytes);
  ck_assert_mem_eq(a->text, b->text, a->n_bytes);
  ck_assert_int_eq(a->stop_reason, b->stop_reason);
  ck_assert_int_eq(a->margin_at, b->margin_at);
  ck_assert_mem_eq(&a->min_margin, &b->min_margin, sizeof a->min_margin);
}

void submit_jobs(llq_generator *generator, int first, int n,
                 int64_t *sequences) {
  struct job job;
  for (int i = 0; i < n; i++) {
    mixed_job(first + i, &job);
    ck_assert_llq_ok(llq_generator_submit(generator, job.ids, job.n_ids,
                                          &job.sampling, job.n_samples,
                                          &sequences[i]));
  }
}

llq_generator *open_generator(llq_backend *backend, llq_model *model,
                              int32_t n_sequences, int32_t n_chunk) {
  llq_generator_options options = LLQ_GENERATOR_OPTIONS_INIT;
  options.n_sequences = n_sequences;
  options.n_chunk = n_chunk;
  options.n_context = TINY_CONTEXT;
  llq_generator *generator;
  ck_assert_llq_ok(llq_generator_open(&generator, backend, model, &options));
  return generator;
}
