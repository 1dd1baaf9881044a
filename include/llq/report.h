/* SPDX-License-Identifier: Apache-2.0 */
/** @file report.h
 *  @brief Shows what a sweep found.
 */
#ifndef LLQ_REPORT_H
#define LLQ_REPORT_H

#include <llq/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ffi:begin */

/** The report of one sweep directory. One thread at a time. */
typedef struct llq_report llq_report;

/** Reads a sweep's results.
 *  @param out        the caller's, to close with llq_report_close()
 *  @param directory  holds a sweep.json
 *  @return #LLQ_OK; #LLQ_ERROR_IO; #LLQ_ERROR_FORMAT; #LLQ_ERROR_MEMORY. */
LLQ_API int llq_report_open(llq_report **out, const char *directory);

/** The report as text.
 *  @param format  "text" (a table for a terminal), "markdown", "html", "json"
 *  @param text    out: borrowed from the report until its next call
 *  @return #LLQ_OK; #LLQ_ERROR_ARGUMENT; #LLQ_ERROR_MEMORY. */
LLQ_API int llq_report_text(llq_report *report, const char *format,
                            const char **text);

/** Writes report.md and report.html into the sweep's directory.
 *  @return #LLQ_OK; #LLQ_ERROR_IO; #LLQ_ERROR_MEMORY. */
LLQ_API int llq_report_write(llq_report *report);

/** Closes a report. */
LLQ_API void llq_report_close(llq_report *report);

/* ffi:end */

#ifdef __cplusplus
}
#endif

#endif
