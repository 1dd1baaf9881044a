/* SPDX-License-Identifier: Apache-2.0 */
/* config.json of a Llama: sizes, rotary embedding, quantization. */
#ifndef LLQI_MODEL_CONFIG_H
#define LLQI_MODEL_CONFIG_H

#include <jansson.h>
#include <stdint.h>

/* Rotary embedding; factor is 1 without scaling. The formula of "llama3" is
   that of Hugging Face's _compute_llama3_parameters. */
struct llqi_rope {
  double theta;
  double factor; /* 1: rope_type "default" */
  double low_frequency_factor, high_frequency_factor;
  int64_t original_context;
};

struct llqi_config {
  int64_t n_layers, hidden_size, intermediate_size;
  int64_t n_heads, n_kv_heads, head_size;
  int64_t n_vocab, n_context;
  double norm_eps;
  struct llqi_rope rope;
  int tied;
  int dtype;    /* of unquantized weights, of enum llq_dtype */
  json_t *json; /* the whole file, owned; what is saved again */
};

/* Reads and checks a config.json; refuses by name what is not supported. */
int llqi_config_read(const char *path, struct llqi_config *out);
/* The same from JSON that came from `where`; takes it, also on failure. */
int llqi_config_of(json_t *json, const char *where, struct llqi_config *out);
/* The config of a shape that libllq knows by name ("llama-3.1-8b"). */
int llqi_config_known(const char *name, struct llqi_config *out);
void llqi_config_free(struct llqi_config *config);

/* The output matrix is the embedding no more. */
int llqi_config_untie(struct llqi_config *config);

/* cos_sin[p, 0 .. d/2) = cos(p * f_i), cos_sin[p, d/2 .. d) = sin(p * f_i), for
   p in [0, n_positions): what the backend's rope takes. Products p * f_i are
   rounded to float, as Hugging Face's are. */
void llqi_rope_table(const struct llqi_config *config, int64_t n_positions,
                     float *cos_sin);

/* What the scaling divides frequency i by: 1 without scaling. */
float llqi_rope_factor(const struct llqi_config *config, int64_t i);

#endif
