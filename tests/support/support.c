/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[256];

const char *test_directory(void) {
  return directory;
}

const char *test_path(const char *name) {
  static char paths[8][512];
  static int next;
  char *path = paths[next++ % 8];
  snprintf(path, sizeof paths[0], "%s/%s", directory, name);
  return path;
}

const char *test_empty_directory(const char *name) {
  static char path[512];
  char command[600];
  snprintf(path, sizeof path, "%s/%s", directory, name);
  snprintf(command, sizeof command, "rm -rf '%s'", path);
  ck_assert_int_eq(system(command), 0);
  return path;
}

const char *test_data(const char *name) {
  static char path[1024];
  const char *folder = getenv("LLQ_TEST_DATA");
  snprintf(path, sizeof path, "%s/%s", folder != NULL ? folder : ".", name);
  if (access(path, R_OK) == 0)
    return path;
  printf("# SKIP %s is not here\n", name);
  fflush(stdout);
  return NULL;
}

static void remove_directory(void) {
  char command[300];
  snprintf(command, sizeof command, "rm -rf '%s'", directory);
  if (system(command) != 0)
    fprintf(stderr, "cannot remove %s\n", directory);
}

int main(void) {
  const char *base = getenv("TMPDIR");
  snprintf(directory, sizeof directory, "%s/llq-test-XXXXXX",
           base != NULL ? base : "/tmp");
  if (mkdtemp(directory) == NULL) {
    perror(directory);
    return 99;
  }
  SRunner *runner = srunner_create(test_suite());
  srunner_set_tap(runner, "-");
  srunner_run_all(runner, CK_ENV);
  int n_failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  remove_directory();
  return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
