/* SPDX-License-Identifier: Apache-2.0 */
/** @file model.h
 *  @brief Checkpoints as models: Llama 3.1 and its relatives.
 */
#ifndef LLQ_MODEL_H
#define LLQ_MODEL_H

#include <llq/status.h>
#include <llq/tokenizer.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ffi:begin */

/** A validated Llama: config, named weights, tokenizer. Immutable and
 *  reference-counted; any threads may share it. Its files stay mapped while it
 *  is open: don't change them. */
typedef struct llq_model llq_model;

/** How to open a model. */
typedef struct llq_model_options {
  size_t struct_size; /**< sizeof(llq_model_options) */
  uint64_t seed;      /**< of the weights of random:CONFIG */
} llq_model_options;

/** What a model is. Sizes are in elements unless they say bytes. */
typedef struct llq_model_info {
  size_t struct_size;      /**< sizeof(llq_model_info) */
  char architecture[32];   /**< "LlamaForCausalLM" */
  char scheme[16];         /**< "bf16", "w4a16-int", ...; "mixed" */
  char dtype[8];           /**< of unquantized weights: "bf16", "f16", "f32" */
  int32_t n_layers;        /**< decoder layers */
  int32_t hidden_size;     /**< width of the residual stream */
  int32_t intermediate_size; /**< width inside the MLP */
  int32_t n_heads;         /**< query heads */
  int32_t n_kv_heads;      /**< key and value heads */
  int32_t head_size;       /**< width of a head */
  int32_t n_vocab;         /**< rows of the embedding and of the logits */
  int32_t n_context;       /**< positions: max_position_embeddings */
  int32_t tied;            /**< 1 if the output matrix is the embedding */
  int32_t group_size;      /**< of int4 scales; 0 = per channel or none */
  uint64_t n_parameters;   /**< weights in all, a tied matrix counted once */
  uint64_t n_weight_bytes; /**< bytes of all weights and scales as held */
  uint64_t n_linear_bytes; /**< of the decoder layers' linears among them */
  uint64_t n_kv_bytes;     /**< of a 16-bit KV cache, for one token; half of
                                it in 8 bits */
  char kv_cache[8];        /**< the KV cache that the model has scales for:
                                "fp8", "int8"; "" if none */
  uint64_t n_output_bytes; /**< of the output matrix, also where it is tied */
  char output_scheme[16];  /**< of the output matrix: "bf16" unless a recipe
                                chose another */
} llq_model_info;

/** Opens a model.
 *  @param out      the caller's reference, to drop with llq_model_close()
 *  @param source   a directory in Hugging Face layout (config.json; one
 *                  model.safetensors, or shards with their index; tokenizer); a
 *                  file of GGUF, version 3, whose name ends in ".gguf";
 *                  "llq-micro", the model that comes with libllq, found under
 *                  the environment's LLQ_DATA or libllq's data directory; or
 *                  "random:CONFIG": weights drawn for the shape "llama-3.1-8b",
 *                  "llama-3.1-70b", "llama-3.2-1b", "llama-3.2-3b", or of a
 *                  config.json
 *  @param options  NULL = defaults
 *  @return #LLQ_OK; #LLQ_ERROR_IO; #LLQ_ERROR_FORMAT naming the file and tensor
 *          that is wrong; #LLQ_ERROR_UNSUPPORTED naming what is not supported;
 *          #LLQ_ERROR_ARGUMENT; #LLQ_ERROR_MEMORY. */
LLQ_API int llq_model_open(llq_model **out, const char *source,
                           const llq_model_options *options);

/** Takes one more reference, to drop with llq_model_close(). Any thread. */
LLQ_API llq_model *llq_model_retain(llq_model *model);

/** Drops a reference; the last one frees the model. Any thread. */
LLQ_API void llq_model_close(llq_model *model);

/** Describes a model.
 *  @param info  filled in up to its struct_size
 *  @return #LLQ_OK, #LLQ_ERROR_ARGUMENT. Any thread. */
LLQ_API int llq_model_describe(const llq_model *model, llq_model_info *info);

/** The path or name a model was opened from. Borrowed. */
LLQ_API const char *llq_model_source(const llq_model *model);

/** A model's tokenizer, opened on first use.
 *  @param out  borrowed from the model: don't close it
 *  @return #LLQ_OK; #LLQ_ERROR_IO if the model has none (as random:CONFIG);
 *          otherwise as llq_tokenizer_open(). */
LLQ_API int llq_model_tokenizer(llq_model *model, const llq_tokenizer **out);

/** Writes a model as a directory in Hugging Face layout: config.json with its
 *  quantization_config, weights in shards of at most 5 GB, and copies of the
 *  tokenizer and generation files of the directory it came from. Files are
 *  written beside and renamed, config.json last: a directory that has one is
 *  whole.
 *  @param directory  made if absent; must hold no other model
 *  @param format     "compressed-tensors", "gptq", "awq", or "safetensors" for
 *                    values instead of codes; NULL: compressed-tensors
 *  @return #LLQ_OK; #LLQ_ERROR_IO; #LLQ_ERROR_UNSUPPORTED, naming the linear and
 *          what would be lost, if the format cannot say all that the model has;
 *          #LLQ_ERROR_ARGUMENT; #LLQ_ERROR_MEMORY. */
LLQ_API int llq_model_save(const llq_model *model, const char *directory,
                           const char *format);

/** How to save a model. */
typedef struct llq_save_options {
  size_t struct_size; /**< sizeof(llq_save_options) */
  const char *format; /**< as for llq_model_save() */
  int32_t lossy;      /**< 1: what the format cannot say may be lost: scales are
                           rounded; linears whose codes do not fit become the
                           values that they mean; inputs and
                           KV cache stay unquantized */
  int32_t reserved;   /**< 0 */
} llq_save_options;

/** llq_model_save() with options; NULL = defaults. */
LLQ_API int llq_model_save_as(const llq_model *model, const char *directory,
                              const llq_save_options *options);

/** A weight's scales; n is 0 if it has none. */
typedef struct llq_scale_statistics {
  uint64_t n;     /**< how many */
  double least;   /**< the smallest */
  double mean;    /**< their average */
  double largest; /**< the largest */
} llq_scale_statistics;

/** How a linear W of one model differs from the same linear of another. */
typedef struct llq_linear_diff {
  size_t struct_size;      /**< sizeof(llq_linear_diff) */
  char name[64];           /**< "model.layers.0.self_attn.q_proj"; "lm_head" */
  char scheme_a[16];       /**< "bf16", "w4a16-int", ... */
  char scheme_b[16];       /**< the other's */
  double relative_error;   /**< |A - B| / |A|, Frobenius norms */
  double max_error;        /**< the largest difference of a weight, */
  int64_t max_out;         /**< the output of that weight, */
  int64_t max_in;          /**< and its input */
  uint64_t n_outliers;     /**< weights that differ by more than 6 times the
                                root mean square difference */
  llq_scale_statistics scales_a; /**< of A's weight */
  llq_scale_statistics scales_b; /**< of B's */
} llq_linear_diff;

/** Compares a linear of two models of the same shape.
 *  @param index  0 .. 7 * n_layers: layer after layer q, k, v, o, gate, up,
 *                down; then the output matrix
 *  @param diff   filled in up to its struct_size
 *  @return #LLQ_MORE; #LLQ_OK for the last; #LLQ_ERROR_ARGUMENT, also if the
 *          shapes differ; #LLQ_ERROR_MEMORY. Any thread. */
LLQ_API int llq_model_diff(const llq_model *a, const llq_model *b,
                           int32_t index, llq_linear_diff *diff);

/** The bytes a model's weights would take in a scheme.
 *  @param scheme      "bf16", "w8a8-fp", "w8a8-int", "w4a16-int", "w8a16-int"
 *  @param group_size  of w4a16-int: 32, 64, 128, or -1 = per channel; 0 = 128
 *  @param n_bytes     out: all weights and scales
 *  @return #LLQ_OK, #LLQ_ERROR_ARGUMENT. Any thread. */
LLQ_API int llq_model_bytes_in(const llq_model *model, const char *scheme,
                               int32_t group_size, uint64_t *n_bytes);

/* ffi:end */

/** An llq_linear_diff to start from: its size, and defaults. */
#define LLQ_LINEAR_DIFF_INIT {sizeof(llq_linear_diff), "", "", "", 0, 0, 0, 0, \
                              0, {0, 0, 0, 0}, {0, 0, 0, 0}}
/** An llq_save_options to start from: its size, and defaults. */
#define LLQ_SAVE_OPTIONS_INIT {sizeof(llq_save_options), NULL, 0, 0}
/** An llq_model_options to start from: its size, and defaults. */
#define LLQ_MODEL_OPTIONS_INIT {sizeof(llq_model_options), 0}
/** An llq_model_info to start from: its size, and defaults. */
#define LLQ_MODEL_INFO_INIT {sizeof(llq_model_info), "", "", "", 0, 0, 0, 0, \
                             0, 0, 0, 0, 0, 0, 0, 0, 0, 0, "", 0, ""}

#ifdef __cplusplus
}
#endif

#endif
