/* SPDX-License-Identifier: Apache-2.0 */
#include "model/forward.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/status.h"
#include "model/forward_state.h"
#include "tensor/dtype.h"
#include "tensor/weight.h"

#define DEFAULT_LOGIT_ROWS 16 /* a row of logits is large */

/* Hands out parts of one block of device memory; with base NULL, only counts
   how large it must be. */
struct arena {
  char *base;
  size_t used;
};

static llq_view take(struct arena *arena, int64_t n_rows, int64_t n_cols,
                     int dtype) {
  llq_view view = {NULL, n_rows, n_cols, dtype};
  if (arena->base != NULL)
    view.data = arena->base + arena->used;
  size_t size = (size_t)n_rows * (size_t)n_cols * llqi_dtype_size(dtype);
  arena->used += (size + LLQI_ALIGNMENT - 1) / LLQI_ALIGNMENT * LLQI_ALIGNMENT;
  return view;
}

static void place_activations(struct llqi_forward *f, struct arena *arena) {
  const struct llqi_config *config = &f->model->config;
  int64_t n = f->options.n_rows_max, hidden = config->hidden_size;
  int64_t n_q = config->n_heads * config->head_size;
  int64_t n_kv = config->n_kv_heads * config->head_size;
  int64_t n_logits = f->options.n_logit_rows_max;
  int compute = f->options.compute;
  f->hidden = take(arena, n, hidden, compute);
  f->attended = take(arena, n, n_q, compute);
  f->gate = take(arena, n, config->intermediate_size, compute);
  if (!f->is_fused || f->options.has_tap)
    f->normed = take(arena, n, hidden, compute);
  if (f->is_fused) {
    f->qkv = take(arena, n, n_q + 2 * n_kv, compute);
  } else {
    f->q = take(arena, n, n_q, compute);
    f->k = take(arena, n, n_kv, compute);
    f->v = take(arena, n, n_kv, compute);
    f->up = take(arena, n, config->intermediate_size, compute);
    f->sum = take(arena, n, hidden, compute);
  }
  f->last = take(arena, n_logits, hidden, compute);
  f->last_normed = take(arena, n_logits, hidden, compute);
  f->logits = take(arena, n_logits, config->n_vocab, LLQ_F32);
}

static void place(struct llqi_forward *f, struct arena *arena) {
  const struct llqi_config *config = &f->model->config;
  int64_t hidden = config->hidden_size;
  f->cos_sin =
      take(arena, f->options.n_positions_max, config->head_size, LLQ_F32);
  f->final_norm = take(arena, 1, hidden, f->options.compute);
  for (int64_t i = 0; i < config->n_layers; i++) {
    f->layers[i].input_norm = take(arena, 1, hidden, f->options.compute);
    f->layers[i].post_attention_norm =
        take(arena, 1, hidden, f->options.compute);
  }
  const struct llqi_tensor *table = &f->model->embedding;
  if (f->options.embedding != NULL)
    f->embedding = *f->options.embedding;
  else if (llqi_backend_is_host(f->backend))
    f->embedding =
        (llq_view){(void *)table->data, config->n_vocab, hidden, table->dtype};
  else
    f->embedding = take(arena, config->n_vocab, hidden, table->dtype);
  place_activations(f, arena);
}

/* What a linear takes on the backend. On the host a dense one stays where the
   model has it. */
static size_t linear_bytes(const struct llqi_forward *f,
                           const llq_weight *weight) {
  if (llqi_backend_is_host(f->backend) && weight->format == LLQ_WEIGHT_DENSE)
    return 0;
  return llqi_weight_bytes(weight);
}

static int check_memory(const struct llqi_forward *f, size_t n_bytes) {
  const struct llq_model *model = f->model;
  n_bytes += linear_bytes(f, &model->output);
  for (int64_t i = 0; i < model->config.n_layers; i++)
    for (int j = 0; j < LLQI_N_LINEARS; j++)
      n_bytes += linear_bytes(f, &model->layers[i].linears[j]);
  llq_device_info info = LLQ_DEVICE_INFO_INIT;
  LLQ_TRY(llq_backend_describe(f->backend, &info));
  if (info.memory_free_bytes > 0 && n_bytes > info.memory_free_bytes)
    return llqi_fail(LLQ_ERROR_MEMORY,
                     "%s: needs %zu bytes on %s:%d, where %llu are free",
                     model->source, n_bytes, info.backend, info.index,
                     (unsigned long long)info.memory_free_bytes);
  return LLQ_OK;
}

static int allocate(struct llqi_forward *f) {
  struct arena arena = {NULL, 0};
  f->layers = llqi_calloc((size_t)f->model->config.n_layers, sizeof *f->layers);
  if (f->layers == NULL)
    return LLQ_ERROR_MEMORY;
  place(f, &arena);
  LLQ_TRY(check_memory(f, arena.used));
  LLQ_TRY(llqi_memory_alloc(f->backend, arena.used, &f->memory));
  arena = (struct arena){f->memory, 0};
  place(f, &arena);
  return LLQ_OK;
}

int llqi_norm_upload(llq_backend *backend, const struct llqi_tensor *norm,
                     const llq_view *to) {
  size_t n = (size_t)to->n_cols;
  float *values = llqi_array(2 * n, sizeof *values);
  if (values == NULL)
    return LLQ_ERROR_MEMORY;
  llqi_to_f32(norm->dtype, norm->data, n, values);
  llqi_from_f32(to->dtype, values, n, values + n);
  int status = llqi_memory_upload(backend, to->data, values + n,
                                  n * llqi_dtype_size(to->dtype));
  llqi_free(values);
  return status;
}

static int load_positions(struct llqi_forward *f) {
  size_t n = (size_t)(f->cos_sin.n_rows * f->cos_sin.n_cols);
  float *table = llqi_array(n, sizeof *table);
  if (table == NULL)
    return LLQ_ERROR_MEMORY;
  llqi_rope_table(&f->model->config, f->options.n_positions_max, table);
  int status =
      llqi_memory_upload(f->backend, f->cos_sin.data, table, n * sizeof *table);
  llqi_free(table);
  return status;
}

/* Those that are one linear together, when fused. */
static const enum llqi_linear qkv_parts[] = {LLQI_Q, LLQI_K, LLQI_V};
static const enum llqi_linear gate_up_parts[] = {LLQI_GATE, LLQI_UP};

static int joins(const struct llqi_layer *layer, const enum llqi_linear *parts,
                 int n) {
  const llq_weight *weights[3];
  for (int i = 0; i < n; i++)
    weights[i] = &layer->linears[parts[i]];
  return llqi_weights_join(weights, n);
}

/* Fused operations serve a model whose layers can all be joined. */
static int can_fuse(const struct llqi_forward *f) {
  const struct llq_model *model = f->model;
  if (!llqi_has_fused(f->backend) || f->options.compute != LLQ_BF16)
    return 0;
  for (int64_t i = 0; i < model->config.n_layers; i++)
    if (!joins(&model->layers[i], qkv_parts, 3) ||
        !joins(&model->layers[i], gate_up_parts, 2))
      return 0;
  return 1;
}

static int load_joined(struct llqi_forward *f, const struct llqi_layer *from,
                       const enum llqi_linear *parts, int n,
                       struct llqi_linear_handle *to) {
  const llq_weight *weights[3];
  for (int i = 0; i < n; i++)
    weights[i] = &from->linears[parts[i]];
  return llqi_linear_join(f->backend, weights, n, to);
}

static int load_linear(struct llqi_forward *f, const struct llqi_layer *from,
                       enum llqi_linear which, struct llqi_forward_layer *to) {
  return llqi_linear_upload(f->backend, &from->linears[which],
                            f->options.compute, &to->linears[which]);
}

static int load_layer(struct llqi_forward *f, const struct llqi_layer *from,
                      struct llqi_forward_layer *to) {
  LLQ_TRY(llqi_norm_upload(f->backend, &from->input_norm, &to->input_norm));
  LLQ_TRY(llqi_norm_upload(f->backend, &from->post_attention_norm,
                           &to->post_attention_norm));
  if (f->is_fused) {
    LLQ_TRY(load_joined(f, from, qkv_parts, 3, &to->qkv));
    LLQ_TRY(load_joined(f, from, gate_up_parts, 2, &to->gate_up));
    LLQ_TRY(load_linear(f, from, LLQI_O, to));
    return load_linear(f, from, LLQI_DOWN, to);
  }
  for (int j = 0; j < LLQI_N_LINEARS; j++)
    LLQ_TRY(load_linear(f, from, j, to));
  return LLQ_OK;
}

static int open_plan(struct llqi_forward *f) {
  const llq_fused_plan plan = {.struct_size = sizeof plan,
                               .n_rows_max = f->options.n_rows_max,
                               .n_positions_max = f->options.n_positions_max,
                               .is_fast = f->options.is_fast,
                               .is_direct = f->options.has_tap};
  return f->is_fused ? llqi_plan_open(f->backend, &plan, &f->plan) : LLQ_OK;
}

static int load(struct llqi_forward *f) {
  LLQ_TRY(open_plan(f));
  LLQ_TRY(load_positions(f));
  LLQ_TRY(llqi_norm_upload(f->backend, &f->model->final_norm, &f->final_norm));
  for (int64_t i = 0; i < f->model->config.n_layers; i++)
    LLQ_TRY(load_layer(f, &f->model->layers[i], &f->layers[i]));
  const struct llqi_tensor *table = &f->model->embedding;
  if (f->options.embedding == NULL && !llqi_backend_is_host(f->backend))
    LLQ_TRY(llqi_memory_upload(f->backend, f->embedding.data, table->data,
                               table->n_bytes));
  return llqi_linear_upload(f->backend, &f->model->output, f->options.compute,
                            &f->output);
}

static int check_options(const struct llqi_forward_options *options) {
  LLQ_REQUIRE(options->compute == LLQ_F32 || options->compute == LLQ_BF16,
              "forward: compute type %s", llqi_dtype_name(options->compute));
  LLQ_REQUIRE(options->n_rows_max > 0 && options->n_positions_max > 0 &&
                  options->n_logit_rows_max >= 0,
              "forward: %d rows, %d positions, %d rows of logits",
              options->n_rows_max, options->n_positions_max,
              options->n_logit_rows_max);
  return LLQ_OK;
}

int llqi_forward_open(struct llqi_forward **out, llq_backend *backend,
                      llq_model *model,
                      const struct llqi_forward_options *options) {
  LLQ_TRY(check_options(options));
  struct llqi_forward *f = llqi_calloc(1, sizeof *f);
  if (f == NULL)
    return LLQ_ERROR_MEMORY;
  f->backend = backend;
  f->model = model;
  f->options = *options;
  if (f->options.n_logit_rows_max == 0)
    f->options.n_logit_rows_max = DEFAULT_LOGIT_ROWS;
  f->is_fused = can_fuse(f);
  int status = allocate(f);
  if (status == LLQ_OK)
    status = load(f);
  if (status == LLQ_OK)
    *out = f;
  else
    llqi_forward_close(f);
  return status;
}

static void unload_layer(struct llqi_forward *f,
                         struct llqi_forward_layer *layer) {
  for (int j = 0; j < LLQI_N_LINEARS; j++)
    llqi_linear_free(f->backend, &layer->linears[j]);
  llqi_linear_free(f->backend, &layer->qkv);
  llqi_linear_free(f->backend, &layer->gate_up);
}

void llqi_forward_close(struct llqi_forward *f) {
  if (f == NULL)
    return;
  for (int64_t i = 0; f->layers != NULL && i < f->model->config.n_layers; i++)
    unload_layer(f, &f->layers[i]);
  llqi_linear_free(f->backend, &f->output);
  llqi_plan_close(f->backend, f->plan);
  llqi_memory_free(f->backend, f->memory);
  llqi_free(f->layers);
  llqi_free(f);
}

int llqi_forward_draws(const struct llqi_forward *f) {
  return f->is_fused;
}

float llqi_forward_scale(const struct llqi_forward *f) {
  return (float)(1 / sqrt((double)f->model->config.head_size));
}

int llqi_forward_ends(const struct llqi_forward *f,
                      const struct llqi_step *step, int layer) {
  return step->is_for_tap && layer + 1 == f->model->config.n_layers;
}

static void set_rows(struct llqi_forward *f, int64_t n_rows) {
  llq_view *views[] = {&f->hidden, &f->normed,   &f->q,    &f->k,  &f->v,
                       &f->qkv,    &f->attended, &f->gate, &f->up, &f->sum};
  for (size_t i = 0; i < sizeof views / sizeof views[0]; i++)
    views[i]->n_rows = n_rows;
}

/* The logits of at most n_logit_rows_max rows. */
static int logits(struct llqi_forward *f, const int32_t *rows, int n_rows,
                  float *out) {
  f->last.n_rows = f->last_normed.n_rows = f->logits.n_rows = n_rows;
  LLQ_TRY(llqi_op_gather(f->backend, &f->hidden, rows, &f->last));
  LLQ_TRY(llqi_op_rms_norm(f->backend, &f->last, &f->final_norm,
                           (float)f->model->config.norm_eps, &f->last_normed));
  LLQ_TRY(llqi_op_linear(f->backend, &f->output, &f->last_normed, &f->logits));
  size_t n = (size_t)n_rows * (size_t)f->logits.n_cols;
  return llqi_memory_download(f->backend, out, f->logits.data, n * sizeof *out);
}

int llqi_forward_logits(struct llqi_forward *f, const int32_t *rows, int n_rows,
                        float *out) {
  int n_at_once = f->options.n_logit_rows_max;
  for (int done = 0; done < n_rows; done += n_at_once) {
    int left = n_rows - done;
    LLQ_TRY(logits(f, rows + done, left < n_at_once ? left : n_at_once,
                   out + done * f->model->config.n_vocab));
  }
  return LLQ_OK;
}

int llqi_forward_run(struct llqi_forward *f, const struct llqi_step *step) {
  LLQ_REQUIRE(step->batch != NULL && step->batch->n_rows > 0 &&
                  step->batch->n_rows <= f->options.n_rows_max,
              "forward: %d rows, expected 1 to %d",
              step->batch != NULL ? step->batch->n_rows : 0,
              f->options.n_rows_max);
  LLQ_REQUIRE(step->tap == NULL || f->options.has_tap || !f->is_fused,
              "forward: a tap that was not announced");
  LLQ_REQUIRE(step->tap != NULL || !step->is_for_tap,
              "forward: no tap to compute for");
  LLQ_REQUIRE(step->n_draws == 0 || f->is_fused,
              "forward: no draws on this backend");
  set_rows(f, step->batch->n_rows);
  if (f->is_fused)
    return llqi_forward_fused(f, step);
  LLQ_TRY(llqi_forward_plain(f, step));
  return llqi_forward_logits(f, step->logit_rows, step->n_logit_rows,
                             step->logits);
}

const llq_view *llqi_forward_hidden(const struct llqi_forward *f) {
  return &f->hidden;
}
