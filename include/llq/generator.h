/* SPDX-License-Identifier: Apache-2.0 */
/** @file generator.h
 *  @brief Runs a model: logits, and text from several prompts at once.
 *
 *  Prompts are submitted; each makes one or more sequences; llq_generator_step()
 *  advances all of them; text and results are read at any time. A sequence's
 *  tokens depend on its prompt, sampling and seed alone: not on what else is
 *  running, nor on how prompts were cut into chunks (unless `is_fast` gives
 *  that up).
 */
#ifndef LLQ_GENERATOR_H
#define LLQ_GENERATOR_H

#include <llq/device.h>
#include <llq/model.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ffi:begin */

/** A model on a backend, with a KV cache and a scheduler. One thread at a
 *  time. */
typedef struct llq_generator llq_generator;

/** How to set up a generator. */
typedef struct llq_generator_options {
  size_t struct_size;     /**< sizeof(llq_generator_options) */
  const char *compute;    /**< activations: "f32", "bf16"; NULL = "f32" on a CPU
                               and "bf16" on a GPU */
  int32_t n_sequences;    /**< sequences that run at once; more wait their turn;
                               0 = 16 */
  int32_t n_context;      /**< tokens of a sequence, prompt included; 0 = what
                               the model allows, at most 4096 */
  int32_t n_chunk;        /**< prompt tokens in one step; 0 = 256 */
  int32_t is_fast;        /**< 1 = the last bits of a sequence's logits may depend
                               on what runs beside it and on how its prompt was
                               cut, which lets a GPU use faster kernels: for many
                               rows, and for one to four of int4, whose weights
                               are then codes times scales not rounded to bf16;
                               0 = they never do */
  const char *kv_cache;   /**< how keys and values are kept: "fp8", "int8": as
                               codes of 8 bits, with the model's scales for
                               them; fp8 without such scales has scales of 1;
                               "compute": as they are computed; NULL = as the
                               model has scales for, else "compute" */
} llq_generator_options;

/** How to choose tokens, and when to stop. */
typedef struct llq_sampling {
  size_t struct_size;     /**< sizeof(llq_sampling) */
  double temperature;     /**< 0 = greedy: the most likely token, the smaller id
                               on a tie */
  double top_p;           /**< keep the fewest tokens with this probability
                               together, 0 < p <= 1; 0 = all */
  double min_p;           /**< keep tokens at least this fraction as likely as
                               the likeliest; 0 = all */
  int32_t top_k;          /**< keep this many tokens; 0 = all */
  int32_t n_tokens_max;   /**< tokens to generate; 0 = until the context is full */
  uint64_t seed;          /**< of the draws */
  uint64_t stream;        /**< which draws of the seed: sequences with equal seed
                               and stream draw the same numbers at the same
                               position, prompt included; sample i of a prompt
                               uses stream + i */
  const char *const *stops; /**< n_stops strings that end a sequence; the text is
                               cut before the first that occurs. Copied. */
  size_t n_stops;         /**< 0 = none */
  const int32_t *end_ids; /**< n_end_ids tokens that end a sequence; NULL = those
                               of the model's generation_config.json. Copied. */
  size_t n_end_ids;       /**< 0 with a non-NULL end_ids = none */
} llq_sampling;

/** Why a sequence ended. */
enum llq_stop_reason {
  LLQ_STOP_NONE = 0,     /**< it has not ended */
  LLQ_STOP_END = 1,      /**< an end token */
  LLQ_STOP_STRING = 2,   /**< a stop string */
  LLQ_STOP_LENGTH = 3,   /**< n_tokens_max */
  LLQ_STOP_CONTEXT = 4,  /**< the context is full */
  LLQ_STOP_CANCELLED = 5 /**< llq_generator_cancel() */
};

/** A sequence so far. Pointers are borrowed until the generator's next call. */
typedef struct llq_generation {
  size_t struct_size;   /**< sizeof(llq_generation) */
  const int32_t *ids;   /**< n_ids generated tokens, an end token included */
  size_t n_ids;         /**< length of `ids` */
  const char *text;     /**< n_bytes bytes and a NUL: whole characters, cut at a
                             stop string, without special tokens and without
                             the end token's text. While the sequence
                             runs, text that may yet turn out to be part of a
                             stop string is held back. */
  size_t n_bytes;       /**< length of `text` */
  int32_t stop_reason;  /**< of #llq_stop_reason */
  int32_t margin_at;    /**< the generated token at which min_margin occurred;
                             -1 before the first */
  double min_margin;    /**< the smallest difference between the largest and the
                             second largest logit at any of its tokens: how close
                             it came to going another way; infinity at first */
} llq_generation;

/** Loads a model onto a backend.
 *  @param out      the caller's, to close with llq_generator_close()
 *  @param backend  must outlive the generator
 *  @param model    the generator keeps a reference
 *  @param options  NULL = defaults
 *  @return #LLQ_OK; #LLQ_ERROR_MEMORY with sizes, before loading, if the model
 *          does not fit; #LLQ_ERROR_ARGUMENT, also for a kv_cache that the model
 *          has no scales for; #LLQ_ERROR_UNSUPPORTED; #LLQ_ERROR_DEVICE. */
LLQ_API int llq_generator_open(llq_generator **out, llq_backend *backend,
                               llq_model *model,
                               const llq_generator_options *options);

/** Closes a generator and all its sequences. */
LLQ_API void llq_generator_close(llq_generator *generator);

/** Tokens a sequence can have, prompt included. */
LLQ_API int32_t llq_generator_n_context(const llq_generator *generator);

/** Adds a prompt, to be continued by n_samples sequences that share it.
 *  @param ids        n_ids tokens, copied; 1 .. llq_generator_n_context() - 1
 *  @param sampling   NULL = greedy, with the model's own end tokens
 *  @param n_samples  1 or more
 *  @param first      out: the first sequence's number; the others follow it
 *  @return #LLQ_OK; #LLQ_ERROR_ARGUMENT; #LLQ_ERROR_MEMORY; the generator is
 *          unchanged on failure. */
LLQ_API int llq_generator_submit(llq_generator *generator, const int32_t *ids,
                                 size_t n_ids, const llq_sampling *sampling,
                                 int32_t n_samples, int64_t *first);

/** Runs the model once: a chunk of a prompt, or one token of each sequence.
 *  @param progress  in sequences ended; NULL if not wanted
 *  @return #LLQ_MORE; #LLQ_OK when no sequence is left to run;
 *          #LLQ_ERROR_DEVICE, #LLQ_ERROR_MEMORY; #LLQ_ERROR_FORMAT naming the
 *          sequence whose logits are not numbers, because a weight is wrong:
 *          cancel it to go on with the others. A step that failed may be
 *          repeated, with the same outcome. */
LLQ_API int llq_generator_step(llq_generator *generator,
                               llq_progress *progress);

/** Steps until done. @return as llq_generator_step(), but never #LLQ_MORE. */
LLQ_API int llq_generator_run(llq_generator *generator);

/** Looks at a sequence, at any time until it is released.
 *  @param generation  filled in up to its struct_size
 *  @return #LLQ_OK; #LLQ_ERROR_ARGUMENT for a number that is not in use. */
LLQ_API int llq_generator_get(const llq_generator *generator, int64_t sequence,
                              llq_generation *generation);

/** Ends a sequence where it is; its text and tokens remain.
 *  @return #LLQ_OK; #LLQ_ERROR_ARGUMENT for a number that is not in use. */
LLQ_API int llq_generator_cancel(llq_generator *generator, int64_t sequence);

/** Forgets a sequence, ending it first if it runs. */
LLQ_API void llq_generator_release(llq_generator *generator, int64_t sequence);

/** Computes the logits at every position of one sequence; leaves submitted
 *  sequences alone.
 *  @param ids     n_ids tokens, 1 .. llq_generator_n_context()
 *  @param logits  out: n_ids rows of n_vocab floats, row i the logits that
 *                 follow ids[0..i]
 *  @return #LLQ_OK; #LLQ_ERROR_ARGUMENT; #LLQ_ERROR_DEVICE; #LLQ_ERROR_MEMORY. */
LLQ_API int llq_generator_logits(llq_generator *generator, const int32_t *ids,
                                 size_t n_ids, float *logits);

/* ffi:end */

/** An llq_generator_options to start from: its size, and defaults. */
#define LLQ_GENERATOR_OPTIONS_INIT {sizeof(llq_generator_options), NULL, 0, 0, \
                                    0, 0, NULL}
/** An llq_sampling to start from: its size, and defaults. */
#define LLQ_SAMPLING_INIT {sizeof(llq_sampling), 0, 0, 0, 0, 0, 0, 0, NULL, 0, \
                           NULL, 0}
/** An llq_generation to start from: its size, and defaults. */
#define LLQ_GENERATION_INIT {sizeof(llq_generation), NULL, 0, NULL, 0, 0, -1, 0}

#ifdef __cplusplus
}
#endif

#endif
