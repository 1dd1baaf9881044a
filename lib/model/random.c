/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* memfd_create */

#include "model/random.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/random.h"
#include "base/status.h"
#include "model/load.h"
#include "tensor/dtype.h"

#define BLOCK_BYTES ((size_t)256 << 20)

/* Numbers that are really drawn; what follows them in the block is the same
   again, each time rotated further. Both are powers of two. */
#define N_DRAWN ((size_t)1 << 22)
#define ROTATION 1021

#define DEVIATION 0.02f

/* Hands out consecutive places for tensors. With data NULL it only counts. */
struct place {
  const char *data;
  size_t n_bytes;
  int dtype;
};

static const void *take(struct place *place, int64_t rows, int64_t cols) {
  const size_t n = (size_t)rows * (size_t)cols * llqi_dtype_size(place->dtype);
  const void *data = place->data != NULL ? place->data + place->n_bytes : NULL;
  place->n_bytes += (n + LLQI_ALIGNMENT - 1) / LLQI_ALIGNMENT * LLQI_ALIGNMENT;
  return data;
}

static struct llqi_tensor matrix(struct place *place, const char *name,
                                 int64_t rows, int64_t cols) {
  return (struct llqi_tensor){.name = name,
                              .where = "random",
                              .dtype = place->dtype,
                              .n_dims = 2,
                              .shape = {rows, cols},
                              .data = take(place, rows, cols),
                              .n_bytes = (size_t)rows * (size_t)cols *
                                         llqi_dtype_size(place->dtype)};
}

static void place_weights(llq_model *model, struct place *place) {
  const struct llqi_config *c = &model->config;
  model->embedding =
      matrix(place, "model.embed_tokens.weight", c->n_vocab, c->hidden_size);
  model->output = llqi_dense_weight(&model->embedding);
  if (!c->tied)
    model->output.data = take(place, c->n_vocab, c->hidden_size);
  for (int64_t i = 0; i < c->n_layers; i++) {
    for (int k = 0; k < LLQI_N_LINEARS; k++) {
      int64_t n_out, n_in;
      llqi_linear_shape(c, k, &n_out, &n_in);
      const struct llqi_tensor tensor =
          matrix(place, llqi_linear_names[k], n_out, n_in);
      model->layers[i].linears[k] = llqi_dense_weight(&tensor);
    }
  }
}

static int place_norms(llq_model *model) {
  const struct llqi_config *c = &model->config;
  const size_t n = (size_t)c->hidden_size;
  float *ones = llqi_array(n, sizeof *ones);
  void *norm = llqi_alloc_aligned(n, llqi_dtype_size(c->dtype));
  if (ones != NULL && norm != NULL) {
    for (size_t i = 0; i < n; i++)
      ones[i] = 1;
    llqi_from_f32(c->dtype, ones, n, norm);
  }
  llqi_free(ones);
  if (ones == NULL || norm == NULL) {
    llqi_free(norm);
    return LLQ_ERROR_MEMORY;
  }
  model->final_norm =
      (struct llqi_tensor){.name = "norm",
                           .where = "random",
                           .dtype = c->dtype,
                           .n_dims = 1,
                           .shape = {c->hidden_size},
                           .data = norm,
                           .n_bytes = n * llqi_dtype_size(c->dtype)};
  for (int64_t i = 0; i < c->n_layers; i++) {
    model->layers[i].input_norm = model->final_norm;
    model->layers[i].post_attention_norm = model->final_norm;
  }
  return llqi_model_own(model, norm);
}

static void draw(int dtype, uint64_t seed, char *block, size_t n) {
  const size_t size = llqi_dtype_size(dtype);
  const size_t n_drawn = n < N_DRAWN ? n : N_DRAWN;
  for (size_t i = 0; i < n_drawn; i += 4) {
    float x[4];
    llqi_normal4(seed, i / 4, 0, x);
    for (int k = 0; k < 4; k++)
      x[k] *= DEVIATION;
    llqi_from_f32(dtype, x, n_drawn - i < 4 ? n_drawn - i : 4,
                  block + i * size);
  }
  for (size_t at = n_drawn, turn = 1; at < n; at += N_DRAWN, turn++) {
    const size_t first = turn * ROTATION % N_DRAWN;
    const size_t head = N_DRAWN - first;
    const size_t room = n - at < N_DRAWN ? n - at : N_DRAWN;
    const size_t n_head = head < room ? head : room;
    memcpy(block + at * size, block + first * size, n_head * size);
    memcpy(block + (at + n_head) * size, block, (room - n_head) * size);
  }
}

static int fill(int fd, size_t n_bytes, int dtype, uint64_t seed) {
  if (ftruncate(fd, (off_t)n_bytes) < 0)
    return llqi_fail_errno(LLQ_ERROR_MEMORY, errno, "random weights");
  void *block = llqi_files->mmap(NULL, n_bytes, PROT_READ | PROT_WRITE,
                                 MAP_SHARED, fd, 0);
  if (block == MAP_FAILED)
    return llqi_fail_errno(LLQ_ERROR_MEMORY, errno, "random weights");
  draw(dtype, seed, block, n_bytes / llqi_dtype_size(dtype));
  munmap(block, n_bytes);
  return LLQ_OK;
}

/* Maps the block again and again until n_bytes are covered. */
static int repeat(int fd, size_t block, size_t n_bytes,
                  struct llqi_mapping *out) {
  char *data =
      llqi_files->mmap(NULL, n_bytes, PROT_NONE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED)
    return llqi_fail_errno(LLQ_ERROR_MEMORY, errno, "random weights");
  *out = (struct llqi_mapping){data, n_bytes};
  for (size_t at = 0; at < n_bytes; at += block) {
    const size_t n = n_bytes - at < block ? n_bytes - at : block;
    if (llqi_files->mmap(data + at, n, PROT_READ, MAP_SHARED | MAP_FIXED, fd,
                         0) == MAP_FAILED)
      return llqi_fail_errno(LLQ_ERROR_MEMORY, errno, "random weights");
  }
  return LLQ_OK;
}

static int map_weights(llq_model *model, size_t n_bytes, uint64_t seed) {
  const size_t page = (size_t)sysconf(_SC_PAGESIZE);
  const size_t whole = (n_bytes + page - 1) / page * page;
  const size_t block = whole < BLOCK_BYTES ? whole : BLOCK_BYTES;
  int fd = memfd_create("llq-random", MFD_CLOEXEC);
  if (fd < 0)
    return llqi_fail_errno(LLQ_ERROR_MEMORY, errno, "random weights");
  int status = fill(fd, block, model->config.dtype, seed);
  if (status >= 0)
    status = repeat(fd, block, whole, &model->drawn);
  close(fd);
  return status;
}

int llqi_model_draw(llq_model *model, const char *shape, uint64_t seed) {
  const size_t length = strlen(shape);
  const int is_file = strchr(shape, '/') != NULL ||
                      (length > 5 && !strcmp(shape + length - 5, ".json"));
  struct llqi_config *c = &model->config;
  LLQ_TRY(is_file ? llqi_config_read(shape, c) : llqi_config_known(shape, c));
  model->layers = llqi_calloc((size_t)c->n_layers, sizeof *model->layers);
  if (model->layers == NULL)
    return LLQ_ERROR_MEMORY;
  struct place place = {.dtype = c->dtype};
  place_weights(model, &place);
  LLQ_TRY(map_weights(model, place.n_bytes, seed));
  place = (struct place){.data = model->drawn.data, .dtype = c->dtype};
  place_weights(model, &place);
  return place_norms(model);
}
