/* SPDX-License-Identifier: Apache-2.0 */
/* llq_compare()'s JSON as a few lines for people. */
#include <string.h>

#include "command.h"
#include "evaluate.h"

static double number(const json_t *object, const char *key) {
  return json_number_value(json_object_get(object, key));
}

static void print_run(const char *label, const char *name, const json_t *run) {
  const json_t *interval = json_object_get(run, "pass@1_ci95");
  printf("%s  pass@1 %5.1f %%  [%.1f, %.1f]  %s\n", label,
         100 * number(run, "pass@1"),
         100 * json_number_value(json_array_get(interval, 0)),
         100 * json_number_value(json_array_get(interval, 1)), name);
}

static void print_flips(const char *label, const json_t *names) {
  printf("%s %zu:", label, json_array_size(names));
  for (size_t i = 0; i < json_array_size(names); i++)
    printf(" %s", json_string_value(json_array_get(names, i)));
  putchar('\n');
}

int print_comparison(const struct command *command, const char *a,
                     const char *b, const char *text) {
  json_t *comparison = json_loads(text, 0, NULL);
  if (comparison == NULL)
    return command_error(command, "the comparison is not JSON");
  const json_t *interval = json_object_get(comparison, "difference_ci95");
  const json_t *flips = json_object_get(comparison, "flips");
  print_run("A", a, json_object_get(comparison, "a"));
  print_run("B", b, json_object_get(comparison, "b"));
  printf(
      "B - A %+.1f points  [%+.1f, %+.1f]  p = %.3f (%s), recovery %.1f %%\n",
      100 * number(comparison, "difference"),
      100 * json_number_value(json_array_get(interval, 0)),
      100 * json_number_value(json_array_get(interval, 1)),
      number(comparison, "p"),
      json_string_value(json_object_get(comparison, "test")),
      number(comparison, "recovery_percent"));
  printf("%lld tasks could have shown a difference of %.1f points\n",
         (long long)json_integer_value(json_object_get(comparison, "n_tasks")),
         100 * number(comparison, "detectable_difference"));
  print_flips("lost", json_object_get(flips, "lost"));
  print_flips("gained", json_object_get(flips, "gained"));
  json_decref(comparison);
  return fflush(stdout) == 0
             ? EXIT_DONE
             : command_error(command, "cannot write standard output");
}
