/* SPDX-License-Identifier: Apache-2.0 */
/* Why a program passed or failed, in words. */
#ifndef LLQI_EVALUATOR_REASON_H
#define LLQI_EVALUATOR_REASON_H

#include "evaluator/verdict.h"

/* Sets passed, reason and text. detail: n untrusted bytes, of which the text
   keeps what is printable, and the first two lines. */
void llqi_verdict_set(struct llqi_verdict *verdict, enum llqi_reason reason,
                      const char *detail, size_t n);

/* The reason for a kind of frame that carries a verdict or a program's
   failure; 0 for other kinds. */
int llqi_reason_of(char kind, enum llqi_reason *reason);

#endif
