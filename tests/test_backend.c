/* SPDX-License-Identifier: Apache-2.0 */
/* Backends by name, plugins that cannot be used, and arguments that are
   refused before a backend sees them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/backend.h"
#include "backend/plugin.h"
#include "base/file.h"
#include "base/status.h"
#include "support.h"

static llq_backend *open_cpu(void) {
  llq_backend *backend;
  ck_assert_llq_ok(llq_backend_open(&backend, "cpu", NULL));
  return backend;
}

START_TEST(the_cpu_is_the_first_device) {
  size_t n;
  ck_assert_llq_ok(llq_device_count(&n));
  ck_assert_uint_ge(n, 1);
  llq_device_info info = LLQ_DEVICE_INFO_INIT;
  ck_assert_llq_ok(llq_device_get(0, &info));
  ck_assert_str_eq(info.backend, "cpu");
  ck_assert_int_eq(info.usable, 1);
  ck_assert_int_ge(info.n_units, 1);
  ck_assert_uint_gt(info.memory_bytes, info.memory_free_bytes);
  ck_assert_uint_gt(info.memory_free_bytes, 0);
  ck_assert_str_ne(info.name, "");
  ck_assert_llq_fails(llq_device_get(n, &info), LLQ_ERROR_ARGUMENT,
                      "no device");
}
END_TEST

START_TEST(an_older_caller_s_description_is_not_overrun) {
  llq_device_info info;
  memset(&info, 0x5a, sizeof info);
  info.struct_size = offsetof(llq_device_info, name);
  ck_assert_llq_ok(llq_device_get(0, &info));
  ck_assert_str_eq(info.backend, "cpu");
  ck_assert_int_eq(info.name[0], 0x5a);
}
END_TEST

START_TEST(a_backend_opens_by_name_arch_and_environment) {
  llq_backend_options options = LLQ_BACKEND_OPTIONS_INIT;
  options.arch = "reference";
  llq_backend *backend;
  ck_assert_llq_ok(llq_backend_open(&backend, "cpu:0", &options));
  llq_device_info info = LLQ_DEVICE_INFO_INIT;
  ck_assert_llq_ok(llq_backend_describe(backend, &info));
  ck_assert_str_eq(info.arch, "reference");
  llq_backend_close(backend);
  llq_backend_close(NULL);
  setenv("LLQ_BACKEND", "nothing", 1);
  ck_assert_llq_fails(llq_backend_open(&backend, NULL, NULL),
                      LLQ_ERROR_ARGUMENT, "no backend \"nothing\"");
  unsetenv("LLQ_BACKEND");
  ck_assert_llq_ok(llq_backend_open(&backend, NULL, NULL));
  llq_backend_close(backend);
}
END_TEST

static const struct {
  const char *name, *arch, *message;
} wrong[] = {
    {"cpu:1", NULL, "cpu:1: there are 1 devices"},
    {"cpu:x", NULL, "expected a device number"},
    {"cpu:", NULL, "expected a device number"},
    {"cpu:0000000", NULL, "expected a device number"},
    {"a-name-of-more-than-fifteen", NULL, "no backend"},
    {":0", NULL, "no backend"},
    {"cpu", "sse9", "reference, avx2, avx512"},
};

START_TEST(names_that_mean_nothing_are_refused) {
  llq_backend_options options = LLQ_BACKEND_OPTIONS_INIT;
  options.arch = wrong[_i].arch;
  llq_backend *backend;
  ck_assert_llq_fails(llq_backend_open(&backend, wrong[_i].name, &options),
                      LLQ_ERROR_ARGUMENT, wrong[_i].message);
}
END_TEST

/* The device that a plugin's file shows as. */
static void find_device(const char *backend, llq_device_info *info) {
  size_t n;
  ck_assert_llq_ok(llq_device_count(&n));
  for (size_t i = 0; i < n; i++) {
    *info = (llq_device_info)LLQ_DEVICE_INFO_INIT;
    ck_assert_llq_ok(llq_device_get(i, info));
    if (strcmp(info->backend, backend) == 0)
      return;
  }
  ck_abort_msg("no device of %s", backend);
}

START_TEST(a_plugin_that_does_not_load_says_why) {
  ck_assert_llq_ok(llqi_file_write(test_path("llq-broken.so"), "no ELF", 6));
  setenv("LLQ_BACKEND_PATH", test_directory(), 1);
  llq_device_info info;
  find_device("broken", &info);
  ck_assert_int_eq(info.usable, 0);
  ck_assert_ptr_nonnull(strstr(info.reason, "llq-broken.so"));
  llq_backend *backend;
  ck_assert_llq_fails(llq_backend_open(&backend, "broken", NULL),
                      LLQ_ERROR_DEVICE, "llq-broken.so");
  ck_assert_llq_fails(
      (llqi_error_clear(), llq_backend_open(&backend, "absent", NULL)),
      LLQ_ERROR_ARGUMENT, "llq-absent.so");
}
END_TEST

/* A plugin is compiled from a few lines; skipped without a compiler. */
static int build_plugin(const char *name, const char *body) {
  const char *compiler = getenv("CC"), *top = getenv("top_srcdir");
  char command[2000];
  ck_assert_llq_ok(llqi_file_write(test_path("plugin.c"), body, strlen(body)));
  snprintf(command, sizeof command,
           "%s -shared -fPIC -I%s/include -o %s/llq-%s.so %s",
           compiler != NULL ? compiler : "cc", top != NULL ? top : "..",
           test_directory(), name, test_path("plugin.c"));
  return system(command) == 0;
}

#define TEXT(x) #x
#define TEXT_OF(macro) TEXT(macro)

#define ENTRY                                                                  \
  "const llq_backend_table *llq_backend_entry(const llq_host *host,"           \
  " uint32_t abi) { return &table; }"

START_TEST(plugins_of_another_abi_or_without_tables_are_named) {
  if (!build_plugin("old",
                    "#include <llq/backend.h>\n"
                    "static const llq_backend_table table = {99};\n" ENTRY) ||
      !build_plugin("empty", "#include <llq/backend.h>\n"
                             "static const llq_backend_table table ="
                             " {LLQ_BACKEND_ABI};\n" ENTRY) ||
      !build_plugin("bare", "int x;")) {
    printf("# SKIP no C compiler for a plugin\n");
    return;
  }
  setenv("LLQ_BACKEND_PATH", test_directory(), 1);
  llq_backend *backend;
  ck_assert_llq_fails(llq_backend_open(&backend, "old", NULL),
                      LLQ_ERROR_VERSION,
                      "llq-old.so: ABI 99, expected " TEXT_OF(LLQ_BACKEND_ABI));
  ck_assert_llq_fails(llq_backend_open(&backend, "empty", NULL),
                      LLQ_ERROR_DEVICE, "llq-empty.so: no table of devices");
  ck_assert_llq_fails(llq_backend_open(&backend, "bare", NULL),
                      LLQ_ERROR_DEVICE, "no llq_backend_entry");
  llq_device_info info;
  find_device("old", &info);
  ck_assert_int_eq(info.usable, 0);
}
END_TEST

START_TEST(a_missing_operation_is_named) {
  llq_backend_ops ops = *llqi_cpu_backend.ops;
  llq_backend_table table = llqi_cpu_backend;
  table.ops = &ops;
  ck_assert_llq_ok(llqi_table_check(&table, "llq-x.so"));
  ops.swiglu = NULL;
  ck_assert_llq_fails(llqi_table_check(&table, "llq-x.so"), LLQ_ERROR_DEVICE,
                      "llq-x.so: no \"swiglu\" in its table of operations");
  llqi_error_clear();
  ops = *llqi_cpu_backend.ops;
  ops.struct_size = offsetof(llq_backend_ops, page_copy); /* an older one */
  ck_assert_llq_fails(llqi_table_check(&table, "llq-x.so"), LLQ_ERROR_DEVICE,
                      "\"page_copy\"");
  llqi_error_clear();
  table.abi++;
  ck_assert_llq_fails(llqi_table_check(&table, "llq-x.so"), LLQ_ERROR_VERSION,
                      ", expected " TEXT_OF(LLQ_BACKEND_ABI));
  llqi_error_clear();
  table.abi--;
  llq_backend_fused fused = {.struct_size = sizeof fused};
  table.ops = llqi_cpu_backend.ops;
  table.fused = &fused;
  ck_assert_llq_fails(llqi_table_check(&table, "llq-x.so"), LLQ_ERROR_DEVICE,
                      "\"linear_join\" in its table of fused operations");
}
END_TEST

static llq_weight small_weight(void) {
  static const float data[4 * 16];
  llq_weight weight = {sizeof weight,
                       LLQ_WEIGHT_DENSE,
                       LLQ_F32,
                       0,
                       0,
                       4,
                       16,
                       16,
                       data,
                       data,
                       NULL,
                       NULL};
  return weight;
}

static void expect_weight_refused(llq_weight weight, int status,
                                  const char *message) {
  llq_backend *backend = open_cpu();
  struct llqi_linear_handle linear;
  ck_assert_llq_fails(llqi_linear_upload(backend, &weight, LLQ_F32, &linear),
                      status, message);
  ck_assert_ptr_null(linear.linear);
  llq_backend_close(backend);
}

START_TEST(weights_that_contradict_themselves_are_refused) {
  llq_weight weight = small_weight();
  weight.data = NULL;
  expect_weight_refused(weight, LLQ_ERROR_ARGUMENT, "no data");
  weight = small_weight();
  weight.format = 9;
  expect_weight_refused(weight, LLQ_ERROR_ARGUMENT, "format 9");
  weight = small_weight();
  weight.dtype = LLQ_I8;
  expect_weight_refused(weight, LLQ_ERROR_ARGUMENT, "type I8");
  weight = small_weight();
  weight.n_in = 0;
  expect_weight_refused(weight, LLQ_ERROR_ARGUMENT, "shape [4, 0]");
  weight = small_weight();
  weight.activation = LLQ_ACTIVATION_INT8;
  expect_weight_refused(weight, LLQ_ERROR_UNSUPPORTED, "inputs quantized");
  weight = small_weight();
  weight.format = LLQ_WEIGHT_INT8;
  weight.group_size = 5;
  expect_weight_refused(weight, LLQ_ERROR_ARGUMENT, "groups of 5");
  weight.group_size = 8;
  weight.activation = LLQ_ACTIVATION_INT8;
  expect_weight_refused(weight, LLQ_ERROR_UNSUPPORTED, "groups of 8");
  weight = small_weight();
  weight.format = LLQ_WEIGHT_FP8;
  weight.scale = NULL;
  expect_weight_refused(weight, LLQ_ERROR_ARGUMENT, "no scales");
  weight = small_weight();
  weight.format = LLQ_WEIGHT_INT4;
  int32_t groups[16] = {0, 0, 0, 1};
  weight.group_index = groups;
  expect_weight_refused(weight, LLQ_ERROR_ARGUMENT, "input 3 is of group 1");
}
END_TEST

START_TEST(shapes_and_types_that_do_not_fit_are_refused) {
  llq_backend *backend = open_cpu();
  float data[64] = {0};
  int32_t ids[2] = {0, 4};
  llq_view x = {data, 2, 8, LLQ_F32}, y = {data, 2, 8, LLQ_F32};
  llq_view narrow = {data, 2, 7, LLQ_F32}, halves = {data, 2, 8, LLQ_F16};
  llq_view nothing = {NULL, 2, 8, LLQ_F32}, bf16 = {data, 2, 8, LLQ_BF16};
  llq_view one = {data, 1, 8, LLQ_F32}, table = {data, 4, 8, LLQ_F32};
  ck_assert_llq_fails(llqi_op_add(backend, &x, &narrow), LLQ_ERROR_ARGUMENT,
                      "add: y: shape [2, 7], expected [2, 8]");
  llqi_error_clear();
  ck_assert_llq_fails(llqi_op_add(backend, &halves, &y), LLQ_ERROR_ARGUMENT,
                      "type F16");
  llqi_error_clear();
  ck_assert_llq_fails(llqi_op_add(backend, &nothing, &y), LLQ_ERROR_ARGUMENT,
                      "no data");
  llqi_error_clear();
  ck_assert_llq_fails(llqi_op_swiglu(backend, &x, &bf16, &x),
                      LLQ_ERROR_ARGUMENT, "swiglu: up: type BF16");
  llqi_error_clear();
  ck_assert_llq_fails(llqi_op_rms_norm(backend, &x, &y, 1e-5f, &y),
                      LLQ_ERROR_ARGUMENT, "rms_norm: weight: shape");
  llqi_error_clear();
  ck_assert_llq_fails(llqi_op_rms_norm(backend, &x, &one, -1, &y),
                      LLQ_ERROR_ARGUMENT, "eps");
  llqi_error_clear();
  ck_assert_llq_fails(llqi_op_embed(backend, &table, ids, &y),
                      LLQ_ERROR_ARGUMENT, "embed: ids: number 1 is 4");
  llqi_error_clear();
  ck_assert_llq_fails(llqi_op_gather(backend, &x, ids, &y), LLQ_ERROR_ARGUMENT,
                      "gather: rows: number 1 is 4");
  llq_backend_close(backend);
}
END_TEST

static int append(llq_backend *backend, const llq_batch *batch, int n_kv_heads,
                  int n_positions) {
  static float data[64];
  llqi_error_clear();
  llq_view q = {data, 2, 4, LLQ_F32}, k = q, v = q;
  llq_view cos_sin = {data, n_positions, 4, LLQ_F32};
  llq_kv cache = {data, data, LLQ_F32, 2, 2, n_kv_heads, 4, 0, 0};
  return llqi_op_rope_append(backend, batch, &cos_sin, &q, &k, &v, &cache);
}

START_TEST(batches_that_leave_the_cache_are_refused) {
  llq_backend *backend = open_cpu();
  int32_t pages[2] = {1, 0};
  llq_segment segment = {0, 2, 0, 0};
  llq_batch batch = {&segment, pages, 1, 2, 2, 2};
  ck_assert_llq_ok(append(backend, &batch, 1, 4));
  ck_assert_llq_fails(append(backend, &batch, 1, 1), LLQ_ERROR_ARGUMENT,
                      "position 1 of 1");
  ck_assert_llq_fails(append(backend, &batch, 3, 4), LLQ_ERROR_ARGUMENT,
                      "KV heads");
  segment.first_position = 3;
  ck_assert_llq_fails(append(backend, &batch, 1, 9), LLQ_ERROR_ARGUMENT,
                      "of 2 listed");
  segment.first_position = -1;
  ck_assert_llq_fails(append(backend, &batch, 1, 9), LLQ_ERROR_ARGUMENT,
                      "first position -1");
  segment = (llq_segment){1, 2, 0, 0};
  ck_assert_llq_fails(append(backend, &batch, 1, 9), LLQ_ERROR_ARGUMENT,
                      "rows 1 to 3 of 2");
  segment = (llq_segment){0, 2, 0, 0};
  pages[1] = 2;
  ck_assert_llq_fails(append(backend, &batch, 1, 9), LLQ_ERROR_ARGUMENT,
                      "pages: number 1 is 2");
  pages[1] = 0;
  batch.page_size = 4;
  ck_assert_llq_fails(append(backend, &batch, 1, 9), LLQ_ERROR_ARGUMENT,
                      "pages of 4");
  llq_backend_close(backend);
}
END_TEST

Suite *test_suite(void) {
  Suite *suite = suite_create("backend");
  TCase *tests = tcase_create("backend");
  tcase_set_timeout(tests, 60);
  tcase_add_test(tests, the_cpu_is_the_first_device);
  tcase_add_test(tests, an_older_caller_s_description_is_not_overrun);
  tcase_add_test(tests, a_backend_opens_by_name_arch_and_environment);
  tcase_add_loop_test(tests, names_that_mean_nothing_are_refused, 0,
                      (int)(sizeof wrong / sizeof wrong[0]));
  tcase_add_test(tests, a_plugin_that_does_not_load_says_why);
  tcase_add_test(tests, plugins_of_another_abi_or_without_tables_are_named);
  tcase_add_test(tests, a_missing_operation_is_named);
  tcase_add_test(tests, weights_that_contradict_themselves_are_refused);
  tcase_add_test(tests, shapes_and_types_that_do_not_fit_are_refused);
  tcase_add_test(tests, batches_that_leave_the_cache_are_refused);
  suite_add_tcase(suite, tests);
  return suite;
}
