/* SPDX-License-Identifier: Apache-2.0 */
/* Weights as the SIMD kernels read them.

   Most formats keep the weight's own rows, since one row's sum runs over
   sixteen inputs at a time: lane l adds up inputs l, l + 16, l + 32, ...
   Where a row is a whole number of sixteens, it is not even copied.

   Int4 rows are blocks of 128 inputs in 16 words, so that one nibble of all
   words is sixteen inputs in a row; a sixteen and the next lie in the two
   halves of the words:

     word l of a block   bits  31..28   27..24  23..20  19..16
                         input 112 + l  80 + l  48 + l  16 + l
                         bits  15..12   11..8   7..4    3..0
                         input 96 + l   64 + l  32 + l  l

   Int8 weights whose inputs are int8 too lie in panels of 16 outputs, four
   inputs of an output next to each other, as q + 128 without a sign:

     panel | inputs 0..3 of output 0 | ... of output 15 | inputs 4..7 of ... */
#ifndef LLQI_CPU_PACKED_H
#define LLQI_CPU_PACKED_H

#include "backends/cpu/cpu.h"

enum llqi_cpu_kind {
  LLQI_ROWS_F32,
  LLQI_ROWS_F16,
  LLQI_ROWS_BF16,
  LLQI_ROWS_INT8,
  LLQI_ROWS_E4M3,
  LLQI_ROWS_INT4,
  LLQI_N_ROW_KINDS,
  LLQI_PANELS_INT8 = LLQI_N_ROW_KINDS
};

#define LLQI_INT4_BLOCK 128 /* inputs */
#define LLQI_PANEL_OUTPUTS 16

struct llqi_cpu_packed {
  enum llqi_cpu_kind kind;
  int64_t n_in;     /* padded with zeros */
  size_t stride;    /* bytes from a row, or panel, to the next */
  const char *data; /* rows or panels */
  void *owned;      /* data, if it is a copy */
  float *scale;     /* [n_out, n_groups]; NULL if dense */
  float *zero;      /* int4: 8 + zero, as scale; NULL: all 8 */
  int64_t n_groups, group_size;
  int32_t *order; /* int4: which input each packed one is; NULL: itself */
};

/* *out is NULL where no SIMD kernel fits the weight: odd groups, scales or
   E4M3 codes that are no numbers. */
int llqi_cpu_pack(const llq_weight *weight, struct llqi_threads *threads,
                  struct llqi_cpu_packed **out);
void llqi_cpu_packed_free(struct llqi_cpu_packed *packed);

#endif
