/* SPDX-License-Identifier: Apache-2.0 */
/* What this machine is: its CPU's name, instruction sets, cores and memory. */
#include <config.h>

#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "backends/cpu/cpu.h"
#include "base/alloc.h"
#include "base/file.h"
#include "base/status.h"

const char *const llqi_cpu_archs[LLQI_CPU_N_ARCHS] = {"reference", "avx2",
                                                      "avx512"};

#ifdef LLQ_X86_64
static int has_avx2(void) {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
         __builtin_cpu_supports("f16c");
}

static int has_avx512(void) {
  return has_avx2() && __builtin_cpu_supports("avx512f") &&
         __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vnni");
}

int llqi_cpu_n_usable_archs(void) {
  return has_avx512() ? 3 : has_avx2() ? 2 : 1;
}
#else
int llqi_cpu_n_usable_archs(void) {
  return 1;
}
#endif

int llqi_cpu_count(void) {
  return 1;
}

/* Cores that this process may run on. */
static int n_cores(void) {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0)
    return CPU_COUNT(&set);
  long n = sysconf(_SC_NPROCESSORS_ONLN);
  return n > 0 ? (int)n : 1;
}

/* The text after "<key>...: " of a file of /proc, up to the line's end; what
   is there stays when there is no such line. */
static void read_proc(const char *path, const char *key, char *out,
                      size_t size) {
  char *text;
  size_t n;
  if (llqi_file_read(path, 1 << 22, &text, &n) != LLQ_OK) {
    llqi_error_clear(); /* the text is a description, not needed to run */
    return;
  }
  const char *line = text;
  while (line != NULL && strncmp(line, key, strlen(key)) != 0) {
    const char *end = strchr(line, '\n');
    line = end != NULL ? end + 1 : NULL;
  }
  const char *value = line != NULL ? strchr(line, ':') : NULL;
  if (value != NULL) {
    value += 1 + strspn(value + 1, " \t");
    snprintf(out, size, "%.*s", (int)strcspn(value, "\n"), value);
  }
  llqi_free(text);
}

static uint64_t memory_available(void) {
  char text[64] = "0";
  read_proc("/proc/meminfo", "MemAvailable", text, sizeof text);
  uint64_t kibibytes = 0;
  sscanf(text, "%" SCNu64, &kibibytes);
  return kibibytes * 1024;
}

int llqi_cpu_describe(int index, llq_device_info *info) {
  LLQ_REQUIRE(index == 0, "cpu: device %d; there is only 0", index);
  memset(info, 0, sizeof *info);
  info->struct_size = sizeof *info;
  strcpy(info->backend, "cpu");
  strcpy(info->name, "unknown CPU");
  read_proc("/proc/cpuinfo", "model name", info->name, sizeof info->name);
  strcpy(info->arch, llqi_cpu_archs[llqi_cpu_n_usable_archs() - 1]);
  info->usable = 1;
  info->n_units = n_cores();
  info->memory_bytes =
      (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGE_SIZE);
  info->memory_free_bytes = memory_available();
  return LLQ_OK;
}
