/* SPDX-License-Identifier: Apache-2.0 */
/* What a linear is to become. */
#ifndef LLQI_QUANTIZER_TARGET_H
#define LLQI_QUANTIZER_TARGET_H

#include <llq/backend.h>
#include <llq/quantizer.h>

struct llqi_target {
  int format, activation; /* of the scheme */
  int64_t group_size;     /* -1: a row has one scale */
  int asymmetric;
};

/* It stays as it is. */
extern const struct llqi_target llqi_target_dense;

/* Reads checked options; fails naming the option. */
int llqi_target_read(const llq_quantizer_options *options,
                     struct llqi_target *out);

/* Fails if `from` cannot become this: not dense, or of a width that the groups
   or words do not divide. */
int llqi_target_check(const struct llqi_target *target, const llq_weight *from);

/* The header of the weight that `from` becomes; without memory. */
void llqi_target_shape(const struct llqi_target *target, const llq_weight *from,
                       llq_weight *to);

#endif
