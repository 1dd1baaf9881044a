/* SPDX-License-Identifier: Apache-2.0 */
/** @file backend.h
 *  @brief The contract between libllq and a backend, for those who write one.
 *
 *  A backend is a few small tables of functions. libllq checks every argument
 *  before it calls one (shapes, types, ranges), so a backend need not; what a
 *  backend must do is exact: the CPU reference is the definition of every
 *  operation, and one conformance test holds all others against it.
 *
 *  Promise: weaker than that of the other headers. Tables only grow at their
 *  end within one #LLQ_BACKEND_ABI; a backend of another ABI is refused.
 *
 *  All matrices are row-major. "Device memory" is whatever the backend's alloc
 *  returns; libllq never touches it but through the backend. Operations run in
 *  the order they are called and may be asynchronous until `synchronize` or
 *  `download`.
 */
#ifndef LLQ_BACKEND_H
#define LLQ_BACKEND_H

#include <llq/device.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The number of this contract, which llq_backend_open() compares. */
#define LLQ_BACKEND_ABI 3

/** Number types of tensors. */
enum llq_dtype {
  LLQ_F32 = 1,
  LLQ_F16 = 2,
  LLQ_BF16 = 3,
  LLQ_F8_E4M3 = 4, /**< OCP FP8 E4M3: finite up to 448, one NaN */
  LLQ_I8 = 5,
  LLQ_I32 = 6,
  LLQ_I64 = 7,
  LLQ_U8 = 8
};

/** How a linear's weights are stored. */
enum llq_weight_format {
  LLQ_WEIGHT_DENSE = 1, /**< `dtype` values */
  LLQ_WEIGHT_INT8 = 2,  /**< int8; w = q * scale */
  LLQ_WEIGHT_FP8 = 3,   /**< E4M3; w = q * scale */
  LLQ_WEIGHT_INT4 = 4   /**< 8 a word, q = nibble - 8; w = (q - zero) * scale */
};

/** What happens to a linear's input before the product. */
enum llq_activation {
  LLQ_ACTIVATION_NONE = 0, /**< weights are dequantized, and rounded to the type
                                of their scale */
  LLQ_ACTIVATION_INT8 = 1, /**< each row to int8: s = max|x| / 127.5, q =
                                round-half-even(x / s) clamped to [-128, 127];
                                products are summed exactly, then scaled */
  LLQ_ACTIVATION_FP8 = 2   /**< each row to E4M3: s = max|x| / 448 */
};

/** A linear's weight W[n_out, n_in] as it lies in host memory. y = x W^T. */
typedef struct llq_weight {
  size_t struct_size; /**< sizeof(llq_weight) */
  int32_t format;       /**< of #llq_weight_format */
  int32_t dtype;        /**< of dense values and of scales: F32, F16, BF16 */
  int32_t activation;   /**< of #llq_activation */
  int32_t reserved; /**< 0 */
  int64_t n_out;        /**< outputs: rows of W */
  int64_t n_in;         /**< inputs: columns of W */
  int64_t group_size;   /**< inputs that share a scale; n_in if per channel.
                             Divides n_in. */
  const void *data;     /**< [n_out, n_in], int4 as uint32 [n_out, n_in / 8]:
                             input i of a row in bits 4 * (i % 8) of word i / 8 */
  const void *scale;    /**< [n_out, n_in / group_size]; NULL if dense */
  const int8_t *zero;   /**< int4: [n_out, n_in / group_size], -8 .. 7; NULL =
                             symmetric */
  const int32_t *group_index; /**< int4 with activation order: the group of each
                             input, [n_in]; NULL = input / group_size */
} llq_weight;

/** A matrix in device memory, of the compute type unless an operation says
 *  otherwise. Rows follow each other without gaps. */
typedef struct llq_view {
  void *data;     /**< [n_rows, n_cols] */
  int64_t n_rows; /**< such as tokens */
  int64_t n_cols; /**< such as features */
  int32_t dtype;  /**< of #llq_dtype */
} llq_view;

/** Consecutive tokens of one sequence among the rows of a batch. */
typedef struct llq_segment {
  int32_t first_row;      /**< of the batch */
  int32_t n_rows;         /**< tokens */
  int32_t first_position; /**< of the first of them in its sequence */
  int32_t first_page;     /**< where this sequence's pages begin in `pages` */
} llq_segment;

/** What a step of several sequences consists of. Host memory. */
typedef struct llq_batch {
  const llq_segment *segments; /**< [n_segments], in the order of rows */
  const int32_t *pages;    /**< page numbers; position p of a segment lies in page
                                pages[first_page + p / page_size], at slot
                                p % page_size */
  int32_t n_segments;      /**< sequences */
  int32_t n_pages_listed;  /**< entries of `pages` */
  int32_t page_size;       /**< positions a page */
  int32_t n_rows;          /**< of all segments together */
} llq_batch;

/** A layer's part of the KV cache, in device memory. In 8 bits it holds codes,
 *  and what is read is code * scale. Of a value x of the compute type the code
 *  is x / scale, in F32, rounded to nearest (ties to even) among those there
 *  are: E4M3 from -448 to 448, or whole numbers from -128 to 127; that of NaN
 *  is 0. */
typedef struct llq_kv {
  void *keys;        /**< [n_pages, page_size, n_kv_heads, head_size] */
  void *values;      /**< the same shape */
  int32_t dtype;     /**< F32, BF16; of codes: F8_E4M3, I8 */
  int32_t n_pages;    /**< of all sequences together */
  int32_t page_size;  /**< positions a page */
  int32_t n_kv_heads; /**< heads of keys and values */
  int32_t head_size;  /**< values a head */
  float key_scale;    /**< of codes: finite, above 0 */
  float value_scale;  /**< likewise */
} llq_kv;

/** Finding and opening devices. All entries required. */
typedef struct llq_backend_registry {
  size_t struct_size; /**< sizeof(llq_backend_registry) */
  const char *name; /**< "cpu", "cuda" */
  /** How many devices there may be; never fails. */
  int (*count)(void);
  /** Describes a device, usable or not. */
  int (*describe)(int index, llq_device_info *info);
  /** Opens a device: *self is the backend's own. */
  int (*open)(void **self, int index, const llq_backend_options *options);
  /** Frees what open made. */
  void (*close)(void *self);
} llq_backend_registry;

/** Device memory. All entries required. Offsets and sizes are bytes. */
typedef struct llq_backend_memory {
  size_t struct_size; /**< sizeof(llq_backend_memory) */
  int (*alloc)(void *self, size_t size, void **memory); /**< 64-byte aligned */
  void (*free)(void *self, void *memory); /**< what alloc gave */
  /** From the host, which may change `from` as soon as it returns. */
  int (*upload)(void *self, void *to, const void *from, size_t size);
  /** To the host, after all that was asked for before. */
  int (*download)(void *self, void *to, const void *from, size_t size);
  /** Waits for all that was asked for; reports what failed meanwhile. */
  int (*synchronize)(void *self);
} llq_backend_memory;

/** The operations of the forward pass. All entries required. `out` never
 *  overlaps an input unless it says so. Types: x, out and norm weights are of
 *  the compute type (F32, or BF16 with sums in F32 and one rounding at the
 *  end). Every row's result is a function of that row alone, bit by bit. */
typedef struct llq_backend_ops {
  size_t struct_size; /**< sizeof(llq_backend_ops) */

  /** Prepares a weight in the backend's own layout; host memory may be freed
   *  afterwards unless `keeps_weight` says otherwise.
   *  @param compute  the type of its inputs and outputs */
  int (*linear_upload)(void *self, const llq_weight *weight, int compute,
                       void **linear);
  /** Frees what linear_upload or linear_join made. */
  void (*linear_free)(void *self, void *linear);

  /** out[r, :] = table[ids[r], :]; table is [n_vocab, n_cols], of any float
   *  type, converted to the compute type; ids are host memory. */
  int (*embed)(void *self, const llq_view *table, const int32_t *ids,
               llq_view *out);

  /** out = x / sqrt(mean(x^2) + eps) * weight; as Hugging Face, the quotient
   *  is rounded to the compute type before the product. */
  int (*rms_norm)(void *self, const llq_view *x, const llq_view *weight,
                  float eps, llq_view *out);

  /** out[r, o] = sum over i of x[r, i] * W[o, i]. out may be F32 while x is
   *  BF16 (logits). */
  int (*linear)(void *self, const void *linear, const llq_view *x,
                llq_view *out);

  /** Rotates the heads of q [n_rows, n_heads * d] and k [n_rows, n_kv_heads *
   *  d] in place by the positions of the batch, in the half-split layout of
   *  Hugging Face; cos_sin is F32 [n_positions, d]: d / 2 cosines, then d / 2
   *  sines, for each position. Then stores k and v in the cache. */
  int (*rope_append)(void *self, const llq_batch *batch,
                     const llq_view *cos_sin, llq_view *q, llq_view *k,
                     const llq_view *v, llq_kv *cache);

  /** out = softmax(scale * q k^T) v over each row's own sequence, positions 0
   *  up to its own; q and out are [n_rows, n_heads * d]. */
  int (*attention)(void *self, const llq_batch *batch, const llq_view *q,
                   const llq_kv *cache, float scale, llq_view *out);

  /** out = gate / (1 + exp(-gate)) * up; out may be gate. */
  int (*swiglu)(void *self, const llq_view *gate, const llq_view *up,
                llq_view *out);

  /** x = x + y. */
  int (*add)(void *self, llq_view *x, const llq_view *y);

  /** out[i, :] = x[rows[i], :]; rows are host memory. */
  int (*gather)(void *self, const llq_view *x, const int32_t *rows,
                llq_view *out);

  /** Copies one page to another in the whole cache of a layer. */
  int (*page_copy)(void *self, llq_kv *cache, int from, int to);
} llq_backend_ops;

/** A linear with what surrounds it in a decoder layer. Every value is rounded
 *  where the operations of #llq_backend_ops would round it. */
typedef struct llq_linear_call {
  size_t struct_size; /**< sizeof(llq_linear_call) */
  const void *linear;   /**< n_out outputs, of linear_upload or linear_join */
  const llq_view *x;    /**< [n_rows, n_in], BF16 */
  const llq_view *norm; /**< [1, n_in]: x is normalized first, as by rms_norm;
                             NULL = not */
  float eps;            /**< of that norm */
  int32_t swiglu;       /**< 1: out = swiglu(first half of the outputs, second
                             half), [n_rows, n_out / 2] */
  int32_t adds;         /**< 1: out = out + what was computed; not with
                             swiglu */
  int32_t reserved; /**< 0 */
  llq_view *out;        /**< BF16; F32 without swiglu and adds */
} llq_linear_call;

/** How to draw a token from a row of logits, and what was drawn: exactly what
 *  the generator does on the host. */
typedef struct llq_draw {
  double temperature; /**< 0 = greedy */
  double top_p;       /**< 0 or 1 = all */
  double min_p;       /**< 0 = all */
  double uniform;     /**< the random number, 0 <= u < 1 */
  int32_t top_k;      /**< 0 = all */
  int32_t id;         /**< out */
  int32_t is_finite;  /**< out: 0 = a logit is NaN, or all are infinite */
  int32_t reserved; /**< 0 */
  double margin;      /**< out: largest minus second largest logit */
} llq_draw;

/** What a step of the fused operations works on. Host memory, read before
 *  step_begin returns. */
typedef struct llq_fused_step {
  size_t struct_size; /**< sizeof(llq_fused_step) */
  const llq_batch *batch;    /**< its rows */
  const int32_t *ids;        /**< [batch->n_rows] */
  const int32_t *logit_rows; /**< [n_logit_rows], rows of the batch */
  int32_t n_logit_rows;      /**< rows whose logits are wanted */
  int32_t n_draws;           /**< tokens to draw, from the first logit rows */
  const llq_draw *draws;     /**< [n_draws] */
} llq_fused_step;

/** What a backend may prepare for. Steps of one plan issue the same operations
 *  on the same memory, apart from numbers of rows. */
typedef struct llq_fused_plan {
  size_t struct_size; /**< sizeof(llq_fused_plan) */
  int32_t n_rows_max;      /**< of a step */
  int32_t n_positions_max; /**< of a sequence */
  int32_t is_fast;         /**< 1 = a row may depend, in its last bits, on what
                                else is in the batch, and weights need not be
                                rounded */
  int32_t is_direct;       /**< 1 = nothing is recorded: other operations are
                                called within steps */
} llq_fused_plan;

/** Optional: the forward pass in fewer, larger operations on BF16 values, which
 *  a backend may record and repeat. All entries required. Between step_begin
 *  and step_end nothing else is called, unless the plan is direct. */
typedef struct llq_backend_fused {
  size_t struct_size; /**< sizeof(llq_backend_fused) */

  /** Several weights with the same inputs as one linear whose outputs lie side
   *  by side; to be freed by linear_free. */
  int (*linear_join)(void *self, const llq_weight *const *weights, int n,
                     void **linear);

  /** A plan holds what the backend records. */
  int (*plan_open)(void *self, const llq_fused_plan *options, void **plan);
  /** Frees a plan. */
  void (*plan_close)(void *self, void *plan);

  /** Begins a step. *is_recorded = 1: the backend repeats this step from an
   *  earlier one of the same shape, and only step_end is to be called. */
  int (*step_begin)(void *self, void *plan, const llq_fused_step *step,
                    int *is_recorded);

  /** As llq_backend_ops.embed, of the step's ids. */
  int (*embed)(void *self, const llq_view *table, llq_view *out);

  /** A linear with what surrounds it. */
  int (*linear)(void *self, const llq_linear_call *call);

  /** rope_append and attention of the step's batch; qkv is [n_rows,
   *  (n_heads + 2 * n_kv_heads) * d], out [n_rows, n_heads * d]. */
  int (*attend)(void *self, const llq_view *cos_sin, const llq_view *qkv,
                llq_kv *cache, float scale, llq_view *out);

  /** out[i, :] = x[logit_rows[first + i], :]. */
  int (*gather)(void *self, int32_t first, const llq_view *x, llq_view *out);

  /** Draws the step's tokens from the first n_draws rows of logits (F32). */
  int (*draw)(void *self, const llq_view *logits);

  /** Ends a step, and waits for it if there are draws.
   *  @param draws  [n_draws]: their results are filled in
   *  @param failed 1: an operation failed; forget the step */
  int (*step_end)(void *self, llq_draw *draws, int failed);
} llq_backend_fused;

/** How the columns of a block become codes. */
typedef struct llq_encoding {
  size_t struct_size; /**< sizeof(llq_encoding) */
  int32_t format;         /**< of #llq_weight_format, not dense: the codes */
  int32_t dtype;          /**< what (code - zero) * scale is rounded to */
  int64_t first;          /**< the block's first column */
  int64_t n;              /**< columns of the block */
  const int32_t *groups;  /**< host, [n]: each column's group */
  const llq_view *scale;  /**< F32 [n_out, n_groups], all positive */
  const llq_view *zero;   /**< the same shape; all 0 if symmetric */
} llq_encoding;

/** Optional: what calibration and GPTQ spend their time in; libllq uses the
 *  CPU's where a backend has none. Entries from `start` on may be NULL.
 *  Matrices are F32 but for x. */
typedef struct llq_backend_calibration {
  size_t struct_size; /**< sizeof(llq_backend_calibration) */

  /** h[i, j] = h[i, j] + sum over r of x[r, i] * x[r, j], for i <= j. x is of a
   *  compute type. */
  int (*gram)(void *self, const llq_view *x, llq_view *h);

  /** Of each column of x: out[0, i] += sum of |x|; out[1, i] becomes the
   *  largest |x| so far. out is [2, n_cols]. */
  int (*magnitudes)(void *self, const llq_view *x, llq_view *out);

  /** Replaces h, of which only h[i, j] with i <= j is looked at and written, by
   *  the upper triangular U with h^-1 = U^T U.
   *  @param definite  out: 0 if h is not positive definite; h is then lost */
  int (*factor)(void *self, llq_view *h, int *definite);

  /** GPTQ within a block of w [n_out, n_in]. For each column i of the block, in
   *  order: c = the code nearest to w_i / scale + zero; error_i = (w_i - (c -
   *  zero) * scale) / U[i, i]; w_j -= error_i * U[i, j] for the block's columns
   *  j > i; w_i = c. errors is [n_out, n]. */
  int (*encode)(void *self, const llq_encoding *encoding,
                const llq_view *factor, llq_view *w, llq_view *errors);

  /** What a block's errors do to all columns after it: w[:, j] -= errors *
   *  U[first .. first + n, j] for j >= first + n, where n is errors->n_cols. */
  int (*update)(void *self, int64_t first, const llq_view *errors,
                const llq_view *factor, llq_view *w);

  /** Prepares for the operations above, before the first of them. Where it
   *  fails, libllq says why and uses the CPU's. */
  int (*start)(void *self);

  /** h in another order of columns, ready to be damped and factored: out[i, j]
   *  = by * h[columns[i], columns[j]] for i < j, of which h has what lies above
   *  its diagonal; out[i, i] = diagonal[i]. With it h need not visit the host.
   *  @param columns   host, [n]: a permutation
   *  @param diagonal  host, [n] */
  int (*arrange)(void *self, const llq_view *h, const int32_t *columns,
                 float by, const float *diagonal, llq_view *out);
} llq_backend_calibration;

/** Optional: measuring a device, and timing operations. All entries required;
 *  as the functions of llq/device.h that are named alike. */
typedef struct llq_backend_tools {
  size_t struct_size; /**< sizeof(llq_backend_tools) */
  /** As llq_backend_measure(). */
  int (*measure)(void *self, llq_device_rates *rates);
  /** As llq_backend_profile(). */
  int (*profile)(void *self, int is_on);
  /** As llq_backend_profile_get().
   *  @return 1, or 0 when there is no such entry. */
  int (*profile_get)(void *self, uint64_t index, llq_profile_entry *entry);
} llq_backend_tools;

/** Everything a backend offers. */
typedef struct llq_backend_table {
  uint32_t abi;            /**< #LLQ_BACKEND_ABI */
  uint32_t keeps_weight;   /**< 1 = linears refer to the host's weight, which
                                then lives as long as they do */
  const llq_backend_registry *registry; /**< its devices */
  const llq_backend_memory *memory; /**< their memory */
  const llq_backend_ops *ops;     /**< the forward pass */
  const llq_backend_fused *fused; /**< NULL = none */
  const llq_backend_calibration *calibration; /**< NULL = none */
  const llq_backend_tools *tools; /**< NULL = none */
} llq_backend_table;

/** What libllq gives a plugin, so that a plugin links to nothing of it. */
typedef struct llq_host {
  size_t struct_size; /**< sizeof(llq_host) */
  /** Sets the thread's error message unless one is set; returns status. */
  int (*fail)(int status, const char *message);
  /** Hands a line to llq_log_set()'s sink. */
  void (*log)(int level, const char *line);
} llq_host;

/** The one symbol that a plugin exports, as "llq_backend_entry". A plugin is a
 *  file llq-NAME.so.
 *  @param host  valid for the life of the process
 *  @param abi   the host's #LLQ_BACKEND_ABI
 *  @return the table; NULL if the plugin cannot serve this host. */
typedef const llq_backend_table *(*llq_backend_entry_fn)(const llq_host *host,
                                                         uint32_t abi);

#ifdef __cplusplus
}
#endif

#endif
