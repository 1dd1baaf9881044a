/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "base/threads.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/status.h"

/* How often to look before sleeping: some 20 us, about what waking costs. */
#define N_LOOKS 1000

/* A loop is handed out through one word, `ticket`: the loop's number in the
   high half, the items not yet taken in the low half. A thread that lowers the
   word from a value with items left owns one of them, and the loop's other
   fields are then certainly those of that loop: the caller changes them only
   when every item was taken and done. */
struct llqi_threads {
  _Atomic uint64_t ticket;
  _Atomic uint32_t n_done;
  _Atomic int n_threads; /* of the loop */
  llqi_work work;
  void *user;
  uint32_t n_items;

  int n_workers;
  pthread_t *workers;
  atomic_int n_started; /* gives each worker its number */

  pthread_mutex_t lock; /* for sleeping only: guards what follows */
  pthread_cond_t begun, finished;
  int n_sleeping;
  int stop;
};

static void look_again(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

/* Takes one item and does it; 0 when there is none to take. */
static int do_item(struct llqi_threads *t, int thread) {
  uint64_t ticket = atomic_load(&t->ticket);
  do {
    if ((uint32_t)ticket == 0 || thread >= atomic_load(&t->n_threads))
      return 0;
  } while (!atomic_compare_exchange_weak(&t->ticket, &ticket, ticket - 1));
  uint32_t n_items = t->n_items;
  t->work(t->user, n_items - (uint32_t)ticket, thread);
  if (atomic_fetch_add(&t->n_done, 1) + 1 == n_items && thread > 0) {
    pthread_mutex_lock(&t->lock);
    pthread_cond_signal(&t->finished);
    pthread_mutex_unlock(&t->lock);
  }
  return 1;
}

static int has_items(struct llqi_threads *t, int thread) {
  return (uint32_t)atomic_load(&t->ticket) > 0 &&
         thread < atomic_load(&t->n_threads);
}

/* Returns 1 when there may be items, 0 when it is time to end. */
static int wait_for_items(struct llqi_threads *t, int thread) {
  for (int i = 0; i < N_LOOKS; i++) {
    if (has_items(t, thread))
      return 1;
    look_again();
  }
  pthread_mutex_lock(&t->lock);
  t->n_sleeping++;
  while (!has_items(t, thread) && !t->stop)
    pthread_cond_wait(&t->begun, &t->lock);
  t->n_sleeping--;
  int stop = t->stop;
  pthread_mutex_unlock(&t->lock);
  return !stop;
}

static void *worker(void *user) {
  struct llqi_threads *t = user;
  int thread = atomic_fetch_add(&t->n_started, 1) + 1;
  while (wait_for_items(t, thread))
    while (do_item(t, thread))
      ;
  return NULL;
}

static void wait_until_done(struct llqi_threads *t) {
  for (int i = 0; i < N_LOOKS; i++) {
    if (atomic_load(&t->n_done) == t->n_items)
      return;
    look_again();
  }
  pthread_mutex_lock(&t->lock);
  while (atomic_load(&t->n_done) != t->n_items)
    pthread_cond_wait(&t->finished, &t->lock);
  pthread_mutex_unlock(&t->lock);
}

void llqi_threads_run(struct llqi_threads *t, int n_threads, uint32_t n_items,
                      llqi_work work, void *user) {
  int most = n_threads > 0 ? n_threads : llqi_threads_count(t);
  if (most == 1 || n_items < 2 || llqi_threads_count(t) == 1) {
    for (uint32_t i = 0; i < n_items; i++)
      work(user, i, 0);
    return;
  }
  t->work = work;
  t->user = user;
  t->n_items = n_items;
  atomic_store(&t->n_done, 0);
  atomic_store(&t->n_threads, most);
  uint64_t loop = (atomic_load(&t->ticket) >> 32) + 1;
  atomic_store(&t->ticket, loop << 32 | n_items);
  pthread_mutex_lock(&t->lock);
  if (t->n_sleeping > 0)
    pthread_cond_broadcast(&t->begun);
  pthread_mutex_unlock(&t->lock);
  while (do_item(t, 0))
    ;
  wait_until_done(t);
}

int llqi_threads_count(const struct llqi_threads *threads) {
  return threads != NULL ? threads->n_workers + 1 : 1;
}

int llqi_n_cores(void) {
  cpu_set_t cores;
  if (sched_getaffinity(0, sizeof cores, &cores) == 0)
    return CPU_COUNT(&cores);
  long n = sysconf(_SC_NPROCESSORS_ONLN);
  return n > 0 ? (int)n : 1;
}

/* Signals are the host's business: the threads take none. */
static void start_workers(struct llqi_threads *t, int n) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  while (t->n_workers < n &&
         pthread_create(&t->workers[t->n_workers], NULL, worker, t) == 0)
    t->n_workers++;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
}

int llqi_threads_open(struct llqi_threads **out, int n) {
  *out = NULL;
  n = n > 0 ? n : llqi_n_cores();
  struct llqi_threads *t = llqi_calloc(1, sizeof *t);
  if (t == NULL)
    return LLQ_ERROR_MEMORY;
  t->workers = llqi_array((size_t)n, sizeof *t->workers);
  if (t->workers == NULL) {
    llqi_free(t);
    return LLQ_ERROR_MEMORY;
  }
  pthread_mutex_init(&t->lock, NULL);
  pthread_cond_init(&t->begun, NULL);
  pthread_cond_init(&t->finished, NULL);
  start_workers(t, n - 1);
  *out = t;
  return LLQ_OK;
}

void llqi_threads_close(struct llqi_threads *t) {
  if (t == NULL)
    return;
  pthread_mutex_lock(&t->lock);
  t->stop = 1;
  pthread_cond_broadcast(&t->begun);
  pthread_mutex_unlock(&t->lock);
  for (int i = 0; i < t->n_workers; i++)
    pthread_join(t->workers[i], NULL);
  pthread_cond_destroy(&t->finished);
  pthread_cond_destroy(&t->begun);
  pthread_mutex_destroy(&t->lock);
  llqi_free(t->workers);
  llqi_free(t);
}
