/* SPDX-License-Identifier: Apache-2.0 */
/** @file status.h
 *  @brief Result codes, the error message, the log, and progress.
 */
#ifndef LLQ_STATUS_H
#define LLQ_STATUS_H

#include <stddef.h>
#include <stdint.h>

/** Marks what libllq.so exports; empty for those who use it. */
#ifdef LLQ_BUILDING
#define LLQ_API __attribute__((visibility("default")))
#else
#define LLQ_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ffi:begin */

/** What a call returned: one code for each thing a caller could do about it. */
enum llq_status {
  LLQ_OK = 0,                  /**< done */
  LLQ_MORE = 1,                /**< a step: done, and there is more to do */
  LLQ_ERROR_ARGUMENT = -10,    /**< the call is wrong: change the call */
  LLQ_ERROR_MEMORY = -20,      /**< out of memory, on the host or a device */
  LLQ_ERROR_IO = -30,          /**< a file cannot be read or written */
  LLQ_ERROR_FORMAT = -40,      /**< a file's content is invalid */
  LLQ_ERROR_UNSUPPORTED = -50, /**< valid, but not something libllq does */
  LLQ_ERROR_DEVICE = -60,      /**< a backend or its device failed */
  LLQ_ERROR_SANDBOX = -70,     /**< untrusted code cannot be isolated here */
  LLQ_ERROR_VERSION = -80,     /**< caller, plugin and library don't match */
  LLQ_ERROR_STATE = -90,       /**< the handle cannot do this now */
  LLQ_ERROR_INTERNAL = -100    /**< a bug in libllq: report it */
};

/** How important a log line is. */
enum llq_log_level {
  LLQ_LOG_ERROR = 0,
  LLQ_LOG_WARNING = 1,
  LLQ_LOG_INFO = 2,
  LLQ_LOG_DEBUG = 3
};

/** How far stepped work is. Filled in by the step functions. */
typedef struct llq_progress {
  size_t struct_size; /**< sizeof(llq_progress) */
  uint64_t done;      /**< units finished */
  uint64_t total;     /**< units in all; 0 while that is unknown */
  const char *unit;   /**< "layers", "tokens", ...; static text */
  char what[104];     /**< what the last step worked on; may be empty */
} llq_progress;

/** The library's version, "major.minor.patch". Static text; any thread. */
LLQ_API const char *llq_version(void);

/** The name of a status code, such as "LLQ_ERROR_FORMAT".
 *  @param status  any int; "unknown status" for one that is no code.
 *  @return static text; any thread. */
LLQ_API const char *llq_status_name(int status);

/** What went wrong in the calling thread's last failed call: one line that
 *  names the file, tensor or argument, what was expected and what was found.
 *  Calls that can fail clear it when they begin; close functions keep it.
 *  @return text valid until this thread's next call; empty if none failed. */
LLQ_API const char *llq_error_message(void);

/** Frees what a call returned as owned by the caller. NULL is fine.
 *  @param memory  memory from a libllq call that says "llq_free() frees it". */
LLQ_API void llq_free(void *memory);

/** Receives log lines.
 *  @param user   what llq_log_set() was given
 *  @param level  of #llq_log_level
 *  @param line   one line without a newline; valid during the call */
typedef void (*llq_log_sink)(void *user, int level, const char *line);

/** Sends log lines of at least some importance to a sink. libllq prints
 *  nothing by itself, and has no sink until this is called.
 *  @param sink   NULL to switch the log off; called from any thread
 *  @param user   passed on to the sink
 *  @param level  the least important level wanted, of #llq_log_level
 *  The one process-wide setting: call it before other threads use libllq. */
LLQ_API void llq_log_set(llq_log_sink sink, void *user, int level);

/** The size that this library has for one of its public structs, for
 *  bindings without a compiler to compare with theirs.
 *  @param name  a struct's name, such as "llq_progress"
 *  @return bytes; 0 for a name that is not a public struct. Any thread. */
LLQ_API size_t llq_sizeof(const char *name);

/* ffi:end */

/** An llq_progress to pass to a step function. */
#define LLQ_PROGRESS_INIT {sizeof(llq_progress), 0, 0, NULL, ""}

#ifdef __cplusplus
}
#endif

#endif
