/* SPDX-License-Identifier: Apache-2.0 */
/* Shows that isolation works here, by having it. */
#include <config.h>

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/status.h"
#include "evaluator/worker.h"

/* What bubblewrap or Python said, as one line. */
static int fail_to_prove(struct llqi_worker *worker, int errors) {
  char text[512];
  struct llqi_ending ending;
  llqi_process_end(&worker->checker, &ending);
  ssize_t n = pread(errors, text, sizeof text - 1, 0);
  while (n > 0 && text[n - 1] == '\n')
    n--;
  text[n > 0 ? n : 0] = '\0';
  const char *line = strrchr(text, '\n');
  return llqi_fail(LLQ_ERROR_SANDBOX,
                   "programs cannot be isolated here: %s (exit status %d, "
                   "signal %d)",
                   line != NULL ? line + 1 : text, ending.status,
                   ending.signal);
}

static int await_checker(struct llqi_worker *worker, int errors) {
  double deadline = llqi_clock() + LLQI_START_MAX;
  struct llqi_channel *channel = &worker->checker.channel;
  while (!worker->checker_ready) {
    struct pollfd event = {channel->fd, POLLIN, 0};
    poll(&event, 1, 100);
    LLQ_TRY(llqi_channel_pump(channel));
    LLQ_TRY(llqi_worker_step_checker(worker));
    if (!worker->checker_ready && (channel->closed || llqi_clock() > deadline))
      return fail_to_prove(worker, errors);
  }
  return LLQ_OK;
}

int llqi_worker_prove(struct llqi_worker *worker) {
  int errors = memfd_create("llq-errors", MFD_CLOEXEC);
  if (errors < 0)
    return llqi_fail_errno(LLQ_ERROR_SANDBOX, errno, "memfd_create");
  int status = llqi_worker_start_checker(worker, errors);
  if (status >= 0)
    status = await_checker(worker, errors);
  close(errors);
  return status;
}
