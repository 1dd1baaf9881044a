/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

#include "base/alloc.h"
#include "base/status.h"
#include "base/text.h"

static int call_open(const char *path, int flags, mode_t mode) {
  return open(path, flags | O_CLOEXEC, mode);
}

const struct llqi_file_calls llqi_file_system = {
    .open = call_open,
    .close = close,
    .read = read,
    .write = write,
    .fsync = fsync,
    .fstat = fstat,
    .mmap = mmap,
    .rename = rename,
};
const struct llqi_file_calls *llqi_files = &llqi_file_system;

/* Opens for reading and refuses what is not a regular file (a directory, or a
   pipe that would block). */
static int open_regular(const char *path, int *fd, size_t *size) {
  *fd = llqi_files->open(path, O_RDONLY, 0);
  if (*fd < 0)
    return llqi_fail_errno(LLQ_ERROR_IO, errno, "%s", path);
  struct stat status;
  if (llqi_files->fstat(*fd, &status) < 0) {
    int error = errno;
    llqi_files->close(*fd);
    return llqi_fail_errno(LLQ_ERROR_IO, error, "%s", path);
  }
  if (!S_ISREG(status.st_mode)) {
    llqi_files->close(*fd);
    return llqi_fail(LLQ_ERROR_IO, "%s: not a regular file", path);
  }
  *size = (size_t)status.st_size;
  return LLQ_OK;
}

int llqi_file_map(const char *path, struct llqi_mapping *out) {
  int fd;
  out->data = "";
  out->size = 0;
  size_t size;
  LLQ_TRY(open_regular(path, &fd, &size));
  int status = LLQ_OK;
  if (size > 0) {
    void *data = llqi_files->mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED) {
      status = llqi_fail_errno(LLQ_ERROR_IO, errno, "%s: cannot map", path);
    } else {
      out->data = data;
      out->size = size;
    }
  }
  llqi_files->close(fd);
  return status;
}

void llqi_file_unmap(struct llqi_mapping *mapping) {
  if (mapping->size > 0)
    munmap((void *)mapping->data, mapping->size);
  mapping->data = "";
  mapping->size = 0;
}

int llqi_file_forget(const struct llqi_mapping *mapping, const void *data,
                     size_t n) {
  const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
  const uintptr_t begin = (uintptr_t)mapping->data, first = (uintptr_t)data;
  if (mapping->size == 0 || first < begin || n > mapping->size ||
      first - begin > mapping->size - n)
    return 0;
  /* Pages that the bytes share with others stay. */
  const uintptr_t from = (first + page - 1) / page * page;
  const uintptr_t to = (first + n) / page * page;
  if (to > from)
    madvise((void *)from, to - from, MADV_DONTNEED);
  return 1;
}

static int read_fully(int fd, const char *path, size_t limit,
                      struct llqi_text *text) {
  char buffer[1 << 16];
  for (;;) {
    ssize_t n = llqi_files->read(fd, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return llqi_fail_errno(LLQ_ERROR_IO, errno, "%s: cannot read", path);
    if (n == 0)
      return LLQ_OK;
    if ((size_t)n > limit - text->length)
      return llqi_fail(LLQ_ERROR_FORMAT, "%s: larger than %zu bytes", path,
                       limit);
    LLQ_TRY(llqi_text_append(text, buffer, (size_t)n));
  }
}

static int text_out(struct llqi_text *text, char **out, size_t *n) {
  *n = text->length;
  *out = llqi_text_take(text);
  return *out != NULL ? LLQ_OK : LLQ_ERROR_MEMORY;
}

int llqi_file_read(const char *path, size_t limit, char **out, size_t *n) {
  int fd;
  size_t size;
  *out = NULL;
  LLQ_TRY(open_regular(path, &fd, &size));
  struct llqi_text text = {0};
  int status = read_fully(fd, path, limit, &text);
  llqi_files->close(fd);
  if (status >= 0)
    status = text_out(&text, out, n);
  llqi_text_free(&text);
  return status;
}

/* Several gzip members may follow each other; what follows the last must be
   nothing. */
static int inflate_members(z_stream *stream, const char *path, size_t limit,
                           struct llqi_text *text) {
  unsigned char buffer[1 << 16];
  int code = Z_OK;
  for (;;) {
    stream->next_out = buffer;
    stream->avail_out = sizeof buffer;
    code = inflate(stream, Z_NO_FLUSH);
    if (code != Z_OK && code != Z_STREAM_END)
      return llqi_fail(LLQ_ERROR_FORMAT, "%s: damaged gzip data (%s)", path,
                       stream->msg != NULL ? stream->msg : "truncated");
    size_t n = sizeof buffer - stream->avail_out;
    if (n > limit - text->length)
      return llqi_fail(LLQ_ERROR_FORMAT, "%s: unpacks to more than %zu bytes",
                       path, limit);
    LLQ_TRY(llqi_text_append(text, buffer, n));
    if (code == Z_STREAM_END && stream->avail_in == 0)
      return LLQ_OK;
    if (code == Z_STREAM_END && inflateReset(stream) != Z_OK)
      return llqi_fail(LLQ_ERROR_FORMAT, "%s: damaged gzip data", path);
  }
}

static int gunzip(const char *path, const char *packed, size_t n_packed,
                  size_t limit, struct llqi_text *text) {
  z_stream stream = {0};
  if (inflateInit2(&stream, 15 + 16) != Z_OK)
    return llqi_fail(LLQ_ERROR_MEMORY, "%s: cannot start zlib", path);
  stream.next_in = (unsigned char *)packed;
  stream.avail_in = (unsigned)n_packed;
  int status = inflate_members(&stream, path, limit, text);
  inflateEnd(&stream);
  return status;
}

int llqi_file_read_gzip(const char *path, size_t limit, char **out, size_t *n) {
  char *packed;
  size_t n_packed;
  const size_t packed_limit = limit < UINT32_MAX ? limit : UINT32_MAX;
  LLQ_TRY(llqi_file_read(path, packed_limit, &packed, &n_packed));
  if (n_packed < 2 || memcmp(packed, "\x1f\x8b", 2) != 0) {
    *out = packed;
    *n = n_packed;
    return LLQ_OK;
  }
  *out = NULL;
  struct llqi_text text = {0};
  int status = gunzip(path, packed, n_packed, limit, &text);
  if (status >= 0)
    status = text_out(&text, out, n);
  llqi_text_free(&text);
  llqi_free(packed);
  return status;
}

static int write_fully(int fd, const char *path, const char *bytes, size_t n) {
  while (n > 0) {
    ssize_t written = llqi_files->write(fd, bytes, n);
    if (written < 0 && errno == EINTR)
      continue;
    if (written < 0)
      return llqi_fail_errno(LLQ_ERROR_IO, errno, "%s: cannot write", path);
    bytes += written;
    n -= (size_t)written;
  }
  return LLQ_OK;
}

int llqi_writer_open(struct llqi_writer *writer, const char *path) {
  *writer = (struct llqi_writer){.fd = -1};
  struct llqi_text part = {0};
  int status = llqi_text_printf(&part, "%s.part", path);
  if (status >= 0) {
    writer->part = llqi_text_take(&part);
    writer->path = llqi_strdup(path);
    status = writer->part != NULL && writer->path != NULL ? LLQ_OK
                                                          : LLQ_ERROR_MEMORY;
  }
  llqi_text_free(&part);
  if (status >= 0) {
    writer->fd =
        llqi_files->open(writer->part, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (writer->fd < 0)
      status = llqi_fail_errno(LLQ_ERROR_IO, errno, "%s", writer->part);
  }
  if (status < 0)
    llqi_writer_abort(writer);
  return status;
}

int llqi_writer_write(struct llqi_writer *writer, const void *bytes, size_t n) {
  return write_fully(writer->fd, writer->path, bytes, n);
}

int llqi_writer_commit(struct llqi_writer *writer) {
  int status = LLQ_OK;
  if (llqi_files->fsync(writer->fd) < 0)
    status =
        llqi_fail_errno(LLQ_ERROR_IO, errno, "%s: cannot flush", writer->path);
  int closed = llqi_files->close(writer->fd);
  writer->fd = -1;
  if (status >= 0 && closed < 0)
    status =
        llqi_fail_errno(LLQ_ERROR_IO, errno, "%s: cannot close", writer->path);
  if (status >= 0 && llqi_files->rename(writer->part, writer->path) < 0)
    status = llqi_fail_errno(LLQ_ERROR_IO, errno, "%s: cannot put in place",
                             writer->path);
  if (status >= 0) {
    llqi_free(writer->part);
    writer->part = NULL;
  }
  llqi_writer_abort(writer);
  return status;
}

void llqi_writer_abort(struct llqi_writer *writer) {
  if (writer->fd >= 0)
    llqi_files->close(writer->fd);
  if (writer->part != NULL)
    unlink(writer->part);
  llqi_free(writer->part);
  llqi_free(writer->path);
  *writer = (struct llqi_writer){.fd = -1};
}

int llqi_file_write(const char *path, const void *bytes, size_t n) {
  struct llqi_writer writer;
  LLQ_TRY(llqi_writer_open(&writer, path));
  int status = llqi_writer_write(&writer, bytes, n);
  if (status >= 0)
    return llqi_writer_commit(&writer);
  llqi_writer_abort(&writer);
  return status;
}

int llqi_file_append(const char *path, const void *bytes, size_t n) {
  int fd = llqi_files->open(path, O_WRONLY | O_CREAT | O_APPEND, 0666);
  if (fd < 0)
    return llqi_fail_errno(LLQ_ERROR_IO, errno, "%s", path);
  int status = write_fully(fd, path, bytes, n);
  if (status >= 0 && llqi_files->fsync(fd) < 0)
    status = llqi_fail_errno(LLQ_ERROR_IO, errno, "%s: cannot flush", path);
  llqi_files->close(fd);
  return status;
}

int llqi_file_remove(const char *path) {
  if (unlink(path) == 0 || errno == ENOENT)
    return LLQ_OK;
  return llqi_fail_errno(LLQ_ERROR_IO, errno, "%s: cannot remove", path);
}

int llqi_directory_make(const char *path) {
  if (mkdir(path, 0777) == 0 ||
      (errno == EEXIST && llqi_directory_exists(path)))
    return LLQ_OK;
  return llqi_fail_errno(LLQ_ERROR_IO, errno, "%s: cannot make directory",
                         path);
}

int llqi_file_exists(const char *path) {
  struct stat status;
  return stat(path, &status) == 0;
}

int llqi_directory_exists(const char *path) {
  struct stat status;
  return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

char *llqi_path_join(const char *directory, const char *name) {
  struct llqi_text path = {0};
  size_t n = strlen(directory);
  const char *slash = n > 0 && directory[n - 1] == '/' ? "" : "/";
  if (llqi_text_printf(&path, "%s%s%s", directory, slash, name) < 0) {
    llqi_text_free(&path);
    return NULL;
  }
  return llqi_text_take(&path);
}
