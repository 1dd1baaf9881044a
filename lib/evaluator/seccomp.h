/* SPDX-License-Identifier: Apache-2.0 */
/* The system calls that a sandboxed Python may make. */
#ifndef LLQI_EVALUATOR_SECCOMP_H
#define LLQI_EVALUATOR_SECCOMP_H

#include "base/text.h"

/* Writes a BPF filter as bubblewrap takes it: what CPython needs is allowed;
   what attacks a kernel ends the process; all else, sockets included, fails
   with EPERM. may_fork: processes too, but never in new namespaces. */
int llqi_seccomp_filter(int may_fork, struct llqi_text *out);

#endif
