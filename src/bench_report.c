/* SPDX-License-Identifier: Apache-2.0 */
/* A bench's results, as tables or as JSON. */
#include "bench.h"

#include <string.h>

double bench_step_bytes(const struct bench *bench) {
  return (double)(bench->model.n_linear_bytes + bench->model.n_output_bytes);
}

const char *bench_kv_cache(const struct bench *bench) {
  if (bench->request.kv_cache != NULL)
    return bench->request.kv_cache;
  return bench->model.kv_cache[0] != '\0' ? bench->model.kv_cache : "compute";
}

double bench_token_operations(const struct bench *bench) {
  const llq_model_info *m = &bench->model;
  double q = (double)m->n_heads * m->head_size;
  double kv = (double)m->n_kv_heads * m->head_size;
  double hidden = m->hidden_size;
  return 2.0 * m->n_layers *
         (hidden * (2 * q + 2 * kv) + 3 * hidden * m->intermediate_size);
}

void bench_report(struct bench *bench, const char *what, int32_t size,
                  double n_tokens, struct times times, const char *ceiling,
                  double fraction) {
  if (bench->results != NULL) {
    json_array_append_new(
        bench->results,
        json_pack("{s:s, s:i, s:f, s:f, s:f, s:f, s:s, s:f}", "what", what,
                  "size", (int)size, "tokens_per_second",
                  n_tokens / times.median, "seconds", times.median,
                  "seconds_least", times.least, "seconds_most", times.most,
                  "ceiling", ceiling, "fraction", fraction));
    return;
  }
  printf("%-10s %6d %12.1f %10.3f  %8.3f to %8.3f", what, (int)size,
         n_tokens / times.median, 1e3 * times.median, 1e3 * times.least,
         1e3 * times.most);
  if (fraction > 0)
    printf("  %5.1f %% of %s", 100 * fraction, ceiling);
  putchar('\n');
  fflush(stdout);
}

double bench_product_ceiling(const struct bench *bench, const char **name) {
  if (strcmp(bench->model.scheme, "w8a8-fp") == 0) {
    *name = "fp8 operations";
    return bench->rates.fp8_operations;
  }
  if (strcmp(bench->model.scheme, "w8a8-int") == 0) {
    *name = "int8 operations";
    return bench->rates.int8_operations;
  }
  *name = "bf16 operations";
  return bench->rates.bf16_operations;
}

void bench_print_head(const struct bench *bench, const char *source) {
  const char *kv_cache = bench_kv_cache(bench);
  const int has_kv = strcmp(kv_cache, "compute") != 0;
  printf("%s, %s%s%s, on %s (%s:%d, %s)%s\n", source, bench->model.scheme,
         has_kv ? ", KV cache " : "", has_kv ? kv_cache : "",
         bench->device.name, bench->device.backend, (int)bench->device.index,
         bench->device.arch, bench->request.fast ? ", fast" : "");
  command_print_rates(&bench->rates);
  printf("%.3f GB of weights a step\n\n%-10s %6s %12s %10s  %20s\n",
         1e-9 * bench_step_bytes(bench), "", "size", "tokens/s", "median ms",
         "range, ms");
}

void bench_report_operation(struct bench *bench,
                            const llq_profile_entry *entry) {
  if (bench->results != NULL)
    json_array_append_new(bench->results,
                          json_pack("{s:s, s:I, s:f}", "what", entry->name,
                                    "calls", (json_int_t)entry->n_calls,
                                    "seconds", entry->seconds));
  else
    printf("%-58s %8llu %9.2f %9.2f\n", entry->name,
           (unsigned long long)entry->n_calls,
           1e6 * entry->seconds / (double)entry->n_calls, 1e3 * entry->seconds);
}

json_t *bench_json(const struct bench *bench) {
  return json_pack(
      "{s:s, s:s, s:s, s:s, s:b, s:f, s:o, s:O}", "scheme", bench->model.scheme,
      "kv_cache", bench_kv_cache(bench), "device", bench->device.name, "arch",
      bench->device.arch, "fast", bench->request.fast, "step_bytes",
      bench_step_bytes(bench), "rates", command_rates_json(&bench->rates),
      "results", bench->results);
}
