/* SPDX-License-Identifier: Apache-2.0 */
#include "quantizer/layer.h"

#include <math.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/status.h"
#include "quantizer/fold.h"
#include "quantizer/kv_scales.h"
#include "quantizer/matrix.h"
#include "quantizer/measure.h"
#include "quantizer/narrow.h"
#include "tensor/dtype.h"
#include "tensor/weight.h"

/* Ranges that AWQ tries: down to a half. */
#define CLIP_STEPS 11
#define CLIP_STEP 0.05f

/* ---- Time ---- */

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* Adds the time since `start` to a phase, whose status is passed on. */
static int charge(struct llqi_layer_job *job, enum llqi_phase phase,
                  double start, int status) {
  job->seconds[phase] += now() - start;
  return status;
}

/* ---- What calibration sees ---- */

static int is_quantized(const struct llqi_choice *choice) {
  return choice->target.format != LLQ_WEIGHT_DENSE;
}

/* Where linears with this input need its second moments. GPTQ leaves them on
   the backend if that can do all with them, and nothing is folded into them. */
static enum llqi_gram gram_of(const struct llqi_layer_job *job,
                              enum llqi_input input) {
  int gptq = 0, awq = 0, folds = 0;
  for (int i = 0; i < job->n_linears; i++)
    if (llqi_input_of(i) == input && is_quantized(&job->choices[i])) {
      gptq |= job->choices[i].method->is_gptq;
      awq |= job->choices[i].method->folding == LLQI_FOLD_AWQ;
      folds |= job->choices[i].method->folding != LLQI_FOLD_NOTHING;
    }
  if (!gptq && !awq)
    return LLQI_GRAM_NONE;
  return folds || !llqi_has_arrange(job->calibrator) ? LLQI_GRAM_TO_HOST
                                                     : LLQI_GRAM_STAYS;
}

static int open_inputs(struct llqi_layer_job *job) {
  const int64_t n_total = (int64_t)job->streams->set->n_ids;
  const int64_t n_held_out = (int64_t)job->streams->set->n_held_out;
  for (int i = 0; i < llqi_layer_n_inputs(job); i++)
    LLQ_TRY(llqi_inputs_open(&job->inputs[i], job->calibrator,
                             job->from->linears[llqi_input_example(i)].n_in,
                             n_total - n_held_out, n_held_out,
                             gram_of(job, i)));
  return LLQ_OK;
}

static int tap(void *user, int layer, enum llqi_linear linear,
               const llq_view *input) {
  struct llqi_layer_job *job = user;
  const enum llqi_input which = llqi_input_of(linear);
  if (llqi_input_example(which) != linear)
    return LLQ_OK; /* seen already */
  return llqi_inputs_add(&job->inputs[which], job->backend, input);
}

static int observe(struct llqi_layer_job *job) {
  LLQ_TRY(open_inputs(job));
  if (llqi_layer_is_head(job))
    LLQ_TRY(llqi_streams_norm(job->streams, &job->from->input_norm, tap, job));
  else
    LLQ_TRY(llqi_streams_run(job->streams, job->from, tap, job,
                             job->settings->is_parallel &&
                                 job->settings->kv_dtype == 0));
  for (int i = 0; i < llqi_layer_n_inputs(job); i++) {
    job->failed = llqi_input_example(i);
    LLQ_TRY(llqi_inputs_finish(&job->inputs[i]));
  }
  job->failed = -1;
  return LLQ_OK;
}

/* ---- Memory of what is made ---- */

static int allocate(llq_model *owner, size_t size, void **out) {
  *out = llqi_alloc_aligned(size, 1);
  return *out != NULL ? llqi_model_own(owner, *out) : LLQ_ERROR_MEMORY;
}

static int allocate_parts(llq_model *owner, int asymmetric,
                          struct llqi_quantized *to) {
  llq_weight *weight = &to->weight;
  LLQ_TRY(allocate(owner, llqi_weight_data_bytes(weight), &to->data));
  weight->data = to->data;
  if (weight->format == LLQ_WEIGHT_DENSE)
    return LLQ_OK;
  LLQ_TRY(allocate(owner, llqi_weight_scale_bytes(weight), &to->scale));
  weight->scale = to->scale;
  if (!asymmetric)
    return LLQ_OK;
  void *zero;
  size_t n = (size_t)(weight->n_out * llqi_weight_n_groups(weight));
  LLQ_TRY(allocate(owner, n, &zero));
  weight->zero = to->zero = zero;
  return LLQ_OK;
}

/* ---- Quantizing ---- */

struct llqi_fold llqi_layer_fold(const struct llqi_layer_job *job, int linear) {
  struct llqi_fold fold = {job->scales[llqi_input_of(linear)], NULL};
  if (linear == LLQI_UP)
    fold.out = job->scales[LLQI_INPUT_DOWN];
  if (linear == LLQI_V && job->scales[LLQI_INPUT_O] != NULL)
    fold.out = job->spread;
  return fold;
}

static int is_folded(const struct llqi_fold *fold) {
  return fold->in != NULL || fold->out != NULL;
}

/* A linear that stays dense takes up what is folded into it. */
static int rewrite(struct llqi_layer_job *job, int linear) {
  const llq_weight *from = &job->from->linears[linear];
  const struct llqi_fold fold = llqi_layer_fold(job, linear);
  const size_t n = (size_t)(from->n_out * from->n_in);
  void *data;
  if (!is_folded(&fold))
    return LLQ_OK;
  LLQ_TRY(allocate(job->owner, llqi_weight_data_bytes(from), &data));
  float *w = llqi_array(n, sizeof *w);
  if (w == NULL)
    return LLQ_ERROR_MEMORY;
  llqi_matrix_load(from, &fold, job->threads, w);
  llqi_from_f32(from->dtype, w, n, data);
  llqi_free(w);
  job->to->linears[linear].data = data;
  return LLQ_OK;
}

/* AWQ narrows the ranges of groups, or of rows, to what loses least of the
   outputs. */
static int find_grid(const struct llqi_layer_job *job, int linear,
                     const float *w, struct llqi_grid *grid) {
  const struct llqi_inputs *inputs = &job->inputs[llqi_input_of(linear)];
  const struct llqi_observer narrow = {CLIP_STEPS, CLIP_STEP, inputs->blocks};
  const int is_awq = job->choices[linear].method->folding == LLQI_FOLD_AWQ;
  if (is_awq && grid->n_groups == 1)
    return llqi_grid_narrow(grid, &narrow, w, &inputs->fitted, job->threads);
  return llqi_grid_observe(grid,
                           is_awq && inputs->block_size == grid->group_size
                               ? &narrow
                               : &job->settings->gptq.observer,
                           w, 0, grid->n_groups, job->threads);
}

/* Codes of a matrix, which is lost. gptq: NULL = the nearest. */
static int encode(struct llqi_layer_job *job, int linear, float *w,
                  const struct llqi_gptq *gptq, struct llqi_quantized *to) {
  struct llqi_grid grid;
  void *group_index = NULL;
  double start = now();
  int status = llqi_grid_open(&grid, to);
  if (status >= 0)
    status = find_grid(job, linear, w, &grid);
  charge(job, LLQI_PHASE_GRID, start, status);
  start = now();
  if (status >= 0 && gptq != NULL && llqi_gptq_has_group_index(gptq, &grid))
    status =
        allocate(job->owner, (size_t)grid.n_in * sizeof(int32_t), &group_index);
  if (status >= 0 && gptq != NULL)
    status = llqi_gptq_run(gptq, &grid, w, job->threads, to, group_index);
  else if (status >= 0)
    status = llqi_grid_round(&grid, w, job->threads, to);
  to->weight.group_index = group_index;
  llqi_grid_close(&grid);
  return charge(job, LLQI_PHASE_ROUND, start, status);
}

static int quantize_matrix(struct llqi_layer_job *job, int linear,
                           const struct llqi_gptq *gptq,
                           struct llqi_quantized *to) {
  const llq_weight *from = &job->from->linears[linear];
  const struct llqi_fold fold = llqi_layer_fold(job, linear);
  const double start = now();
  float *w = llqi_array((size_t)from->n_out, (size_t)from->n_in * sizeof *w);
  if (w == NULL)
    return LLQ_ERROR_MEMORY;
  llqi_matrix_load(from, &fold, job->threads, w);
  charge(job, LLQI_PHASE_LOAD, start, LLQ_OK);
  int status = encode(job, linear, w, gptq, to);
  llqi_free(w);
  return status;
}

static int quantize_linear(struct llqi_layer_job *job, int linear,
                           const struct llqi_gptq *gptq) {
  const struct llqi_choice *choice = &job->choices[linear];
  const llq_weight *from = &job->from->linears[linear];
  struct llqi_quantized to = {.data = NULL};
  const struct llqi_fold fold = llqi_layer_fold(job, linear);
  llqi_target_shape(&choice->target, from, &to.weight);
  LLQ_TRY(allocate_parts(job->owner, choice->target.asymmetric, &to));
  if (!is_folded(&fold) && !llqi_method_calibrates(choice->method) &&
      job->settings->gptq.observer.n_steps < 2)
    LLQ_TRY(llqi_rtn(from, job->threads, &to));
  else
    LLQ_TRY(quantize_matrix(job, linear, choice->method->is_gptq ? gptq : NULL,
                            &to));
  job->to->linears[linear] = to.weight;
  return LLQ_OK;
}

static int quantize_one(struct llqi_layer_job *job, int linear,
                        const struct llqi_gptq *gptq) {
  struct llqi_outcome *outcome = &job->outcomes[linear];
  *outcome = (struct llqi_outcome){NAN, NAN, 0, 0};
  if (!is_quantized(&job->choices[linear]))
    return rewrite(job, linear);
  LLQ_TRY(quantize_linear(job, linear, gptq));
  if (job->choices[linear].method->is_gptq) {
    outcome->damping = gptq->damping;
    outcome->n_dead = gptq->n_dead;
  }
  if (!job->settings->measures || job->streams == NULL)
    return LLQ_OK;
  const double start = now();
  return charge(job, LLQI_PHASE_MEASURE, start, llqi_measure(job, linear));
}

/* The groups that AWQ wants to know more about; 0: none. */
static int64_t clip_size(const struct llqi_layer_job *job,
                         enum llqi_input input) {
  for (int i = 0; i < job->n_linears; i++) {
    const struct llqi_choice *choice = &job->choices[i];
    if (llqi_input_of(i) == input && is_quantized(choice) &&
        choice->method->folding == LLQI_FOLD_AWQ &&
        choice->target.group_size > 0)
      return choice->target.group_size;
  }
  return 0;
}

static int uses_gptq(const struct llqi_layer_job *job, enum llqi_input input) {
  for (int i = 0; i < job->n_linears; i++)
    if (llqi_input_of(i) == input && is_quantized(&job->choices[i]) &&
        job->choices[i].method->is_gptq)
      return 1;
  return 0;
}

/* The linears of one input. */
static int quantize_group(struct llqi_layer_job *job, enum llqi_input input) {
  struct llqi_inputs *inputs = &job->inputs[input];
  struct llqi_gptq gptq = {0};
  int status = LLQ_OK;
  const double start = now();
  job->failed = llqi_input_example(input);
  if (clip_size(job, input) > 0)
    LLQ_TRY(llqi_inputs_cut_blocks(inputs, clip_size(job, input)));
  if (uses_gptq(job, input))
    status = llqi_gptq_open(&gptq, inputs, &job->settings->gptq);
  charge(job, LLQI_PHASE_FACTOR, start, status);
  for (int i = 0; i < job->n_linears && status >= 0; i++)
    if (llqi_input_of(i) == input) {
      job->failed = i;
      status = quantize_one(job, i, &gptq);
    }
  llqi_gptq_close(&gptq);
  llqi_inputs_close(inputs);
  if (status >= 0)
    job->failed = -1;
  return status;
}

/* Sends the samples on, if that is not done yet: through what was made, or in
   parallel through the original. On the way what was made shows its keys and
   values. */
static int advance(struct llqi_layer_job *job) {
  const int is_parallel = job->settings->is_parallel;
  if (job->settings->kv_dtype != 0)
    LLQ_TRY(llqi_kv_scales_find(job->streams, job->calibrator, job->to,
                                job->settings->kv_dtype, !is_parallel));
  else if (!is_parallel)
    return llqi_streams_run(job->streams, job->to, NULL, NULL, 1);
  return is_parallel && job->settings->kv_dtype != 0
             ? llqi_streams_run(job->streams, job->from, NULL, NULL, 1)
             : LLQ_OK;
}

static int quantize_all(struct llqi_layer_job *job) {
  double start = now();
  if (job->streams != NULL) {
    LLQ_TRY(charge(job, LLQI_PHASE_OBSERVE, start, observe(job)));
    start = now();
    LLQ_TRY(charge(job, LLQI_PHASE_FOLD, start, llqi_fold_layer(job)));
  }
  for (int i = 0; i < llqi_layer_n_inputs(job); i++)
    LLQ_TRY(quantize_group(job, i));
  if (job->streams == NULL || llqi_layer_is_head(job))
    return LLQ_OK;
  start = now();
  return charge(job, LLQI_PHASE_ADVANCE, start, advance(job));
}

int llqi_layer_quantize(struct llqi_layer_job *job) {
  job->failed = -1;
  int status = quantize_all(job);
  for (int i = 0; i < llqi_layer_n_inputs(job); i++) {
    llqi_inputs_close(&job->inputs[i]);
    llqi_free(job->scales[i]);
    job->scales[i] = NULL;
  }
  llqi_free(job->spread);
  job->spread = NULL;
  return status;
}
