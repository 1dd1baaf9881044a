/* SPDX-License-Identifier: Apache-2.0 */
/* Frames to and from a sandboxed process, over a socket that never blocks.
   A frame: payload size (4 bytes, big endian), kind (1 byte), payload. */
#ifndef LLQI_EVALUATOR_CHANNEL_H
#define LLQI_EVALUATOR_CHANNEL_H

#include <sys/types.h>

#include "base/text.h"

/* Of one frame's payload, in either direction. */
#define LLQI_FRAME_MAX (32u << 20)

struct llqi_channel {
  int fd;
  pid_t peer; /* who sent the first bytes, as seen from here; 0 before */
  int closed; /* the other side hung up: nothing more will come */
  struct llqi_text in, out;
  size_t in_at, out_at; /* what is done with already */
};

struct llqi_frame {
  char kind;
  const char *bytes; /* valid until the next call with this channel */
  size_t n;
};

/* Makes a connected pair: one end for the channel, one (blocking) for a child
   to inherit. Both are close-on-exec. */
int llqi_channel_open(struct llqi_channel *channel, int *child_end);
void llqi_channel_close(struct llqi_channel *channel);

/* Queues one frame whose payload is the two runs of bytes. */
int llqi_channel_send(struct llqi_channel *channel, char kind, const void *a,
                      size_t n_a, const void *b, size_t n_b);

/* Writes and reads what goes without waiting. Fails only out of memory: a
   broken connection is `closed`. */
int llqi_channel_pump(struct llqi_channel *channel);

/* 1 and the next frame; 0 if none is whole yet; -1 if it is too large. */
int llqi_channel_next(struct llqi_channel *channel, struct llqi_frame *frame);

/* The events to poll for. */
short llqi_channel_events(const struct llqi_channel *channel);

#endif
