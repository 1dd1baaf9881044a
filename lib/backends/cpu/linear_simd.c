/* SPDX-License-Identifier: Apache-2.0 */
/* A linear over a packed weight: inputs as the kernel wants them, outputs
   shared out between threads. */
#include "backends/cpu/kernels_simd.h"
#include "base/alloc.h"
#include "base/status.h"

/* Weights that a thread works on at a time stay in its level 2 cache while
   all rows of x pass by. */
#define PART_BYTES (256 << 10)

/* The largest magnitude; NaN if any value is infinite or NaN. */
INLINE float largest(const float *x, int64_t n) {
  v16 max = v16_zero(), bad = v16_zero();
  for (int64_t i = 0; i < n; i += LANES) {
    v16 value = v16_load(x + i);
    max = v16_max(v16_abs(value), max);
    bad = v16_add(bad, v16_sub(value, value)); /* 0, or NaN */
  }
  return v16_largest(max) + v16_sum(bad);
}

float ARCH(quantize_int8)(const float *x, int64_t n, int8_t *q, int32_t *sum) {
  float scale = largest(x, n) / 127.5f;
  *sum = 0;
  if (!(scale > 0)) {
    memset(q, 0, (size_t)n);
    return scale;
  }
  v16 total = v16_zero(); /* whole numbers below 2^24: exact */
  for (int64_t i = 0; i < n; i += LANES) {
    v16 code = v16_round_int(v16_div(v16_load(x + i), v16_set(scale)));
    code = v16_max(v16_min(code, v16_set(127)), v16_set(-128));
    total = v16_add(total, code);
    v16_store_i8(q + i, code);
  }
  *sum = (int32_t)v16_sum(total);
  return scale;
}

float ARCH(quantize_e4m3)(float *x, int64_t n) {
  float scale = largest(x, n) / 448;
  for (int64_t i = 0; i < n; i += LANES) {
    v16 code = v16_div(v16_load(x + i), v16_set(scale));
    code = v16_max(v16_min(code, v16_set(448)), v16_set(-448));
    v16_store(x + i, scale > 0 ? v16_round_e4m3(code) : v16_zero());
  }
  return scale;
}

/* Working memory of a call. */
struct inputs {
  float *x, *scale;
  int32_t *sum;
  int8_t *q;
};

static int get_memory(struct llqi_cpu *cpu, int64_t n_rows, int64_t n_in,
                      struct inputs *in) {
  size_t n = (size_t)(n_rows * n_in);
  in->x = llqi_cpu_scratch(cpu, n * 5 + (size_t)n_rows * 8);
  if (in->x == NULL)
    return LLQ_ERROR_MEMORY;
  in->scale = in->x + n;
  in->sum = (int32_t *)(in->scale + n_rows);
  in->q = (int8_t *)(in->sum + n_rows);
  return LLQ_OK;
}

/* A row of x as floats, in the weight's order, padded with zeros. */
static void load_row(const struct llqi_cpu_packed *weight, const llq_view *x,
                     int64_t r, float *row) {
  int64_t n = x->n_cols, end = weight->n_in;
  const char *from =
      (const char *)x->data + (size_t)(r * n) * (x->dtype == LLQ_F32 ? 4 : 2);
  int64_t i = 0;
  if (weight->order != NULL)
    for (; i < n; i++)
      row[i] =
          x->dtype == LLQ_F32
              ? ((const float *)from)[weight->order[i]]
              : v16_sum(v16_load_part(x->dtype, from, weight->order[i], 1));
  else
    for (; i < n; i += LANES)
      v16_store(row + i, v16_row_load(x->dtype, from, i, n));
  for (; i < end; i++)
    row[i] = 0;
}

/* A call, for the threads that share it. */
struct call {
  const struct llqi_cpu_linear *linear;
  const llq_view *x;
  struct inputs in;
  struct llqi_product product;
  int64_t step; /* outputs of an item */
};

static void prepare_item(void *user, uint32_t r, int thread) {
  const struct call *call = user;
  const struct llqi_cpu_linear *linear = call->linear;
  const struct inputs *in = &call->in;
  int64_t n = linear->packed->n_in;
  float *row = in->x + r * n;
  load_row(linear->packed, call->x, r, row);
  if (linear->weight.activation == LLQ_ACTIVATION_FP8)
    in->scale[r] = ARCH(quantize_e4m3)(row, n);
  if (linear->weight.activation == LLQ_ACTIVATION_INT8)
    in->scale[r] = ARCH(quantize_int8)(row, n, in->q + r * n, &in->sum[r]);
}

/* Outputs that a thread takes at a time, a multiple of every tile's. */
static int64_t outputs_per_part(const struct llqi_cpu_packed *weight,
                                int64_t n_out, int n_threads) {
  int is_panels = weight->kind == LLQI_PANELS_INT8;
  const int64_t step = is_panels ? 4 * LLQI_PANEL_OUTPUTS : 16;
  size_t row_bytes = weight->stride / (is_panels ? LLQI_PANEL_OUTPUTS : 1);
  int64_t n = (int64_t)(PART_BYTES / row_bytes) / step * step;
  int64_t share = n_out / (4 * n_threads) / step * step;
  n = share < n ? share : n;
  return n > step ? n : step;
}

static void multiply_item(void *user, uint32_t item, int thread) {
  const struct call *call = user;
  const struct llqi_product *product = &call->product;
  int64_t first = item * call->step, end = first + call->step;
  end = end < product->n_out ? end : product->n_out;
  if (product->weight->kind == LLQI_PANELS_INT8)
    ARCH(multiply_panels)(product, first, end);
  else
    ARCH(multiply_rows)(product, first, end);
}

static int run(struct llqi_cpu *cpu, const struct llqi_cpu_linear *linear,
               const llq_view *x, llq_view *out) {
  const struct llqi_cpu_packed *weight = linear->packed;
  int64_t n_rows = x->n_rows, n_out = out->n_cols;
  struct call call = {.linear = linear, .x = x};
  struct inputs *in = &call.in;
  LLQ_TRY(get_memory(cpu, n_rows, weight->n_in, in));
  int is_quantized = linear->weight.activation != LLQ_ACTIVATION_NONE;
  call.product = (struct llqi_product){weight,
                                       linear->weight.dtype,
                                       n_out,
                                       n_rows,
                                       in->x,
                                       in->q,
                                       is_quantized ? in->scale : NULL,
                                       in->sum,
                                       out};
  int n_threads = llqi_cpu_threads(cpu, (double)n_rows * x->n_cols * n_out / 8);
  call.step = outputs_per_part(weight, n_out, n_threads);
  llqi_threads_run(cpu->threads, n_threads, (uint32_t)n_rows, prepare_item,
                   &call);
  llqi_threads_run(cpu->threads, n_threads,
                   (uint32_t)((n_out + call.step - 1) / call.step),
                   multiply_item, &call);
  return LLQ_OK;
}

int ARCH(linear_upload)(void *self, const llq_weight *weight, int compute,
                        void **out) {
  struct llqi_cpu *cpu = self;
  LLQ_TRY(llqi_cpu_linear_upload(self, weight, compute, out));
  struct llqi_cpu_linear *linear = *out;
  int status = llqi_cpu_pack(weight, cpu->threads, &linear->packed);
  if (status < 0)
    llqi_cpu_linear_free(self, linear);
  else if (linear->packed != NULL)
    linear->run = run;
  return status;
}
