/* SPDX-License-Identifier: Apache-2.0 */
/** @file sweep.h
 *  @brief The same evaluation over several formats, in one directory.
 *
 *  A sweep's directory has one run directory for each format, named
 *  "bf16", "w4a16-int-rtn", ..., and sweep.json, the table of all of them. A
 *  sweep that was interrupted continues when it is opened again.
 */
#ifndef LLQ_SWEEP_H
#define LLQ_SWEEP_H

#include <llq/device.h>
#include <llq/evaluator.h>
#include <llq/model.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ffi:begin */

/** A sweep under way. One thread at a time. */
typedef struct llq_sweep llq_sweep;

/** What to sweep over. */
typedef struct llq_sweep_options {
  size_t struct_size;    /**< sizeof(llq_sweep_options) */
  const char *schemes;   /**< comma-separated; the first is the base that others
                              are compared with; NULL = "bf16,w8a8-fp,w8a8-int,
                              w8a16-int,w4a16-int" */
  const char *methods;   /**< comma-separated quantization methods; NULL = "rtn" */
  int32_t group_size;    /**< of w4a16-int; 0 = 128 */
  int32_t reserved;      /**< 0 */
  const llq_evaluator_options *evaluation; /**< how each format is evaluated; its
                              directory is the sweep's; required */
  const char *calibration; /**< as of llq_quantizer_calibrate_file(), or "random";
                              needed by methods that calibrate */
  int32_t n_samples;     /**< of the calibration; 0 = 512 */
  int32_t n_tokens;      /**< of a calibration sample; 0 = 2048 */
} llq_sweep_options;

/** Begins or continues a sweep.
 *  @param out      the caller's, to close with llq_sweep_close()
 *  @param backend  must outlive the sweep
 *  @param model    unquantized; the sweep keeps a reference
 *  @param options  required
 *  @return as llq_evaluator_open(). */
LLQ_API int llq_sweep_open(llq_sweep **out, llq_backend *backend,
                           llq_model *model, const llq_sweep_options *options);

/** Advances: a layer quantized, or one step of an evaluation.
 *  @param progress  in verdicts over all formats, `what` naming the format and
 *                   stage; NULL if not wanted
 *  @return #LLQ_MORE; #LLQ_OK when sweep.json is written; an error, after which
 *          the directory can be continued later. */
LLQ_API int llq_sweep_step(llq_sweep *sweep, llq_progress *progress);

/** Steps until done. @return as llq_sweep_step(), but never #LLQ_MORE. */
LLQ_API int llq_sweep_run(llq_sweep *sweep);

/** Closes a sweep, finished or not. */
LLQ_API void llq_sweep_close(llq_sweep *sweep);

/* ffi:end */

/** An llq_sweep_options to start from: its size, and defaults. */
#define LLQ_SWEEP_OPTIONS_INIT {sizeof(llq_sweep_options), NULL, NULL, 0, 0, \
                                NULL, NULL, 0, 0}

#ifdef __cplusplus
}
#endif

#endif
