/* SPDX-License-Identifier: Apache-2.0 */
/* llq info: a model's shape and size, before anything runs. */
#include <string.h>

#include "command.h"

static const char *const schemes[] = {"bf16", "w8a16-int", "w8a8-fp",
                                      "w8a8-int", "w4a16-int"};
#define N_SCHEMES (sizeof schemes / sizeof schemes[0])

static json_t *info_json(const char *source, const llq_model_info *info,
                         const uint64_t *bytes) {
  json_t *in_schemes = json_object();
  for (size_t i = 0; i < N_SCHEMES; i++)
    json_object_set_new(in_schemes, schemes[i],
                        json_integer((json_int_t)bytes[i]));
  return json_pack(
      "{s:s, s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:b, s:i,"
      " s:I, s:I, s:I, s:I, s:s, s:I, s:s, s:o}",
      "source", source, "architecture", info->architecture, "scheme",
      info->scheme, "dtype", info->dtype, "n_layers", info->n_layers,
      "hidden_size", info->hidden_size, "intermediate_size",
      info->intermediate_size, "n_heads", info->n_heads, "n_kv_heads",
      info->n_kv_heads, "head_size", info->head_size, "n_vocab", info->n_vocab,
      "n_context", info->n_context, "tied", info->tied, "group_size",
      info->group_size, "n_parameters", (json_int_t)info->n_parameters,
      "n_weight_bytes", (json_int_t)info->n_weight_bytes, "n_linear_bytes",
      (json_int_t)info->n_linear_bytes, "n_kv_bytes_per_token",
      (json_int_t)info->n_kv_bytes, "kv_cache", info->kv_cache,
      "n_output_bytes", (json_int_t)info->n_output_bytes, "output_scheme",
      info->output_scheme, "bytes_in_scheme", in_schemes);
}

static void print_info(const char *source, const llq_model_info *info,
                       const uint64_t *bytes) {
  const double mib = 1 << 20;
  const int has_kv = info->kv_cache[0] != '\0';
  const double kv_bytes = (double)info->n_kv_bytes / (has_kv ? 2 : 1);
  printf("%s: %s, %s\n", source, info->architecture, info->scheme);
  printf("  %d layers, hidden %d, intermediate %d\n", info->n_layers,
         info->hidden_size, info->intermediate_size);
  printf("  %d heads of %d, %d for keys and values\n", info->n_heads,
         info->head_size, info->n_kv_heads);
  printf("  %d tokens%s, context %d\n", info->n_vocab,
         info->tied ? ", output matrix tied to the embedding" : "",
         info->n_context);
  printf("  output matrix: %s, %.1f MiB\n", info->output_scheme,
         (double)info->n_output_bytes / mib);
  printf("  %.3f million parameters, %.1f MiB of weights as held\n",
         (double)info->n_parameters / 1e6, (double)info->n_weight_bytes / mib);
  printf("  KV cache (%s): %.1f KiB a token, %.1f MiB for 4096 tokens\n",
         has_kv ? info->kv_cache : "16 bits", kv_bytes / 1024,
         4096 * kv_bytes / mib);
  printf("memory needed, weights and one sequence of 4096 tokens:\n");
  for (size_t i = 0; i < N_SCHEMES; i++)
    if (bytes[i] > 0)
      printf("  %-10s %10.1f MiB weights  %10.1f MiB in all\n", schemes[i],
             (double)bytes[i] / mib,
             ((double)bytes[i] + 4096 * kv_bytes) / mib);
}

int run_info(const struct command *command, int argc, char **argv) {
  const char *source;
  int json = 0;
  const struct option options[] = {
      {"json", OPTION_FLAG, &json, NULL, "print machine-readable output"},
      {NULL, OPTION_FLAG, NULL, NULL, NULL}};
  int exit_status = arguments_parse(command, options, argc, argv, &source, 1);
  if (exit_status >= 0)
    return exit_status;
  llq_model *model;
  llq_model_info info = LLQ_MODEL_INFO_INIT;
  uint64_t bytes[N_SCHEMES];
  if (llq_model_open(&model, source, NULL) < 0)
    return command_failed(command);
  int status = llq_model_describe(model, &info);
  for (size_t i = 0; i < N_SCHEMES && status == LLQ_OK; i++)
    if (llq_model_bytes_in(model, schemes[i], 0, &bytes[i]) < 0)
      bytes[i] = 0; /* this scheme cannot hold this shape */
  llq_model_close(model);
  if (status < 0)
    return command_failed(command);
  if (json)
    return command_print_json(command, info_json(source, &info, bytes));
  print_info(source, &info, bytes);
  return EXIT_DONE;
}
