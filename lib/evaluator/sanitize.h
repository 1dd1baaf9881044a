/* SPDX-License-Identifier: Apache-2.0 */
/* Post-processing: the definitions in what a model wrote, without the prose,
   calls and half-written ends around them. */
#ifndef LLQI_EVALUATOR_SANITIZE_H
#define LLQI_EVALUATOR_SANITIZE_H

/* Of the parts of a text between lines that begin with ```, takes the first
   that defines `entry_point` at column 0 (the whole text if none does), and of
   that part the top-level imports, functions, classes and assignments; one
   that is cut off inside brackets or a string is left out. *out is the
   caller's to llqi_free. It is what EvalPlus's sanitizer keeps, except that
   definitions which the entry point does not use stay, and that it is decided
   line by line rather than with a Python grammar. */
int llqi_sanitize(const char *text, const char *entry_point, char **out);

#endif
