/* SPDX-License-Identifier: Apache-2.0 */
/* Matrices on a backend with guard bytes around them, and the backends that a
   test of operations holds against the reference. */
#ifndef LLQ_TEST_GUARDED_H
#define LLQ_TEST_GUARDED_H

#include "backend/backend.h"

/* What LLQ_TEST_BACKENDS lists ("cpu/avx2,cuda:0/sm80"), or else every arch
   of every usable device; without the reference itself. Tests are not forked
   from then on. */
#define SUBJECTS_MAX 16
extern char subjects[SUBJECTS_MAX][32];
int find_subjects(void);
int find_fused_subjects(void); /* those that have fused operations */
/* Those that have operations of calibration, and the libraries that these
   need; says what is missing. */
int find_calibrating_subjects(void);
llq_backend *open_subject(int i);
llq_backend *open_reference(void);

/* A matrix; on the host if backend is NULL. */
struct guarded {
  llq_backend *backend;
  void *memory;
  llq_view view;
};

/* Filled with a pattern. */
struct guarded guarded_open(llq_backend *backend, int64_t n_rows,
                            int64_t n_cols, int dtype);
void guarded_close(struct guarded *matrix);

/* Bytes in and out; reading asserts that the guards are whole. */
void guarded_write(struct guarded *matrix, const void *bytes);
void guarded_read(const struct guarded *matrix, void *bytes);
size_t guarded_size(const struct guarded *matrix);

/* Values rounded to the matrix's type, and the like back. */
void guarded_set(struct guarded *matrix, const float *values);
void guarded_get(const struct guarded *matrix, float *values);

/* Standard normal values times sigma, of a sequence of their own. */
void normal_values(uint64_t seed, float sigma, float *values, size_t n);

/* Asserts that each value is within tolerance times the largest finite
   magnitude of its row of the expected, and no number where none is. */
void expect_close(const float *expected, const float *found, int64_t n_rows,
                  int64_t n_cols, float tolerance, const char *what);
void guarded_compare(const struct guarded *expected,
                     const struct guarded *found, float tolerance,
                     const char *what);

#endif
