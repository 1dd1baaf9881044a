/* SPDX-License-Identifier: Apache-2.0 */
/* The Python sources in runner/, made part of the library at build time, so
   that no file found at run time ever stands in for them. */
#ifndef LLQI_EVALUATOR_RUNNER_H
#define LLQI_EVALUATOR_RUNNER_H

extern const char llqi_runner_codec[];     /* goes before each of the others */
extern const char llqi_runner_candidate[]; /* runs a program */
extern const char llqi_runner_plus[];      /* goes before the checker */
extern const char llqi_runner_checker[];   /* checks programs */

#endif
