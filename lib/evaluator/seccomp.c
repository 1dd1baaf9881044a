/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "evaluator/seccomp.h"

#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/status.h"

/* Names that a machine or an older libseccomp does not have are passed over. */
static const char *const allowed[] = {
    /* memory */
    "brk", "madvise", "mmap", "mprotect", "mremap", "munmap",
    /* files; the mount namespace decides what there is */
    "access", "chdir", "chmod", "close", "close_range", "copy_file_range",
    "creat", "dup", "dup2", "dup3", "faccessat", "faccessat2", "fadvise64",
    "fallocate", "fchdir", "fchmod", "fchmodat", "fcntl", "fdatasync", "flock",
    "fstat", "fstatfs", "fsync", "ftruncate", "getcwd", "getdents",
    "getdents64", "ioctl", "link", "linkat", "lseek", "lstat", "mkdir",
    "mkdirat", "newfstatat", "open", "openat", "pipe", "pipe2", "pread64",
    "preadv", "pwrite64", "pwritev", "read", "readlink", "readlinkat", "readv",
    "rename", "renameat", "renameat2", "rmdir", "stat", "statfs", "statx",
    "symlink", "symlinkat", "sync", "truncate", "umask", "unlink", "unlinkat",
    "utimensat", "write", "writev",
    /* waiting */
    "epoll_create", "epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_wait",
    "eventfd2", "poll", "ppoll", "pselect6", "select",
    /* time */
    "alarm", "clock_getres", "clock_gettime", "clock_nanosleep", "getitimer",
    "gettimeofday", "nanosleep", "setitimer", "time", "timer_create",
    "timer_delete", "timer_gettime", "timer_settime", "times",
    /* signals; the pid namespace decides whom they reach */
    "kill", "pause", "restart_syscall", "rt_sigaction", "rt_sigpending",
    "rt_sigprocmask", "rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait",
    "sigaltstack", "tgkill", "tkill",
    /* threads */
    "futex", "get_robust_list", "membarrier", "rseq", "sched_getaffinity",
    "sched_getparam", "sched_getscheduler", "sched_yield", "set_robust_list",
    "set_tid_address",
    /* oneself */
    "arch_prctl", "execve", "exit", "exit_group", "getcpu", "getegid",
    "geteuid", "getgid", "getgroups", "getpgid", "getpgrp", "getpid", "getppid",
    "getpriority", "getrandom", "getresgid", "getresuid", "getrlimit",
    "getrusage", "getsid", "gettid", "getuid", "setrlimit", "prlimit64",
    "sysinfo", "uname", "wait4", "waitid"};

static const char *const fatal[] = {"_sysctl",
                                    "acct",
                                    "add_key",
                                    "adjtimex",
                                    "bpf",
                                    "chroot",
                                    "clock_adjtime",
                                    "clock_settime",
                                    "delete_module",
                                    "finit_module",
                                    "fsconfig",
                                    "fsmount",
                                    "fsopen",
                                    "fspick",
                                    "init_module",
                                    "io_uring_enter",
                                    "io_uring_register",
                                    "io_uring_setup",
                                    "ioperm",
                                    "iopl",
                                    "kcmp",
                                    "kexec_file_load",
                                    "kexec_load",
                                    "keyctl",
                                    "lookup_dcookie",
                                    "migrate_pages",
                                    "mount",
                                    "mount_setattr",
                                    "move_mount",
                                    "move_pages",
                                    "name_to_handle_at",
                                    "nfsservctl",
                                    "open_by_handle_at",
                                    "open_tree",
                                    "perf_event_open",
                                    "personality",
                                    "pidfd_getfd",
                                    "pivot_root",
                                    "process_vm_readv",
                                    "process_vm_writev",
                                    "ptrace",
                                    "quotactl",
                                    "reboot",
                                    "request_key",
                                    "setdomainname",
                                    "sethostname",
                                    "setns",
                                    "settimeofday",
                                    "swapoff",
                                    "swapon",
                                    "syslog",
                                    "umount",
                                    "umount2",
                                    "unshare",
                                    "uselib",
                                    "userfaultfd",
                                    "vmsplice"};

static int add(scmp_filter_ctx filter, uint32_t action,
               const char *const *names, size_t n) {
  for (size_t i = 0; i < n; i++) {
    int number = seccomp_syscall_resolve_name(names[i]);
    if (number == __NR_SCMP_ERROR || number < 0)
      continue;
    int error = seccomp_rule_add(filter, action, number, 0);
    if (error < 0)
      return error;
  }
  return 0;
}

#define N(array) (sizeof(array) / sizeof(array)[0])

/* clone() by its flags. clone3() has them in memory, where no filter sees
   them, and is said not to exist, so that the C library falls back. */
static int add_clone(scmp_filter_ctx filter, int may_fork) {
  const scmp_datum_t spaces = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS |
                              CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |
                              CLONE_NEWNET;
  const scmp_datum_t thread = may_fork ? 0 : CLONE_THREAD;
  int error =
      seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
  if (error < 0)
    return error;
  return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                          SCMP_A0(SCMP_CMP_MASKED_EQ, spaces | thread, thread));
}

static int add_rules(scmp_filter_ctx filter, int may_fork) {
  int error = add(filter, SCMP_ACT_ALLOW, allowed, N(allowed));
  if (error == 0)
    error = add(filter, SCMP_ACT_KILL_PROCESS, fatal, N(fatal));
  if (error == 0)
    error = add_clone(filter, may_fork);
  return error;
}

/* libseccomp writes to files only. */
static int export(scmp_filter_ctx filter, struct llqi_text *out) {
  int fd = memfd_create("llq-seccomp", MFD_CLOEXEC);
  if (fd < 0)
    return llqi_fail_errno(LLQ_ERROR_SANDBOX, errno, "seccomp: memfd_create");
  int status = LLQ_OK;
  char bytes[4096];
  ssize_t n = seccomp_export_bpf(filter, fd);
  if (n < 0 || lseek(fd, 0, SEEK_SET) < 0)
    status = llqi_fail(LLQ_ERROR_SANDBOX, "seccomp: cannot export the filter");
  while (status >= 0 && (n = read(fd, bytes, sizeof bytes)) > 0)
    status = llqi_text_append(out, bytes, (size_t)n);
  close(fd);
  return status;
}

int llqi_seccomp_filter(int may_fork, struct llqi_text *out) {
  scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
  if (filter == NULL)
    return llqi_fail(LLQ_ERROR_MEMORY, "seccomp: cannot make a filter");
  int error = add_rules(filter, may_fork), status;
  if (error < 0)
    status = llqi_fail_errno(LLQ_ERROR_SANDBOX, -error,
                             "seccomp: cannot add a rule");
  else
    status = export(filter, out);
  seccomp_release(filter);
  return status;
}
