/* SPDX-License-Identifier: Apache-2.0 */
/** @file llq.h
 *  @brief All of libllq's public interface, in the order of its data flow.
 *
 *  A checkpoint opens as a model; a quantizer makes another model of it; a
 *  generator runs a model on a backend; an evaluator runs what the model wrote
 *  and turns verdicts into statistics; a sweep repeats that over formats; a
 *  report shows it.
 *
 *  Rules that hold everywhere:
 *  - A call that can fail returns an int: #LLQ_OK, for a step #LLQ_MORE, or a
 *    negative code of #llq_status. llq_error_message() then says what was
 *    wrong with what. On failure, `*out` is NULL and nothing has to be freed.
 *  - An options struct begins with `struct_size`; set it with the INIT macro
 *    or the init function. NULL, and zero in any field, mean the default.
 *  - A `const char *` that is returned is borrowed from the handle it came
 *    from. What a caller must free says so, and llq_free() frees it.
 *  - A handle is used by one thread at a time; different handles may be used
 *    by any threads at once. A model is immutable and may be shared.
 *  - llq_X_close(NULL) does nothing.
 */
#ifndef LLQ_H
#define LLQ_H

#include <llq/version.h>
#include <llq/status.h>
#include <llq/device.h>
#include <llq/tokenizer.h>
#include <llq/model.h>
#include <llq/quantizer.h>
#include <llq/generator.h>
#include <llq/evaluator.h>
#include <llq/sweep.h>
#include <llq/report.h>

#endif
