/* SPDX-License-Identifier: Apache-2.0 */
/* What a bench knows, and how it tells it. */
#ifndef LLQ_SRC_BENCH_H
#define LLQ_SRC_BENCH_H

#include "command.h"

struct request {
  const char *scheme, *prompts, *batches, *kv_cache;
  int32_t n_tokens, n_context, n_repeats;
  int fast, profile;
};

/* A median with the range around it, of seconds. */
struct times {
  double median, least, most;
};

struct bench {
  const struct command *command;
  struct runner runner;
  llq_model_info model;
  llq_device_info device;
  llq_device_rates rates; /* zeros where the backend measures nothing */
  struct request request;
  json_t *results; /* NULL: print tables */
};

/* Weights that a step reads, whatever its number of rows. */
double bench_step_bytes(const struct bench *bench);

/* How the generator keeps keys and values. */
const char *bench_kv_cache(const struct bench *bench);

/* Operations of the layers' linears, for a token. */
double bench_token_operations(const struct bench *bench);

/* The rate at which the scheme's products can be multiplied; 0: unknown. */
double bench_product_ceiling(const struct bench *bench, const char **name);

/* Prints a row of the table, or keeps it.
   fraction  of the ceiling named; 0: unknown */
void bench_report(struct bench *bench, const char *what, int32_t size,
                  double n_tokens, struct times times, const char *ceiling,
                  double fraction);

/* Prints or keeps what one kind of operation took. */
void bench_report_operation(struct bench *bench,
                            const llq_profile_entry *entry);

void bench_print_head(const struct bench *bench, const char *source);

/* All that was kept, as one object. */
json_t *bench_json(const struct bench *bench);

#endif
