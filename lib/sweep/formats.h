/* SPDX-License-Identifier: Apache-2.0 */
/* The formats that a sweep goes through. */
#ifndef LLQI_SWEEP_FORMATS_H
#define LLQI_SWEEP_FORMATS_H

#include <stddef.h>
#include <stdint.h>

struct llqi_format {
  char scheme[16], method[32]; /* method: "" for bf16, which has none */
  char name[64];               /* "w4a16-int-rtn": also its directory's */
};

struct llqi_formats {
  struct llqi_format *items;
  size_t n;
};

/* Every scheme with every method, in order; bf16 once, since it has no
   method. Both lists are comma-separated. Names are checked for their form;
   whether there is such a scheme the quantizer says. */
int llqi_formats_make(struct llqi_formats *out, const char *schemes,
                      const char *methods);
void llqi_formats_free(struct llqi_formats *formats);

#endif
