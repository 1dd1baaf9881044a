/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "backends/cpu/cpu.h"

#include <string.h>

#include "backend/backend.h"
#include "base/alloc.h"
#include "base/status.h"
#include "tensor/dtype.h"

/* Waking a thread up costs some microseconds, as long as this many
   multiplications. */
#define WORTH_A_THREAD 2e5

void *llqi_cpu_scratch(struct llqi_cpu *cpu, size_t size) {
  if (size > cpu->scratch_size) {
    llqi_free(cpu->scratch);
    cpu->scratch_size = 0;
    cpu->scratch = llqi_alloc_aligned(size, 1);
    if (cpu->scratch != NULL)
      cpu->scratch_size = size;
  }
  return cpu->scratch;
}

int llqi_cpu_threads(const struct llqi_cpu *cpu, double n_multiplications) {
  double n = 1 + n_multiplications / WORTH_A_THREAD;
  int n_threads = llqi_threads_count(cpu->threads);
  return n < n_threads ? (int)n : n_threads;
}

void llqi_cpu_load_row(const llq_view *view, int64_t row, float *values) {
  size_t stride = (size_t)view->n_cols * llqi_dtype_size(view->dtype);
  llqi_to_f32(view->dtype, (const char *)view->data + (size_t)row * stride,
              (size_t)view->n_cols, values);
}

void llqi_cpu_store_row(llq_view *view, int64_t row, const float *values) {
  size_t stride = (size_t)view->n_cols * llqi_dtype_size(view->dtype);
  llqi_from_f32(view->dtype, values, (size_t)view->n_cols,
                (char *)view->data + (size_t)row * stride);
}

void llqi_cpu_ops_reference(llq_backend_ops *ops) {
  *ops = (llq_backend_ops){
      .struct_size = sizeof *ops,
      .linear_upload = llqi_cpu_linear_upload,
      .linear_free = llqi_cpu_linear_free,
      .embed = llqi_cpu_embed,
      .rms_norm = llqi_cpu_rms_norm,
      .linear = llqi_cpu_linear_run,
      .rope_append = llqi_cpu_rope_append,
      .attention = llqi_cpu_attention,
      .swiglu = llqi_cpu_swiglu,
      .add = llqi_cpu_add,
      .gather = llqi_cpu_gather,
      .page_copy = llqi_cpu_page_copy,
  };
}

/* ---- The tables that libllq sees: each slot asks the opened device's. ---- */

static const llq_backend_ops *ops_of(void *self) {
  return &((struct llqi_cpu *)self)->ops;
}

static int linear_upload(void *self, const llq_weight *weight, int compute,
                         void **linear) {
  return ops_of(self)->linear_upload(self, weight, compute, linear);
}

static void linear_free(void *self, void *linear) {
  ops_of(self)->linear_free(self, linear);
}

static int embed(void *self, const llq_view *table, const int32_t *ids,
                 llq_view *out) {
  return ops_of(self)->embed(self, table, ids, out);
}

static int rms_norm(void *self, const llq_view *x, const llq_view *weight,
                    float eps, llq_view *out) {
  return ops_of(self)->rms_norm(self, x, weight, eps, out);
}

static int linear(void *self, const void *weight, const llq_view *x,
                  llq_view *out) {
  return ops_of(self)->linear(self, weight, x, out);
}

static int rope_append(void *self, const llq_batch *batch,
                       const llq_view *cos_sin, llq_view *q, llq_view *k,
                       const llq_view *v, llq_kv *cache) {
  return ops_of(self)->rope_append(self, batch, cos_sin, q, k, v, cache);
}

static int attention(void *self, const llq_batch *batch, const llq_view *q,
                     const llq_kv *cache, float scale, llq_view *out) {
  return ops_of(self)->attention(self, batch, q, cache, scale, out);
}

static int swiglu(void *self, const llq_view *gate, const llq_view *up,
                  llq_view *out) {
  return ops_of(self)->swiglu(self, gate, up, out);
}

static int add(void *self, llq_view *x, const llq_view *y) {
  return ops_of(self)->add(self, x, y);
}

static int gather(void *self, const llq_view *x, const int32_t *rows,
                  llq_view *out) {
  return ops_of(self)->gather(self, x, rows, out);
}

static int page_copy(void *self, llq_kv *cache, int from, int to) {
  return ops_of(self)->page_copy(self, cache, from, to);
}

static const llq_backend_ops operations = {
    .struct_size = sizeof operations,
    .linear_upload = linear_upload,
    .linear_free = linear_free,
    .embed = embed,
    .rms_norm = rms_norm,
    .linear = linear,
    .rope_append = rope_append,
    .attention = attention,
    .swiglu = swiglu,
    .add = add,
    .gather = gather,
    .page_copy = page_copy,
};

static int memory_alloc(void *self, size_t size, void **memory) {
  *memory = llqi_alloc_aligned(size, 1);
  return *memory != NULL ? LLQ_OK : LLQ_ERROR_MEMORY;
}

static void memory_free(void *self, void *memory) {
  llqi_free(memory);
}

static int memory_copy(void *self, void *to, const void *from, size_t size) {
  memcpy(to, from, size);
  return LLQ_OK;
}

static int synchronize(void *self) {
  return LLQ_OK;
}

static const llq_backend_memory memory = {
    .struct_size = sizeof memory,
    .alloc = memory_alloc,
    .free = memory_free,
    .upload = memory_copy,
    .download = memory_copy,
    .synchronize = synchronize,
};

/* How far up the list of archs to go: to the one named, or to the best. */
static int find_arch(const char *name, int *level) {
  int n_usable = llqi_cpu_n_usable_archs();
  *level = n_usable - 1;
  if (name == NULL)
    return LLQ_OK;
  for (int i = 0; i < LLQI_CPU_N_ARCHS; i++)
    if (strcmp(name, llqi_cpu_archs[i]) == 0) {
      *level = i;
      return i < n_usable ? LLQ_OK
                          : llqi_fail(LLQ_ERROR_DEVICE,
                                      "cpu: this machine has no %s", name);
    }
  return llqi_fail(LLQ_ERROR_ARGUMENT,
                   "cpu: arch \"%s\"; there are reference, avx2, avx512", name);
}

static int open_cpu(void **self, int index,
                    const llq_backend_options *options) {
  int level;
  LLQ_TRY(find_arch(options->arch, &level));
  struct llqi_cpu *cpu = llqi_calloc(1, sizeof *cpu);
  if (cpu == NULL)
    return LLQ_ERROR_MEMORY;
  llqi_cpu_ops_reference(&cpu->ops);
#ifdef LLQ_X86_64
  if (level >= 1)
    llqi_cpu_ops_avx2(&cpu->ops);
  if (level >= 2)
    llqi_cpu_ops_avx512(&cpu->ops);
#endif
  int status = llqi_threads_open(&cpu->threads, options->n_threads);
  if (status < 0)
    llqi_free(cpu);
  else
    *self = cpu;
  return status;
}

static void close_cpu(void *self) {
  struct llqi_cpu *cpu = self;
  llqi_threads_close(cpu->threads);
  llqi_free(cpu->scratch);
  llqi_free(cpu);
}

static const llq_backend_registry registry = {
    .struct_size = sizeof registry,
    .name = "cpu",
    .count = llqi_cpu_count,
    .describe = llqi_cpu_describe,
    .open = open_cpu,
    .close = close_cpu,
};

static const llq_backend_calibration calibration = {
    .struct_size = sizeof calibration,
    .gram = llqi_cpu_gram,
    .magnitudes = llqi_cpu_magnitudes,
    .factor = llqi_cpu_factor,
    .encode = llqi_cpu_encode,
    .update = llqi_cpu_update,
};

const llq_backend_table llqi_cpu_backend = {
    .abi = LLQ_BACKEND_ABI,
    .keeps_weight = 1,
    .registry = &registry,
    .memory = &memory,
    .ops = &operations,
    .calibration = &calibration,
};
