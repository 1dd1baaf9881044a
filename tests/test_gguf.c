/* SPDX-License-Identifier: Apache-2.0 */
/* GGUF files: what is read, and what is refused. */
#include <llq/model.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/random.h"
#include "base/status.h"
#include "checkpoint/gguf.h"
#include "support.h"

/* A file under construction. */
struct builder {
  unsigned char bytes[4096];
  size_t n;
};

static void put(struct builder *b, uint64_t x, size_t n_bytes) {
  for (size_t i = 0; i < n_bytes; i++)
    b->bytes[b->n++] = (unsigned char)(x >> 8 * i);
}

static void put_text(struct builder *b, const char *text) {
  put(b, strlen(text), 8);
  memcpy(b->bytes + b->n, text, strlen(text));
  b->n += strlen(text);
}

static void put_tensor(struct builder *b, const char *name, uint64_t cols,
                       uint64_t rows, uint32_t type, uint64_t offset) {
  put_text(b, name);
  put(b, 2, 4);
  put(b, cols, 8);
  put(b, rows, 8);
  put(b, type, 4);
  put(b, offset, 8);
}

enum { VERSION = 4, N_TENSORS = 8, N_VALUES = 16 }; /* places in a file */

/* Two values (one: 7; list: "abc"), then tensor a, 2 rows of 32 in Q8_0, and
   b, 1 row of 4 in F32. */
static struct builder good(void) {
  static struct builder b;
  memset(&b, 0, sizeof b);
  memcpy(b.bytes, "GGUF", 4);
  b.n = 4;
  put(&b, 3, 4);
  put(&b, 2, 8);
  put(&b, 2, 8);
  put_text(&b, "o");
  put(&b, 4, 4);
  put(&b, 7, 4);
  put_text(&b, "l");
  put(&b, 9, 4);
  put(&b, 8, 4);
  put(&b, 1, 8);
  put_text(&b, "abc");
  put_tensor(&b, "a", 32, 2, 8, 0);
  put_tensor(&b, "b", 4, 1, 0, 96);
  b.n = (b.n + 31) / 32 * 32;
  for (int i = 0; i < 96 + 16; i++)
    put(&b, (uint64_t)i, 1);
  return b;
}

static int open_built(const struct builder *b, struct llqi_gguf *gguf) {
  const char *path = test_path("built.gguf");
  ck_assert_llq_ok(llqi_file_write(path, b->bytes, b->n));
  llqi_error_clear();
  return llqi_gguf_open(gguf, path);
}

/* Where a text with its length is. */
static size_t place_of(const struct builder *b, const char *text) {
  const size_t n = strlen(text);
  size_t i = 0;
  unsigned char wanted[16] = {(unsigned char)n};
  memcpy(wanted + 8, text, n);
  while (memcmp(b->bytes + i, wanted, 8 + n) != 0)
    i++;
  return i;
}

START_TEST(a_file_gives_its_values_and_tensors) {
  struct llqi_gguf gguf;
  struct builder b = good();
  ck_assert_llq_ok(open_built(&b, &gguf));
  int64_t one = 0;
  ck_assert_llq_ok(llqi_gguf_int(&gguf, "o", 0, 9, &one));
  ck_assert_int_eq(one, 7);
  ck_assert_llq_fails(llqi_gguf_int(&gguf, "o", 0, 6, &one), LLQ_ERROR_FORMAT,
                      "o: 7, expected 0 to 6");
  llqi_error_clear();
  ck_assert_llq_fails(llqi_gguf_int(&gguf, "l", 0, 6, &one), LLQ_ERROR_FORMAT,
                      "l: not an integer");
  struct llqi_gguf_list list;
  size_t n;
  ck_assert_llq_ok(llqi_gguf_texts(&gguf, "l", &list));
  ck_assert_uint_eq(list.left, 1);
  ck_assert_mem_eq(llqi_gguf_next_text(&list, &n), "abc", 3);
  ck_assert_uint_eq(n, 3);
  const struct llqi_gguf_tensor *a = llqi_gguf_find(&gguf, "a");
  ck_assert_ptr_nonnull(a);
  ck_assert_str_eq(a->type->name, "Q8_0");
  ck_assert_int_eq(a->n_rows, 2);
  ck_assert_uint_eq(a->n_bytes, 68);
  ck_assert_int_eq(((const unsigned char *)a->data)[5], 5);
  ck_assert_ptr_null(llqi_gguf_find(&gguf, "c"));
  llqi_gguf_close(&gguf);
}
END_TEST

/* What is overwritten: `at` bytes behind the beginning of a text with its
   length. */
static const struct {
  const char *name; /* NULL: from the file's beginning */
  size_t at, n_bytes;
  uint64_t value;
  const char *message;
  int code;
} hostile[] = {
    {NULL, 0, 1, 'X', "no GGUF file", LLQ_ERROR_FORMAT},
    {NULL, VERSION, 4, 2, "version 2 is not", LLQ_ERROR_UNSUPPORTED},
    {NULL, VERSION, 4, 0x03000000, "version 50331648", LLQ_ERROR_UNSUPPORTED},
    {NULL, N_TENSORS, 8, UINT64_MAX, "18446744073709551615 tensors",
     LLQ_ERROR_FORMAT},
    {NULL, N_TENSORS, 8, 3, "header ends too early", 0},
    {NULL, N_VALUES, 8, UINT64_MAX, "18446744073709551615 keys",
     LLQ_ERROR_FORMAT},
    {"o", 0, 8, UINT64_MAX, "ends too early", LLQ_ERROR_FORMAT},
    {"o", 0, 8, 0, "a name of 0 bytes", LLQ_ERROR_FORMAT},
    {"o", 8, 1, 0, "or with NUL", LLQ_ERROR_FORMAT},
    {"o", 8, 1, 'l', "l: given twice", LLQ_ERROR_FORMAT},
    {"o", 9, 4, 13, "o: a value of type 13", LLQ_ERROR_FORMAT},
    {"l", 13, 4, 9, "l: elements of type 9", LLQ_ERROR_FORMAT},
    {"l", 13, 4, 12, "b: ", 0},
    {"l", 17, 8, UINT64_MAX / 4, "ends too early", LLQ_ERROR_FORMAT},
    {"abc", 0, 8, UINT64_MAX - 8, "ends too early", LLQ_ERROR_FORMAT},
    {"a", 8, 1, 'b', "b: given twice", LLQ_ERROR_FORMAT},
    {"a", 9, 4, 0, "a: not of 1 to 4 dimensions", LLQ_ERROR_FORMAT},
    {"a", 9, 4, 5, "a: not of 1 to 4 dimensions", LLQ_ERROR_FORMAT},
    {"a", 13, 8, 0, "a: its shape is empty", LLQ_ERROR_FORMAT},
    {"a", 13, 8, 31, "a: its rows are no whole blocks", LLQ_ERROR_FORMAT},
    {"a", 21, 8, UINT64_MAX / 16, "a: its shape is empty or too large",
     LLQ_ERROR_FORMAT},
    {"a", 21, 8, 3, "b: overlaps a", LLQ_ERROR_FORMAT},
    {"a", 21, 8, 1000, "a: its data is not within", LLQ_ERROR_FORMAT},
    {"a", 29, 4, 10, "a: weights of type 10", LLQ_ERROR_UNSUPPORTED},
    {"a", 29, 4, UINT32_MAX, "a: weights of type 4294967295",
     LLQ_ERROR_UNSUPPORTED},
    {"a", 33, 8, 8, "a: its data is not aligned", LLQ_ERROR_FORMAT},
    {"a", 33, 8, UINT64_MAX - 31, "a: its data is not within",
     LLQ_ERROR_FORMAT},
    {"b", 33, 8, 64, "b: overlaps a", LLQ_ERROR_FORMAT},
};

START_TEST(a_hostile_file_is_refused_with_its_reason) {
  struct llqi_gguf gguf;
  struct builder b = good();
  size_t at = hostile[_i].at;
  if (hostile[_i].name != NULL)
    at += place_of(&b, hostile[_i].name);
  b.n = b.n > at ? b.n : at;
  for (size_t i = 0; i < hostile[_i].n_bytes; i++)
    b.bytes[at + i] = (unsigned char)(hostile[_i].value >> 8 * i);
  int status = open_built(&b, &gguf);
  ck_assert_int_lt(status, 0);
  if (hostile[_i].code != 0)
    ck_assert_llq_fails(status, hostile[_i].code, hostile[_i].message);
  ck_assert_ptr_nonnull(strstr(llq_error_message(), "built.gguf: "));
}
END_TEST

START_TEST(a_file_cut_anywhere_is_refused) {
  struct llqi_gguf gguf;
  struct builder b = good();
  for (const size_t whole = b.n; b.n > 0;) {
    ck_assert_uint_le(--b.n, whole);
    ck_assert_int_lt(open_built(&b, &gguf), 0);
  }
}
END_TEST

START_TEST(flipped_bytes_do_no_harm) {
  volatile uint32_t sum = 0;
  int n_accepted = 0;
  for (uint64_t turn = 0; turn < 4000; turn++) {
    struct llqi_gguf gguf;
    struct builder b = good();
    b.bytes[(size_t)(llqi_uniform(1, turn, 0) * (double)(b.n - 112))] =
        (unsigned char)(256 * llqi_uniform(1, turn, 1));
    if (open_built(&b, &gguf) < 0)
      continue;
    n_accepted++;
    for (size_t i = 0; i < gguf.n_tensors; i++)
      for (size_t k = 0; k < gguf.tensors[i].n_bytes; k++)
        sum += ((const unsigned char *)gguf.tensors[i].data)[k];
    llqi_gguf_close(&gguf);
  }
  ck_assert_int_gt(n_accepted, 0);
}
END_TEST

START_TEST(a_file_that_is_no_llama_is_refused_by_name) {
  llq_model *model;
  struct llqi_gguf gguf;
  struct builder b = good();
  ck_assert_llq_ok(open_built(&b, &gguf));
  llqi_gguf_close(&gguf);
  ck_assert_llq_fails(llq_model_open(&model, test_path("built.gguf"), NULL),
                      LLQ_ERROR_FORMAT, "no general.architecture");
  ck_assert_llq_fails(llq_model_open(&model, test_path("absent.gguf"), NULL),
                      LLQ_ERROR_IO, "absent.gguf");
  llq_tokenizer *tokenizer;
  ck_assert_llq_fails(llq_tokenizer_open(&tokenizer, test_path("built.gguf")),
                      LLQ_ERROR_UNSUPPORTED, "tokenizer.ggml.model");
}
END_TEST

START_TEST(memory_may_run_out_anywhere) {
  struct builder b = good();
  int status = LLQ_ERROR_MEMORY;
  ck_assert_llq_ok(llqi_file_write(test_path("memory.gguf"), b.bytes, b.n));
  for (long n = 1; status != LLQ_OK; n++) {
    struct llqi_gguf gguf;
    llqi_error_clear();
    llqi_alloc_fail_at(n, 0);
    status = llqi_gguf_open(&gguf, test_path("memory.gguf"));
    llqi_alloc_fail_at(0, 0);
    ck_assert(status == LLQ_OK || status == LLQ_ERROR_MEMORY);
    ck_assert_int_lt(n, 100);
    llqi_gguf_close(&gguf);
  }
}
END_TEST

Suite *test_suite(void) {
  Suite *suite = suite_create("gguf");
  TCase *tests = tcase_create("gguf");
  tcase_set_timeout(tests, 120);
  tcase_add_test(tests, a_file_gives_its_values_and_tensors);
  tcase_add_loop_test(tests, a_hostile_file_is_refused_with_its_reason, 0,
                      sizeof hostile / sizeof *hostile);
  tcase_add_test(tests, a_file_cut_anywhere_is_refused);
  tcase_add_test(tests, flipped_bytes_do_no_harm);
  tcase_add_test(tests, a_file_that_is_no_llama_is_refused_by_name);
  tcase_add_test(tests, memory_may_run_out_anywhere);
  suite_add_tcase(suite, tests);
  return suite;
}
