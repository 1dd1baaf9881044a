/* SPDX-License-Identifier: Apache-2.0 */
/* The definitions in what a model wrote. */
#include <string.h>

#include "base/alloc.h"
#include "base/status.h"
#include "evaluator/sanitize.h"
#include "support.h"

static void check(const char *text, const char *expected) {
  char *code;
  ck_assert_llq_ok(llqi_sanitize(text, "f", &code));
  ck_assert_str_eq(code, expected);
  llqi_free(code);
}

START_TEST(a_bare_function_stays_as_it_is) {
  const char *code = "import math\n\ndef f(x: int) -> int:\n"
                     "    \"\"\"Doc\n\n    >>> f(1)\n    \"\"\"\n"
                     "    # half\n    y = [x,\n  1]\n    return y[0]\n";
  check(code, code);
}
END_TEST

START_TEST(prose_calls_and_checks_are_dropped) {
  check("Here's the import of it (see below:\n"
        "import this into your program\n"
        "from the start, f is simple\n"
        "The answer = 7\n"
        "import re, math as m\n"
        "from typing import (List,\n    Dict)\n"
        "LIMIT: Dict[str, int] = {'a': 1}\n"
        "x == 3\n"
        "def f(x):\n    return x\n"
        "print(f(1))\n"
        "assert f(1) == 1\n"
        "if __name__ == '__main__':\n    f(2)\n"
        "def g(): return 2\n",
        "import re, math as m\n"
        "from typing import (List,\n    Dict)\n"
        "LIMIT: Dict[str, int] = {'a': 1}\n"
        "def f(x):\n    return x\n"
        "def g(): return 2\n");
}
END_TEST

START_TEST(the_fenced_part_with_the_entry_point_is_taken) {
  const char *code = "def f(x):\n    return x\n";
  check("Sure:\n```python\ndef f(x):\n    return x\n```\nIt works.\n", code);
  check("def f(x):\n    return x\n```\n```python\ndef f(x):\n    no\n", code);
  check("```\nf(1)\n```\nThen\n```python\ndef f(x):\n    return x\n", code);
  check("def fun(x):\n    return 1\n```\ndef f(x):\n    return x\n```\n", code);
}
END_TEST

START_TEST(a_definition_that_is_cut_off_is_dropped) {
  check("def f(x):\n    return x\ndef g(y):\n    return max(y,\n",
        "def f(x):\n    return x\n");
  check("def f(x):\n    return x\ndef g(y):\n    \"\"\"Returns\n",
        "def f(x):\n    return x\n");
  check("def f(x):\n    return x\n\ndef g(y):\n",
        "def f(x):\n    return x\n\n");
  check("def g(y:\n    return 1\ndef f(x):\n    return x\n",
        "def f(x):\n    return x\n");
}
END_TEST

START_TEST(decorators_classes_and_coroutines_stay) {
  const char *code = "@cache\ndef f(x):\n    return x\n\n"
                     "class A(B):\n    y = 1\n\n"
                     "async def g():\n    pass\n"
                     "f.cache, A.y = {}, 2\n";
  check(code, code);
}
END_TEST

START_TEST(text_at_column_zero_inside_a_string_is_no_statement) {
  const char *code = "def f(x):\n    \"\"\"First\nprint(1)\n\"\"\"\n"
                     "    return '#\\'' + x\n";
  check(code, code);
}
END_TEST

START_TEST(nothing_to_keep_gives_nothing) {
  check("", "");
  check("No code here.", "");
  check("```", "");
  check("def", "");
}
END_TEST

START_TEST(hostile_text_takes_linear_time) {
  enum { N = 1 << 20 };
  char *text = llqi_alloc(N + 1), *code;
  for (size_t i = 0; i < N; i++)
    text[i] = "def f(\n"[i % 7];
  text[N] = '\0';
  ck_assert_llq_ok(llqi_sanitize(text, "f", &code));
  ck_assert_str_eq(code, "");
  llqi_free(code);
  memset(text, '(', N);
  ck_assert_llq_ok(llqi_sanitize(text, "f", &code));
  llqi_free(code);
  llqi_free(text);
}
END_TEST

Suite *test_suite(void) {
  Suite *suite = suite_create("sanitize");
  TCase *test = tcase_create("sanitize");
  tcase_add_test(test, a_bare_function_stays_as_it_is);
  tcase_add_test(test, prose_calls_and_checks_are_dropped);
  tcase_add_test(test, the_fenced_part_with_the_entry_point_is_taken);
  tcase_add_test(test, a_definition_that_is_cut_off_is_dropped);
  tcase_add_test(test, decorators_classes_and_coroutines_stay);
  tcase_add_test(test, text_at_column_zero_inside_a_string_is_no_statement);
  tcase_add_test(test, nothing_to_keep_gives_nothing);
  tcase_add_test(test, hostile_text_takes_linear_time);
  suite_add_tcase(suite, test);
  return suite;
}
