/* SPDX-License-Identifier: Apache-2.0 */
/* A validated Llama: what every later stage may rely on without checking. */
#ifndef LLQI_MODEL_MODEL_H
#define LLQI_MODEL_MODEL_H

#include <llq/backend.h>
#include <llq/model.h>

#include <pthread.h>
#include <stdatomic.h>

#include "base/file.h"
#include "model/config.h"
#include "tensor/tensor.h"

/* The linears of a decoder layer, in the order of the forward pass. */
enum llqi_linear {
  LLQI_Q,
  LLQI_K,
  LLQI_V,
  LLQI_O,
  LLQI_GATE,
  LLQI_UP,
  LLQI_DOWN,
  LLQI_N_LINEARS
};

/* "self_attn.q_proj", ...: the part of the tensor's name after the layer. */
extern const char *const llqi_linear_names[LLQI_N_LINEARS];

struct llqi_layer {
  llq_weight linears[LLQI_N_LINEARS];
  struct llqi_tensor input_norm;          /* [hidden_size] */
  struct llqi_tensor post_attention_norm; /* [hidden_size] */
  float key_scale, value_scale;           /* of a KV cache in 8 bits */
};

struct llq_model {
  atomic_int n_references;
  struct llqi_config config;
  struct llqi_tensor embedding; /* [n_vocab, hidden_size], a float type */
  struct llqi_tensor final_norm;
  llq_weight output; /* the embedding if tied */
  struct llqi_layer *layers;
  int kv_dtype;    /* of the KV cache that the layers have scales for: of enum
                      llq_dtype; 0: none */
  char *source;    /* as given to llq_model_open */
  char *directory; /* of the files to copy on saving; NULL if random */
  char *quantization_method; /* "rtn", for the manifest; NULL: not quantized */
  char *calibration_sha256;  /* of its calibration set; NULL: none */

  /* What the pointers above point into. */
  struct llqi_checkpoint *checkpoint; /* mapped files; may be NULL */
  struct llqi_gguf *gguf;             /* a mapped file; may be NULL */
  struct llqi_mapping drawn;          /* of random:CONFIG */
  void **owned;                       /* n_owned blocks, freed on close */
  size_t n_owned;
  struct llqi_mapping *mapped; /* n_mapped files of its own, likewise */
  size_t n_mapped;
  llq_model *base; /* a quantized model's original, whose parts it shares */

  pthread_mutex_t tokenizer_lock;
  llq_tokenizer *tokenizer;
};

/* The linears of all layers, one after another, are numbers 0 to n_layers *
   LLQI_N_LINEARS - 1; the output matrix is the number that follows. */
const llq_weight *llqi_linear_at(const llq_model *model, int64_t number);
void llqi_linear_name(int64_t n_layers, int64_t number, char *name,
                      size_t size);

/* An empty model with one reference, for those who build one: the caller fills
   it in, and llq_model_close() frees whatever is there. */
int llqi_model_new(llq_model **out, const char *source);

/* Adds a block to what the model frees. Takes `block` even on failure. */
int llqi_model_own(llq_model *model, void *block);

/* Adds a mapped file to what the model unmaps. Takes it even on failure. */
int llqi_model_own_mapping(llq_model *model, struct llqi_mapping *mapping);

/* Gives the memory of n bytes at `data`, of a mapped file of the model or its
   base, back until they are read again. Of other memory, does nothing. */
void llqi_model_forget(const llq_model *model, const void *data, size_t n);

/* The end tokens of generation_config.json or config.json. */
int llqi_model_end_ids(const llq_model *model, int32_t *ids, size_t capacity,
                       size_t *n_ids);

#endif
