/* SPDX-License-Identifier: Apache-2.0 */
/* llq_compare()'s JSON as a few lines for people. */
#include <string.h>

#include "command.h"
#include "evaluate.h"

int print_comparison(const struct command *command, const char *text) {
  json_t *comparison = json_loads(text, 0, NULL);
  if (comparison == NULL)
    return command_error(command, "the comparison is not JSON");
  return command_print_json(command, comparison);
}
