/* SPDX-License-Identifier: Apache-2.0 */
/* cuBLASLt's products, planned once for each shape.

   The library is opened at run time, by the soname of the major version that
   this was compiled for (its enumerations may change between those): it is half
   a gigabyte that a machine with only a driver has not, and that small models
   and few rows do not need. Without it the plugin's own kernels serve. */
#include "backends/cuda/library.h"

#include <cublasLt.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)
#define SONAME "libcublasLt.so." TEXT(CUBLAS_VER_MAJOR)

/* The functions used, as X(name without cublasLt). */
#define FUNCTIONS(X)                                                                               \
  X(Create)                                                                                        \
  X(Destroy)                                                                                       \
  X(GetStatusName)                                                                                 \
  X(Matmul)                                                                                        \
  X(MatmulAlgoGetHeuristic)                                                                        \
  X(MatmulDescCreate)                                                                              \
  X(MatmulDescDestroy)                                                                             \
  X(MatmulDescSetAttribute)                                                                        \
  X(MatmulPreferenceCreate)                                                                        \
  X(MatmulPreferenceDestroy)                                                                       \
  X(MatmulPreferenceSetAttribute)                                                                  \
  X(MatrixLayoutCreate)                                                                            \
  X(MatrixLayoutDestroy)

struct functions {
#define DECLARE(name) __typeof__(cublasLt##name) *name;
  FUNCTIONS(DECLARE)
#undef DECLARE
};

enum { WORKSPACE_SIZE = 32 << 20, N_PLANS = 256, N_CANDIDATES = 8 };

/* What a plan was made for. Compared as bytes: no padding. */
struct key {
  int64_t type, n_rows, n_out, n_in, out_stride;
};

struct plan {
  struct key key;
  cublasLtMatmulDesc_t operation; /* NULL: an empty place in the table */
  cublasLtMatrixLayout_t w, x, out;
  cublasLtMatmulAlgo_t algorithm;
  int exists; /* there is an algorithm */
  int is_tuned;
};

struct cuda_library {
  const struct cuda_device *device;
  int flags;
  int was_tried; /* the functions below were looked for */
  void *file;
  struct functions call;
  cublasLtHandle_t handle; /* NULL: cuBLASLt is not there */
  void *workspace;
  cublasLtMatmulPreference_t preference;
  struct plan plans[N_PLANS]; /* open addressing */
  int n_plans;
};

/* How types are named to cuBLASLt. */
static const struct {
  cudaDataType_t in, out, scalar;
  cublasComputeType_t compute;
  int is_scaled;
} types[] = {
    [CUDA_LIBRARY_BF16] = {CUDA_R_16BF, CUDA_R_16BF, CUDA_R_32F, CUBLAS_COMPUTE_32F, 0},
    [CUDA_LIBRARY_BF16_TO_F32] = {CUDA_R_16BF, CUDA_R_32F, CUDA_R_32F, CUBLAS_COMPUTE_32F, 0},
    [CUDA_LIBRARY_FP8] = {CUDA_R_8F_E4M3, CUDA_R_16BF, CUDA_R_32F, CUBLAS_COMPUTE_32F, 1},
    [CUDA_LIBRARY_FP8_SUMS] = {CUDA_R_8F_E4M3, CUDA_R_32F, CUDA_R_32F, CUBLAS_COMPUTE_32F, 0},
    [CUDA_LIBRARY_INT8_SUMS] = {CUDA_R_8I, CUDA_R_32I, CUDA_R_32I, CUBLAS_COMPUTE_32I, 0},
};

static int library_fail(const struct cuda_library *library, cublasStatus_t status,
                        const char *call) {
  return cuda_error(status == CUBLAS_STATUS_ALLOC_FAILED ? LLQ_ERROR_MEMORY : LLQ_ERROR_DEVICE,
                    "cuda:%d: cublasLt%s: %s", library->device->index, call,
                    library->call.GetStatusName(status));
}

#define LIBRARY_TRY(library, name, ...)                                                            \
  do {                                                                                             \
    cublasStatus_t try_status = (library)->call.name(__VA_ARGS__);                                 \
    if (try_status != CUBLAS_STATUS_SUCCESS)                                                       \
      return library_fail(library, try_status, #name);                                             \
  } while (0)

/* ---- Opening ---- */

static int resolve(struct cuda_library *library) {
  int n_missing = 0;
#define RESOLVE(name)                                                                              \
  *(void **)&library->call.name = dlsym(library->file, "cublasLt" #name);                          \
  n_missing += library->call.name == NULL;
  FUNCTIONS(RESOLVE)
#undef RESOLVE
  return n_missing == 0;
}

static int start(struct cuda_library *library) {
  /* Split sums are added as floats: the output is rounded once. */
  const uint32_t reductions = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
  const uint64_t size = WORKSPACE_SIZE;
  const uint32_t alignment = 16;
  const cublasLtMatmulPreferenceAttributes_t aligned[] = {
      CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
      CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES};
  LIBRARY_TRY(library, MatmulPreferenceCreate, &library->preference);
  LIBRARY_TRY(library, MatmulPreferenceSetAttribute, library->preference,
              CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &size, sizeof size);
  LIBRARY_TRY(library, MatmulPreferenceSetAttribute, library->preference,
              CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &reductions, sizeof reductions);
  for (int i = 0; i < 4; i++)
    LIBRARY_TRY(library, MatmulPreferenceSetAttribute, library->preference, aligned[i], &alignment,
                sizeof alignment);
  CUDA_TRY(library->device, cudaMalloc(&library->workspace, WORKSPACE_SIZE));
  LIBRARY_TRY(library, Create, &library->handle);
  return LLQ_OK;
}

/* A library that is there but does not start is like one that is not there:
   what it would do, other kernels do. */
static int is_open(struct cuda_library *library) {
  if (library == NULL)
    return 0;
  if (library->was_tried)
    return library->handle != NULL;
  library->was_tried = 1;
  library->file = dlopen(SONAME, RTLD_NOW | RTLD_LOCAL);
#ifdef LLQ_CUDA_LIBDIR
  if (library->file == NULL)
    library->file = dlopen(LLQ_CUDA_LIBDIR "/" SONAME, RTLD_NOW | RTLD_LOCAL);
#endif
  return library->file != NULL && resolve(library) && start(library) == LLQ_OK;
}

int cuda_library_open(struct cuda_library **out, const struct cuda_device *device, int flags) {
  struct cuda_library *library = calloc(1, sizeof *library);
  if (library == NULL)
    return cuda_error(LLQ_ERROR_MEMORY, "cuda: out of host memory");
  library->device = device;
  library->flags = flags;
  *out = library;
  return LLQ_OK;
}

const struct cuda_device *cuda_library_device(const struct cuda_library *library) {
  return library->device;
}

/* ---- Plans ---- */

static void forget(struct cuda_library *library, struct plan *plan) {
  const cublasLtMatrixLayout_t layouts[] = {plan->w, plan->x, plan->out};
  for (int i = 0; i < 3; i++)
    if (layouts[i] != NULL)
      library->call.MatrixLayoutDestroy(layouts[i]);
  if (plan->operation != NULL)
    library->call.MatmulDescDestroy(plan->operation);
  memset(plan, 0, sizeof *plan);
}

static void forget_all(struct cuda_library *library) {
  for (int i = 0; i < N_PLANS; i++)
    if (library->plans[i].operation != NULL)
      forget(library, &library->plans[i]);
  library->n_plans = 0;
}

void cuda_library_close(struct cuda_library *library) {
  if (library == NULL)
    return;
  forget_all(library);
  if (library->handle != NULL)
    library->call.Destroy(library->handle);
  if (library->preference != NULL)
    library->call.MatmulPreferenceDestroy(library->preference);
  cudaFree(library->workspace);
  /* The file stays: CUDA libraries do not survive dlclose(). */
  free(library);
}

#define SET(library, plan, attribute, value)                                                       \
  LIBRARY_TRY(library, MatmulDescSetAttribute, (plan)->operation,                                  \
              CUBLASLT_MATMUL_DESC_##attribute, &(value), sizeof(value))

/* Column-major, as cuBLASLt sees it: out [n_out, n_rows] = W^T x, where W is
   [n_in, n_out] and x [n_in, n_rows]. */
static int describe(struct cuda_library *library, const struct key *key, struct plan *plan) {
  const cublasOperation_t transposed = CUBLAS_OP_T;
  const cublasLtMatmulMatrixScale_t vector = CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F;
  const uint64_t n_rows = (uint64_t)key->n_rows, n_in = (uint64_t)key->n_in;
  const uint64_t n_out = (uint64_t)key->n_out;
  cudaDataType_t in = types[key->type].in, out = types[key->type].out;
  int8_t is_fast = in == CUDA_R_8F_E4M3 && (library->flags & CUDA_LIBRARY_FAST_SUMS);
  plan->key = *key;
  LIBRARY_TRY(library, MatmulDescCreate, &plan->operation, types[key->type].compute,
              types[key->type].scalar);
  SET(library, plan, TRANSA, transposed);
  SET(library, plan, FAST_ACCUM, is_fast);
  if (types[key->type].is_scaled) {
    SET(library, plan, A_SCALE_MODE, vector);
    SET(library, plan, B_SCALE_MODE, vector);
  }
  LIBRARY_TRY(library, MatrixLayoutCreate, &plan->w, in, n_in, n_out, key->n_in);
  LIBRARY_TRY(library, MatrixLayoutCreate, &plan->x, in, n_in, n_rows, key->n_in);
  LIBRARY_TRY(library, MatrixLayoutCreate, &plan->out, out, n_out, n_rows, key->out_stride);
  return LLQ_OK;
}

static int set_scales(struct cuda_library *library, struct plan *plan,
                      const struct cuda_matmul *matmul) {
  if (!types[matmul->type].is_scaled)
    return LLQ_OK;
  /* cuBLASLt proposes nothing without pointers, which cuda_library_has() may
     not have yet. */
  const void *stand_in = library->workspace;
  const void *a = matmul->scale != NULL ? matmul->scale : stand_in;
  const void *b = matmul->row_scale != NULL ? matmul->row_scale : stand_in;
  SET(library, plan, A_SCALE_POINTER, a);
  SET(library, plan, B_SCALE_POINTER, b);
  return LLQ_OK;
}

static int run(struct cuda_library *library, const struct plan *plan,
               const cublasLtMatmulAlgo_t *algorithm, cudaStream_t stream,
               const struct cuda_matmul *matmul) {
  static const float one = 1, zero = 0;
  static const int32_t int_one = 1, int_zero = 0;
  int is_int = types[matmul->type].scalar == CUDA_R_32I;
  const void *factor = is_int ? (const void *)&int_one : &one;
  const void *none = is_int ? (const void *)&int_zero : &zero;
  const void *residual = matmul->residual;
  LIBRARY_TRY(library, Matmul, library->handle, plan->operation, factor, matmul->w, plan->w,
              matmul->x, plan->x, residual != NULL ? factor : none,
              residual != NULL ? residual : matmul->out, plan->out, matmul->out, plan->out,
              algorithm, library->workspace, WORKSPACE_SIZE, stream);
  return LLQ_OK;
}

/* What cuBLASLt proposes for a product. */
struct trial {
  struct cuda_library *library;
  const struct plan *plan;
  const struct cuda_matmul *matmul;
  cudaStream_t stream;
  cublasLtMatmulHeuristicResult_t candidates[N_CANDIDATES];
};

static int run_candidate(void *memory, int i) {
  struct trial *t = memory;
  return run(t->library, t->plan, &t->candidates[i].algo, t->stream, t->matmul);
}

/* A residual may lie where the output goes: to run again would add it again. */
static int may_tune(const struct cuda_library *library, cudaStream_t stream,
                    const struct cuda_matmul *matmul) {
  enum cudaStreamCaptureStatus status = cudaStreamCaptureStatusActive;
  return (library->flags & CUDA_LIBRARY_TUNES) && matmul->residual == NULL &&
         cudaStreamIsCapturing(stream, &status) == cudaSuccess &&
         status == cudaStreamCaptureStatusNone;
}

/* cuBLASLt's proposals, the best in its opinion first. None is no failure. */
static int propose(struct cuda_library *library, struct plan *plan,
                   cublasLtMatmulHeuristicResult_t *candidates, int n_max) {
  int n = 0;
  cublasStatus_t status = library->call.MatmulAlgoGetHeuristic(
      library->handle, plan->operation, plan->w, plan->x, plan->out, plan->out, library->preference,
      n_max, candidates, &n);
  return status == CUBLAS_STATUS_SUCCESS ? n : 0;
}

static int choose(struct cuda_library *library, struct plan *plan, cudaStream_t stream,
                  const struct cuda_matmul *matmul, int may_run) {
  struct trial trial = {.library = library, .plan = plan, .matmul = matmul, .stream = stream};
  CUDA_PASS(set_scales(library, plan, matmul));
  int n = propose(library, plan, trial.candidates, may_run ? N_CANDIDATES : 1);
  int best = may_run && n > 1 ? cuda_fastest(stream, n, run_candidate, &trial) : 0;
  plan->exists = n > 0;
  plan->is_tuned = may_run;
  if (n > 0)
    plan->algorithm = trial.candidates[best].algo;
  return LLQ_OK;
}

static uint64_t hash(const struct key *key) {
  const int64_t *parts = (const int64_t *)key;
  uint64_t h = 0;
  for (size_t i = 0; i < sizeof *key / sizeof *parts; i++)
    h = (h ^ (uint64_t)parts[i]) * 0x9e3779b97f4a7c15u ^ h >> 29;
  return h >> 32;
}

/* The place of a key's plan: taken by it, or empty. */
static struct plan *place_of(struct cuda_library *library, const struct key *key) {
  uint64_t at = hash(key);
  for (;; at++) {
    struct plan *plan = &library->plans[at % N_PLANS];
    if (plan->operation == NULL || memcmp(&plan->key, key, sizeof *key) == 0)
      return plan;
  }
}

static int plan_for(struct cuda_library *library, cudaStream_t stream,
                    const struct cuda_matmul *matmul, int may_run, struct plan **out) {
  struct key key = {matmul->type, matmul->n_rows, matmul->n_out, matmul->n_in, matmul->out_stride};
  struct plan *plan = place_of(library, &key);
  if (plan->operation == NULL) {
    if (library->n_plans >= N_PLANS * 3 / 4) {
      forget_all(library);
      plan = place_of(library, &key);
    }
    int status = describe(library, &key, plan);
    if (status >= 0)
      status = choose(library, plan, stream, matmul, may_run);
    if (status < 0) {
      forget(library, plan);
      return status;
    }
    library->n_plans++;
  } else if (may_run && !plan->is_tuned && plan->exists) {
    CUDA_PASS(choose(library, plan, stream, matmul, 1));
  }
  *out = plan;
  return LLQ_OK;
}

int cuda_library_has(struct cuda_library *library, const struct cuda_matmul *matmul) {
  struct plan *plan;
  return is_open(library) && plan_for(library, NULL, matmul, 0, &plan) == LLQ_OK && plan->exists;
}

int cuda_library_matmul(struct cuda_library *library, cudaStream_t stream,
                        const struct cuda_matmul *matmul) {
  struct plan *plan;
  if (!is_open(library))
    return cuda_error(LLQ_ERROR_UNSUPPORTED, "cuda: no " SONAME);
  CUDA_PASS(plan_for(library, stream, matmul, may_tune(library, stream, matmul), &plan));
  if (!plan->exists)
    return library_fail(library, CUBLAS_STATUS_NOT_SUPPORTED, "MatmulAlgoGetHeuristic");
  CUDA_PASS(set_scales(library, plan, matmul));
  return run(library, plan, &plan->algorithm, stream, matmul);
}
