/* SPDX-License-Identifier: Apache-2.0 */
/* Fused steps: a kernel fetches their inputs, and tokens are drawn into the
   host's memory; a step in which every sequence decodes one token is recorded as
   a CUDA graph, of kernels alone, when its shape comes up the second time, and
   repeated from then on.

   Everything that a recorded step reads lies at places that depend on its shape
   alone: rows, ids, rows of logits, draws, segments, pages, in this order. It
   fetches as many pages as its positions can need. */
#include <stdlib.h>
#include <string.h>

#include "backends/cuda/common/inputs.h"
#include "backends/cuda/cuda.h"

#define N_RECORDINGS 64
#define ALIGNMENT 16
#define FEWEST_POSITIONS 256 /* that attention is launched for */

/* What decides which kernels a step launches, and on what. */
struct shape {
  int n_rows, n_logit_rows, n_draws, has_temperature, n_positions_max;
};

struct recording {
  struct shape shape;
  cudaGraphExec_t graph; /* NULL: the shape was seen once */
  uint64_t last_used;    /* 0: free */
};

enum mode { DIRECT, RECORDING, REPEATING };

struct cuda_plan {
  struct cuda_device *device;
  llq_fused_plan options;
  char *host, *memory; /* a step's inputs: pinned, and on the device */
  size_t capacity;
  cudaEvent_t fetched; /* the host's inputs were read */
  struct recording recordings[N_RECORDINGS];
  uint64_t n_steps;
  unsigned n_moves; /* of the device, when they were made */

  /* The step under way. */
  struct cuda_step step;
  size_t input_size;
  enum mode mode;
  struct recording *recording;
};

/* Where the parts of a step's inputs lie. */
struct layout {
  size_t rows, ids, logit_rows, draws, segments, pages, end;
};

static size_t after(size_t at, size_t n, size_t size) {
  return (at + n * size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static struct layout layout_of(const llq_fused_step *step) {
  const llq_batch *batch = step->batch;
  size_t n_rows = (size_t)batch->n_rows;
  struct layout l = {0};
  l.ids = after(l.rows, n_rows, sizeof(struct cuda_row));
  l.logit_rows = after(l.ids, n_rows, sizeof(int32_t));
  l.draws = after(l.logit_rows, (size_t)step->n_logit_rows, sizeof(int32_t));
  l.segments = after(l.draws, (size_t)step->n_draws, sizeof(llq_draw));
  l.pages = after(l.segments, (size_t)batch->n_segments, sizeof(llq_segment));
  l.end = after(l.pages, (size_t)batch->n_pages_listed, sizeof(int32_t));
  return l;
}

static void forget_recordings(struct cuda_plan *plan) {
  for (int i = 0; i < N_RECORDINGS; i++) {
    if (plan->recordings[i].graph != NULL)
      cudaGraphExecDestroy(plan->recordings[i].graph);
    plan->recordings[i] = (struct recording){0};
  }
}

/* Room for a step's inputs. What was recorded reads the old place. */
static int make_room(struct cuda_plan *plan, size_t size) {
  if (size <= plan->capacity)
    return LLQ_OK;
  struct cuda_device *device = plan->device;
  CUDA_TRY(device, cudaStreamSynchronize(device->stream));
  forget_recordings(plan);
  cudaFreeHost(plan->host);
  cudaFree(plan->memory);
  plan->host = plan->memory = NULL;
  plan->capacity = 0;
  size *= 2;
  CUDA_TRY(device, cudaMallocHost((void **)&plan->host, size));
  CUDA_TRY(device, cudaMalloc((void **)&plan->memory, size));
  plan->capacity = size;
  return LLQ_OK;
}

void cuda_plan_close(void *self, void *memory) {
  struct cuda_plan *plan = memory;
  if (plan == NULL)
    return;
  cudaStreamSynchronize(plan->device->stream);
  forget_recordings(plan);
  if (plan->fetched != NULL)
    cudaEventDestroy(plan->fetched);
  cudaFreeHost(plan->host);
  cudaFree(plan->memory);
  free(plan);
}

static int prepare(struct cuda_plan *plan) {
  CUDA_TRY(plan->device, cudaSetDevice(plan->device->index));
  CUDA_TRY(plan->device, cudaEventCreateWithFlags(&plan->fetched, cudaEventDisableTiming));
  return make_room(plan, 4096);
}

int cuda_plan_open(void *self, const llq_fused_plan *options, void **out) {
  struct cuda_plan *plan = calloc(1, sizeof *plan);
  if (plan == NULL)
    return cuda_error(LLQ_ERROR_MEMORY, "cuda: out of host memory");
  plan->device = self;
  plan->options = *options;
  int status = prepare(plan);
  if (status < 0)
    cuda_plan_close(self, plan);
  else
    *out = plan;
  return status;
}

/* A power of two above every position, so that few shapes come up. */
static int positions_bound(const llq_fused_step *step, int largest) {
  int n = 0, bound = FEWEST_POSITIONS;
  for (int s = 0; s < step->batch->n_segments; s++) {
    const llq_segment *segment = &step->batch->segments[s];
    int end = segment->first_position + segment->n_rows;
    n = end > n ? end : n;
  }
  while (bound < n)
    bound *= 2;
  return bound < largest ? bound : largest;
}

static int rows_of_longest(const llq_batch *batch) {
  int n = 0;
  for (int s = 0; s < batch->n_segments; s++)
    n = batch->segments[s].n_rows > n ? batch->segments[s].n_rows : n;
  return n;
}

static void fill_inputs(const llq_fused_step *step, const struct layout *at, char *to) {
  const llq_batch *batch = step->batch;
  cuda_batch_rows(batch, (struct cuda_row *)(to + at->rows));
  memcpy(to + at->ids, step->ids, (size_t)batch->n_rows * sizeof(int32_t));
  memcpy(to + at->logit_rows, step->logit_rows, (size_t)step->n_logit_rows * sizeof(int32_t));
  memcpy(to + at->draws, step->draws, (size_t)step->n_draws * sizeof(llq_draw));
  memcpy(to + at->segments, batch->segments, (size_t)batch->n_segments * sizeof(llq_segment));
  memcpy(to + at->pages, batch->pages, (size_t)batch->n_pages_listed * sizeof(int32_t));
}

static void describe_step(struct cuda_plan *plan, const llq_fused_step *step,
                          const struct layout *at, int n_positions_max) {
  const llq_batch *batch = step->batch;
  plan->step =
      (struct cuda_step){.batch = {.rows = (const struct cuda_row *)(plan->memory + at->rows),
                                   .segments = (const llq_segment *)(plan->memory + at->segments),
                                   .pages = (const int32_t *)(plan->memory + at->pages),
                                   .n_rows = batch->n_rows,
                                   .n_segments = batch->n_segments,
                                   .page_size = batch->page_size,
                                   .n_segment_rows_max = rows_of_longest(batch),
                                   .n_positions_max = n_positions_max},
                         .ids = (const int32_t *)(plan->memory + at->ids),
                         .logit_rows = (const int32_t *)(plan->memory + at->logit_rows),
                         .draws = (const llq_draw *)(plan->memory + at->draws),
                         .drawn = (llq_draw *)(plan->host + at->draws),
                         .n_logit_rows = step->n_logit_rows,
                         .n_draws = step->n_draws,
                         .is_fast = plan->options.is_fast};
  for (int i = 0; i < step->n_draws; i++)
    plan->step.has_temperature |= step->draws[i].temperature > 0;
}

/* The recording of this shape, or the one to replace by it. */
static struct recording *find_recording(struct cuda_plan *plan, const struct shape *shape) {
  struct recording *oldest = &plan->recordings[0];
  for (int i = 0; i < N_RECORDINGS; i++) {
    struct recording *recording = &plan->recordings[i];
    if (recording->last_used > 0 && memcmp(&recording->shape, shape, sizeof *shape) == 0)
      return recording;
    if (recording->last_used < oldest->last_used)
      oldest = recording;
  }
  if (oldest->graph != NULL)
    cudaGraphExecDestroy(oldest->graph);
  *oldest = (struct recording){.shape = *shape};
  return oldest;
}

/* Decides how the step runs. Prompts come in too many shapes to record. */
static int choose_mode(struct cuda_plan *plan, int is_token_each) {
  struct cuda_device *device = plan->device;
  const struct cuda_batch *batch = &plan->step.batch;
  plan->mode = DIRECT;
  if (!is_token_each || plan->options.is_direct || cuda_is_profiling(device))
    return LLQ_OK;
  if (plan->n_moves != device->n_moves)
    forget_recordings(plan);
  plan->n_moves = device->n_moves;
  const struct shape shape = {batch->n_rows, plan->step.n_logit_rows, plan->step.n_draws,
                              plan->step.has_temperature, batch->n_positions_max};
  struct recording *recording = find_recording(plan, &shape);
  int is_new = recording->last_used == 0;
  recording->last_used = ++plan->n_steps;
  plan->recording = recording;
  if (recording->graph != NULL) {
    plan->mode = REPEATING;
  } else if (!is_new) { /* by now all memory that it needs is there */
    CUDA_TRY(device, cudaStreamBeginCapture(device->stream, cudaStreamCaptureModeThreadLocal));
    plan->mode = RECORDING;
  }
  return LLQ_OK;
}

static int end_recording(struct cuda_plan *plan, int failed) {
  struct cuda_device *device = plan->device;
  cudaGraph_t graph = NULL;
  cudaError_t error = cudaStreamEndCapture(device->stream, &graph);
  if (error == cudaSuccess && !failed)
    error = cudaGraphInstantiate(&plan->recording->graph, graph, 0);
  if (graph != NULL)
    cudaGraphDestroy(graph);
  if (failed) {
    cudaGetLastError(); /* the failure itself was reported */
    return LLQ_OK;
  }
  CUDA_TRY(device, error);
  return LLQ_OK;
}

/* Where the inputs of any step of this shape end, if a token comes of each
   segment. */
static size_t end_of_shape(const llq_batch *batch, const struct layout *at, int n_positions_max) {
  size_t page_size = batch->page_size > 0 ? (size_t)batch->page_size : 1;
  size_t n_pages = ((size_t)n_positions_max + page_size - 1) / page_size;
  return after(at->pages, (size_t)batch->n_segments * n_pages, sizeof(int32_t));
}

static int start_fetch(struct cuda_plan *plan) {
  struct cuda_device *device = plan->device;
  struct cuda_launch launch;
  int status = cuda_launch_on(device, 0, &launch);
  if (status < 0)
    return status;
  CUDA_TRY(device, common_fetch(&launch, plan->host, plan->input_size, plan->memory));
  if (plan->mode == DIRECT)
    CUDA_TRY(device, cudaEventRecord(plan->fetched, device->stream));
  return LLQ_OK;
}

/* A repeated step fetches by itself. */
static int fetch_inputs(struct cuda_plan *plan) {
  int status = plan->mode == REPEATING ? (int)LLQ_OK : start_fetch(plan);
  if (status < 0 && plan->mode == RECORDING)
    end_recording(plan, 1);
  return status;
}

int cuda_plan_begin(void *self, void *memory, const llq_fused_step *step, int *is_recorded) {
  struct cuda_device *device = self;
  struct cuda_plan *plan = memory;
  struct layout layout = layout_of(step);
  int n_positions_max = positions_bound(step, plan->options.n_positions_max);
  size_t end = end_of_shape(step->batch, &layout, n_positions_max);
  int is_token_each = step->batch->n_segments == step->batch->n_rows &&
                      rows_of_longest(step->batch) <= 1 && layout.end <= end;
  plan->input_size = is_token_each ? end : layout.end;
  CUDA_TRY(device, cudaSetDevice(device->index));
  CUDA_TRY(device, cudaEventSynchronize(plan->fetched));
  int status = make_room(plan, plan->input_size);
  if (status < 0)
    return status;
  fill_inputs(step, &layout, plan->host);
  describe_step(plan, step, &layout, n_positions_max);
  device->plan = plan;
  status = choose_mode(plan, is_token_each);
  *is_recorded = plan->mode == REPEATING;
  return status < 0 ? status : fetch_inputs(plan);
}

const struct cuda_step *cuda_plan_step(const struct cuda_plan *plan) {
  return &plan->step;
}

static int give_draws(struct cuda_plan *plan, llq_draw *draws) {
  struct cuda_device *device = plan->device;
  const struct cuda_step *step = &plan->step;
  if (step->n_draws == 0)
    return LLQ_OK;
  CUDA_TRY(device, cudaStreamSynchronize(device->stream));
  memcpy(draws, step->drawn, (size_t)step->n_draws * sizeof *draws);
  return LLQ_OK;
}

int cuda_plan_end(void *self, llq_draw *draws, int failed) {
  struct cuda_device *device = self;
  struct cuda_plan *plan = device->plan;
  int status = failed ? (int)LLQ_OK : cuda_gates_finish(device);
  device->plan = NULL;
  device->left = (struct cuda_left){0};
  if (plan->mode == RECORDING) {
    int ended = end_recording(plan, failed || status < 0);
    status = status < 0 ? status : ended;
  }
  if (status < 0 || failed)
    return status;
  if (plan->mode != DIRECT) {
    CUDA_TRY(device, cudaGraphLaunch(plan->recording->graph, device->stream));
    CUDA_TRY(device, cudaEventRecord(plan->fetched, device->stream));
  }
  return give_draws(plan, draws);
}
