/* SPDX-License-Identifier: Apache-2.0 */
/* A few threads that share out loops. Between loops they wait for a moment and
   then sleep, so that a machine with other work on it is not slowed down, as
   threads that spin would; a loop never waits for a thread that has not begun:
   the caller takes what is left. */
#ifndef LLQI_BASE_THREADS_H
#define LLQI_BASE_THREADS_H

#include <stdint.h>

struct llqi_threads;

/* n threads, the caller's own included; 0 = as many as the process may use
   cores. With 1, or where no thread can be made, loops run in the caller; so
   they do without any llqi_threads, that is with NULL in its place. */
int llqi_threads_open(struct llqi_threads **out, int n);
void llqi_threads_close(struct llqi_threads *threads);

/* How many there are, the caller's own included. */
int llqi_threads_count(const struct llqi_threads *threads);

/* Does item `item` of a loop. `thread` is 0 .. count - 1, and no two items run
   at once under the same number: it can index scratch memory. */
typedef void (*llqi_work)(void *user, uint32_t item, int thread);

/* Runs items 0 .. n_items - 1, each once, in any order, on at most n_threads
   threads (0 = all), and returns when all are done. Not to be called by two
   threads at once, nor from within an item. */
void llqi_threads_run(struct llqi_threads *threads, int n_threads,
                      uint32_t n_items, llqi_work work, void *user);

/* The cores that this process may use. */
int llqi_n_cores(void);

#endif
