/* SPDX-License-Identifier: Apache-2.0 */
/* Safetensors files and shards: what is read, and what is refused. */
#include <llq/backend.h>

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/random.h"
#include "base/status.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/safetensors.h"
#include "support.h"
#include "tiny.h"

#define A "\"a\":{\"dtype\":\"BF16\",\"shape\":[2,4],\"data_offsets\":[0,16]}"

/* The verdict on one file of this header. */
static int open_raw(const char *header, size_t n_data) {
  const char *path = test_path("raw.safetensors");
  tiny_write_raw(path, header, n_data);
  struct llqi_safetensors file;
  llqi_error_clear();
  int status = llqi_safetensors_open(&file, path);
  if (status >= 0)
    llqi_safetensors_close(&file);
  return status;
}

START_TEST(a_file_gives_its_tensors) {
  const char *path = test_path("one.safetensors");
  tiny_write_raw(path,
                 "{\"__metadata__\":{\"format\":\"pt\"},"
                 "\"b\":{\"dtype\":\"I8\",\"shape\":[],\"data_offsets\":[16,17]"
                 "}," A "}",
                 17);
  struct llqi_safetensors file;
  ck_assert_llq_ok(llqi_safetensors_open(&file, path));
  ck_assert_uint_eq(file.n_tensors, 2);
  const struct llqi_tensor *a = &file.tensors[0];
  ck_assert_str_eq(a->name, "a");
  ck_assert_int_eq(a->dtype, LLQ_BF16);
  ck_assert_int_eq(a->n_dims, 2);
  ck_assert_int_eq(a->shape[0], 2);
  ck_assert_int_eq(a->shape[1], 4);
  ck_assert_uint_eq(a->n_bytes, 16);
  ck_assert_int_eq(((const unsigned char *)a->data)[3], 0x3c);
  ck_assert_str_eq(file.tensors[1].name, "b");
  ck_assert_uint_eq(file.tensors[1].n_bytes, 1);
  llqi_safetensors_close(&file);
}
END_TEST

static const struct {
  const char *header, *message;
  int code;
} hostile[] = {
    {"{" A, "line", LLQ_ERROR_FORMAT},
    {"[]", "not a JSON object", LLQ_ERROR_FORMAT},
    {"{" A "," A "}", "duplicate", LLQ_ERROR_FORMAT},
    {"{\"a\":[]}", "a: not a JSON object", LLQ_ERROR_FORMAT},
    {"{\"a\":{\"shape\":[8],\"data_offsets\":[0,16]}}", "a: no dtype",
     LLQ_ERROR_FORMAT},
    {"{\"a\":{\"dtype\":\"Q3_K\",\"shape\":[8],\"data_offsets\":[0,16]}}",
     "a: unknown dtype \"Q3_K\"", LLQ_ERROR_UNSUPPORTED},
    {"{\"a\":{\"dtype\":\"BF16\",\"data_offsets\":[0,16]}}", "a: no shape",
     LLQ_ERROR_FORMAT},
    {"{\"a\":{\"dtype\":\"BF16\",\"shape\":[8.0],\"data_offsets\":[0,16]}}",
     "not a size", LLQ_ERROR_FORMAT},
    {"{\"a\":{\"dtype\":\"BF16\",\"shape\":[-8],\"data_offsets\":[0,16]}}",
     "not a size", LLQ_ERROR_FORMAT},
    {"{\"a\":{\"dtype\":\"BF16\",\"shape\":[4611686018427387904,8],"
     "\"data_offsets\":[0,16]}}",
     "too large", LLQ_ERROR_FORMAT},
    {"{\"a\":{\"dtype\":\"BF16\",\"shape\":[99999999999999999999],"
     "\"data_offsets\":[0,16]}}",
     "too big integer", LLQ_ERROR_FORMAT},
    {"{\"a\":{\"dtype\":\"BF16\",\"shape\":[1e999],\"data_offsets\":[0,16]}}",
     "overflow", LLQ_ERROR_FORMAT},
    {"{\"a\":{\"dtype\":\"BF16\",\"shape\":[NaN],\"data_offsets\":[0,16]}}",
     "line 1", LLQ_ERROR_FORMAT},
    {"{\"a\":{\"dtype\":\"BF16\",\"shape\":[8]}}", "a: no data_offsets",
     LLQ_ERROR_FORMAT},
    {"{\"a\":{\"dtype\":\"BF16\",\"shape\":[8],\"data_offsets\":[0,16,32]}}",
     "a: no data_offsets", LLQ_ERROR_FORMAT},
    {"{\"a\":{\"dtype\":\"BF16\",\"shape\":[8],\"data_offsets\":[16,0]}}",
     "[16, 0] are not within", LLQ_ERROR_FORMAT},
    {"{\"a\":{\"dtype\":\"BF16\",\"shape\":[8],\"data_offsets\":[-16,0]}}",
     "not within", LLQ_ERROR_FORMAT},
    {"{\"a\":{\"dtype\":\"BF16\",\"shape\":[8],\"data_offsets\":[32,48]}}",
     "not within", LLQ_ERROR_FORMAT},
    {"{\"a\":{\"dtype\":\"BF16\",\"shape\":[8],"
     "\"data_offsets\":[0,9223372036854775807]}}",
     "not within", LLQ_ERROR_FORMAT},
    {"{\"a\":{\"dtype\":\"BF16\",\"shape\":[7],\"data_offsets\":[0,16]}}",
     "a: 16 bytes of data, but its shape and dtype BF16 make 14",
     LLQ_ERROR_FORMAT},
    {"{\"a\":{\"dtype\":\"BF16\",\"shape\":[8],\"data_offsets\":[1,17]}}",
     "a: its data is not aligned", LLQ_ERROR_FORMAT},
    {"{" A ",\"b\":{\"dtype\":\"BF16\",\"shape\":[4],\"data_offsets\":[8,16]"
     "}}",
     "b: overlaps a", LLQ_ERROR_FORMAT},
};

START_TEST(a_hostile_header_is_refused_with_its_reason) {
  ck_assert_llq_fails(open_raw(hostile[_i].header, 32), hostile[_i].code,
                      hostile[_i].message);
  ck_assert_ptr_nonnull(strstr(llq_error_message(), "raw.safetensors: "));
  ck_assert_ptr_null(strchr(llq_error_message(), '\n'));
}
END_TEST

START_TEST(deep_nesting_is_refused) {
  static char header[100000];
  memset(header, '[', sizeof header - 1);
  memcpy(header, "{\"a\":", 5);
  tiny_write_raw(test_path("deep.safetensors"), header, 0);
  struct llqi_safetensors file;
  llqi_error_clear();
  ck_assert_llq_fails(
      llqi_safetensors_open(&file, test_path("deep.safetensors")),
      LLQ_ERROR_FORMAT, "depth");
}
END_TEST

START_TEST(a_file_cut_anywhere_is_refused) {
  size_t n_data;
  json_t *header = tiny_header(&n_data);
  const char *path = test_path("cut.safetensors");
  tiny_write_file(path, header, n_data);
  json_decref(header);
  struct stat whole;
  ck_assert_int_eq(stat(path, &whole), 0);
  long step = 1;
  for (long size = 0; size < whole.st_size; size += step) {
    step = size < 5000 ? 1 : 997;
    tiny_write_file(path, header = tiny_header(&n_data), n_data);
    json_decref(header);
    ck_assert_int_eq(truncate(path, size), 0);
    struct llqi_safetensors file;
    llqi_error_clear();
    ck_assert_llq_fails(llqi_safetensors_open(&file, path), LLQ_ERROR_FORMAT,
                        "truncated?");
  }
}
END_TEST

/* Whatever the header says, what is accepted must be readable. */
static uint32_t touch(const struct llqi_safetensors *file) {
  uint32_t sum = 0;
  for (size_t i = 0; i < file->n_tensors; i++)
    for (size_t k = 0; k < file->tensors[i].n_bytes; k += 61)
      sum += ((const unsigned char *)file->tensors[i].data)[k];
  return sum;
}

START_TEST(flipped_bytes_in_a_header_do_no_harm) {
  size_t n_data, n;
  json_t *header = tiny_header(&n_data);
  const char *path = test_path("flip.safetensors");
  tiny_write_file(path, header, n_data);
  json_decref(header);
  char *bytes;
  ck_assert_llq_ok(llqi_file_read(path, 1 << 20, &bytes, &n));
  volatile uint32_t sum = 0;
  int n_accepted = 0;
  for (uint64_t turn = 0; turn < 4000; turn++) {
    const size_t at = (size_t)(llqi_uniform(1, turn, 0) * (double)(n - n_data));
    const char old = bytes[at];
    bytes[at] = (char)(256 * llqi_uniform(1, turn, 1));
    ck_assert_llq_ok(llqi_file_write(path, bytes, n));
    bytes[at] = old;
    struct llqi_safetensors file;
    llqi_error_clear();
    int status = llqi_safetensors_open(&file, path);
    if (status < 0) {
      ck_assert_ptr_nonnull(strstr(llq_error_message(), path));
      continue;
    }
    n_accepted++;
    sum += touch(&file);
    llqi_safetensors_close(&file);
  }
  ck_assert_int_gt(n_accepted, 0); /* a name may change */
  llqi_free(bytes);
}
END_TEST

/* A directory with shards "1" (tensor a) and "2" (tensors b, c), and an index
   of this text. */
static const char *write_shards(const char *index) {
  static char directory[400];
  snprintf(directory, sizeof directory, "%s", test_path("shards"));
  mkdir(directory, 0777);
  tiny_write_raw(test_path("shards/1.safetensors"), "{" A "}", 16);
  tiny_write_raw(
      test_path("shards/2.safetensors"),
      "{\"b\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[0,4]},"
      "\"c\":{\"dtype\":\"I8\",\"shape\":[2],\"data_offsets\":[4,6]}}",
      6);
  ck_assert_llq_ok(llqi_file_write(
      test_path("shards/model.safetensors.index.json"), index, strlen(index)));
  llqi_error_clear();
  return directory;
}

START_TEST(shards_are_found_through_their_index) {
  struct llqi_checkpoint *checkpoint;
  const char *directory =
      write_shards("{\"metadata\":{\"total_size\":22},\"weight_map\":{"
                   "\"c\":\"2.safetensors\",\"a\":\"1.safetensors\","
                   "\"b\":\"2.safetensors\"}}");
  ck_assert_llq_ok(llqi_checkpoint_open(&checkpoint, directory));
  ck_assert_uint_eq(llqi_checkpoint_n_tensors(checkpoint), 3);
  ck_assert_str_eq(llqi_checkpoint_at(checkpoint, 1)->name, "b");
  const struct llqi_tensor *c = llqi_checkpoint_find(checkpoint, "c");
  ck_assert_ptr_nonnull(c);
  ck_assert_ptr_nonnull(strstr(c->where, "2.safetensors"));
  ck_assert_ptr_null(llqi_checkpoint_find(checkpoint, "d"));
  llqi_checkpoint_close(checkpoint);
}
END_TEST

static const struct {
  const char *index, *message;
  int code;
} indices[] = {
    {"{}", "no \"weight_map\"", LLQ_ERROR_FORMAT},
    {"{\"weight_map\":{\"a\":\"3.safetensors\"}}",
     "3.safetensors: No such file", LLQ_ERROR_IO},
    {"{\"weight_map\":{\"a\":\"2.safetensors\"}}",
     "a: 2.safetensors has no such tensor", LLQ_ERROR_FORMAT},
    {"{\"weight_map\":{\"a\":\"../x\"}}",
     "a: \"../x\" is not the name of a file beside it", LLQ_ERROR_FORMAT},
    {"{\"weight_map\":{\"a\":\"/etc/passwd\"}}", "\"/etc/passwd\" is not",
     LLQ_ERROR_FORMAT},
    {"{\"weight_map\":{\"a\":\"..\"}}", "\"..\" is not", LLQ_ERROR_FORMAT},
    {"{\"weight_map\":{\"a\":\"\"}}", "\"\" is not", LLQ_ERROR_FORMAT},
    {"{\"weight_map\":{\"a\":\"1.safetensors\\u0000\"}}", "is not the name",
     LLQ_ERROR_FORMAT},
    {"{\"weight_map\":{\"a\":7}}", "a: no file name", LLQ_ERROR_FORMAT},
    {"{\"weight_map\":{\"a\":\"1.safetensors\",\"a\":\"2.safetensors\"}}",
     "duplicate", LLQ_ERROR_FORMAT},
};

START_TEST(a_bad_index_is_refused_with_its_reason) {
  struct llqi_checkpoint *checkpoint;
  const char *directory = write_shards(indices[_i].index);
  ck_assert_llq_fails(llqi_checkpoint_open(&checkpoint, directory),
                      indices[_i].code, indices[_i].message);
  ck_assert_ptr_null(checkpoint);
}
END_TEST

START_TEST(a_directory_without_weights_is_refused) {
  struct llqi_checkpoint *checkpoint;
  llqi_error_clear();
  ck_assert_llq_fails(llqi_checkpoint_open(&checkpoint, test_directory()),
                      LLQ_ERROR_IO, "no model.safetensors and no");
}
END_TEST

START_TEST(memory_may_run_out_anywhere) {
  const char *directory =
      write_shards("{\"weight_map\":{\"c\":\"2.safetensors\","
                   "\"a\":\"1.safetensors\",\"b\":\"2.safetensors\"}}");
  int status = LLQ_ERROR_MEMORY;
  for (long n = 1; status != LLQ_OK; n++) {
    struct llqi_checkpoint *checkpoint;
    llqi_error_clear();
    llqi_alloc_fail_at(n, 0);
    status = llqi_checkpoint_open(&checkpoint, directory);
    llqi_alloc_fail_at(0, 0);
    ck_assert(status == LLQ_OK || status == LLQ_ERROR_MEMORY);
    ck_assert_int_lt(n, 1000);
    llqi_checkpoint_close(checkpoint);
  }
}
END_TEST

Suite *test_suite(void) {
  Suite *suite = suite_create("checkpoint");
  TCase *tests = tcase_create("checkpoint");
  tcase_set_timeout(tests, 120);
  tcase_add_test(tests, a_file_gives_its_tensors);
  tcase_add_loop_test(tests, a_hostile_header_is_refused_with_its_reason, 0,
                      sizeof hostile / sizeof *hostile);
  tcase_add_test(tests, deep_nesting_is_refused);
  tcase_add_test(tests, a_file_cut_anywhere_is_refused);
  tcase_add_test(tests, flipped_bytes_in_a_header_do_no_harm);
  tcase_add_test(tests, shards_are_found_through_their_index);
  tcase_add_loop_test(tests, a_bad_index_is_refused_with_its_reason, 0,
                      sizeof indices / sizeof *indices);
  tcase_add_test(tests, a_directory_without_weights_is_refused);
  tcase_add_test(tests, memory_may_run_out_anywhere);
  suite_add_tcase(suite, tests);
  return suite;
}
