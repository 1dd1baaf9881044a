/* SPDX-License-Identifier: Apache-2.0 */
#include "evaluating.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "model/model.h"
#include "small_tokenizer.h"
#include "support.h"

static const char config_json[] =
    "{\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"llama\","
    " \"hidden_size\": 64, \"intermediate_size\": 96,"
    " \"num_hidden_layers\": 2, \"num_attention_heads\": 2,"
    " \"num_key_value_heads\": 1, \"head_dim\": 32, \"vocab_size\": 264,"
    " \"max_position_embeddings\": 256, \"rms_norm_eps\": 1e-5,"
    " \"rope_theta\": 10000.0, \"tie_word_embeddings\": false,"
    " \"eos_token_id\": 263, \"bos_token_id\": 260,"
    " \"hidden_act\": \"silu\", \"torch_dtype\": \"float32\"}";

/* Random weights are small; norms of 20 make up for it. */
static void enlarge(llq_model *model) {
  for (size_t i = 0; i < (size_t)model->config.hidden_size; i++)
    ((float *)model->final_norm.data)[i] = 20;
}

llq_model *writing_model(void) {
  char source[600];
  char *tokenizer = small_tokenizer_json(NULL, NULL);
  const char *path = test_path("config.json");
  ck_assert_llq_ok(llqi_file_write(path, config_json, strlen(config_json)));
  snprintf(source, sizeof source, "random:%s", path);
  small_file("tokenizer.json", tokenizer, strlen(tokenizer));
  free(tokenizer);
  llq_model *model;
  ck_assert_llq_ok(llq_model_open(&model, source, NULL));
  enlarge(model);
  model->directory = llqi_strdup(test_directory());
  return model;
}

const char *write_small_tasks(void) {
  static char path[600];
  snprintf(path, sizeof path, "%s", test_path("tasks.jsonl"));
  FILE *file = fopen(path, "w");
  ck_assert_ptr_nonnull(file);
  for (int i = 0; i < N_SMALL_TASKS; i++)
    fprintf(file,
            "{\"task_id\": \"Small/%d\", \"entry_point\": \"f\", "
            "\"canonical_solution\": \"\", \"prompt\": "
            "\"def f(x):\\n    return x + %d\\n# %d\", "
            "\"test\": \"def check(candidate):\\n"
            "    assert candidate(1) == %d\\n\"}\n",
            i, i, i, i + 1);
  fclose(file);
  return path;
}

llq_evaluator_options small_evaluation(const char *name) {
  static char directories[4][600];
  static int next;
  char *directory = directories[next++ % 4];
  llq_evaluator_options options = LLQ_EVALUATOR_OPTIONS_INIT;
  snprintf(directory, sizeof directories[0], "%s", test_path(name));
  options.task = write_small_tasks();
  options.directory = directory;
  options.n_samples = 4;
  options.temperature = 1;
  options.n_tokens_max = 30;
  options.n_workers = 2;
  options.seed = 11;
  return options;
}

void evaluate(llq_backend *backend, llq_model *model,
              const llq_evaluator_options *options) {
  llq_evaluator *evaluator;
  ck_assert_llq_ok(llq_evaluator_open(&evaluator, backend, model, options));
  ck_assert_llq_ok(llq_evaluator_run(evaluator));
  llq_evaluator_close(evaluator);
}

json_t *read_result(const char *directory) {
  json_t *result;
  char *path = llqi_path_join(directory, "result.json");
  ck_assert_llq_ok(llqi_json_read(path, &result));
  llqi_free(path);
  json_t *performance = json_object_get(result, "performance");
  json_object_del(performance, "generation_seconds");
  json_object_del(performance, "tokens_per_second");
  json_object_del(performance, "program_cpu_seconds");
  return result;
}

static int is_of(const json_t *line, const char *task_id, int sample) {
  return json_integer_value(json_object_get(line, "sample")) == sample &&
         strcmp(json_string_value(json_object_get(line, "task_id")), task_id) ==
             0;
}

json_t *read_sample(const char *directory, const char *task_id, int sample) {
  char *path = llqi_path_join(directory, "samples.jsonl"), *text;
  size_t n;
  ck_assert_llq_ok(llqi_file_read(path, 1 << 24, &text, &n));
  llqi_free(path);
  json_t *found = NULL;
  for (char *line = strtok(text, "\n"); line != NULL && found == NULL;
       line = strtok(NULL, "\n")) {
    json_t *json;
    ck_assert_llq_ok(llqi_json_parse("line", line, strlen(line), &json));
    if (is_of(json, task_id, sample))
      found = json;
    else
      json_decref(json);
  }
  llqi_free(text);
  ck_assert_msg(found != NULL, "no sample %d of %s", sample, task_id);
  return found;
}
