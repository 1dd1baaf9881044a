/* SPDX-License-Identifier: Apache-2.0 */
/* Device memory and weights, checked before a backend sees them. */
#include "backend/backend.h"
#include "base/status.h"
#include "tensor/dtype.h"

int llqi_backend_is_host(const llq_backend *backend) {
  return backend->table == &llqi_cpu_backend;
}

int llqi_memory_alloc(llq_backend *backend, size_t size, void **memory) {
  *memory = NULL;
  return backend->table->memory->alloc(backend->self, size, memory);
}

void llqi_memory_free(llq_backend *backend, void *memory) {
  if (memory != NULL)
    backend->table->memory->free(backend->self, memory);
}

int llqi_memory_upload(llq_backend *backend, void *to, const void *from,
                       size_t size) {
  LLQ_REQUIRE((to != NULL && from != NULL) || size == 0, "upload: no memory");
  return backend->table->memory->upload(backend->self, to, from, size);
}

int llqi_memory_download(llq_backend *backend, void *to, const void *from,
                         size_t size) {
  LLQ_REQUIRE((to != NULL && from != NULL) || size == 0, "download: no memory");
  return backend->table->memory->download(backend->self, to, from, size);
}

/* Which inputs a format can have quantized. */
static int check_activation(const llq_weight *weight) {
  int format = weight->format, activation = weight->activation;
  int fits = activation == LLQ_ACTIVATION_NONE ||
             (activation == LLQ_ACTIVATION_INT8 && format == LLQ_WEIGHT_INT8) ||
             (activation == LLQ_ACTIVATION_FP8 && format == LLQ_WEIGHT_FP8);
  if (!fits)
    return llqi_fail(LLQ_ERROR_UNSUPPORTED,
                     "weight: format %d with inputs quantized as %d", format,
                     activation);
  if (activation != LLQ_ACTIVATION_NONE && weight->group_size != weight->n_in)
    return llqi_fail(LLQ_ERROR_UNSUPPORTED,
                     "weight: groups of %lld with quantized inputs; only "
                     "scales per channel go with these",
                     (long long)weight->group_size);
  return LLQ_OK;
}

static int check_groups(const llq_weight *weight) {
  if (weight->format == LLQ_WEIGHT_DENSE)
    return LLQ_OK;
  LLQ_REQUIRE(weight->scale != NULL, "weight: no scales");
  LLQ_REQUIRE(weight->group_size > 0 && weight->n_in % weight->group_size == 0,
              "weight: groups of %lld in %lld inputs",
              (long long)weight->group_size, (long long)weight->n_in);
  LLQ_REQUIRE(weight->format == LLQ_WEIGHT_INT4 ||
                  (weight->zero == NULL && weight->group_index == NULL),
              "weight: zero points or an order of groups without int4");
  if (weight->format != LLQ_WEIGHT_INT4)
    return LLQ_OK;
  LLQ_REQUIRE(weight->n_in % 8 == 0, "weight: int4 with %lld inputs",
              (long long)weight->n_in);
  int64_t n_groups = weight->n_in / weight->group_size;
  for (int64_t i = 0; weight->group_index != NULL && i < weight->n_in; i++)
    LLQ_REQUIRE(weight->group_index[i] >= 0 &&
                    weight->group_index[i] < n_groups,
                "weight: input %lld is of group %d of %lld", (long long)i,
                weight->group_index[i], (long long)n_groups);
  return LLQ_OK;
}

static int check_weight(const llq_weight *weight) {
  LLQ_REQUIRE(weight != NULL && weight->data != NULL, "weight: no data");
  LLQ_REQUIRE(weight->struct_size >= sizeof *weight, "weight: struct_size %zu",
              weight->struct_size);
  LLQ_REQUIRE(weight->format >= LLQ_WEIGHT_DENSE &&
                  weight->format <= LLQ_WEIGHT_INT4,
              "weight: format %d", weight->format);
  LLQ_REQUIRE(weight->dtype == LLQ_F32 || weight->dtype == LLQ_F16 ||
                  weight->dtype == LLQ_BF16,
              "weight: type %s", llqi_dtype_name(weight->dtype));
  LLQ_REQUIRE(weight->n_out > 0 && weight->n_in > 0 &&
                  weight->n_out <= INT32_MAX && weight->n_in <= 1 << 24,
              "weight: shape [%lld, %lld]", (long long)weight->n_out,
              (long long)weight->n_in);
  LLQ_TRY(check_activation(weight));
  return check_groups(weight);
}

int llqi_linear_upload(llq_backend *backend, const llq_weight *weight,
                       int compute, struct llqi_linear_handle *out) {
  *out = (struct llqi_linear_handle){NULL, 0, 0};
  LLQ_REQUIRE(compute == LLQ_F32 || compute == LLQ_BF16,
              "linear: compute type %s", llqi_dtype_name(compute));
  LLQ_TRY(check_weight(weight));
  /* What a backend leaves behind when it fails is no linear. */
  void *linear = NULL;
  LLQ_TRY(backend->table->ops->linear_upload(backend->self, weight, compute,
                                             &linear));
  out->linear = linear;
  out->n_out = weight->n_out;
  out->n_in = weight->n_in;
  return LLQ_OK;
}

int llqi_weights_join(const llq_weight *const *weights, int n) {
  const llq_weight *first = weights[0];
  for (int i = 0; i < n; i++) {
    const llq_weight *w = weights[i];
    if (w->format != first->format || w->dtype != first->dtype ||
        w->activation != first->activation || w->n_in != first->n_in ||
        w->group_size != first->group_size ||
        (w->zero == NULL) != (first->zero == NULL) ||
        (n > 1 && w->group_index != NULL))
      return 0;
  }
  return 1;
}

int llqi_linear_join(llq_backend *backend, const llq_weight *const *weights,
                     int n, struct llqi_linear_handle *out) {
  *out = (struct llqi_linear_handle){NULL, 0, 0};
  int64_t n_out = 0;
  for (int i = 0; i < n; i++) {
    LLQ_TRY(check_weight(weights[i]));
    n_out += weights[i]->n_out;
  }
  LLQ_REQUIRE(llqi_weights_join(weights, n) && n_out <= INT32_MAX,
              "linear: %d weights that cannot be joined", n);
  void *linear = NULL;
  LLQ_TRY(
      backend->table->fused->linear_join(backend->self, weights, n, &linear));
  *out = (struct llqi_linear_handle){linear, n_out, weights[0]->n_in};
  return LLQ_OK;
}

void llqi_linear_free(llq_backend *backend, struct llqi_linear_handle *handle) {
  if (handle->linear != NULL)
    backend->table->ops->linear_free(backend->self, handle->linear);
  handle->linear = NULL;
}
