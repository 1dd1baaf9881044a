/* SPDX-License-Identifier: Apache-2.0 */
/* Continues a prompt, and prints the text as it comes.
 *
 *   cc generate.c $(pkg-config --cflags --libs llq) -o generate
 *   ./generate llq-micro 'def add(a, b):'
 */
#include <llq/llq.h>

#include <stdio.h>
#include <stdlib.h>

/* Ends the program with libllq's message if a call failed. */
static int need(int status) {
  if (status < 0) {
    fprintf(stderr, "%s\n", llq_error_message());
    exit(1);
  }
  return status;
}

/* Submits a text, with a BOS in front. */
static int64_t submit(llq_generator *generator, llq_model *model,
                      const char *prompt, const llq_sampling *sampling) {
  enum { ROOM = 4096 };
  static int32_t ids[ROOM];
  const llq_tokenizer *tokenizer;
  size_t n_ids, n_bytes = 0;
  int64_t sequence;
  while (prompt[n_bytes] != '\0')
    n_bytes++;
  need(llq_model_tokenizer(model, &tokenizer));
  need(llq_tokenizer_encode(tokenizer, prompt, n_bytes, LLQ_ENCODE_BOS, ids,
                            ROOM, &n_ids));
  need(llq_generator_submit(generator, ids, n_ids < ROOM ? n_ids : ROOM,
                            sampling, 1, &sequence));
  return sequence;
}

int main(int argc, char **argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: %s MODEL PROMPT\n", argv[0]);
    return 2;
  }
  llq_backend *backend;
  llq_model *model;
  llq_generator *generator;
  need(llq_backend_open(&backend, NULL, NULL));
  need(llq_model_open(&model, argv[1], NULL));
  need(llq_generator_open(&generator, backend, model, NULL));

  llq_sampling sampling = LLQ_SAMPLING_INIT;
  sampling.n_tokens_max = 64;
  int64_t sequence = submit(generator, model, argv[2], &sampling);
  size_t shown = 0;
  int status;
  do {
    llq_generation generation = LLQ_GENERATION_INIT;
    status = need(llq_generator_step(generator, NULL));
    need(llq_generator_get(generator, sequence, &generation));
    fwrite(generation.text + shown, 1, generation.n_bytes - shown, stdout);
    fflush(stdout);
    shown = generation.n_bytes;
  } while (status == LLQ_MORE);
  putchar('\n');

  llq_generator_close(generator);
  llq_model_close(model);
  llq_backend_close(backend);
  return 0;
}
