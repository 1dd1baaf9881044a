/* SPDX-License-Identifier: Apache-2.0 */
/* A whole product from pieces: norm and quantization of the rows, cuBLASLt's
   product, then scales, SwiGLU or the residual. */
#include <stdint.h>

#include "backends/cuda/common/dequantize.h"
#include "backends/cuda/common/quantize.h"
#include "backends/cuda/library.h"

/* Integer sums and dequantized weights are made in pieces that stay in the
   second-level cache until they are used. */
#define PIECE_SIZE ((int64_t)48 << 20)
#define PIECE_ROWS_LEAST 256
#define PIECE_OUTS_LEAST 1024

/* What is done with the scratch memory, piece by piece from its beginning. */
struct scratch {
  char *memory; /* NULL: only counted */
  size_t used;
};

static void *take(struct scratch *scratch, int64_t size) {
  size_t at = scratch->used;
  scratch->used += ((size_t)size + 255) / 256 * 256;
  return scratch->memory != NULL ? scratch->memory + at : NULL;
}

static int64_t smaller(int64_t a, int64_t b) {
  return a < b ? a : b;
}

static int64_t larger(int64_t a, int64_t b) {
  return a > b ? a : b;
}

/* A call, and where its intermediate results lie. */
struct call {
  struct cuda_library *library;
  const struct cuda_device *device;
  const struct cuda_launch *launch;
  const struct cuda_product *product;
  int is_quantized, of_gates;
  void *x;          /* the rows that the product takes */
  float *row_scale; /* of them, if quantized */
  float *scale;     /* of outputs, as floats */
  void *y;          /* the product before SwiGLU */
};

static int is_int8(const struct cuda_product *product) {
  return product->linear->activation == LLQ_ACTIVATION_INT8;
}

static int is_dequantized(const struct cuda_product *product) {
  return product->linear->activation == LLQ_ACTIVATION_NONE &&
         product->linear->format != LLQ_WEIGHT_DENSE;
}

static void place(struct call *call, struct scratch *scratch) {
  const struct cuda_product *product = call->product;
  const struct cuda_linear *linear = product->linear;
  call->is_quantized = linear->activation != LLQ_ACTIVATION_NONE;
  if (call->is_quantized) {
    call->x = take(scratch, product->n_rows * linear->n_in);
    call->row_scale = take(scratch, product->n_rows * 4);
    call->scale = linear->scale_f32 != NULL ? linear->scale_f32 : take(scratch, linear->n_out * 4);
  } else {
    call->x = product->norm != NULL ? take(scratch, product->n_rows * linear->n_in * 2)
                                    : (void *)(uintptr_t)product->x;
  }
  call->y = product->swiglu && !is_int8(product)
                ? take(scratch, product->n_rows * linear->n_out * 2)
                : product->out;
}

/* Rows or outputs that are done at a time, with `size` bytes for them. */
static int64_t piece(int64_t n, int64_t bytes_each, int64_t least, int64_t size) {
  int64_t fits = size / bytes_each / 128 * 128;
  return smaller(n, larger(fits, least));
}

static int64_t sums_piece(const struct cuda_product *product, int64_t size) {
  return piece(product->n_rows, product->linear->n_out * 4, PIECE_ROWS_LEAST, size);
}

static int64_t outs_piece(const struct cuda_product *product, int64_t size) {
  return piece(product->linear->n_out, product->linear->n_in * 2, PIECE_OUTS_LEAST, size);
}

/* Beyond the fixed pieces. */
static int64_t piece_bytes(const struct cuda_product *product, int64_t size) {
  const struct cuda_linear *linear = product->linear;
  if (is_int8(product))
    return sums_piece(product, size) * linear->n_out * 4;
  if (is_dequantized(product))
    return outs_piece(product, size) * linear->n_in * 2;
  return linear->activation == LLQ_ACTIVATION_FP8 ? sums_piece(product, 0) * linear->n_out * 4 : 0;
}

static size_t scratch_for(const struct cuda_product *product, int64_t size) {
  struct scratch scratch = {0};
  struct call call = {.product = product};
  place(&call, &scratch);
  return scratch.used + (size_t)piece_bytes(product, size);
}

size_t cuda_library_scratch(const struct cuda_product *product) {
  return scratch_for(product, PIECE_SIZE);
}

size_t cuda_library_scratch_least(const struct cuda_product *product) {
  return scratch_for(product, 0);
}

static int check(const struct call *call, cudaError_t error, const char *what) {
  return error == cudaSuccess ? LLQ_OK : cuda_fail(call->device, error, what);
}

/* The rows that the product takes, from product->x. */
static int prepare(const struct call *call) {
  const struct cuda_product *product = call->product;
  const struct cuda_linear *linear = product->linear;
  const struct cuda_rows rows = {
      .x = product->x,
      .swiglu = call->of_gates,
      .norm = product->norm,
      .eps = product->eps,
      .activation = linear->activation,
      .out = call->x,
      .row_scale = call->row_scale,
      .any_order = 1,
      .n_rows = product->n_rows,
      .n_cols = linear->n_in,
  };
  if (call->is_quantized && call->scale != linear->scale_f32)
    CUDA_PASS(check(
        call,
        common_to_floats(call->launch, linear->scale, linear->dtype, linear->n_out, call->scale),
        "common_to_floats"));
  if (!call->is_quantized && product->norm == NULL)
    return LLQ_OK;
  return check(call, common_rows(call->launch, &rows), "common_rows");
}

/* From call->y, bf16, to product->out. */
static int finish(const struct call *call) {
  const struct cuda_product *product = call->product;
  const struct cuda_rows rows = {
      .x = call->y,
      .swiglu = 1,
      .out = product->out,
      .n_rows = product->n_rows,
      .n_cols = product->linear->n_out / 2,
  };
  if (!product->swiglu)
    return LLQ_OK;
  return check(call, common_rows(call->launch, &rows), "common_rows");
}

static struct cuda_matmul matmul_of(const struct call *call) {
  const struct cuda_linear *linear = call->product->linear;
  return (struct cuda_matmul){
      .type = linear->activation == LLQ_ACTIVATION_FP8 ? CUDA_LIBRARY_FP8
              : call->product->out_dtype == LLQ_F32    ? CUDA_LIBRARY_BF16_TO_F32
                                                       : CUDA_LIBRARY_BF16,
      .n_rows = call->product->n_rows,
      .n_out = linear->n_out,
      .n_in = linear->n_in,
      .out_stride = linear->n_out,
      .w = linear->data,
      .x = call->x,
      .scale = call->scale,
      .row_scale = call->row_scale,
      .residual = call->product->residual,
      .out = call->y,
  };
}

/* Codes: sums of some rows at a time, then their scales, SwiGLU or residual. */
static int multiply_codes(const struct call *call, enum cuda_library_type type, char *sums,
                          int64_t n_rows_a_time) {
  const struct cuda_product *product = call->product;
  const struct cuda_linear *linear = product->linear;
  int64_t out_bytes =
      linear->n_out / (product->swiglu ? 2 : 1) * (product->out_dtype == LLQ_F32 ? 4 : 2);
  for (int64_t r = 0; r < product->n_rows; r += n_rows_a_time) {
    struct cuda_matmul matmul = matmul_of(call);
    matmul.type = type;
    matmul.n_rows = smaller(n_rows_a_time, product->n_rows - r);
    matmul.x = (const char *)call->x + r * linear->n_in;
    matmul.residual = NULL;
    matmul.out = sums;
    const struct cuda_sums end = {
        .sums = sums,
        .sums_dtype = type == CUDA_LIBRARY_INT8_SUMS ? LLQ_I32 : LLQ_F32,
        .row_scale = call->row_scale + r,
        .scale = call->scale,
        .scale_dtype = LLQ_F32,
        .n_rows = matmul.n_rows,
        .n_out = linear->n_out,
        .swiglu = product->swiglu,
        .residual =
            product->residual != NULL ? (const char *)product->residual + r * out_bytes : NULL,
        .out = (char *)product->out + r * out_bytes,
        .out_dtype = product->out_dtype,
    };
    CUDA_PASS(cuda_library_matmul(call->library, call->launch->stream, &matmul));
    CUDA_PASS(check(call, common_scale_sums(call->launch, &end), "common_scale_sums"));
  }
  return LLQ_OK;
}

/* Weights of some outputs at a time, as bf16. */
static int multiply_dequantized(const struct call *call, char *weights, int64_t n_outs_a_time) {
  const struct cuda_linear *linear = call->product->linear;
  for (int64_t o = 0; o < linear->n_out; o += n_outs_a_time) {
    struct cuda_matmul matmul = matmul_of(call);
    matmul.n_out = smaller(n_outs_a_time, linear->n_out - o);
    int64_t at = o * (matmul.type == CUDA_LIBRARY_BF16_TO_F32 ? 4 : 2);
    matmul.w = weights;
    matmul.out = (char *)call->y + at;
    if (matmul.residual != NULL)
      matmul.residual = (const char *)matmul.residual + at;
    CUDA_PASS(check(call, common_dequantize(call->launch, linear, o, matmul.n_out, weights),
                    "common_dequantize"));
    CUDA_PASS(cuda_library_matmul(call->library, call->launch->stream, &matmul));
  }
  return finish(call);
}

int cuda_library_product(struct cuda_library *library, const struct cuda_launch *launch,
                         const struct cuda_product *product, int of_gates) {
  struct scratch scratch = {.memory = launch->scratch};
  struct call call = {.library = library,
                      .device = cuda_library_device(library),
                      .launch = launch,
                      .product = product,
                      .of_gates = of_gates};
  if (launch->scratch_size < cuda_library_scratch_least(product))
    return cuda_error(LLQ_ERROR_INTERNAL, "cuda: too little scratch memory");
  place(&call, &scratch);
  CUDA_PASS(prepare(&call));
  char *rest = scratch.memory + scratch.used;
  int64_t size = smaller((int64_t)(launch->scratch_size - scratch.used), PIECE_SIZE);
  struct cuda_matmul matmul = matmul_of(&call);
  if (is_int8(product))
    return multiply_codes(&call, CUDA_LIBRARY_INT8_SUMS, rest, sums_piece(product, size));
  if (is_dequantized(product))
    return multiply_dequantized(&call, rest, outs_piece(product, size));
  if (call.is_quantized && (product->out_dtype == LLQ_F32 || !cuda_library_has(library, &matmul)))
    return multiply_codes(&call, CUDA_LIBRARY_FP8_SUMS, rest, sums_piece(product, 0));
  CUDA_PASS(cuda_library_matmul(library, launch->stream, &matmul));
  return finish(&call);
}

/* ---- What it takes ---- */

static int is_aligned(const void *p) {
  return (uintptr_t)p % 16 == 0;
}

/* cuBLASLt wants rows of 16 bytes for its fast kernels, so do ours. */
static int takes_shape(const struct cuda_product *product) {
  const struct cuda_linear *linear = product->linear;
  return linear->n_in % 16 == 0 && linear->n_out % 16 == 0 && linear->n_in <= 65536 &&
         linear->n_out <= INT32_MAX && (!product->swiglu || linear->n_out <= 65536) &&
         is_aligned(product->x) && is_aligned(product->norm) && is_aligned(product->residual) &&
         is_aligned(product->out) && is_aligned(linear->data) && product->n_rows <= INT32_MAX;
}

static int takes_weight(const struct cuda_linear *linear) {
  switch (linear->activation) {
  case LLQ_ACTIVATION_INT8:
    return linear->format == LLQ_WEIGHT_INT8 && linear->n_groups == 1;
  case LLQ_ACTIVATION_FP8:
    return linear->format == LLQ_WEIGHT_FP8 && linear->n_groups == 1;
  default:
    return linear->format == LLQ_WEIGHT_DENSE ? linear->dtype == LLQ_BF16
                                              : common_dequantize_takes(linear);
  }
}

/* What cuBLASLt must have for it: the product of all rows stands for those of
   pieces of them. */
int cuda_library_takes(struct cuda_library *library, const struct cuda_product *product) {
  if (library == NULL || product->n_rows == 0 || !takes_weight(product->linear) ||
      !takes_shape(product))
    return 0;
  struct call call = {.library = library, .product = product};
  struct scratch scratch = {0};
  place(&call, &scratch);
  struct cuda_matmul matmul = matmul_of(&call);
  if (is_int8(product))
    matmul.type = CUDA_LIBRARY_INT8_SUMS;
  else if (call.is_quantized && !cuda_library_has(library, &matmul))
    matmul.type = CUDA_LIBRARY_FP8_SUMS;
  return cuda_library_has(library, &matmul);
}
