/* SPDX-License-Identifier: Apache-2.0 */
#include "model/forward.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/status.h"
#include "tensor/dtype.h"
#include "tensor/weight.h"

/* Rows whose logits are computed at a time: a row of logits is large. */
#define LOGIT_ROWS 16

struct layer {
  struct llqi_linear_handle linears[LLQI_N_LINEARS];
  llq_view input_norm, post_attention_norm;
};

struct llqi_forward {
  llq_backend *backend;
  llq_model *model;
  int compute;
  int64_t n_rows_max, n_positions;
  struct layer *layers;
  struct llqi_linear_handle output;
  void *memory; /* of all views below and the layers' */
  llq_view embedding, final_norm, cos_sin;
  /* Activations of n_rows_max rows. */
  llq_view hidden, normed, q, k, v, attended, gate, up, sum;
  llq_view last, last_normed, logits; /* LOGIT_ROWS rows */
};

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
  int64_t n = f->n_rows_max, hidden = config->hidden_size;
  int64_t n_q = config->n_heads * config->head_size;
  int64_t n_kv = config->n_kv_heads * config->head_size;
  f->hidden = take(arena, n, hidden, f->compute);
  f->normed = take(arena, n, hidden, f->compute);
  f->q = take(arena, n, n_q, f->compute);
  f->k = take(arena, n, n_kv, f->compute);
  f->v = take(arena, n, n_kv, f->compute);
  f->attended = take(arena, n, n_q, f->compute);
  f->gate = take(arena, n, config->intermediate_size, f->compute);
  f->up = take(arena, n, config->intermediate_size, f->compute);
  f->sum = take(arena, n, hidden, f->compute);
  f->last = take(arena, LOGIT_ROWS, hidden, f->compute);
  f->last_normed = take(arena, LOGIT_ROWS, hidden, f->compute);
  f->logits = take(arena, LOGIT_ROWS, config->n_vocab, LLQ_F32);
}

static void place(struct llqi_forward *f, struct arena *arena) {
  const struct llqi_config *config = &f->model->config;
  int64_t hidden = config->hidden_size;
  f->cos_sin = take(arena, f->n_positions, config->head_size, LLQ_F32);
  f->final_norm = take(arena, 1, hidden, f->compute);
  for (int64_t i = 0; i < config->n_layers; i++) {
    f->layers[i].input_norm = take(arena, 1, hidden, f->compute);
    f->layers[i].post_attention_norm = take(arena, 1, hidden, f->compute);
  }
  const struct llqi_tensor *table = &f->model->embedding;
  if (llqi_backend_is_host(f->backend))
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

/* Uploads a norm's weights in the compute type. */
static int load_norm(struct llqi_forward *f, const struct llqi_tensor *norm,
                     const llq_view *to) {
  size_t n = (size_t)to->n_cols;
  float *values = llqi_array(2 * n, sizeof *values);
  if (values == NULL)
    return LLQ_ERROR_MEMORY;
  llqi_to_f32(norm->dtype, norm->data, n, values);
  llqi_from_f32(to->dtype, values, n, values + n);
  int status = llqi_memory_upload(f->backend, to->data, values + n,
                                  n * llqi_dtype_size(to->dtype));
  llqi_free(values);
  return status;
}

static int load_positions(struct llqi_forward *f) {
  size_t n = (size_t)(f->cos_sin.n_rows * f->cos_sin.n_cols);
  float *table = llqi_array(n, sizeof *table);
  if (table == NULL)
    return LLQ_ERROR_MEMORY;
  llqi_rope_table(&f->model->config, f->n_positions, table);
  int status =
      llqi_memory_upload(f->backend, f->cos_sin.data, table, n * sizeof *table);
  llqi_free(table);
  return status;
}

static int load_layer(struct llqi_forward *f, const struct llqi_layer *from,
                      struct layer *to) {
  LLQ_TRY(load_norm(f, &from->input_norm, &to->input_norm));
  LLQ_TRY(load_norm(f, &from->post_attention_norm, &to->post_attention_norm));
  for (int j = 0; j < LLQI_N_LINEARS; j++)
    LLQ_TRY(llqi_linear_upload(f->backend, &from->linears[j], f->compute,
                               &to->linears[j]));
  return LLQ_OK;
}

static int load(struct llqi_forward *f) {
  LLQ_TRY(load_positions(f));
  LLQ_TRY(load_norm(f, &f->model->final_norm, &f->final_norm));
  for (int64_t i = 0; i < f->model->config.n_layers; i++)
    LLQ_TRY(load_layer(f, &f->model->layers[i], &f->layers[i]));
  const struct llqi_tensor *table = &f->model->embedding;
  if (!llqi_backend_is_host(f->backend))
    LLQ_TRY(llqi_memory_upload(f->backend, f->embedding.data, table->data,
                               table->n_bytes));
  return llqi_linear_upload(f->backend, &f->model->output, f->compute,
                            &f->output);
}

int llqi_forward_open(struct llqi_forward **out, llq_backend *backend,
                      llq_model *model, int compute, int n_rows_max,
                      int n_positions_max) {
  LLQ_REQUIRE(compute == LLQ_F32 || compute == LLQ_BF16,
              "forward: compute type %s", llqi_dtype_name(compute));
  LLQ_REQUIRE(n_rows_max > 0 && n_positions_max > 0,
              "forward: %d rows, %d positions", n_rows_max, n_positions_max);
  struct llqi_forward *f = llqi_calloc(1, sizeof *f);
  if (f == NULL)
    return LLQ_ERROR_MEMORY;
  f->backend = backend;
  f->model = model;
  f->compute = compute;
  f->n_rows_max = n_rows_max;
  f->n_positions = n_positions_max;
  int status = allocate(f);
  if (status == LLQ_OK)
    status = load(f);
  if (status == LLQ_OK)
    *out = f;
  else
    llqi_forward_close(f);
  return status;
}

void llqi_forward_close(struct llqi_forward *f) {
  if (f == NULL)
    return;
  for (int64_t i = 0; f->layers != NULL && i < f->model->config.n_layers; i++)
    for (int j = 0; j < LLQI_N_LINEARS; j++)
      llqi_linear_free(f->backend, &f->layers[i].linears[j]);
  llqi_linear_free(f->backend, &f->output);
  llqi_memory_free(f->backend, f->memory);
  llqi_free(f->layers);
  llqi_free(f);
}

/* A linear of a layer, seen by the tap first. */
static int project(struct llqi_forward *f, const struct llqi_step *step,
                   int layer, enum llqi_linear which, const llq_view *x,
                   llq_view *out) {
  if (step->tap != NULL)
    LLQ_TRY(step->tap(step->user, layer, which, x));
  return llqi_op_linear(f->backend, &f->layers[layer].linears[which], x, out);
}

static int attention(struct llqi_forward *f, const struct llqi_step *step,
                     int i) {
  struct llqi_config *config = &f->model->config;
  float scale = (float)(1 / sqrt((double)config->head_size));
  llq_kv *cache = &step->caches[i];
  LLQ_TRY(llqi_op_rms_norm(f->backend, &f->hidden, &f->layers[i].input_norm,
                           (float)config->norm_eps, &f->normed));
  LLQ_TRY(project(f, step, i, LLQI_Q, &f->normed, &f->q));
  LLQ_TRY(project(f, step, i, LLQI_K, &f->normed, &f->k));
  LLQ_TRY(project(f, step, i, LLQI_V, &f->normed, &f->v));
  LLQ_TRY(llqi_op_rope_append(f->backend, step->batch, &f->cos_sin, &f->q,
                              &f->k, &f->v, cache));
  LLQ_TRY(llqi_op_attention(f->backend, step->batch, &f->q, cache, scale,
                            &f->attended));
  LLQ_TRY(project(f, step, i, LLQI_O, &f->attended, &f->sum));
  return llqi_op_add(f->backend, &f->hidden, &f->sum);
}

static int mlp(struct llqi_forward *f, const struct llqi_step *step, int i) {
  LLQ_TRY(llqi_op_rms_norm(f->backend, &f->hidden,
                           &f->layers[i].post_attention_norm,
                           (float)f->model->config.norm_eps, &f->normed));
  LLQ_TRY(project(f, step, i, LLQI_GATE, &f->normed, &f->gate));
  LLQ_TRY(project(f, step, i, LLQI_UP, &f->normed, &f->up));
  LLQ_TRY(llqi_op_swiglu(f->backend, &f->gate, &f->up, &f->gate));
  LLQ_TRY(project(f, step, i, LLQI_DOWN, &f->gate, &f->sum));
  return llqi_op_add(f->backend, &f->hidden, &f->sum);
}

/* The logits of at most LOGIT_ROWS rows. */
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

static void set_rows(struct llqi_forward *f, int64_t n_rows) {
  llq_view *views[] = {&f->hidden,   &f->normed, &f->q,  &f->k,  &f->v,
                       &f->attended, &f->gate,   &f->up, &f->sum};
  for (size_t i = 0; i < sizeof views / sizeof views[0]; i++)
    views[i]->n_rows = n_rows;
}

int llqi_forward_run(struct llqi_forward *f, const struct llqi_step *step) {
  LLQ_REQUIRE(step->batch != NULL && step->batch->n_rows > 0 &&
                  step->batch->n_rows <= f->n_rows_max,
              "forward: %d rows, expected 1 to %lld",
              step->batch != NULL ? step->batch->n_rows : 0,
              (long long)f->n_rows_max);
  set_rows(f, step->batch->n_rows);
  LLQ_TRY(llqi_op_embed(f->backend, &f->embedding, step->ids, &f->hidden));
  for (int i = 0; i < (int)f->model->config.n_layers; i++) {
    LLQ_TRY(attention(f, step, i));
    LLQ_TRY(mlp(f, step, i));
  }
  int64_t n_vocab = f->model->config.n_vocab;
  for (int done = 0; done < step->n_logit_rows; done += LOGIT_ROWS) {
    int left = step->n_logit_rows - done;
    LLQ_TRY(logits(f, step->logit_rows + done,
                   left < LOGIT_ROWS ? left : LOGIT_ROWS,
                   step->logits + done * n_vocab));
  }
  return LLQ_OK;
}
