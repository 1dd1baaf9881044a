/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "evaluator/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/status.h"
#include "evaluator/runner.h"
#include "evaluator/seccomp.h"

enum { CHANNEL_FD = 3, FILTER_FD = 4, FREE_FD = 10, ARGS_MAX = 128 };
enum { HANG_UP_MS = 2000 };
enum { FILE_BYTES = 16 << 20, FILES_MAX = 64, PROCESSES_MAX = 64 };
#define TMPFS_BYTES "16777216"

/* Set iteration, and with it a verdict, must not depend on a random seed. */
static const char *const environment[] = {
    "PATH=/usr/bin", "HOME=/tmp", "LANG=C.UTF-8", "PYTHONHASHSEED=0", NULL};

/* Where a merged or split /usr shows up in the root. */
static const char *const roots[] = {"/bin",   "/sbin",  "/lib",
                                    "/lib32", "/lib64", "/libx32"};
enum { N_ROOTS = sizeof roots / sizeof roots[0] };

struct llqi_sandbox {
  int isolated;
  char *bwrap;
  char *python;         /* without links */
  char *prefix;         /* of a Python outside /usr, or NULL */
  char *links[N_ROOTS]; /* what roots[i] links to, or NULL */
  int is_directory[N_ROOTS];
  char *sources[2]; /* by enum llqi_role */
  struct llqi_text filters[2];
};

static char *join(const char *a, const char *b, const char *c) {
  struct llqi_text text = {0};
  if (llqi_text_puts(&text, a) < 0 || llqi_text_puts(&text, b) < 0 ||
      llqi_text_puts(&text, c) < 0) {
    llqi_text_free(&text);
    return NULL;
  }
  return llqi_text_take(&text);
}

/* A Python outside /usr brings the folder above its bin/. */
static int find_python(struct llqi_sandbox *sandbox, const char *python) {
  char *real = realpath(python, NULL);
  if (real == NULL)
    return llqi_fail_errno(LLQ_ERROR_SANDBOX, errno,
                           "no Python to run programs with: %s", python);
  sandbox->python = llqi_strdup(real);
  if (strncmp(real, "/usr/", 5) != 0) {
    for (int i = 0; i < 2; i++)
      if (strrchr(real, '/') != NULL)
        *strrchr(real, '/') = '\0';
    sandbox->prefix = real[0] != '\0' ? llqi_strdup(real) : NULL;
  }
  free(real);
  return sandbox->python != NULL ? LLQ_OK : LLQ_ERROR_MEMORY;
}

static int find_roots(struct llqi_sandbox *sandbox) {
  for (int i = 0; i < N_ROOTS; i++) {
    char target[256];
    ssize_t n = readlink(roots[i], target, sizeof target - 1);
    if (n > 0) {
      sandbox->links[i] = llqi_strndup(target, (size_t)n);
      if (sandbox->links[i] == NULL)
        return LLQ_ERROR_MEMORY;
    }
    sandbox->is_directory[i] = n < 0 && access(roots[i], F_OK) == 0;
  }
  return LLQ_OK;
}

static int fill_sandbox(struct llqi_sandbox *sandbox, const char *mode,
                        const char *bwrap, const char *python) {
  sandbox->isolated = mode == NULL || strcmp(mode, "bwrap") == 0;
  LLQ_REQUIRE(sandbox->isolated || strcmp(mode, "rlimit") == 0,
              "sandbox: expected \"bwrap\" or \"rlimit\", found \"%s\"", mode);
  LLQ_TRY(find_python(sandbox, python != NULL ? python : LLQ_PYTHON3));
  LLQ_TRY(find_roots(sandbox));
  sandbox->bwrap = llqi_strdup(bwrap != NULL ? bwrap : LLQ_BWRAP);
  sandbox->sources[LLQI_ROLE_CANDIDATE] =
      join(llqi_runner_codec, llqi_runner_candidate, "");
  sandbox->sources[LLQI_ROLE_CHECKER] =
      join(llqi_runner_codec, llqi_runner_plus, llqi_runner_checker);
  if (sandbox->bwrap == NULL || sandbox->sources[0] == NULL ||
      sandbox->sources[1] == NULL)
    return LLQ_ERROR_MEMORY;
  if (!sandbox->isolated)
    return LLQ_OK;
  if (access(sandbox->bwrap, X_OK) < 0)
    return llqi_fail_errno(LLQ_ERROR_SANDBOX, errno,
                           "programs cannot be isolated without bubblewrap: %s",
                           sandbox->bwrap);
  LLQ_TRY(llqi_seccomp_filter(0, &sandbox->filters[LLQI_ROLE_CANDIDATE]));
  return llqi_seccomp_filter(1, &sandbox->filters[LLQI_ROLE_CHECKER]);
}

int llqi_sandbox_open(struct llqi_sandbox **out, const char *mode,
                      const char *bwrap, const char *python) {
  *out = NULL;
  struct llqi_sandbox *sandbox = llqi_calloc(1, sizeof *sandbox);
  if (sandbox == NULL)
    return LLQ_ERROR_MEMORY;
  int status = fill_sandbox(sandbox, mode, bwrap, python);
  if (status < 0)
    llqi_sandbox_close(sandbox);
  else
    *out = sandbox;
  return status;
}

void llqi_sandbox_close(struct llqi_sandbox *sandbox) {
  if (sandbox == NULL)
    return;
  llqi_free(sandbox->bwrap);
  llqi_free(sandbox->python);
  llqi_free(sandbox->prefix);
  for (int i = 0; i < N_ROOTS; i++)
    llqi_free(sandbox->links[i]);
  for (int i = 0; i < 2; i++) {
    llqi_free(sandbox->sources[i]);
    llqi_text_free(&sandbox->filters[i]);
  }
  llqi_free(sandbox);
}

struct arguments {
  const char *items[ARGS_MAX];
  size_t n;
};

static void add(struct arguments *args, const char *const *items) {
  for (; *items != NULL && args->n < ARGS_MAX - 1; items++)
    args->items[args->n++] = *items;
}

#define ADD(args, ...) add(args, (const char *const[]){__VA_ARGS__, NULL})

/* What exists inside: /usr, read-only; three devices; a small /tmp. No /proc,
   no /etc, no /dev/shm; the root itself is read-only. */
static void add_files(const struct llqi_sandbox *sandbox,
                      struct arguments *args) {
  ADD(args, "--ro-bind", "/usr", "/usr");
  for (int i = 0; i < N_ROOTS; i++) {
    if (sandbox->links[i] != NULL)
      ADD(args, "--symlink", sandbox->links[i], roots[i]);
    else if (sandbox->is_directory[i])
      ADD(args, "--ro-bind", roots[i], roots[i]);
  }
  if (sandbox->prefix != NULL)
    ADD(args, "--ro-bind", sandbox->prefix, sandbox->prefix, "--ro-bind-try",
        "/etc/ld.so.cache", "/etc/ld.so.cache");
  ADD(args, "--dev-bind", "/dev/null", "/dev/null", "--dev-bind", "/dev/zero",
      "/dev/zero", "--dev-bind", "/dev/urandom", "/dev/urandom");
  ADD(args, "--size", TMPFS_BYTES, "--tmpfs", "/tmp", "--chdir", "/tmp",
      "--remount-ro", "/");
}

static void add_isolation(const struct llqi_sandbox *sandbox,
                          struct arguments *args) {
  ADD(args, sandbox->bwrap, "--unshare-user", "--unshare-pid", "--unshare-net",
      "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try", "--as-pid-1",
      "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--uid",
      "65534", "--gid", "65534", "--hostname", "sandbox");
  add_files(sandbox, args);
  ADD(args, "--seccomp", "4", "--");
}

/* Moved up, so that putting one file in its place overwrites no other. */
static int move_up(int *fd) {
  int high = fcntl(*fd, F_DUPFD_CLOEXEC, FREE_FD);
  if (high < 0)
    return llqi_fail_errno(LLQ_ERROR_SANDBOX, errno, "cannot start a sandbox");
  close(*fd);
  *fd = high;
  return LLQ_OK;
}

/* bubblewrap reads the filter to its end, so each start needs its own file. */
static int open_filter(const struct llqi_text *filter, int *fd) {
  *fd = memfd_create("llq-seccomp", MFD_CLOEXEC);
  if (*fd < 0 ||
      write(*fd, filter->data, filter->length) != (ssize_t)filter->length ||
      lseek(*fd, 0, SEEK_SET) < 0)
    return llqi_fail_errno(LLQ_ERROR_SANDBOX, errno, "cannot pass the filter");
  return move_up(fd);
}

/* Signals of the host, ignored or blocked, are not the child's. */
static int set_attributes(posix_spawnattr_t *attributes) {
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  int error = posix_spawnattr_setsigmask(attributes, &none);
  if (error == 0)
    error = posix_spawnattr_setsigdefault(attributes, &all);
  if (error == 0)
    error = posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK |
                                                     POSIX_SPAWN_SETSIGDEF |
                                                     POSIX_SPAWN_SETSID);
  return error;
}

/* child[]: the channel's other end, the filter or -1, standard error or -1.
   Other open files go: the runner closes them before anything else. */
static int set_files(posix_spawn_file_actions_t *actions, const int child[3]) {
  int error = 0;
  for (int fd = 0; fd < 3 && error == 0; fd++)
    error =
        posix_spawn_file_actions_addopen(actions, fd, "/dev/null", O_RDWR, 0);
  if (error == 0 && child[2] >= 0)
    error = posix_spawn_file_actions_adddup2(actions, child[2], 2);
  if (error == 0)
    error = posix_spawn_file_actions_adddup2(actions, child[0], CHANNEL_FD);
  if (error == 0 && child[1] >= 0)
    error = posix_spawn_file_actions_adddup2(actions, child[1], FILTER_FD);
  if (error == 0)
    error = posix_spawn_file_actions_addchdir_np(actions, "/tmp");
  return error;
}

static int spawn(const struct llqi_sandbox *sandbox, enum llqi_role role,
                 const int child[3], pid_t *pid) {
  struct arguments args = {.n = 0};
  if (sandbox->isolated)
    add_isolation(sandbox, &args);
  ADD(&args, sandbox->python, "-s", "-S", "-B", "-X", "utf8", "-c",
      sandbox->sources[role]);
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  int error = set_attributes(&attributes);
  if (error == 0)
    error = set_files(&actions, child);
  if (error == 0)
    error = posix_spawn(pid, args.items[0], &actions, &attributes,
                        (char *const *)args.items, (char *const *)environment);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0)
    return llqi_fail_errno(LLQ_ERROR_SANDBOX, error, "cannot run %s",
                           args.items[0]);
  return LLQ_OK;
}

static int open_pidfd(pid_t pid, int *fd) {
  *fd = (int)syscall(SYS_pidfd_open, pid, 0);
  if (*fd < 0)
    return llqi_fail_errno(LLQ_ERROR_SANDBOX, errno, "pidfd_open");
  return LLQ_OK;
}

int llqi_process_start(const struct llqi_sandbox *sandbox, enum llqi_role role,
                       int errors, struct llqi_process *process) {
  int child[3] = {-1, -1, errors};
  *process = LLQI_NO_PROCESS;
  LLQ_TRY(llqi_channel_open(&process->channel, &child[0]));
  int status = move_up(&child[0]);
  if (status >= 0 && sandbox->isolated)
    status = open_filter(&sandbox->filters[role], &child[1]);
  if (status >= 0)
    status = spawn(sandbox, role, child, &process->pid);
  if (status >= 0)
    status = open_pidfd(process->pid, &process->pidfd);
  for (int i = 0; i < 2; i++)
    if (child[i] >= 0)
      close(child[i]);
  if (status < 0)
    llqi_process_end(process, &(struct llqi_ending){0});
  return status;
}

static int limit(pid_t pid, int resource, uint64_t value, const char *name) {
  struct rlimit both = {value, value};
  if (prlimit(pid, resource, &both, NULL) < 0)
    return llqi_fail_errno(LLQ_ERROR_SANDBOX, errno, "cannot limit %s", name);
  return LLQ_OK;
}

int llqi_process_confine(struct llqi_process *process,
                         const struct llqi_limits *limits) {
  pid_t pid = process->inner = process->channel.peer;
  if (pid <= 0)
    return llqi_fail(LLQ_ERROR_SANDBOX, "the sandbox's process has no id here");
  LLQ_TRY(open_pidfd(pid, &process->inner_fd));
  LLQ_TRY(limit(pid, RLIMIT_AS, limits->memory_bytes, "memory"));
  LLQ_TRY(limit(pid, RLIMIT_CORE, 0, "core files"));
  LLQ_TRY(limit(pid, RLIMIT_FSIZE, FILE_BYTES, "file size"));
  LLQ_TRY(limit(pid, RLIMIT_NOFILE, FILES_MAX, "open files"));
  LLQ_TRY(limit(pid, RLIMIT_NPROC, PROCESSES_MAX, "processes"));
  if (limits->cpu_seconds == 0)
    return LLQ_OK;
  return limit(pid, RLIMIT_CPU, limits->cpu_seconds, "CPU time");
}

double llqi_process_cpu(const struct llqi_process *process) {
  clockid_t clock;
  struct timespec used;
  if (process->inner <= 0 || clock_getcpuclockid(process->inner, &clock) != 0 ||
      clock_gettime(clock, &used) < 0)
    return 0;
  return (double)used.tv_sec + 1e-9 * (double)used.tv_nsec;
}

int llqi_process_has_ended(const struct llqi_process *process) {
  struct pollfd event = {process->pidfd, POLLIN, 0};
  return process->pid > 0 && poll(&event, 1, 0) > 0;
}

/* bubblewrap ends after the whole pid namespace: when Python, its init, is
   killed, nothing is left by the time bubblewrap can be waited for. Before
   Python is known, bubblewrap's death is passed on to what it started. */
static void kill_all(const struct llqi_process *process) {
  if (process->inner_fd >= 0)
    syscall(SYS_pidfd_send_signal, process->inner_fd, SIGKILL, NULL, 0);
  if (process->inner_fd < 0 || process->inner == process->pid)
    kill(-process->pid, SIGKILL);
  if (process->inner_fd >= 0)
    return;
  kill(process->pid, SIGKILL);
  struct pollfd event = {process->channel.fd, 0, 0};
  poll(&event, 1, HANG_UP_MS);
}

static double seconds(struct timeval time) {
  return (double)time.tv_sec + 1e-6 * (double)time.tv_usec;
}

/* bubblewrap exits with 128 + n when Python was ended by signal n. */
static void read_ending(int status, const struct rusage *usage,
                        struct llqi_ending *ending) {
  ending->cpu_seconds = seconds(usage->ru_utime) + seconds(usage->ru_stime);
  if (WIFSIGNALED(status))
    ending->signal = WTERMSIG(status);
  else if (WEXITSTATUS(status) > 128)
    ending->signal = WEXITSTATUS(status) - 128;
  else
    ending->status = WEXITSTATUS(status);
}

void llqi_process_end(struct llqi_process *process,
                      struct llqi_ending *ending) {
  *ending = (struct llqi_ending){0};
  if (process->pid > 0) {
    int status = 0;
    struct rusage usage = {0};
    kill_all(process);
    while (wait4(process->pid, &status, 0, &usage) < 0 && errno == EINTR)
      ;
    read_ending(status, &usage, ending);
  }
  if (process->pidfd >= 0)
    close(process->pidfd);
  if (process->inner_fd >= 0)
    close(process->inner_fd);
  llqi_channel_close(&process->channel);
  *process = LLQI_NO_PROCESS;
}
