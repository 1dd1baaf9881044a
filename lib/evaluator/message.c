/* SPDX-License-Identifier: Apache-2.0 */
#include "evaluator/message.h"

#include <stdio.h>
#include <string.h>

#include "base/status.h"

/* Two texts, each after its size. */
static int put_field(struct llqi_text *job, const char *name,
                     const char *value) {
  const char *both[2] = {name, value != NULL ? value : ""};
  for (int i = 0; i < 2; i++) {
    size_t n = strlen(both[i]);
    char size[4] = {(char)(n >> 24), (char)(n >> 16), (char)(n >> 8), (char)n};
    LLQ_TRY(llqi_text_append(job, size, sizeof size));
    LLQ_TRY(llqi_text_append(job, both[i], n));
  }
  return LLQ_OK;
}

static int fill_job(const struct llqi_job *job, struct llqi_text *out) {
  const struct llqi_task *task = job->task;
  char number[32];
  int plus = job->check == LLQI_CHECK_PLUS;
  snprintf(number, sizeof number, "%d", LLQI_CPU_CHECKER);
  LLQ_TRY(put_field(out, "cpu_seconds", number));
  LLQ_TRY(put_field(out, "task_id", task->task_id));
  LLQ_TRY(put_field(out, "check", plus ? "plus" : "test"));
  LLQ_TRY(put_field(out, "entry_point", task->entry_point));
  LLQ_TRY(put_field(out, "prompt", task->prompt));
  if (!plus)
    return put_field(out, "test", task->test);
  snprintf(number, sizeof number, "%.17g", task->atol);
  LLQ_TRY(put_field(out, "atol", number));
  LLQ_TRY(put_field(out, "canonical_solution", task->canonical_solution));
  LLQ_TRY(put_field(out, "base_input", task->base_input));
  return put_field(out, "plus_input", task->plus_input);
}

int llqi_send_check(struct llqi_channel *channel, const struct llqi_job *job) {
  struct llqi_text fields = {0};
  int status = fill_job(job, &fields);
  if (status >= 0)
    status =
        llqi_channel_send(channel, 'J', fields.data, fields.length, NULL, 0);
  llqi_text_free(&fields);
  return status;
}

static int send_in_process(struct llqi_channel *channel,
                           const struct llqi_job *job) {
  struct llqi_text rest = {0};
  int status = llqi_text_printf(&rest, "\n%s\ncheck(%s)\n", job->task->test,
                                job->task->entry_point);
  if (status >= 0)
    status = llqi_channel_send(channel, 'I', job->program.data,
                               job->program.length, rest.data, rest.length);
  llqi_text_free(&rest);
  return status;
}

int llqi_send_program(struct llqi_channel *channel, const struct llqi_job *job,
                      int in_process) {
  if (in_process)
    return send_in_process(channel, job);
  const char *name = job->task->entry_point;
  return llqi_channel_send(channel, 'P', name, strlen(name) + 1,
                           job->program.data, job->program.length);
}
