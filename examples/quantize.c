/* SPDX-License-Identifier: Apache-2.0 */
/* Quantizes a model to four bits with GPTQ, and saves it.
 *
 *   cc quantize.c $(pkg-config --cflags --libs llq) -o quantize
 *   ./quantize llq-micro calibration.jsonl OUT
 */
#include <llq/llq.h>

#include <stdio.h>
#include <stdlib.h>

static int need(int status) {
  if (status < 0) {
    fprintf(stderr, "%s\n", llq_error_message());
    exit(1);
  }
  return status;
}

int main(int argc, char **argv) {
  if (argc != 4) {
    fprintf(stderr, "usage: %s MODEL CALIBRATION OUT\n", argv[0]);
    return 2;
  }
  llq_backend *backend;
  llq_model *model, *int4;
  llq_quantizer *quantizer;
  need(llq_backend_open(&backend, NULL, NULL));
  need(llq_model_open(&model, argv[1], NULL));

  llq_quantizer_options options = LLQ_QUANTIZER_OPTIONS_INIT;
  options.scheme = "w4a16-int";
  options.method = "gptq";
  options.group_size = 64;
  options.n_samples = 16;
  need(llq_quantizer_open(&quantizer, backend, model, &options));
  need(llq_quantizer_calibrate_file(quantizer, argv[2]));

  /* Long work is stepped: progress needs no callback. */
  llq_progress progress = LLQ_PROGRESS_INIT;
  int status;
  do {
    status = need(llq_quantizer_step(quantizer, &progress));
    fprintf(stderr, "%d of %d %s\n", (int)progress.done, (int)progress.total,
            progress.unit);
  } while (status == LLQ_MORE);
  need(llq_quantizer_take(quantizer, &int4));
  need(llq_model_save(int4, argv[3], NULL));

  llq_model_info before = LLQ_MODEL_INFO_INIT, after = LLQ_MODEL_INFO_INIT;
  need(llq_model_describe(model, &before));
  need(llq_model_describe(int4, &after));
  printf("%s: %.2f MiB, was %.2f MiB\n", after.scheme,
         (double)after.n_weight_bytes / (1 << 20),
         (double)before.n_weight_bytes / (1 << 20));

  llq_quantizer_close(quantizer);
  llq_model_close(int4);
  llq_model_close(model);
  llq_backend_close(backend);
  return 0;
}
