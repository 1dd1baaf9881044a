/* SPDX-License-Identifier: Apache-2.0 */
/* What bench_cuda_attention.cu prints of times. */

/* amount: of bytes or operations, of which the ceiling is `rate` a second. */
static void time_tables(const timing &t, double amount, double rate, const char *unit) {
  printf("%4d x %5d rows from %5d, at the ceiling %7.2f us:", t.n_sequences, t.n_rows,
         t.first_position, 1e6 * amount / rate);
  for (const auto &table : tables) {
    double alone = graph_time(table.attend, t, 0), overlapped = graph_time(table.attend, t, 1);
    double reached = amount / (1e-6 * std::min(alone, overlapped));
    printf(" | %s %.2f/%.2f us, %.*f %s, %.0f %%", table.name, alone, overlapped,
           reached < 1e13 ? 2 : 0, 1e-12 * reached, unit, 100 * reached / rate);
  }
  printf("\n");
  fflush(stdout);
}

/* Of one sequence's prompt from its first token on. */
static double operations_of(const shape &s, double n_rows) {
  return 2.0 * n_rows * n_rows * s.d * s.n_heads;
}

static void time_prompts(const shape &s, double rate) {
  printf("heads of %d, %d of q, %d of k\n", s.d, s.n_heads, s.n_kv);
  for (int n_rows : {256, 512, 1024, 2048, 4096, 8192})
    time_tables({s, 1, n_rows, 0}, operations_of(s, n_rows), rate, "TFLOP/s");
  time_tables({s, 16, 128, 0}, 16 * operations_of(s, 128), rate, "TFLOP/s");
  time_tables({s, 1, 512, 1536}, operations_of(s, 2048) - operations_of(s, 1536), rate, "TFLOP/s");
}

/* us a layer, kernels alone/overlapped. */
static void time_all(bool decoding) {
  const shape s = {128, 32, 8, 64};
  ceilings c = measure_ceilings();
  time_prompts(s, c.operations);
  time_prompts({64, 32, 8, 64}, c.operations);
  for (int n_sequences : {1, 8, 32, 128})
    for (int context : {128, 200, 512, 2048, 4096}) {
      if (!decoding || static_cast<int64_t>(n_sequences) * context > 128 * 2048)
        continue;
      double bytes = 4.0 * n_sequences * context * s.n_kv * s.d;
      time_tables({s, n_sequences, 1, context - 1}, bytes, c.bytes, "TB/s");
    }
}
