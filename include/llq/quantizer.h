/* SPDX-License-Identifier: Apache-2.0 */
/** @file quantizer.h
 *  @brief Makes a quantized model of another model.
 */
#ifndef LLQ_QUANTIZER_H
#define LLQ_QUANTIZER_H

#include <llq/device.h>
#include <llq/model.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ffi:begin */

/** A quantization under way. Used by one thread at a time. */
typedef struct llq_quantizer llq_quantizer;

/** What to make. */
typedef struct llq_quantizer_options {
  size_t struct_size;  /**< sizeof(llq_quantizer_options) */
  const char *scheme;  /**< "bf16", "w8a8-fp", "w8a8-int", "w4a16-int",
                            "w8a16-int"; required */
  const char *method;  /**< "rtn" (round to nearest); NULL means that */
  int32_t group_size;  /**< w4a16-int: inputs that share a scale: 32, 64, 128,
                            or -1 = all of a row (per channel); 0 = 128 */
  int32_t asymmetric;  /**< w4a16-int: 1 = with zero points */
  int32_t n_threads;   /**< CPU threads; 0 = as many as cores allowed. Any
                            number gives the same bytes. */
  int32_t reserved;    /**< 0 */
} llq_quantizer_options;

/** Begins to quantize the linears of a model's decoder layers; embeddings,
 *  norms and the output matrix stay as they are. "bf16" converts all of a
 *  wider model instead; of a model that is bf16 already it shares everything.
 *
 *  Scales and rounding are those of compressed-tensors, computed in the
 *  weight's own type: symmetric, scale = max|w| / ((qmax - qmin) / 2), that is
 *  max|w| / 7.5 for int4 and / 127.5 for int8, and max|w| / 448 for FP8 E4M3;
 *  asymmetric, scale = (max - min) / 15 with 0 forced into the range; q =
 *  round-half-to-even of w / scale (+ zero point), clamped.
 *  @param out      the caller's, to close with llq_quantizer_close()
 *  @param backend  runs calibration; "rtn" needs none, and NULL is then fine
 *  @param model    unquantized; the quantizer keeps a reference
 *  @param options  required
 *  @return #LLQ_OK; #LLQ_ERROR_ARGUMENT naming the option; #LLQ_ERROR_UNSUPPORTED
 *          naming the first linear that is quantized already, or that the
 *          scheme cannot hold (a width that groups don't divide);
 *          #LLQ_ERROR_MEMORY. */
LLQ_API int llq_quantizer_open(llq_quantizer **out, llq_backend *backend,
                               llq_model *model,
                               const llq_quantizer_options *options);

/** Quantizes one more layer.
 *  @param progress  in layers; NULL if not wanted
 *  @return #LLQ_MORE; #LLQ_OK when all layers are done; #LLQ_ERROR_FORMAT for
 *          a weight that is NaN or infinite, or an asymmetric range too wide
 *          for its type, naming the tensor and the place in it;
 *          #LLQ_ERROR_MEMORY. */
LLQ_API int llq_quantizer_step(llq_quantizer *quantizer,
                               llq_progress *progress);

/** Steps until done. @return as llq_quantizer_step(), but never #LLQ_MORE. */
LLQ_API int llq_quantizer_run(llq_quantizer *quantizer);

/** Takes the finished model.
 *  @param out  the caller's reference, to drop with llq_model_close(); it
 *              shares what was not quantized with the original
 *  @return #LLQ_OK; #LLQ_ERROR_STATE before the last step or when taken
 *          already; #LLQ_ERROR_MEMORY. */
LLQ_API int llq_quantizer_take(llq_quantizer *quantizer, llq_model **out);

/** Closes a quantizer, finished or not. */
LLQ_API void llq_quantizer_close(llq_quantizer *quantizer);

/* ffi:end */

#define LLQ_QUANTIZER_OPTIONS_INIT {sizeof(llq_quantizer_options), NULL, NULL, \
                                    0, 0, 0, 0}

#ifdef __cplusplus
}
#endif

#endif
