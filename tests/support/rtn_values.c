/* SPDX-License-Identifier: Apache-2.0 */
/* Quantizes the weights that standard input has, for oracle_quantizer.py: six
   int64 (format, dtype, n_out, n_in, group_size, asymmetric), then the values;
   again until the end. Writes codes, scales and zero points, and then the
   weights that they stand for, as floats. */
#include <stdio.h>
#include <stdlib.h>

#include "quantizer/rtn.h"
#include "quantizer/target.h"
#include "tensor/dtype.h"
#include "tensor/weight.h"

static void *allocate(size_t size) {
  void *memory = malloc(size > 0 ? size : 1);
  if (memory == NULL)
    exit(2);
  return memory;
}

static void put(const void *bytes, size_t size) {
  if (size > 0 && fwrite(bytes, 1, size, stdout) != size)
    exit(2);
}

static void put_rows(const llq_weight *weight) {
  float *row = allocate((size_t)weight->n_in * sizeof *row);
  for (int64_t i = 0; i < weight->n_out; i++) {
    llqi_weight_row(weight, i, row);
    put(row, (size_t)weight->n_in * sizeof *row);
  }
  free(row);
}

static void quantize(const llq_weight *from, const int64_t *header) {
  struct llqi_target target = {(int)header[0], 0, header[4], 0};
  struct llqi_quantized to = {.data = NULL};
  llqi_target_shape(&target, from, &to.weight);
  size_t n_zeros =
      header[5] ? (size_t)(from->n_out * llqi_weight_n_groups(&to.weight)) : 0;
  to.data = allocate(llqi_weight_data_bytes(&to.weight));
  to.scale = allocate(llqi_weight_scale_bytes(&to.weight));
  to.zero = n_zeros > 0 ? allocate(n_zeros) : NULL;
  to.weight.data = to.data;
  to.weight.scale = to.scale;
  to.weight.zero = to.zero;
  if (llqi_rtn(from, NULL, &to) < 0) {
    fprintf(stderr, "%s\n", llq_error_message());
    exit(1);
  }
  put(to.data, llqi_weight_data_bytes(&to.weight));
  put(to.scale, llqi_weight_scale_bytes(&to.weight));
  put(to.zero, n_zeros);
  put_rows(&to.weight);
  free(to.data);
  free(to.scale);
  free(to.zero);
}

int main(void) {
  int64_t header[6];
  while (fread(header, sizeof header, 1, stdin) == 1) {
    llq_weight from = {.format = LLQ_WEIGHT_DENSE,
                       .dtype = (int32_t)header[1],
                       .n_out = header[2],
                       .n_in = header[3]};
    size_t size = llqi_weight_data_bytes(&from);
    void *values = allocate(size);
    if (fread(values, 1, size, stdin) != size)
      return 2;
    from.data = values;
    quantize(&from, header);
    free(values);
  }
  return 0;
}
