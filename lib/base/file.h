/* SPDX-License-Identifier: Apache-2.0 */
/* Files: mapped to read, written beside and then renamed, appended by line.
   Errors name the path. All system calls go through one table, so that tests
   can make the n-th of them fail. */
#ifndef LLQI_BASE_FILE_H
#define LLQI_BASE_FILE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

/* The system calls used; tests swap the table. */
struct llqi_file_calls {
  int (*open)(const char *path, int flags, mode_t mode);
  int (*close)(int fd);
  ssize_t (*read)(int fd, void *buffer, size_t n);
  ssize_t (*write)(int fd, const void *buffer, size_t n);
  int (*fsync)(int fd);
  int (*fstat)(int fd, struct stat *status);
  void *(*mmap)(void *at, size_t n, int protection, int flags, int fd,
                off_t offset);
  int (*rename)(const char *from, const char *to);
};
extern const struct llqi_file_calls llqi_file_system;
extern const struct llqi_file_calls *llqi_files;

/* A whole file, mapped read-only and privately. An empty file has data "". */
struct llqi_mapping {
  const void *data;
  size_t size;
};
int llqi_file_map(const char *path, struct llqi_mapping *out);
void llqi_file_unmap(struct llqi_mapping *mapping);

/* Gives the memory of n bytes at `data` back until they are read again, if they
   lie in a mapping; 0 if they don't. */
int llqi_file_forget(const struct llqi_mapping *mapping, const void *data,
                     size_t n);

/* Reads a whole file of at most `limit` bytes; *out is NUL-terminated and the
   caller's to llqi_free. */
int llqi_file_read(const char *path, size_t limit, char **out, size_t *n);

/* Like llqi_file_read; unpacks a gzip file. `limit` is of unpacked bytes. */
int llqi_file_read_gzip(const char *path, size_t limit, char **out, size_t *n);

/* A file written as "<path>.part" and renamed when it is whole. */
struct llqi_writer {
  char *path;
  char *part;
  int fd;
};
int llqi_writer_open(struct llqi_writer *writer, const char *path);
int llqi_writer_write(struct llqi_writer *writer, const void *bytes, size_t n);
int llqi_writer_commit(struct llqi_writer *writer); /* also closes */
void llqi_writer_abort(
    struct llqi_writer *writer); /* removes; after commit: nothing */

/* Writes a whole file through a writer. */
int llqi_file_write(const char *path, const void *bytes, size_t n);

/* Appends to a file (made if absent) in one write, and flushes it to disk. */
int llqi_file_append(const char *path, const void *bytes, size_t n);

/* Removes a file; one that is not there is fine. */
int llqi_file_remove(const char *path);

/* Makes a directory; one that exists already is fine. Parents must exist. */
int llqi_directory_make(const char *path);

/* 1, or 0 when there is no such thing (or it cannot be looked at). */
int llqi_file_exists(const char *path);
int llqi_directory_exists(const char *path);

/* "<directory>/<name>", to be llqi_freed; NULL: out of memory. */
char *llqi_path_join(const char *directory, const char *name);

#endif
