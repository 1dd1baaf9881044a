/* SPDX-License-Identifier: Apache-2.0 */
#include "quantizer/spool.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "base/status.h"
#include "tensor/dtype.h"
#include "tensor/weight.h"

static const char magic[8] = "llqspoo2";

/* What may be stored of a linear, in this order; then the two norms. */
enum block { DATA, SCALE, ZERO, GROUP_INDEX, N_BLOCKS };

/* A file's beginning. What follows are the blocks that it has, each at a
   multiple of LLQI_ALIGNMENT. Files are read only where they were written. */
struct header {
  char magic[sizeof magic];
  char key[LLQI_HASH_TEXT_SIZE];
  uint8_t has[LLQI_N_LINEARS][N_BLOCKS];
  struct llqi_outcome outcomes[LLQI_N_LINEARS];
  float key_scale, value_scale;
};

static char *path_of(const struct llqi_spool *spool, int64_t number) {
  char name[40];
  snprintf(name, sizeof name, "quantized-layer-%05lld", (long long)number);
  return llqi_path_join(spool->directory, name);
}

static size_t padded(size_t n) {
  return (n + LLQI_ALIGNMENT - 1) / LLQI_ALIGNMENT * LLQI_ALIGNMENT;
}

static size_t block_bytes(const llq_weight *w, enum block block) {
  switch (block) {
  case DATA:
    return llqi_weight_data_bytes(w);
  case SCALE:
    return llqi_weight_scale_bytes(w);
  case ZERO:
    return (size_t)(w->n_out * llqi_weight_n_groups(w));
  default:
    return (size_t)w->n_in * sizeof(int32_t);
  }
}

static const void *block_of(const llq_weight *w, enum block block) {
  const void *const blocks[N_BLOCKS] = {w->data, w->scale, w->zero,
                                        w->group_index};
  return blocks[block];
}

static void set_block(llq_weight *w, enum block block, const void *data) {
  switch (block) {
  case DATA:
    w->data = data;
    break;
  case SCALE:
    w->scale = data;
    break;
  case ZERO:
    w->zero = data;
    break;
  default:
    w->group_index = data;
  }
}

/* ---- Writing ---- */

static int write_block(struct llqi_writer *writer, const void *data,
                       size_t n_bytes) {
  static const char zeros[LLQI_ALIGNMENT];
  LLQ_TRY(llqi_writer_write(writer, data, n_bytes));
  return llqi_writer_write(writer, zeros, padded(n_bytes) - n_bytes);
}

static int write_linear(struct llqi_writer *writer, const llq_weight *w,
                        const uint8_t has[N_BLOCKS]) {
  for (int b = 0; b < N_BLOCKS; b++)
    if (has[b])
      LLQ_TRY(write_block(writer, block_of(w, b), block_bytes(w, b)));
  return LLQ_OK;
}

static int write_layer(struct llqi_writer *writer, const struct header *header,
                       const struct llqi_layer *layer) {
  LLQ_TRY(write_block(writer, header, sizeof *header));
  for (int i = 0; i < LLQI_N_LINEARS; i++)
    LLQ_TRY(write_linear(writer, &layer->linears[i], header->has[i]));
  LLQ_TRY(
      write_block(writer, layer->input_norm.data, layer->input_norm.n_bytes));
  return write_block(writer, layer->post_attention_norm.data,
                     layer->post_attention_norm.n_bytes);
}

int llqi_spool_write(const struct llqi_spool *spool, int64_t number,
                     const struct llqi_layer *from,
                     const struct llqi_layer *layer,
                     const struct llqi_outcome *outcomes) {
  struct header header;
  struct llqi_writer writer;
  memset(&header, 0, sizeof header);
  memcpy(header.magic, magic, sizeof magic);
  memcpy(header.key, spool->key, sizeof header.key);
  memcpy(header.outcomes, outcomes, sizeof header.outcomes);
  header.key_scale = layer->key_scale;
  header.value_scale = layer->value_scale;
  for (int i = 0; i < LLQI_N_LINEARS; i++)
    for (int b = 0; b < N_BLOCKS; b++) {
      const void *block = block_of(&layer->linears[i], b);
      header.has[i][b] =
          block != NULL && block != block_of(&from->linears[i], b);
    }
  char *path = path_of(spool, number);
  if (path == NULL)
    return LLQ_ERROR_MEMORY;
  int status = llqi_writer_open(&writer, path);
  llqi_free(path);
  LLQ_TRY(status);
  status = write_layer(&writer, &header, layer);
  if (status >= 0)
    return llqi_writer_commit(&writer);
  llqi_writer_abort(&writer);
  return status;
}

/* ---- Reading ---- */

/* Takes the next n bytes of a file; NULL if it is too short. */
static const void *take(const struct llqi_mapping *file, size_t *at,
                        size_t n_bytes) {
  const char *data = (const char *)file->data + *at;
  if (padded(n_bytes) > file->size - *at)
    return NULL;
  *at += padded(n_bytes);
  return data;
}

static int take_linear(const struct llqi_mapping *file, size_t *at,
                       const struct llqi_choice *choice, const llq_weight *from,
                       const uint8_t has[N_BLOCKS], llq_weight *out) {
  if (choice->target.format != LLQ_WEIGHT_DENSE)
    llqi_target_shape(&choice->target, from, out);
  for (int b = 0; b < N_BLOCKS; b++) {
    if (!has[b])
      continue;
    const void *data = take(file, at, block_bytes(out, b));
    if (data == NULL)
      return 0;
    set_block(out, b, data);
  }
  return 1;
}

/* 0 if the file is not of this key, or not whole. */
static int take_layer(const struct llqi_spool *spool,
                      const struct llqi_mapping *file,
                      const struct llqi_choice *choices,
                      const struct llqi_layer *from, struct llqi_layer *layer,
                      struct llqi_outcome *outcomes) {
  struct header header;
  size_t at = 0;
  const void *data = take(file, &at, sizeof header);
  if (data == NULL)
    return 0;
  memcpy(&header, data, sizeof header);
  if (memcmp(header.magic, magic, sizeof magic) != 0 ||
      memcmp(header.key, spool->key, sizeof header.key) != 0)
    return 0;
  for (int i = 0; i < LLQI_N_LINEARS; i++)
    if (!take_linear(file, &at, &choices[i], &from->linears[i], header.has[i],
                     &layer->linears[i]))
      return 0;
  struct llqi_tensor *norms[] = {&layer->input_norm,
                                 &layer->post_attention_norm};
  for (int i = 0; i < 2; i++)
    if ((norms[i]->data = take(file, &at, norms[i]->n_bytes)) == NULL)
      return 0;
  memcpy(outcomes, header.outcomes, sizeof header.outcomes);
  layer->key_scale = header.key_scale;
  layer->value_scale = header.value_scale;
  return at == file->size;
}

int llqi_spool_read(const struct llqi_spool *spool, int64_t number,
                    const struct llqi_choice *choices,
                    const struct llqi_layer *from, llq_model *owner,
                    struct llqi_layer *layer, struct llqi_outcome *outcomes,
                    int *found) {
  struct llqi_mapping file;
  struct llqi_layer taken = *from;
  char *path = path_of(spool, number);
  *found = 0;
  if (path == NULL)
    return LLQ_ERROR_MEMORY;
  int status = LLQ_OK, exists = llqi_file_exists(path);
  if (exists)
    status = llqi_file_map(path, &file);
  llqi_free(path);
  if (!exists || status < 0)
    return status;
  if (!take_layer(spool, &file, choices, from, &taken, outcomes)) {
    llqi_file_unmap(&file);
    return LLQ_OK;
  }
  LLQ_TRY(llqi_model_own_mapping(owner, &file));
  *layer = taken;
  *found = 1;
  return LLQ_OK;
}

void llqi_spool_remove(const struct llqi_spool *spool, int64_t n_layers) {
  for (int64_t i = 0; i < n_layers; i++) {
    char *path = path_of(spool, i);
    if (path != NULL && llqi_file_remove(path) < 0)
      llqi_log(LLQ_LOG_WARNING, "%s: cannot remove", path);
    llqi_free(path);
  }
}
