/* SPDX-License-Identifier: Apache-2.0 */
/* llq quantize: one checkpoint from another. */
#include <math.h>
#include <string.h>

#include "command.h"

static int step(void *quantizer, llq_progress *progress) {
  return llq_quantizer_step(quantizer, progress);
}

static int save(const struct command *command, llq_quantizer *quantizer,
                const char *directory, const char *format) {
  llq_model *quantized;
  if (llq_quantizer_take(quantizer, &quantized) < 0)
    return command_failed(command);
  llq_model_info info = LLQ_MODEL_INFO_INIT;
  int status = llq_model_describe(quantized, &info);
  if (status == LLQ_OK)
    status = llq_model_save(quantized, directory, format);
  llq_model_close(quantized);
  if (status < 0)
    return command_failed(command);
  const int has_kv = info.kv_cache[0] != '\0';
  fprintf(stderr, "%s: %s%s%s, %.1f MiB of weights\n", directory, info.scheme,
          has_kv ? ", KV cache " : "", info.kv_cache,
          (double)info.n_weight_bytes / (1 << 20));
  return EXIT_DONE;
}

/* What a command line asks for besides the options of the library. */
struct request {
  const char *directory, *format, *calibration;
  int measure, json;
};

static json_t *linear_json(const llq_quantized_linear *linear) {
  const int measured = isfinite(linear->error);
  return json_pack("{s:s, s:s, s:s, s:o, s:o, s:f, s:I}", "name", linear->name,
                   "scheme", linear->scheme, "method", linear->method, "error",
                   measured ? json_real(linear->error) : json_null(), "power",
                   measured ? json_real(linear->power) : json_null(), "damping",
                   linear->damping, "dead", (json_int_t)linear->n_dead);
}

/* The table of all linears. */
static int print_linears(const struct command *command,
                         const llq_quantizer *quantizer, int json) {
  llq_quantized_linear linear = LLQ_QUANTIZED_LINEAR_INIT;
  json_t *list = json_array();
  for (uint64_t i = 0; llq_quantizer_linear(quantizer, i, &linear) == LLQ_OK;
       i++) {
    if (json)
      json_array_append_new(list, linear_json(&linear));
    else
      printf("%-40s %-10s %-17s %.4e  %.3f %%\n", linear.name, linear.scheme,
             linear.method, linear.error, 100 * linear.error / linear.power);
  }
  if (json)
    return command_print_json(command, json_pack("{s:o}", "linears", list));
  json_decref(list);
  return EXIT_DONE;
}

static int calibrate(llq_quantizer *quantizer, const char *calibration) {
  if (calibration == NULL)
    return LLQ_OK;
  if (strcmp(calibration, "random") == 0)
    return llq_quantizer_calibrate_random(quantizer);
  return llq_quantizer_calibrate_file(quantizer, calibration);
}

static int run(const struct command *command, llq_quantizer *quantizer,
               const struct request *request) {
  if (calibrate(quantizer, request->calibration) < 0)
    return command_failed(command);
  int status = command_run(command, step, quantizer);
  if (status == LLQ_MORE)
    return command_error(command, "interrupted; the same command continues");
  if (status < 0)
    return command_failed(command);
  int exit_status =
      save(command, quantizer, request->directory, request->format);
  if (exit_status == EXIT_DONE && (request->measure || request->json))
    exit_status = print_linears(command, quantizer, request->json);
  return exit_status;
}

static int quantize(const struct command *command,
                    const struct common_options *common, const char *source,
                    const llq_quantizer_options *options,
                    const struct request *request) {
  llq_model *model = NULL;
  llq_backend *backend = NULL;
  llq_quantizer *quantizer = NULL;
  int exit_status;
  if (llq_model_open(&model, source, NULL) < 0 ||
      command_open_backend(common, &backend) < 0 ||
      llq_quantizer_open(&quantizer, backend, model, options) < 0)
    exit_status = command_failed(command);
  else
    exit_status = run(command, quantizer, request);
  llq_quantizer_close(quantizer);
  llq_backend_close(backend);
  llq_model_close(model);
  return exit_status;
}

int run_quantize(const struct command *command, int argc, char **argv) {
  const char *operands[2];
  struct request request = {NULL};
  struct common_options common = {0};
  llq_quantizer_options quantizer = LLQ_QUANTIZER_OPTIONS_INIT;
  const struct option options[] = {
      {"scheme", OPTION_TEXT, &quantizer.scheme, "S",
       "bf16, w8a8-fp, w8a8-int, w8a16-int or w4a16-int (required)"},
      {"method", OPTION_TEXT, &quantizer.method, "M",
       "rtn (default), gptq, awq, smoothquant, awq+gptq, smoothquant+gptq"},
      {"group-size", OPTION_INT, &quantizer.group_size, "G",
       "of w4a16-int: 32, 64, 128 (default), or -1 = per channel"},
      {"asymmetric", OPTION_FLAG, &quantizer.asymmetric, NULL,
       "w4a16-int with zero points"},
      {"calibration", OPTION_TEXT, &request.calibration, "FILE",
       "JSONL of texts or chats, or plain text; or: random"},
      {"samples", OPTION_INT, &quantizer.n_samples, "N",
       "calibration samples, at most (default 512)"},
      {"length", OPTION_INT, &quantizer.n_tokens, "N",
       "tokens of a sample, at most (default 2048)"},
      {"seed", OPTION_SEED, &quantizer.seed, "S", "of the choice of samples"},
      {"observer", OPTION_TEXT, &quantizer.observer, "O",
       "minmax (default) or mse"},
      {"order", OPTION_TEXT, &quantizer.order, "O",
       "of gptq: static (default), none or group"},
      {"damping", OPTION_REAL, &quantizer.damping, "D",
       "of gptq (default 0.01)"},
      {"block-size", OPTION_INT, &quantizer.block_size, "N",
       "of gptq (default 128)"},
      {"smoothing", OPTION_REAL, &quantizer.smoothing, "A",
       "strength of smoothquant (default 0.8)"},
      {"parallel", OPTION_FLAG, &quantizer.is_parallel, NULL,
       "calibrate all layers on the original's activations"},
      {"measure", OPTION_FLAG, &request.measure, NULL,
       "print what each linear's outputs lost"},
      {"recipe", OPTION_TEXT, &quantizer.recipe, "FILE",
       "lines of a pattern, a scheme and maybe a method: choices by linear"},
      {"kv-cache", OPTION_TEXT, &quantizer.kv_cache, "TYPE",
       "fp8 or int8: also calibrate the scales of a KV cache"},
      {"measure-on", OPTION_TEXT, &quantizer.measure_file, "FILE",
       "the same, on a file's tokens instead of calibration's"},
      {"compute", OPTION_TEXT, &quantizer.compute, "TYPE",
       "activations of calibration: bf16 (default) or f32"},
      {"format", OPTION_TEXT, &request.format, "F",
       "compressed-tensors (default), gptq or awq"},
      COMMON_OPTIONS(common),
      {NULL, OPTION_FLAG, NULL, NULL, NULL}};
  int exit_status = arguments_parse(command, options, argc, argv, operands, 2);
  if (exit_status >= 0)
    return exit_status;
  if (quantizer.scheme == NULL)
    return command_misused(command, "--scheme is required");
  if (quantizer.kv_cache != NULL && request.format != NULL &&
      strcmp(request.format, "compressed-tensors") != 0)
    return command_misused(command, "--kv-cache: %s has no scales for it",
                           request.format);
  request.directory = operands[1];
  request.json = common.json;
  request.measure |= quantizer.measure_file != NULL;
  quantizer.measure = request.measure;
  quantizer.directory = request.directory;
  quantizer.n_threads = common.n_threads;
  return quantize(command, &common, operands[0], &quantizer, &request);
}
