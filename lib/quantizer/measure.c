/* SPDX-License-Identifier: Apache-2.0 */
#include "quantizer/measure.h"

#include "base/alloc.h"
#include "base/status.h"
#include "quantizer/matrix.h"

/* out [n_rows, n_out] = the linear's outputs, through the backend. */
static int run_on_device(llq_backend *backend,
                         const struct llqi_linear_handle *handle,
                         const float *x, int64_t n_rows, float *out) {
  llq_view in = {NULL, n_rows, handle->n_in, LLQ_F32};
  llq_view result = {NULL, n_rows, handle->n_out, LLQ_F32};
  const size_t n_in = (size_t)(n_rows * handle->n_in) * sizeof *x;
  const size_t n_out = (size_t)(n_rows * handle->n_out) * sizeof *out;
  int status = llqi_memory_alloc(backend, n_in, &in.data);
  if (status >= 0)
    status = llqi_memory_alloc(backend, n_out, &result.data);
  if (status >= 0)
    status = llqi_memory_upload(backend, in.data, x, n_in);
  if (status >= 0)
    status = llqi_op_linear(backend, handle, &in, &result);
  if (status >= 0)
    status = llqi_memory_download(backend, out, result.data, n_out);
  llqi_memory_free(backend, in.data);
  llqi_memory_free(backend, result.data);
  return status;
}

static int run(llq_backend *backend, const llq_weight *weight, const float *x,
               int64_t n_rows, float *out) {
  struct llqi_linear_handle handle;
  LLQ_TRY(llqi_linear_upload(backend, weight, LLQ_F32, &handle));
  int status = run_on_device(backend, &handle, x, n_rows, out);
  llqi_linear_free(backend, &handle);
  return status;
}

/* scale: what each output was divided by; NULL: nothing. */
static void compare(const float *exact, const float *found, int64_t n_rows,
                    int64_t n_out, const float *scale,
                    struct llqi_outcome *outcome) {
  double error = 0, power = 0;
  for (int64_t i = 0; i < n_rows * n_out; i++) {
    const double by = scale != NULL ? scale[i % n_out] : 1;
    const double lost = by * ((double)found[i] - exact[i]);
    error += lost * lost;
    power += by * exact[i] * by * exact[i];
  }
  outcome->error = error / (double)(n_rows * n_out);
  outcome->power = power / (double)(n_rows * n_out);
}

int llqi_measure(struct llqi_layer_job *job, int linear) {
  const struct llqi_input_sample *sample =
      llqi_inputs_measured(&job->inputs[llqi_input_of(linear)]);
  const llq_weight *from = &job->from->linears[linear];
  const struct llqi_fold fold = llqi_layer_fold(job, linear);
  const size_t n = (size_t)(sample->n_rows * from->n_out);
  float *w = llqi_array((size_t)from->n_out, (size_t)from->n_in * sizeof *w);
  float *exact = llqi_array(2 * n, sizeof *exact);
  int status = w != NULL && exact != NULL ? LLQ_OK : LLQ_ERROR_MEMORY;
  if (status >= 0) {
    llqi_matrix_load(from, &fold, job->threads, w);
    llqi_matrix_apply(w, from->n_out, from->n_in, sample->rows, sample->n_rows,
                      exact);
    status = run(job->backend, &job->to->linears[linear], sample->rows,
                 sample->n_rows, exact + n);
  }
  if (status >= 0)
    compare(exact, exact + n, sample->n_rows, from->n_out, fold.out,
            &job->outcomes[linear]);
  llqi_free(w);
  llqi_free(exact);
  return status;
}
