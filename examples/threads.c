/* SPDX-License-Identifier: Apache-2.0 */
/* Embeds generation in a program with its own threads: each has a generator,
 * all share one model, and any may be told to stop.
 *
 *   cc threads.c $(pkg-config --cflags --libs llq) -pthread -o threads
 *   ./threads llq-micro
 */
#include <llq/llq.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { N_WORKERS = 2 };

struct worker {
  pthread_t thread;
  llq_model *model;
  const char *prompt;
  int n_tokens; /* after which it is cancelled; 0 = never */
  atomic_int stop;
  int stop_reason;
  size_t n_ids;
  char error[256]; /* the message is the thread's: it is copied there */
};

static int encode(const struct worker *worker, int32_t *ids, size_t room,
                  size_t *n_ids) {
  const llq_tokenizer *tokenizer;
  int status = llq_model_tokenizer(worker->model, &tokenizer);
  if (status == LLQ_OK)
    status = llq_tokenizer_encode(tokenizer, worker->prompt,
                                  strlen(worker->prompt), LLQ_ENCODE_BOS, ids,
                                  room, n_ids);
  return status;
}

/* Steps until the sequence ends. Stopping is not stepping any more; cancelling
 * also frees the sequence's place for others. */
static int generate(struct worker *worker, llq_generator *generator) {
  enum { ROOM = 256 };
  int32_t ids[ROOM];
  size_t n_ids;
  int64_t sequence;
  llq_sampling sampling = LLQ_SAMPLING_INIT;
  sampling.n_tokens_max = 48;
  llq_generation generation = LLQ_GENERATION_INIT;
  int status = encode(worker, ids, ROOM, &n_ids);
  if (status == LLQ_OK)
    status =
        llq_generator_submit(generator, ids, n_ids, &sampling, 1, &sequence);
  if (status == LLQ_OK)
    status = LLQ_MORE;
  while (status == LLQ_MORE) {
    status = llq_generator_step(generator, NULL);
    if (status >= 0)
      llq_generator_get(generator, sequence, &generation);
    if (worker->n_tokens != 0 && generation.n_ids >= (size_t)worker->n_tokens)
      atomic_store(&worker->stop, 1);
    if (status == LLQ_MORE && atomic_load(&worker->stop))
      llq_generator_cancel(generator, sequence);
  }
  if (status == LLQ_OK)
    status = llq_generator_get(generator, sequence, &generation);
  worker->stop_reason = generation.stop_reason;
  worker->n_ids = generation.n_ids;
  return status;
}

static void *work(void *argument) {
  struct worker *worker = argument;
  llq_backend *backend = NULL;
  llq_generator *generator = NULL;
  llq_backend_options options = LLQ_BACKEND_OPTIONS_INIT;
  options.n_threads = 1;
  int status = llq_backend_open(&backend, "cpu", &options);
  if (status == LLQ_OK)
    status = llq_generator_open(&generator, backend, worker->model, NULL);
  if (status == LLQ_OK)
    status = generate(worker, generator);
  if (status < 0)
    snprintf(worker->error, sizeof worker->error, "%s", llq_error_message());
  llq_generator_close(generator);
  llq_backend_close(backend);
  return NULL;
}

int main(int argc, char **argv) {
  static struct worker workers[N_WORKERS] = {
      {.prompt = "def add(a, b):"}, {.prompt = "def twice(x):", .n_tokens = 5}};
  llq_model *model;
  if (argc != 2 || llq_model_open(&model, argv[1], NULL) < 0) {
    fprintf(stderr, "usage: %s MODEL\n%s\n", argv[0], llq_error_message());
    return 2;
  }
  int failed = 0;
  for (int i = 0; i < N_WORKERS; i++) {
    workers[i].model = model;
    if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0)
      return 1;
  }
  for (int i = 0; i < N_WORKERS; i++) {
    pthread_join(workers[i].thread, NULL);
    printf("worker %d: %d tokens, %s%s\n", i, (int)workers[i].n_ids,
           workers[i].stop_reason == LLQ_STOP_CANCELLED ? "cancelled" : "ended",
           workers[i].error);
    failed |= workers[i].error[0] != '\0';
  }
  llq_model_close(model);
  return failed;
}
