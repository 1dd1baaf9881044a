/* SPDX-License-Identifier: Apache-2.0 */
/* Models of random weights, of shapes that are known or of a config.json. */
#include <math.h>
#include <stdio.h>
#include <string.h>

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

static llq_model *open_random(const char *source, uint64_t seed) {
  llq_model *model;
  llq_model_options options = LLQ_MODEL_OPTIONS_INIT;
  options.seed = seed;
  ck_assert_llq_ok(llq_model_open(&model, source, &options));
  return model;
}

/* Mean and deviation of a weight's values. */
static void moments(const llq_weight *w, double *mean, double *deviation) {
  const size_t n = (size_t)(w->n_out * w->n_in);
  double sum = 0, squares = 0;
  for (size_t i = 0; i < n; i++) {
    const double x = llqi_load_f32(w->dtype, w->data, i);
    sum += x;
    squares += x * x;
  }
  *mean = sum / (double)n;
  *deviation = sqrt(squares / (double)n);
}

START_TEST(random_weights_depend_on_shape_and_seed_alone) {
  char source[600];
  write_good();
  snprintf(source, sizeof source, "random:%s", test_path("good/config.json"));
  llq_model *a = open_random(source, 7), *b = open_random(source, 7),
            *c = open_random(source, 8);
  for (int k = 0; k < LLQI_N_LINEARS; k++) {
    const llq_weight *w = &a->layers[1].linears[k];
    const size_t n = (size_t)(w->n_out * w->n_in) * 2;
    ck_assert_mem_eq(w->data, b->layers[1].linears[k].data, n);
    ck_assert_mem_ne(w->data, c->layers[1].linears[k].data, n);
    ck_assert_mem_ne(w->data, a->layers[0].linears[k].data, n);
    double mean, deviation;
    moments(w, &mean, &deviation);
    ck_assert_double_lt(fabs(mean), 0.002);
    ck_assert_double_lt(fabs(deviation - 0.02), 0.002);
  }
  ck_assert_double_eq(llqi_load_f32(LLQ_BF16, a->layers[0].input_norm.data, 63),
                      1);
  llq_model_close(a);
  llq_model_close(b);
  llq_model_close(c);
}
END_TEST

static const struct {
  const char *source;
  uint64_t n_parameters, n_weight_bytes;
  uint64_t int4_bytes; /* in w4a16-int, groups of 128 */
} shapes[] = {
    /* Parameter counts as Hugging Face's model pages give them. */
    {"random:llama-3.2-1b", 1235814400, 2471628800, 0},
    {"random:llama-3.2-3b", 3212749824, 6425499648, 0},
    {"random:llama-3.1-8b", 8030261248, 16060522496,
     2 * 1050939392ull + 6979321856ull / 2 + 6979321856ull / 64},
    {"random:llama-3.1-70b", 70553706496, 141107412992, 0},
};

START_TEST(known_shapes_have_their_published_sizes) {
  llq_model *model = open_random(shapes[_i].source, 0);
  llq_model_info info = LLQ_MODEL_INFO_INIT;
  ck_assert_llq_ok(llq_model_describe(model, &info));
  ck_assert_uint_eq(info.n_parameters, shapes[_i].n_parameters);
  ck_assert_uint_eq(info.n_weight_bytes, shapes[_i].n_weight_bytes);
  uint64_t n_bytes;
  ck_assert_llq_ok(llq_model_bytes_in(model, "bf16", 0, &n_bytes));
  ck_assert_uint_eq(n_bytes, shapes[_i].n_weight_bytes);
  ck_assert_llq_ok(llq_model_bytes_in(model, "w4a16-int", 0, &n_bytes));
  if (shapes[_i].int4_bytes > 0)
    ck_assert_uint_eq(n_bytes, shapes[_i].int4_bytes);
  /* The last weight is there to read, too. */
  const llq_weight *last = &model->layers[info.n_layers - 1].linears[LLQI_DOWN];
  const size_t n = (size_t)(last->n_out * last->n_in);
  ck_assert_double_lt(fabs(llqi_load_f32(LLQ_BF16, last->data, n - 1)), 0.2);
  llq_model_close(model);
}
END_TEST

START_TEST(an_unknown_shape_or_scheme_is_refused) {
  llq_model *model;
  uint64_t n_bytes;
  ck_assert_llq_fails(llq_model_open(&model, "random:gpt-5", NULL),
                      LLQ_ERROR_ARGUMENT, "gpt-5");
  ck_assert_llq_fails(llq_model_open(&model, "random:absent.json", NULL),
                      LLQ_ERROR_IO, "absent.json");
  ck_assert_llq_ok(llq_model_open(&model, write_good(), NULL));
  ck_assert_llq_fails(llq_model_bytes_in(model, "w3", 0, &n_bytes),
                      LLQ_ERROR_ARGUMENT, "w3");
  ck_assert_llq_fails(llq_model_bytes_in(model, "bf16", 7, &n_bytes),
                      LLQ_ERROR_ARGUMENT, "group_size is 7");
  llq_model_close(model);
}
END_TEST

Suite *test_suite(void) {
  Suite *suite = suite_create("random_model");
  TCase *tests = tcase_create("random_model");
  tcase_set_timeout(tests, 120);
  tcase_add_test(tests, random_weights_depend_on_shape_and_seed_alone);
  tcase_add_loop_test(tests, known_shapes_have_their_published_sizes, 0,
                      sizeof shapes / sizeof *shapes);
  tcase_add_test(tests, an_unknown_shape_or_scheme_is_refused);
  suite_add_tcase(suite, tests);
  return suite;
}
