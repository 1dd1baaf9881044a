/* SPDX-License-Identifier: Apache-2.0 */
/* How fast a model goes from its files to a device, beside reading the files
   alone and beside what the device takes from host memory.
     bench_load DIRECTORY BACKEND [cold]
   cold: the files are dropped from the page cache before each time, which
   needs that nobody else has them open. */
#define _POSIX_C_SOURCE 200809L

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <llq/llq.h>

#define REPEATS 3
#define CHUNK (16 << 20)

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void check(int status) {
  if (status >= 0)
    return;
  fprintf(stderr, "%s\n", llq_error_message());
  exit(1);
}

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static int is_weights(const char *name) {
  const char *dot = strrchr(name, '.');
  return dot != NULL && strcmp(dot, ".safetensors") == 0;
}

/* Drops a file from the page cache. */
static double drop(int file) {
  posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
  return 0;
}

/* Its bytes, read. */
static double read_all(int file) {
  static char buffer[CHUNK];
  double n_bytes = 0;
  for (ssize_t n; (n = read(file, buffer, CHUNK)) != 0; n_bytes += (double)n)
    if (n < 0)
      fail("read");
  return n_bytes;
}

/* The sum of what `act` gives for each weight file of a directory. */
static double each_file(const char *directory, double (*act)(int file)) {
  double sum = 0;
  DIR *entries = opendir(directory);
  if (entries == NULL)
    fail(directory);
  for (struct dirent *entry; (entry = readdir(entries)) != NULL;) {
    if (!is_weights(entry->d_name))
      continue;
    int file = openat(dirfd(entries), entry->d_name, O_RDONLY);
    if (file < 0)
      fail(entry->d_name);
    sum += act(file);
    close(file);
  }
  closedir(entries);
  return sum;
}

static void print_rate(const char *what, double n_bytes, double seconds) {
  printf("%-24s %7.2f GB %8.3f s %7.2f GB/s\n", what, n_bytes / 1e9, seconds,
         n_bytes / seconds / 1e9);
  fflush(stdout);
}

static void time_reading(const char *directory, int is_cold) {
  if (is_cold)
    each_file(directory, drop);
  double start = now(), n_bytes = each_file(directory, read_all);
  print_rate("files read", n_bytes, now() - start);
}

static void time_loading(const char *directory, llq_backend *backend,
                         int is_cold) {
  llq_generator_options options = {
      .struct_size = sizeof options, .n_sequences = 1, .n_context = 128};
  llq_model_info info = {.struct_size = sizeof info};
  llq_model *model;
  llq_generator *generator;
  if (is_cold)
    each_file(directory, drop);
  double start = now();
  check(llq_model_open(&model, directory, NULL));
  double opened = now();
  check(llq_generator_open(&generator, backend, model, &options));
  double loaded = now();
  check(llq_model_describe(model, &info));
  print_rate("loaded", (double)info.n_weight_bytes, loaded - start);
  printf("%-24s %18.3f s\n", "  of it, opening", opened - start);
  llq_generator_close(generator);
  llq_model_close(model);
}

int main(int argc, char **argv) {
  const int is_cold = argc == 4 && strcmp(argv[3], "cold") == 0;
  if (argc < 3 || argc > 3 + is_cold) {
    fprintf(stderr, "usage: %s DIRECTORY BACKEND [cold]\n", argv[0]);
    return 2;
  }
  llq_device_rates rates = {.struct_size = sizeof rates};
  llq_backend *backend;
  check(llq_backend_open(&backend, argv[2], NULL));
  if (llq_backend_measure(backend, &rates) >= 0)
    printf("%-24s %29.2f GB/s\n", "the device takes", rates.upload_bytes / 1e9);
  for (int i = 0; i < REPEATS; i++) {
    time_reading(argv[1], is_cold);
    time_loading(argv[1], backend, is_cold);
  }
  llq_backend_close(backend);
  return 0;
}
