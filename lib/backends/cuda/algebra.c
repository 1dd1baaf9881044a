/* SPDX-License-Identifier: Apache-2.0 */
/* Both libraries are opened at run time, as cuBLASLt is (library.c). Matrices
   are column-major to them: what is a row here is a column there, and a lower
   triangle an upper one. */
#include "backends/cuda/algebra.h"

#include <cublas_v2.h>
#include <cusolverDn.h>
#include <dlfcn.h>
#include <stdlib.h>

#include "backends/cuda/library.h"

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)
#define BLAS_FILE "libcublas.so." TEXT(CUBLAS_VER_MAJOR)
#define SOLVER_FILE "libcusolver.so." TEXT(CUSOLVER_VER_MAJOR)

/* The functions used, as X(library, name without its prefix). */
#define FUNCTIONS(X)                                                                               \
  X(cublas, Create_v2)                                                                             \
  X(cublas, Destroy_v2)                                                                            \
  X(cublas, SetStream_v2)                                                                          \
  X(cublas, GetStatusName)                                                                         \
  X(cublas, GemmEx)                                                                                \
  X(cublas, Sgemm_v2)                                                                              \
  X(cublas, Strsm_v2)                                                                              \
  X(cusolverDn, Create)                                                                            \
  X(cusolverDn, Destroy)                                                                           \
  X(cusolverDn, SetStream)                                                                         \
  X(cusolverDn, Spotrf_bufferSize)                                                                 \
  X(cusolverDn, Spotrf)

struct cuda_algebra {
#define DECLARE(library, name) __typeof__(library##name) *library##_##name;
  FUNCTIONS(DECLARE)
#undef DECLARE
  cublasHandle_t blas;
  cusolverDnHandle_t solver;
};

#define BLAS_TRY(device, name, ...)                                                                \
  do {                                                                                             \
    cublasStatus_t try_status =                                                                    \
        (device)->algebra->cublas_##name((device)->algebra->blas, __VA_ARGS__);                    \
    if (try_status != CUBLAS_STATUS_SUCCESS)                                                       \
      return blas_fail(device, try_status, #name);                                                 \
  } while (0)

#define SOLVER_TRY(device, name, ...)                                                              \
  do {                                                                                             \
    cusolverStatus_t try_status =                                                                  \
        (device)->algebra->cusolverDn_##name((device)->algebra->solver, __VA_ARGS__);              \
    if (try_status != CUSOLVER_STATUS_SUCCESS)                                                     \
      return solver_fail(device, try_status, #name);                                               \
  } while (0)

static int blas_fail(const struct cuda_device *device, cublasStatus_t status, const char *call) {
  return cuda_error(status == CUBLAS_STATUS_ALLOC_FAILED ? LLQ_ERROR_MEMORY : LLQ_ERROR_DEVICE,
                    "cuda:%d: cublas%s: %s", device->index, call,
                    device->algebra->cublas_GetStatusName(status));
}

static int solver_fail(const struct cuda_device *device, cusolverStatus_t status,
                       const char *call) {
  return cuda_error(status == CUSOLVER_STATUS_ALLOC_FAILED ? LLQ_ERROR_MEMORY : LLQ_ERROR_DEVICE,
                    "cuda:%d: cusolverDn%s: status %d", device->index, call, (int)status);
}

/* ---- Opening ---- */

/* The file stays open: CUDA libraries do not survive dlclose(). */
static int open_file(const char *name, const char *beside, void **file) {
  *file = dlopen(name, RTLD_NOW | RTLD_LOCAL);
  if (*file == NULL)
    *file = dlopen(beside, RTLD_NOW | RTLD_LOCAL);
  return *file != NULL ? (int)LLQ_OK : cuda_error(LLQ_ERROR_UNSUPPORTED, "cuda: %s", dlerror());
}

static int resolve(struct cuda_algebra *algebra) {
  void *cublas, *cusolverDn;
  CUDA_PASS(open_file(BLAS_FILE, LLQ_CUDA_LIBDIR "/" BLAS_FILE, &cublas));
  CUDA_PASS(open_file(SOLVER_FILE, LLQ_CUDA_LIBDIR "/" SOLVER_FILE, &cusolverDn));
#define RESOLVE(library, name)                                                                     \
  *(void **)&algebra->library##_##name = dlsym(library, #library #name);                           \
  if (algebra->library##_##name == NULL)                                                           \
    return cuda_error(LLQ_ERROR_UNSUPPORTED, "cuda: no %s in its library", #library #name);
  FUNCTIONS(RESOLVE)
#undef RESOLVE
  return LLQ_OK;
}

static int start(struct cuda_device *device, struct cuda_algebra *algebra) {
  CUDA_PASS(resolve(algebra));
  CUDA_TRY(device, cudaSetDevice(device->index));
  if (algebra->cublas_Create_v2(&algebra->blas) != CUBLAS_STATUS_SUCCESS)
    return cuda_error(LLQ_ERROR_DEVICE, "cuda:%d: cuBLAS does not start", device->index);
  if (algebra->cusolverDn_Create(&algebra->solver) != CUSOLVER_STATUS_SUCCESS)
    return cuda_error(LLQ_ERROR_DEVICE, "cuda:%d: cuSOLVER does not start", device->index);
  if (algebra->cublas_SetStream_v2(algebra->blas, device->stream) != CUBLAS_STATUS_SUCCESS ||
      algebra->cusolverDn_SetStream(algebra->solver, device->stream) != CUSOLVER_STATUS_SUCCESS)
    return cuda_error(LLQ_ERROR_DEVICE, "cuda:%d: cuBLAS refuses the stream", device->index);
  return LLQ_OK;
}

int cuda_algebra_open(struct cuda_device *device) {
  if (device->algebra != NULL)
    return LLQ_OK;
  struct cuda_algebra *algebra = calloc(1, sizeof *algebra);
  if (algebra == NULL)
    return cuda_error(LLQ_ERROR_MEMORY, "cuda: out of host memory");
  int status = start(device, algebra);
  if (status < 0)
    cuda_algebra_close(algebra);
  else
    device->algebra = algebra;
  return status;
}

void cuda_algebra_close(struct cuda_algebra *algebra) {
  if (algebra == NULL)
    return;
  if (algebra->solver != NULL)
    algebra->cusolverDn_Destroy(algebra->solver);
  if (algebra->blas != NULL)
    algebra->cublas_Destroy_v2(algebra->blas);
  free(algebra);
}

/* ---- Operations ---- */

static const float one = 1, minus_one = -1;

static int smaller(int a, int b) {
  return a < b ? a : b;
}

/* Columns of h that are made at a time: enough of them for every
   multiprocessor, few enough that little is made below the diagonal. */
#define GRAM_COLUMNS 2048

int cuda_algebra_gram(struct cuda_device *device, const llq_view *x, llq_view *h) {
  const int n = (int)x->n_cols, n_rows = (int)x->n_rows;
  const int is_bf16 = x->dtype == LLQ_BF16;
  const cudaDataType_t type = is_bf16 ? CUDA_R_16BF : CUDA_R_32F;
  for (int at = 0; at < n; at += GRAM_COLUMNS) {
    const char *from = (const char *)x->data + at * (is_bf16 ? 2 : 4);
    float *to = (float *)h->data + (int64_t)at * n + at;
    BLAS_TRY(device, GemmEx, CUBLAS_OP_N, CUBLAS_OP_T, n - at, smaller(GRAM_COLUMNS, n - at),
             n_rows, &one, from, type, n, from, type, n, &one, to, CUDA_R_32F, n,
             CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT);
  }
  return LLQ_OK;
}

int cuda_algebra_root_size(struct cuda_device *device, float *a, int n, int *size) {
  SOLVER_TRY(device, Spotrf_bufferSize, CUBLAS_FILL_MODE_UPPER, n, a, n, size);
  return LLQ_OK;
}

int cuda_algebra_root(struct cuda_device *device, float *a, int n, float *work, int size,
                      int *info) {
  SOLVER_TRY(device, Spotrf, CUBLAS_FILL_MODE_UPPER, n, a, n, work, size, info);
  return LLQ_OK;
}

/* The inverse of a triangle is one, too: of each part of its columns only the
   rows up to its last. */
int cuda_algebra_invert(struct cuda_device *device, const float *a, int n, float *b) {
  const int step = 2048;
  for (int at = 0; at < n; at += step) {
    const int end = smaller(at + step, n);
    BLAS_TRY(device, Strsm_v2, CUBLAS_SIDE_LEFT, CUBLAS_FILL_MODE_UPPER, CUBLAS_OP_N,
             CUBLAS_DIAG_NON_UNIT, end, end - at, &one, a, n, b + (int64_t)at * n, n);
  }
  return LLQ_OK;
}

int cuda_algebra_update(struct cuda_device *device, int64_t first, const llq_view *errors,
                        const llq_view *factor, llq_view *w) {
  const int n = (int)w->n_cols, width = (int)errors->n_cols;
  const int next = (int)first + width;
  if (next == n || w->n_rows == 0)
    return LLQ_OK;
  BLAS_TRY(device, Sgemm_v2, CUBLAS_OP_N, CUBLAS_OP_N, n - next, (int)w->n_rows, width, &minus_one,
           (const float *)factor->data + first * n + next, n, errors->data, width, &one,
           (float *)w->data + next, n);
  return LLQ_OK;
}
