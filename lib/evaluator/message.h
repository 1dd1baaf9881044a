/* SPDX-License-Identifier: Apache-2.0 */
/* What the Pythons in runner/ are sent to begin with. */
#ifndef LLQI_EVALUATOR_MESSAGE_H
#define LLQI_EVALUATOR_MESSAGE_H

#include "evaluator/worker.h"

/* CPU time of a check itself. */
enum { LLQI_CPU_CHECKER = 60 };

/* To the checker: what to check a program against. */
int llqi_send_check(struct llqi_channel *channel, const struct llqi_job *job);

/* To a candidate: the program; in_process: and the test after it. */
int llqi_send_program(struct llqi_channel *channel, const struct llqi_job *job,
                      int in_process);

#endif
