/* SPDX-License-Identifier: Apache-2.0 */
#include "guarded.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "base/status.h"
#include "support.h"
#include "tensor/dtype.h"

#define GUARD 64
#define PATTERN 0xa5

char subjects[SUBJECTS_MAX][32];

static const char *const archs_of[][4] = {
    {"cpu", "avx2", "avx512", NULL},
    {"cuda", "sm80", "sm90", NULL},
};

static llq_backend *try_open(const char *name, const char *arch) {
  llq_backend_options options = LLQ_BACKEND_OPTIONS_INIT;
  options.arch = arch;
  options.n_threads = 2;
  llq_backend *backend = NULL;
  return llq_backend_open(&backend, name, &options) == LLQ_OK ? backend : NULL;
}

static int add_subject(int n, const char *name, const char *arch) {
  llq_backend *backend = try_open(name, arch);
  if (backend == NULL || n == SUBJECTS_MAX)
    return n;
  llq_backend_close(backend);
  snprintf(subjects[n], sizeof subjects[n], "%.20s/%.8s", name, arch);
  return n + 1;
}

static int find_all(void) {
  int n = 0;
  size_t n_devices = 0;
  llq_device_count(&n_devices);
  for (size_t i = 0; i < n_devices; i++) {
    llq_device_info info = LLQ_DEVICE_INFO_INIT;
    llq_device_get(i, &info);
    for (size_t b = 0; b < sizeof archs_of / sizeof archs_of[0]; b++)
      for (int a = 1;
           strcmp(info.backend, archs_of[b][0]) == 0 && archs_of[b][a] != NULL;
           a++) {
        char name[sizeof info.backend + 12];
        snprintf(name, sizeof name, "%s:%d", info.backend, info.index);
        n = add_subject(n, name, archs_of[b][a]);
      }
  }
  return n;
}

/* CUDA, once looked at, cannot be used in a forked child. */
static void keep_tests_in_this_process(void) {
  setenv("CK_FORK", "no", 1);
}

int find_subjects(void) {
  keep_tests_in_this_process();
  const char *list = getenv("LLQ_TEST_BACKENDS");
  if (list == NULL)
    return find_all();
  int n = 0;
  char copy[512];
  snprintf(copy, sizeof copy, "%s", list);
  for (char *name = strtok(copy, ","); name != NULL && n < SUBJECTS_MAX;
       name = strtok(NULL, ","))
    snprintf(subjects[n++], sizeof subjects[0], "%s", name);
  return n;
}

static llq_backend *try_subject(int i) {
  char name[sizeof subjects[0]];
  memcpy(name, subjects[i], sizeof name);
  char *slash = strchr(name, '/');
  if (slash != NULL)
    *slash = '\0';
  return try_open(name, slash != NULL ? slash + 1 : NULL);
}

llq_backend *open_subject(int i) {
  llq_backend *backend = try_subject(i);
  ck_assert_msg(backend != NULL, "%s: %s", subjects[i], llq_error_message());
  return backend;
}

int find_fused_subjects(void) {
  int n = 0, n_all = find_subjects();
  for (int i = 0; i < n_all; i++) {
    llq_backend *backend = try_subject(i);
    if (backend != NULL && llqi_has_fused(backend))
      memmove(subjects[n++], subjects[i], sizeof subjects[0]);
    llq_backend_close(backend);
  }
  return n;
}

int find_calibrating_subjects(void) {
  int n = 0, n_devices = 0, n_all = find_subjects();
  for (int i = 0; i < n_all; i++) {
    llq_backend *backend = try_subject(i);
    const int has = backend != NULL && llqi_has_calibration(backend);
    const int starts = has && llqi_calibration_start(backend) >= 0;
    if (has && !starts)
      printf("# SKIP %s: %s\n", subjects[i], llq_error_message());
    llq_backend_close(backend);
    if (!starts)
      continue;
    n_devices += strncmp(subjects[i], "cpu", 3) != 0;
    memmove(subjects[n++], subjects[i], sizeof subjects[0]);
  }
  if (n_devices == 0)
    printf("# SKIP no device with operations of calibration\n");
  return n;
}

llq_backend *open_reference(void) {
  llq_backend *backend = try_open("cpu", "reference");
  ck_assert_ptr_nonnull(backend);
  return backend;
}

size_t guarded_size(const struct guarded *matrix) {
  return (size_t)(matrix->view.n_rows * matrix->view.n_cols) *
         llqi_dtype_size(matrix->view.dtype);
}

struct guarded guarded_open(llq_backend *backend, int64_t n_rows,
                            int64_t n_cols, int dtype) {
  struct guarded matrix = {backend, NULL, {NULL, n_rows, n_cols, dtype}};
  size_t size = guarded_size(&matrix) + 2 * GUARD;
  ck_assert_llq_ok(llqi_memory_alloc(backend, size, &matrix.memory));
  matrix.view.data = (char *)matrix.memory + GUARD;
  void *pattern = malloc(size);
  memset(pattern, PATTERN, size);
  ck_assert_llq_ok(llqi_memory_upload(backend, matrix.memory, pattern, size));
  free(pattern);
  return matrix;
}

void guarded_close(struct guarded *matrix) {
  llqi_memory_free(matrix->backend, matrix->memory);
  matrix->memory = NULL;
}

void guarded_write(struct guarded *matrix, const void *bytes) {
  ck_assert_llq_ok(llqi_memory_upload(matrix->backend, matrix->view.data, bytes,
                                      guarded_size(matrix)));
}

void guarded_read(const struct guarded *matrix, void *bytes) {
  size_t size = guarded_size(matrix);
  unsigned char *all = malloc(size + 2 * GUARD);
  ck_assert_llq_ok(llqi_memory_download(matrix->backend, all, matrix->memory,
                                        size + 2 * GUARD));
  for (size_t i = 0; i < GUARD; i++)
    ck_assert_msg(all[i] == PATTERN && all[GUARD + size + i] == PATTERN,
                  "a guard byte beside a matrix of %zu bytes changed", size);
  memcpy(bytes, all + GUARD, size);
  free(all);
}

void guarded_set(struct guarded *matrix, const float *values) {
  void *bytes = malloc(guarded_size(matrix));
  size_t n = (size_t)(matrix->view.n_rows * matrix->view.n_cols);
  llqi_from_f32(matrix->view.dtype, values, n, bytes);
  guarded_write(matrix, bytes);
  free(bytes);
}

void guarded_get(const struct guarded *matrix, float *values) {
  void *bytes = malloc(guarded_size(matrix));
  guarded_read(matrix, bytes);
  llqi_to_f32(matrix->view.dtype, bytes,
              (size_t)(matrix->view.n_rows * matrix->view.n_cols), values);
  free(bytes);
}

void normal_values(uint64_t seed, float sigma, float *values, size_t n) {
  for (size_t i = 0; i < n; i += 4) {
    float four[4];
    llqi_normal4(seed, 1, i, four);
    for (size_t j = 0; j < 4 && i + j < n; j++)
      values[i + j] = sigma * four[j];
  }
}

static float largest_of(const float *row, int64_t n) {
  float largest = 0;
  for (int64_t i = 0; i < n; i++)
    if (isfinite(row[i]))
      largest = fmaxf(largest, fabsf(row[i]));
  return largest;
}

void expect_close(const float *expected, const float *found, int64_t n_rows,
                  int64_t n_cols, float tolerance, const char *what) {
  for (int64_t r = 0; r < n_rows; r++, expected += n_cols, found += n_cols) {
    float allowed = tolerance * largest_of(expected, n_cols);
    for (int64_t i = 0; i < n_cols; i++) {
      int same = isfinite(expected[i])
                     ? fabsf(found[i] - expected[i]) <= allowed
                 : isnan(expected[i]) ? isnan(found[i])
                                      : found[i] == expected[i];
      ck_assert_msg(same, "%s: [%lld, %lld] is %.9g, expected %.9g +- %.3g",
                    what, (long long)r, (long long)i, (double)found[i],
                    (double)expected[i], (double)allowed);
    }
  }
}

void guarded_compare(const struct guarded *expected,
                     const struct guarded *found, float tolerance,
                     const char *what) {
  size_t n = (size_t)(expected->view.n_rows * expected->view.n_cols);
  float *a = malloc(n * sizeof *a), *b = malloc(n * sizeof *b);
  guarded_get(expected, a);
  guarded_get(found, b);
  expect_close(a, b, expected->view.n_rows, expected->view.n_cols, tolerance,
               what);
  free(a);
  free(b);
}
