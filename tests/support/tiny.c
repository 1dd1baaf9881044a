/* SPDX-License-Identifier: Apache-2.0 */
#include "tiny.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "support.h"

#define HIDDEN 64
#define WIDE 96
#define VOCAB 50

void tiny_write_raw(const char *path, const char *header, size_t n_data) {
  FILE *file = fopen(path, "wb");
  ck_assert_msg(file != NULL, "%s", path);
  const uint64_t length = strlen(header), padded = (length + 7) / 8 * 8;
  for (int i = 0; i < 8; i++)
    fputc((int)(padded >> 8 * i & 0xff), file);
  fprintf(file, "%-*s", (int)padded, header);
  for (size_t i = 0; i < n_data; i += 2) {
    fputc((int)(i * 37 / 2 & 0xff), file);
    if (i + 1 < n_data)
      fputc(0x3c, file);
  }
  fclose(file);
}

void tiny_write_file(const char *path, const json_t *header, size_t n_data) {
  char *text = json_dumps(header, JSON_COMPACT);
  tiny_write_raw(path, text, n_data);
  free(text);
}

json_t *tiny_config(void) {
  return json_pack(
      "{s:[s], s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:b, s:f, s:s}",
      "architectures", "LlamaForCausalLM", "model_type", "llama",
      "num_hidden_layers", 2, "hidden_size", HIDDEN, "intermediate_size", WIDE,
      "num_attention_heads", 2, "num_key_value_heads", 1, "vocab_size", VOCAB,
      "max_position_embeddings", 512, "tie_word_embeddings", 0, "rms_norm_eps",
      1e-5, "torch_dtype", "bfloat16");
}

static size_t size_of(const char *dtype) {
  if (strstr(dtype, "64") != NULL)
    return 8;
  return strstr(dtype, "32") != NULL ? 4 : strstr(dtype, "16") != NULL ? 2 : 1;
}

void tiny_add(json_t *header, size_t *n_data, const char *name,
              const char *dtype, int n_dims, const int *shape) {
  size_t n = size_of(dtype);
  *n_data = (*n_data + n - 1) / n * n;
  json_t *dims = json_array();
  for (int i = 0; i < n_dims; i++) {
    n *= (size_t)shape[i];
    json_array_append_new(dims, json_integer(shape[i]));
  }
  json_object_set_new(header, name,
                      json_pack("{s:s, s:o, s:[I, I]}", "dtype", dtype, "shape",
                                dims, "data_offsets", (json_int_t)*n_data,
                                (json_int_t)(*n_data + n)));
  *n_data += n;
}

static void add_layer(json_t *header, size_t *n_data, int layer) {
  static const struct {
    const char *name;
    int n_dims, shape[2];
  } parts[] = {
      {"self_attn.q_proj", 2, {HIDDEN, HIDDEN}},
      {"self_attn.k_proj", 2, {HIDDEN / 2, HIDDEN}},
      {"self_attn.v_proj", 2, {HIDDEN / 2, HIDDEN}},
      {"self_attn.o_proj", 2, {HIDDEN, HIDDEN}},
      {"mlp.gate_proj", 2, {WIDE, HIDDEN}},
      {"mlp.up_proj", 2, {WIDE, HIDDEN}},
      {"mlp.down_proj", 2, {HIDDEN, WIDE}},
      {"input_layernorm", 1, {HIDDEN}},
      {"post_attention_layernorm", 1, {HIDDEN}},
  };
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
    char name[80];
    snprintf(name, sizeof name, "model.layers.%d.%s.weight", layer,
             parts[i].name);
    tiny_add(header, n_data, name, "BF16", parts[i].n_dims, parts[i].shape);
  }
}

json_t *tiny_header(size_t *n_data) {
  json_t *header = json_object();
  *n_data = 0;
  tiny_add(header, n_data, "model.embed_tokens.weight", "BF16", 2,
           (int[]){VOCAB, HIDDEN});
  tiny_add(header, n_data, "lm_head.weight", "BF16", 2, (int[]){VOCAB, HIDDEN});
  tiny_add(header, n_data, "model.norm.weight", "BF16", 1, (int[]){HIDDEN});
  for (int i = 0; i < 2; i++)
    add_layer(header, n_data, i);
  return header;
}

const char *tiny_write(const char *name, json_t *config, json_t *header,
                       size_t n_data) {
  static char directory[512];
  char path[600];
  snprintf(directory, sizeof directory, "%s/%s", test_directory(), name);
  mkdir(directory, 0777);
  snprintf(path, sizeof path, "%s/config.json", directory);
  ck_assert_int_eq(json_dump_file(config, path, 0), 0);
  snprintf(path, sizeof path, "%s/model.safetensors", directory);
  tiny_write_file(path, header, n_data);
  json_decref(config);
  json_decref(header);
  return directory;
}
