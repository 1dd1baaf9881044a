/* SPDX-License-Identifier: Apache-2.0 */
/* Models from checkpoints: what is read, what is refused. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/status.h"
#include "model/model.h"
#include "support.h"
#include "tensor/dtype.h"
#include "tiny.h"

static const char *write_good(void) {
  size_t n;
  json_t *header = tiny_header(&n);
  return tiny_write("good", tiny_config(), header, n);
}

START_TEST(a_checkpoint_opens_and_is_described) {
  llq_model *model;
  llq_model_info info = LLQ_MODEL_INFO_INIT;
  ck_assert_llq_ok(llq_model_open(&model, write_good(), NULL));
  ck_assert_llq_ok(llq_model_describe(model, &info));
  ck_assert_str_eq(info.architecture, "LlamaForCausalLM");
  ck_assert_str_eq(info.scheme, "bf16");
  ck_assert_str_eq(info.dtype, "bf16");
  ck_assert_int_eq(info.n_layers, 2);
  ck_assert_int_eq(info.head_size, 32);
  ck_assert_int_eq(info.n_kv_heads, 1);
  ck_assert_int_eq(info.n_context, 512);
  const uint64_t linears = 2 * (2 * 64 * 64 + 2 * 32 * 64 + 3 * 96 * 64);
  const uint64_t rest = 2 * 50 * 64 + 5 * 64;
  ck_assert_uint_eq(info.n_parameters, linears + rest);
  ck_assert_uint_eq(info.n_linear_bytes, 2 * linears);
  ck_assert_uint_eq(info.n_weight_bytes, 2 * (linears + rest));
  ck_assert_uint_eq(info.n_kv_bytes, 2 * 2 * 32 * 2);
  const llq_weight *down = &model->layers[1].linears[LLQI_DOWN];
  ck_assert_int_eq(down->n_out, 64);
  ck_assert_int_eq(down->n_in, 96);
  ck_assert_ptr_ne(down->data, model->layers[0].linears[LLQI_DOWN].data);
  ck_assert_str_eq(model->layers[1].input_norm.name,
                   "model.layers.1.input_layernorm.weight");
  llq_model_close(model);
}
END_TEST

static void expect_refused(json_t *config, json_t *header, size_t n_data,
                           int code, const char *message) {
  llq_model *model;
  const char *directory = tiny_write("bad", config, header, n_data);
  ck_assert_llq_fails(llq_model_open(&model, directory, NULL), code, message);
  ck_assert_ptr_null(model);
}

static const struct {
  const char *key, *value, *message;
  int code;
} configs[] = {
    {"architectures", "[\"MistralForCausalLM\"]",
     "architecture \"MistralForCausalLM\" is not supported",
     LLQ_ERROR_UNSUPPORTED},
    {"model_type", "\"qwen2\"", "model_type \"qwen2\"", LLQ_ERROR_UNSUPPORTED},
    {"attention_bias", "true", "attention_bias", LLQ_ERROR_UNSUPPORTED},
    {"mlp_bias", "true", "mlp_bias", LLQ_ERROR_UNSUPPORTED},
    {"hidden_act", "\"gelu\"", "hidden_act \"gelu\"", LLQ_ERROR_UNSUPPORTED},
    {"torch_dtype", "\"float64\"", "float64", LLQ_ERROR_UNSUPPORTED},
    {"num_hidden_layers", "null", "no \"num_hidden_layers\"", LLQ_ERROR_FORMAT},
    {"num_hidden_layers", "0", "\"num_hidden_layers\" is 0", LLQ_ERROR_FORMAT},
    {"num_hidden_layers", "1e3", "not an integer", LLQ_ERROR_FORMAT},
    {"num_hidden_layers", "3", "no tensor model.layers.2.self_attn.q_proj",
     LLQ_ERROR_FORMAT},
    {"hidden_size", "9223372036854775807", "\"hidden_size\" is",
     LLQ_ERROR_FORMAT},
    {"hidden_size", "128",
     "model.safetensors: model.embed_tokens.weight: shape 50x64",
     LLQ_ERROR_FORMAT},
    {"hidden_size", "-64", "\"hidden_size\" is -64", LLQ_ERROR_FORMAT},
    {"intermediate_size", "97",
     "model.safetensors: model.layers.0.mlp.gate_proj.weight: shape 96x64 of "
     "2 dimensions, expected 97x64",
     LLQ_ERROR_FORMAT},
    {"num_attention_heads", "0", "\"num_attention_heads\" is 0",
     LLQ_ERROR_FORMAT},
    {"num_attention_heads", "\"2\"", "not an integer", LLQ_ERROR_FORMAT},
    {"num_attention_heads", "1", "self_attn.k_proj.weight", LLQ_ERROR_FORMAT},
    {"num_attention_heads", "8", "head size 8", LLQ_ERROR_UNSUPPORTED},
    {"num_key_value_heads", "3", "\"num_key_value_heads\" is 3",
     LLQ_ERROR_FORMAT},
    {"head_dim", "33", "head size 33", LLQ_ERROR_UNSUPPORTED},
    {"head_dim", "1000000", "head size 1000000", LLQ_ERROR_UNSUPPORTED},
    {"vocab_size", "51", "model.embed_tokens.weight", LLQ_ERROR_FORMAT},
    {"vocab_size", "1e400", "line 1", LLQ_ERROR_FORMAT},
    {"rms_norm_eps", "-1.0", "\"rms_norm_eps\" is -1", LLQ_ERROR_FORMAT},
    {"rms_norm_eps", "NaN", "line 1", LLQ_ERROR_FORMAT},
    {"rope_theta", "0.0", "\"rope_theta\" is 0", LLQ_ERROR_FORMAT},
    {"rope_scaling", "{\"type\":\"linear\",\"factor\":2.0}",
     "rope_type \"linear\"", LLQ_ERROR_UNSUPPORTED},
    {"rope_scaling", "{\"rope_type\":\"llama3\"}", "no \"factor\"",
     LLQ_ERROR_FORMAT},
    {"rope_scaling",
     "{\"rope_type\":\"llama3\",\"factor\":8.0,\"low_freq_factor\":4.0,"
     "\"high_freq_factor\":4.0}",
     "\"high_freq_factor\" is 4, expected above 4", LLQ_ERROR_FORMAT},
    {"rope_scaling", "[1]", "rope scaling", LLQ_ERROR_FORMAT},
    {"partial_rotary_factor", "0.5", "partial_rotary_factor 0.5",
     LLQ_ERROR_UNSUPPORTED},
    {"tie_word_embeddings", "1", "not true or false", LLQ_ERROR_FORMAT},
};

/* The config is written as text, so that it may be no JSON at all. */
START_TEST(a_hostile_config_is_refused_with_its_reason) {
  llq_model *model;
  char text[2000];
  const char *directory = write_good();
  json_t *config = tiny_config();
  json_object_del(config, configs[_i].key);
  char *rest = json_dumps(config, 0);
  snprintf(text, sizeof text, "{\"%s\": %s, %s", configs[_i].key,
           configs[_i].value, rest + 1);
  free(rest);
  json_decref(config);
  ck_assert_llq_ok(
      llqi_file_write(test_path("good/config.json"), text, strlen(text)));
  ck_assert_llq_fails(llq_model_open(&model, directory, NULL), configs[_i].code,
                      configs[_i].message);
  ck_assert_ptr_nonnull(strstr(llq_error_message(), test_directory()));
}
END_TEST

START_TEST(a_missing_tensor_is_named) {
  size_t n;
  json_t *header = tiny_header(&n);
  json_object_del(header, "model.layers.1.mlp.up_proj.weight");
  expect_refused(tiny_config(), header, n, LLQ_ERROR_FORMAT,
                 "bad: no tensor model.layers.1.mlp.up_proj.weight");
}
END_TEST

START_TEST(a_missing_file_is_named) {
  llq_model *model;
  const char *directory = write_good();
  unlink(test_path("good/config.json"));
  ck_assert_llq_fails(llq_model_open(&model, directory, NULL), LLQ_ERROR_IO,
                      "good/config.json: No such file");
  directory = write_good();
  unlink(test_path("good/model.safetensors"));
  ck_assert_llq_fails(llq_model_open(&model, directory, NULL), LLQ_ERROR_IO,
                      "good: no model.safetensors");
  ck_assert_llq_fails(llq_model_open(&model, "/no/such", NULL), LLQ_ERROR_IO,
                      "/no/such: no such model");
  ck_assert_llq_fails(llq_model_open(&model, "nothing", NULL), LLQ_ERROR_IO,
                      "nothing: no such model");
}
END_TEST

START_TEST(biases_are_refused_by_name) {
  size_t n;
  json_t *header = tiny_header(&n);
  tiny_add(header, &n, "model.layers.0.self_attn.q_proj.bias", "BF16", 1,
           (int[]){64});
  expect_refused(tiny_config(), header, n, LLQ_ERROR_UNSUPPORTED,
                 "model.layers.0.self_attn.q_proj.bias: biases");
}
END_TEST

START_TEST(a_weight_of_another_type_is_refused_by_name) {
  size_t n;
  json_t *header = tiny_header(&n);
  tiny_add(header, &n, "model.layers.0.mlp.up_proj.weight", "I8", 2,
           (int[]){96, 64});
  expect_refused(tiny_config(), header, n, LLQ_ERROR_UNSUPPORTED,
                 "model.layers.0.mlp.up_proj.weight: dtype I8");
}
END_TEST

START_TEST(five_dimensions_are_refused_only_where_they_matter) {
  size_t n;
  json_t *header = tiny_header(&n);
  tiny_add(header, &n, "extra", "BF16", 5, (int[]){1, 2, 1, 2, 1});
  const char *directory = tiny_write("five", tiny_config(), header, n);
  llq_model *model;
  ck_assert_llq_ok(llq_model_open(&model, directory, NULL));
  llq_model_close(model);
  header = tiny_header(&n);
  tiny_add(header, &n, "model.norm.weight", "BF16", 5, (int[]){64, 1, 1, 1, 1});
  expect_refused(tiny_config(), header, n, LLQ_ERROR_FORMAT,
                 "model.norm.weight: shape 64x1x1x1 of 5 dimensions");
}
END_TEST

START_TEST(a_tied_model_uses_its_embedding_twice) {
  size_t n;
  json_t *config = tiny_config(), *header = tiny_header(&n);
  json_object_set_new(config, "tie_word_embeddings", json_true());
  json_object_del(header, "lm_head.weight");
  llq_model *model;
  ck_assert_llq_ok(
      llq_model_open(&model, tiny_write("tied", config, header, n), NULL));
  ck_assert_ptr_eq(model->output.data, model->embedding.data);
  llq_model_info info = LLQ_MODEL_INFO_INIT;
  ck_assert_llq_ok(llq_model_describe(model, &info));
  ck_assert_int_eq(info.tied, 1);
  ck_assert_uint_eq(info.n_weight_bytes, 2 * info.n_parameters);
  llq_model_close(model);
}
END_TEST

START_TEST(end_tokens_come_from_the_generation_config_first) {
  size_t n, n_ids;
  int32_t ids[4];
  json_t *config = tiny_config(), *header = tiny_header(&n);
  json_object_set_new(config, "eos_token_id", json_integer(5));
  const char *directory = tiny_write("ends", config, header, n);
  llq_model *model;
  ck_assert_llq_ok(llq_model_open(&model, directory, NULL));
  ck_assert_llq_ok(llqi_model_end_ids(model, ids, 4, &n_ids));
  ck_assert_uint_eq(n_ids, 1);
  ck_assert_int_eq(ids[0], 5);
  const char *path = test_path("ends/generation_config.json");
  static const char several[] = "{\"eos_token_id\": [1, 8, 9]}";
  ck_assert_llq_ok(llqi_file_write(path, several, strlen(several)));
  ck_assert_llq_ok(llqi_model_end_ids(model, ids, 4, &n_ids));
  ck_assert_uint_eq(n_ids, 3);
  ck_assert_int_eq(ids[2], 9);
  ck_assert_llq_fails(llqi_model_end_ids(model, ids, 2, &n_ids),
                      LLQ_ERROR_UNSUPPORTED, "more than 2");
  static const char beyond[] = "{\"eos_token_id\": 50}";
  ck_assert_llq_ok(llqi_file_write(path, beyond, strlen(beyond)));
  llqi_error_clear();
  ck_assert_llq_fails(llqi_model_end_ids(model, ids, 4, &n_ids),
                      LLQ_ERROR_FORMAT, "eos_token_id");
  llq_model_close(model);
}
END_TEST

START_TEST(memory_may_run_out_anywhere) {
  const char *directory = write_good();
  char random[600];
  snprintf(random, sizeof random, "random:%s", test_path("good/config.json"));
  const char *sources[] = {directory, random};
  for (int i = 0; i < 2; i++) {
    int status = LLQ_ERROR_MEMORY;
    for (long n = 1; status != LLQ_OK; n++) {
      llq_model *model;
      llqi_alloc_fail_at(n, 0);
      status = llq_model_open(&model, sources[i], NULL);
      llqi_alloc_fail_at(0, 0);
      ck_assert(status == LLQ_OK || status == LLQ_ERROR_MEMORY);
      ck_assert_int_lt(n, 1000);
      llq_model_close(model);
    }
  }
}
END_TEST

/* The n-th file call fails; closing is never refused. */
static long n_calls, failing;

static int fails(void) {
  errno = EIO;
  return ++n_calls == failing;
}

static int bad_open(const char *path, int flags, mode_t mode) {
  return fails() ? -1 : llqi_file_system.open(path, flags, mode);
}

static ssize_t bad_read(int fd, void *buffer, size_t n) {
  return fails() ? -1 : llqi_file_system.read(fd, buffer, n);
}

static int bad_fstat(int fd, struct stat *status) {
  return fails() ? -1 : llqi_file_system.fstat(fd, status);
}

static void *bad_mmap(void *at, size_t n, int protection, int flags, int fd,
                      off_t offset) {
  return fails() ? MAP_FAILED
                 : llqi_file_system.mmap(at, n, protection, flags, fd, offset);
}

START_TEST(files_may_fail_anywhere) {
  struct llqi_file_calls calls = llqi_file_system;
  calls.open = bad_open;
  calls.read = bad_read;
  calls.fstat = bad_fstat;
  calls.mmap = bad_mmap;
  const char *directory = write_good();
  int status = LLQ_ERROR_IO;
  for (failing = 1; status != LLQ_OK; failing++) {
    llq_model *model;
    n_calls = 0;
    llqi_files = &calls;
    status = llq_model_open(&model, directory, NULL);
    llqi_files = &llqi_file_system;
    if (status != LLQ_OK)
      ck_assert_llq_fails(status, LLQ_ERROR_IO, "good/");
    ck_assert_int_lt(failing, 100);
    llq_model_close(model);
  }
  ck_assert_int_gt(failing, 5);
}
END_TEST

Suite *test_suite(void) {
  Suite *suite = suite_create("model");
  TCase *tests = tcase_create("model");
  tcase_set_timeout(tests, 120);
  tcase_add_test(tests, a_checkpoint_opens_and_is_described);
  tcase_add_loop_test(tests, a_hostile_config_is_refused_with_its_reason, 0,
                      sizeof configs / sizeof *configs);
  tcase_add_test(tests, a_missing_tensor_is_named);
  tcase_add_test(tests, a_missing_file_is_named);
  tcase_add_test(tests, biases_are_refused_by_name);
  tcase_add_test(tests, a_weight_of_another_type_is_refused_by_name);
  tcase_add_test(tests, five_dimensions_are_refused_only_where_they_matter);
  tcase_add_test(tests, a_tied_model_uses_its_embedding_twice);
  tcase_add_test(tests, end_tokens_come_from_the_generation_config_first);
  tcase_add_test(tests, memory_may_run_out_anywhere);
  tcase_add_test(tests, files_may_fail_anywhere);
  suite_add_tcase(suite, tests);
  return suite;
}
