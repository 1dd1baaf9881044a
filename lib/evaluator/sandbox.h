/* SPDX-License-Identifier: Apache-2.0 */
/* Processes that cannot harm the machine: Python under bubblewrap, a seccomp
   filter and resource limits. */
#ifndef LLQI_EVALUATOR_SANDBOX_H
#define LLQI_EVALUATOR_SANDBOX_H

#include <stdint.h>
#include <sys/types.h>

#include "evaluator/channel.h"

struct llqi_sandbox;

/* mode: "bwrap" or "rlimit" (limits only, NULL = "bwrap"). bwrap and python:
   NULL = those found by configure. Looks at files only; the first process
   shows whether isolation works. */
int llqi_sandbox_open(struct llqi_sandbox **out, const char *mode,
                      const char *bwrap, const char *python);
void llqi_sandbox_close(struct llqi_sandbox *sandbox);

struct llqi_limits {
  unsigned cpu_seconds;  /* 0 = none */
  uint64_t memory_bytes; /* address space */
};

struct llqi_process {
  pid_t pid;   /* what was spawned (bubblewrap); 0 = nothing runs */
  int pidfd;   /* readable when it has ended */
  pid_t inner; /* Python; known once the first frame has come */
  int inner_fd;
  struct llqi_channel channel;
};

enum llqi_role { LLQI_ROLE_CANDIDATE, LLQI_ROLE_CHECKER };

#define LLQI_NO_PROCESS                                                        \
  ((struct llqi_process){.pidfd = -1, .inner_fd = -1, .channel = {.fd = -1}})

/* Starts a Python of this role, connected through its channel. errors: a file
   for its standard error, or -1. */
int llqi_process_start(const struct llqi_sandbox *sandbox, enum llqi_role role,
                       int errors, struct llqi_process *process);

/* Sets the limits, after the first frame and before anything untrusted. */
int llqi_process_confine(struct llqi_process *process,
                         const struct llqi_limits *limits);

/* CPU time that Python has used so far, from the kernel; 0 if unknown. */
double llqi_process_cpu(const struct llqi_process *process);

/* How a process ended. */
struct llqi_ending {
  int signal; /* that ended it, or 0 */
  int status; /* its exit status */
  double cpu_seconds;
};

/* 1 when it has ended by itself. */
int llqi_process_has_ended(const struct llqi_process *process);

/* Kills what still runs, waits until all of it is gone, and frees. Nothing
   happens when nothing runs. */
void llqi_process_end(struct llqi_process *process, struct llqi_ending *ending);

#endif
