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
  const char *method;  /**< "rtn" (round to nearest; NULL means that), "gptq",
                            "awq", "smoothquant", "awq+gptq",
                            "smoothquant+gptq"; all but "rtn" need calibration */
  int32_t group_size;  /**< w4a16-int: inputs that share a scale: 32, 64, 128,
                            or -1 = all of a row (per channel); 0 = 128 */
  int32_t asymmetric;  /**< w4a16-int: 1 = with zero points */
  int32_t n_threads;   /**< CPU threads; 0 = as many as cores allowed. Any
                            number gives the same bytes. */
  int32_t n_samples;   /**< calibration samples taken of a file, or random ones;
                            0 = 512 */
  int32_t n_tokens;    /**< tokens of a sample, at most; 0 = 2048 */
  int32_t block_size;  /**< gptq: columns between two updates of all that follow,
                            a power of two from 32 to 1024; 0 = 128 */
  uint64_t seed;       /**< of the choice of samples, and of random ones */
  const char *observer; /**< range of the codes: "minmax" (NULL means that), or
                            "mse": of narrower ranges the one with the least
                            squared error */
  const char *order;   /**< gptq: columns "static" (by the size of their inputs;
                            NULL means that), "none" (as they come), or "group"
                            (by size, groups too: makes a group index) */
  double damping;      /**< gptq: added to the diagonal of the inputs' second
                            moments, as a part of its mean; 0 = 0.01 */
  double smoothing;    /**< smoothquant: strength, 0 to 1; 0 = 0.8 */
  const char *compute; /**< activations of calibration: "bf16" (NULL means that),
                            "f32" */
  int32_t is_parallel; /**< 1 = every layer is calibrated on what the original
                            layers before it give, not the quantized ones */
  int32_t measure;     /**< 1 = also measure what linears lose; see
                            llq_quantizer_linear() */
  const char *directory; /**< where finished layers wait in files, so that memory
                            is needed for one layer only, and the same
                            quantization, begun again, goes on where it was cut
                            off; made if absent. NULL: in memory */
  const char *measure_file; /**< with measure: a file as of calibration, on whose
                            tokens to measure; NULL: on calibration's own */
  const char *recipe;  /**< a file that chooses scheme and method by patterns of
                            linears' names; what it leaves out has the options
                            above. A line has a pattern as of file names, a
                            scheme, and maybe a method, group-size=N and
                            asymmetric; the last line that fits decides. A
                            pattern may fit the output matrix, "lm_head". "kv-cache
                            fp8" is as the option below; # begins a comment.
                            NULL: none */
  const char *kv_cache; /**< "fp8", "int8": also scales for a KV cache of 8 bits,
                            of the largest keys and values that calibration
                            makes the quantized layers give: max / 448 or
                            max / 127, in the model's type. NULL: as the model
                            has them, or none */
} llq_quantizer_options;

/** How a linear was quantized. */
typedef struct llq_quantized_linear {
  size_t struct_size;  /**< sizeof(llq_quantized_linear) */
  char name[64];       /**< "model.layers.0.mlp.down_proj" */
  char scheme[16];     /**< "bf16" if it was left as it is */
  char method[24];     /**< "" if it was left as it is */
  double error;        /**< mean square of what its outputs lost, over 512 of the
                            tokens measured on; NaN if not measured */
  double power;        /**< mean square of the original's outputs; NaN likewise */
  double damping;      /**< that gptq needed: more than was asked for if the
                            second moments were not positive definite */
  uint64_t n_dead;     /**< gptq: inputs that were always 0; their weights are
                            rounded to nearest */
} llq_quantized_linear;

/** Begins to quantize the linears of a model's decoder layers; embeddings,
 *  norms and, unless a recipe names it, the output matrix stay as they are. An
 *  output matrix that is quantized is the embedding no more. "bf16" converts all
 *  of a wider model instead; of a model that is bf16 already it shares
 *  everything.
 *
 *  Scales and rounding are those of compressed-tensors, computed in the
 *  weight's own type: symmetric, scale = max|w| / ((qmax - qmin) / 2), that is
 *  max|w| / 7.5 for int4 and / 127.5 for int8, and max|w| / 448 for FP8 E4M3;
 *  asymmetric, scale = (max - min) / 15 with 0 forced into the range; q =
 *  round-half-to-even of w / scale (+ zero point), clamped.
 *  @param out      the caller's, to close with llq_quantizer_close()
 *  @param backend  runs calibration; "rtn" without kv_cache needs none, and
 *                  NULL is then fine; it must outlive the quantizer
 *  @param model    unquantized; the quantizer keeps a reference
 *  @param options  required
 *  @return #LLQ_OK; #LLQ_ERROR_ARGUMENT naming the option, or the recipe's file
 *          and line; #LLQ_ERROR_IO, #LLQ_ERROR_FORMAT naming a recipe that
 *          cannot be read or is no text; #LLQ_ERROR_UNSUPPORTED
 *          naming the first linear that is quantized already, or that the
 *          scheme cannot hold (a width that groups don't divide), or a method
 *          that would spoil the model's scales of its KV cache;
 *          #LLQ_ERROR_MEMORY. */
LLQ_API int llq_quantizer_open(llq_quantizer **out, llq_backend *backend,
                               llq_model *model,
                               const llq_quantizer_options *options);

/** Adds calibration samples, before the first step. Layer by layer, they run
 *  through what is quantized already, on the backend.
 *  @param path  a name that ends in .jsonl or .jsonl.gz: a sample a line, of its
 *               "text", or of its "messages" through the chat format; any other
 *               file is text, cut into samples. Of more than n_samples of them,
 *               a choice by the seed is taken.
 *  @return #LLQ_OK; #LLQ_ERROR_IO; #LLQ_ERROR_FORMAT naming file and line;
 *          #LLQ_ERROR_STATE after the first step; #LLQ_ERROR_MEMORY. */
LLQ_API int llq_quantizer_calibrate_file(llq_quantizer *quantizer,
                                         const char *path);

/** Adds n_samples of n_tokens random tokens each.
 *  @return #LLQ_OK, #LLQ_ERROR_STATE, #LLQ_ERROR_MEMORY. */
LLQ_API int llq_quantizer_calibrate_random(llq_quantizer *quantizer);

/** Adds a sample of the caller's tokens, of any length.
 *  @return #LLQ_OK; #LLQ_ERROR_ARGUMENT for an id that is none;
 *          #LLQ_ERROR_STATE; #LLQ_ERROR_MEMORY. */
LLQ_API int llq_quantizer_calibrate_ids(llq_quantizer *quantizer,
                                        const int32_t *ids, size_t n_ids);

/** Quantizes one more layer; after the last, the output matrix, if a recipe
 *  names it.
 *  @param progress  in layers, the output matrix counted as one; NULL if not
 *                   wanted
 *  @return #LLQ_MORE; #LLQ_OK when all layers are done; #LLQ_ERROR_FORMAT for
 *          a weight that is NaN or infinite, or an asymmetric range too wide
 *          for its type, naming the tensor and the place in it; for an input
 *          of calibration that is; #LLQ_ERROR_STATE if the method or kv_cache
 *          needs calibration and has less than 128 tokens;
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

/** Tells how a linear was quantized.
 *  @param index  0 .. 7 * n_layers - 1, layer by layer: q, k, v, o, gate, up,
 *                down; 7 * n_layers: the output matrix, if it is quantized
 *  @return #LLQ_OK; #LLQ_ERROR_ARGUMENT; #LLQ_ERROR_STATE if it is not yet. */
LLQ_API int llq_quantizer_linear(const llq_quantizer *quantizer, uint64_t index,
                                 llq_quantized_linear *out);

/** Closes a quantizer, finished or not. The files of `directory` are removed if
 *  the result was taken; it may still be used. */
LLQ_API void llq_quantizer_close(llq_quantizer *quantizer);

/* ffi:end */

/** An llq_quantizer_options to start from: its size, and defaults. */
#define LLQ_QUANTIZER_OPTIONS_INIT                                             \
  {sizeof(llq_quantizer_options), NULL, NULL, 0, 0, 0, 0, 0, 0, 0,             \
   NULL, NULL, 0, 0, NULL, 0, 0, NULL, NULL, NULL, NULL}
/** An llq_quantized_linear to start from: its size, and defaults. */
#define LLQ_QUANTIZED_LINEAR_INIT                                              \
  {sizeof(llq_quantized_linear), "", "", "", 0, 0, 0, 0}

#ifdef __cplusplus
}
#endif

#endif
