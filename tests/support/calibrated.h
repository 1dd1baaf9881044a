/* SPDX-License-Identifier: Apache-2.0 */
/* What tests of calibrated methods begin with. */
#ifndef LLQ_TEST_CALIBRATED_H
#define LLQ_TEST_CALIBRATED_H

#include <llq/quantizer.h>

/* A fixture: LLQ_BACKEND, else the CPU, while a test runs. */
extern llq_backend *calibrated_backend;
void calibrated_setup(void);
void calibrated_teardown(void);

/* 8 samples, measured, all methods on the same inputs. */
llq_quantizer_options calibrated_options(const char *scheme,
                                         const char *method);

/* A random model of 2 layers; widths 64 and 96. */
llq_model *calibrated_small(void);

/* Fails unless two models of that shape have the same formats and, bit by bit,
   the same weights. */
void expect_same_weights(const llq_model *a, const llq_model *b);

#endif
