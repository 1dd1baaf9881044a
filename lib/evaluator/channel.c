/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "evaluator/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/status.h"

enum { HEADER_SIZE = 5 };

int llqi_channel_open(struct llqi_channel *channel, int *child_end) {
  int ends[2], on = 1;
  memset(channel, 0, sizeof *channel);
  channel->fd = -1;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
    return llqi_fail_errno(LLQ_ERROR_SANDBOX, errno, "socketpair");
  int flags = fcntl(ends[0], F_GETFL);
  if (fcntl(ends[0], F_SETFL, flags | O_NONBLOCK) < 0 ||
      setsockopt(ends[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof on) < 0) {
    int error = errno;
    close(ends[0]);
    close(ends[1]);
    return llqi_fail_errno(LLQ_ERROR_SANDBOX, error, "socketpair");
  }
  channel->fd = ends[0];
  *child_end = ends[1];
  return LLQ_OK;
}

void llqi_channel_close(struct llqi_channel *channel) {
  if (channel->fd >= 0)
    close(channel->fd);
  llqi_text_free(&channel->in);
  llqi_text_free(&channel->out);
  memset(channel, 0, sizeof *channel);
  channel->fd = -1;
}

int llqi_channel_send(struct llqi_channel *channel, char kind, const void *a,
                      size_t n_a, const void *b, size_t n_b) {
  size_t n = n_a + n_b;
  if (n > LLQI_FRAME_MAX)
    return llqi_fail(LLQ_ERROR_FORMAT, "%zu bytes for a sandbox, limit %u", n,
                     LLQI_FRAME_MAX);
  char header[HEADER_SIZE] = {(char)(n >> 24), (char)(n >> 16), (char)(n >> 8),
                              (char)n, kind};
  LLQ_TRY(llqi_text_reserve(&channel->out, sizeof header + n));
  LLQ_TRY(llqi_text_append(&channel->out, header, sizeof header));
  LLQ_TRY(llqi_text_append(&channel->out, a, n_a));
  return llqi_text_append(&channel->out, b, n_b);
}

static void flush(struct llqi_channel *channel) {
  struct llqi_text *out = &channel->out;
  while (channel->out_at < out->length) {
    ssize_t n = send(channel->fd, out->data + channel->out_at,
                     out->length - channel->out_at, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0 && errno != EAGAIN)
      break; /* reading says whether there is a last word */
    if (n < 0)
      return;
    channel->out_at += (size_t)n;
  }
  llqi_text_clear(out);
  channel->out_at = 0;
}

/* The kernel vouches for the sender. There is no room for file descriptors
   that a sender might attach: the kernel drops them. */
static ssize_t receive(struct llqi_channel *channel, char *bytes, size_t size) {
  union {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(struct ucred))];
  } control;
  struct iovec where = {bytes, size};
  struct msghdr message = {.msg_iov = &where,
                           .msg_iovlen = 1,
                           .msg_control = &control,
                           .msg_controllen = sizeof control};
  ssize_t n = recvmsg(channel->fd, &message, MSG_CMSG_CLOEXEC);
  struct cmsghdr *header = n > 0 ? CMSG_FIRSTHDR(&message) : NULL;
  if (channel->peer == 0 && header != NULL &&
      header->cmsg_level == SOL_SOCKET &&
      header->cmsg_type == SCM_CREDENTIALS) {
    struct ucred sender;
    memcpy(&sender, CMSG_DATA(header), sizeof sender);
    channel->peer = sender.pid;
  }
  return n;
}

int llqi_channel_pump(struct llqi_channel *channel) {
  char bytes[1 << 16];
  if (channel->fd < 0 || channel->closed)
    return LLQ_OK;
  flush(channel);
  /* A frame is only read on until it is too large; llqi_channel_next() tells.
   */
  while (channel->in.length - channel->in_at <= LLQI_FRAME_MAX + HEADER_SIZE) {
    ssize_t n = receive(channel, bytes, sizeof bytes);
    if (n > 0) {
      LLQ_TRY(llqi_text_append(&channel->in, bytes, (size_t)n));
      continue;
    }
    if (n < 0 && errno == EINTR)
      continue;
    channel->closed = n == 0 || errno != EAGAIN;
    return LLQ_OK;
  }
  return LLQ_OK;
}

int llqi_channel_next(struct llqi_channel *channel, struct llqi_frame *frame) {
  struct llqi_text *in = &channel->in;
  if (channel->in_at == in->length) {
    llqi_text_clear(in);
    channel->in_at = 0;
  }
  size_t n_ready = in->length - channel->in_at;
  if (n_ready < HEADER_SIZE)
    return 0;
  const unsigned char *p = (const unsigned char *)in->data + channel->in_at;
  size_t n = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
  if (n > LLQI_FRAME_MAX)
    return -1;
  if (n_ready < HEADER_SIZE + n)
    return 0;
  frame->kind = (char)p[4];
  frame->bytes = (const char *)p + HEADER_SIZE;
  frame->n = n;
  channel->in_at += HEADER_SIZE + n;
  return 1;
}

short llqi_channel_events(const struct llqi_channel *channel) {
  if (channel->fd < 0 || channel->closed)
    return 0;
  return POLLIN | (channel->out_at < channel->out.length ? POLLOUT : 0);
}
