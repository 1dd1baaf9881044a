/* SPDX-License-Identifier: Apache-2.0 */
/* The CUDA plugin's own state, and how its functions fail. */
#ifndef LLQ_CUDA_H
#define LLQ_CUDA_H

#include <cuda_runtime_api.h>
#include <llq/backend.h>

#include "backends/cuda/kernels.h"

/* Device memory that grows as needed. */
struct cuda_buffer {
  void *memory;
  size_t size;
};

/* Where SwiGLU of device->gates is to go, if it is ever needed (gates.c). */
struct cuda_left {
  void *out; /* bf16 [n_rows, n_cols]; NULL: nothing is left */
  int64_t n_rows, n_cols;
};

/* A device that a backend was opened on. */
struct cuda_device {
  int index;
  int sm;      /* 80 or 90: the kernels in use */
  int n_units; /* multiprocessors */
  cudaStream_t stream;

  /* Working memory of one operation: its kernel's own, inputs made for the
     kernel, and inputs in another order; and what one operation leaves to the
     next. */
  struct cuda_buffer scratch, inputs, ordered, gates;
  struct cuda_left left;
  unsigned *counters; /* of kernels whose blocks share tiles: see kernels.h */
  unsigned n_moves;   /* of those; what was recorded before one is void */

  /* The description of an unfused operation's batch in device memory. */
  void *batch_memory;
  size_t batch_capacity;

  struct cuda_block *blocks;    /* of weights (arena.c) */
  struct cuda_staging *staging; /* of large copies; NULL before the first */
  struct cuda_plan *plan;       /* of the fused step under way */
  struct cuda_library *library; /* cuBLASLt, found when first needed */
  struct cuda_algebra *algebra; /* cuBLAS and cuSOLVER, likewise */
  struct cuda_profile *profile; /* NULL before the first */
};

extern const llq_host *llq_cuda_host;

/* The one exported symbol: an llq_backend_entry_fn. */
const llq_backend_table *llq_backend_entry(const llq_host *host, uint32_t abi);

/* Fails with "<what> (<device>): <CUDA's text>". */
int cuda_fail(const struct cuda_device *device, cudaError_t error, const char *what);

/* Fails with a formatted message of the plugin's own. */
int cuda_error(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define CUDA_TRY(device, call)                                                                     \
  do {                                                                                             \
    cudaError_t cuda_try_error = (call);                                                           \
    if (cuda_try_error != cudaSuccess)                                                             \
      return cuda_fail(device, cuda_try_error, #call);                                             \
  } while (0)

/* The tables of llq_backend_table. */
extern const llq_backend_registry cuda_registry;
extern const llq_backend_memory cuda_memory;
extern const llq_backend_ops cuda_ops;
extern const llq_backend_fused cuda_fused;
extern const llq_backend_calibration cuda_calibration;
extern const llq_backend_tools cuda_tools;

/* Times of operations. Between cuda_begin() and cuda_end() lies a profile's
   span; nothing while it is off. They do not nest. cuda_end() returns the
   status that it is given, unless it fails itself. */
int cuda_profile_switch(void *self, int is_on);
int cuda_profile_get(void *self, uint64_t index, llq_profile_entry *entry);
void cuda_profile_close(struct cuda_profile *profile);
int cuda_is_profiling(const struct cuda_device *device);
int cuda_begin(struct cuda_device *device, const char *name);
int cuda_end(struct cuda_device *device, int status);

/* Memory for weights, 256-byte aligned; NULL may be given back. */
int cuda_arena_take(struct cuda_device *device, size_t size, void **memory);
void cuda_arena_give(struct cuda_device *device, void *memory);

/* Copies to the device, in the order of its stream; `from` was read when it
   returns. And copies from it. */
int cuda_staging_upload(struct cuda_device *device, void *to, const void *from, size_t size);
int cuda_staging_download(struct cuda_device *device, void *to, const void *from, size_t size);
void cuda_staging_close(struct cuda_staging *staging);

/* Weights on the device: one, or several joined. */
int cuda_linear_upload(void *self, const llq_weight *weight, int compute, void **linear);
int cuda_linear_join(void *self, const llq_weight *const *weights, int n, void **linear);
void cuda_linear_free(void *self, void *linear);

/* Can a weight be CUDA_LAYOUT_TILED? The linear's shape is filled in. */
int cuda_tiled_takes(const struct cuda_linear *linear, const llq_weight *weight);
int cuda_tiled_place(struct cuda_device *device, struct cuda_linear *linear,
                     const llq_weight *const *weights, int n);

/* Runs a product on the kernel that is best for it. is_fast: as in
   llq_fused_plan. */
int cuda_product_run(struct cuda_device *device, const struct cuda_product *product, int is_fast);

/* The same by cuBLASLt. of_gates: x is gate | up, [n_rows, 2 n_in], and the
   product is of silu(gate) * up. */
int cuda_library_run(struct cuda_device *device, const struct cuda_product *product, int of_gates);

/* Are there enough rows for kernels of many? */
int cuda_product_is_many(const struct cuda_device *device, const struct cuda_product *product,
                         int is_fast);

/* Products whose SwiGLU is left to the next operation: runs one, runs the next
   from what was left, or does what was left. Every operation of a step begins
   with one of these. */
int cuda_gates_leave(struct cuda_device *device, const struct cuda_product *product, int *is_left);
int cuda_gates_take(struct cuda_device *device, const struct cuda_product *product, int *is_taken);
int cuda_gates_finish(struct cuda_device *device);

/* How the device's kernels are launched, with `scratch_size` bytes of scratch.
   Fails while a step is recorded that needs more than any before it. */
int cuda_launch_on(struct cuda_device *device, size_t scratch_size, struct cuda_launch *launch);

/* Memory for inputs that are made for a kernel, with the same limit. */
int cuda_inputs_on(struct cuda_device *device, size_t size, void **memory);
int cuda_ordered_on(struct cuda_device *device, size_t size, void **memory);
int cuda_gates_on(struct cuda_device *device, size_t size, void **memory);

/* A cache as kernels see it. */
struct cuda_cache cuda_cache_of(const llq_kv *kv);

/* Copies a batch's rows and pages to the device, for unfused operations. */
int cuda_batch_upload(struct cuda_device *device, const llq_batch *batch, struct cuda_batch *out);

/* Fills in one entry for each row of a batch. */
void cuda_batch_rows(const llq_batch *batch, struct cuda_row *rows);

/* What a fused step works on, in device memory. */
struct cuda_step {
  struct cuda_batch batch;
  const int32_t *ids;        /* [batch.n_rows] */
  const int32_t *logit_rows; /* [n_logit_rows] */
  const llq_draw *draws;     /* [n_draws] */
  llq_draw *drawn;           /* the same in the host's memory: results */
  int n_logit_rows, n_draws;
  int has_temperature; /* of any draw */
  int is_fast;
};
const struct cuda_step *cuda_plan_step(const struct cuda_plan *plan);
int cuda_plan_open(void *self, const llq_fused_plan *options, void **plan);
void cuda_plan_close(void *self, void *plan);
int cuda_plan_begin(void *self, void *plan, const llq_fused_step *step, int *is_recorded);
int cuda_plan_end(void *self, llq_draw *draws, int failed);

#endif
