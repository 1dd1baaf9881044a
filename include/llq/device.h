/* SPDX-License-Identifier: Apache-2.0 */
/** @file device.h
 *  @brief Backends and the devices they find: what models run on.
 */
#ifndef LLQ_DEVICE_H
#define LLQ_DEVICE_H

#include <llq/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ffi:begin */

/** A backend opened on one device. Shared by any number of generators and
 *  quantizers of one thread; must outlive them. */
typedef struct llq_backend llq_backend;

/** How to open a backend. */
typedef struct llq_backend_options {
  size_t struct_size; /**< sizeof(llq_backend_options) */
  const char *arch;   /**< kernels to use: CPU "reference", "avx2", "avx512";
                           CUDA "sm80", "sm90"; NULL = the best the device
                           can run */
  int32_t n_threads;  /**< CPU threads; 0 = as many as cores allowed */
  int32_t reserved;   /**< 0 */
} llq_backend_options;

/** One device of one backend. */
typedef struct llq_device_info {
  size_t struct_size;    /**< sizeof(llq_device_info) */
  char backend[16];      /**< "cpu", "cuda" */
  int32_t index;         /**< counts from 0 within a backend */
  int32_t usable;        /**< 1, or 0 when `reason` says why not */
  char name[128];        /**< the device's own name for itself */
  char arch[16];         /**< the kernels that would be used */
  char reason[256];      /**< why it is not usable; empty if it is */
  uint64_t memory_bytes; /**< memory in all; 0 if unknown */
  uint64_t memory_free_bytes; /**< memory free now; 0 if unknown */
  int32_t n_units;       /**< cores (CPU) or multiprocessors (GPU) */
  int32_t reserved;      /**< 0 */
  char driver[64];       /**< the driver's version; empty on a CPU */
} llq_device_info;

/** Finds the devices of all backends: the CPU's first, then those of plugins
 *  from the directory of LLQ_BACKEND_PATH, beside libllq.so, or where libllq
 *  was configured to look.
 *  @param n_devices  out: how many there are, usable or not; at least 1
 *  @return #LLQ_OK, #LLQ_ERROR_MEMORY. Any thread. */
LLQ_API int llq_device_count(size_t *n_devices);

/** Describes a device.
 *  @param index  0 .. llq_device_count()'s answer - 1
 *  @param info   filled in up to its struct_size
 *  @return #LLQ_OK, #LLQ_ERROR_ARGUMENT, #LLQ_ERROR_MEMORY. Any thread. */
LLQ_API int llq_device_get(size_t index, llq_device_info *info);

/** Opens a backend on a device.
 *  @param out      the caller's, to close with llq_backend_close()
 *  @param name     "cpu", "cuda" (its first usable device), "cuda:N"; NULL =
 *                  the environment's LLQ_BACKEND, else "cpu"
 *  @param options  NULL = defaults
 *  @return #LLQ_OK; #LLQ_ERROR_ARGUMENT for a name or arch that does not
 *          exist; #LLQ_ERROR_DEVICE when it cannot run here, with the reason;
 *          #LLQ_ERROR_VERSION for a plugin of another ABI; #LLQ_ERROR_MEMORY. */
LLQ_API int llq_backend_open(llq_backend **out, const char *name,
                             const llq_backend_options *options);

/** Describes the device a backend runs on.
 *  @param info  filled in up to its struct_size; arch is the one in use
 *  @return #LLQ_OK, #LLQ_ERROR_ARGUMENT. */
LLQ_API int llq_backend_describe(const llq_backend *backend,
                                 llq_device_info *info);

/** What a device moves and computes when nothing else is asked of it; 0 = not
 *  measured. */
typedef struct llq_device_rates {
  size_t struct_size;   /**< sizeof(llq_device_rates) */
  double read_bytes;    /**< bytes a second that kernels read from memory */
  double copy_bytes;    /**< bytes a second read plus written by a copy */
  double upload_bytes;  /**< bytes a second from pageable host memory */
  double bf16_operations; /**< operations a second of a bf16 matrix product, an
                               addition and a multiplication counted as two */
  double fp8_operations;  /**< of FP8 E4M3 */
  double int8_operations; /**< of int8 */
} llq_device_rates;

/** Measures a device for about a second. Takes a few GB of its memory.
 *  @param rates  filled in up to its struct_size
 *  @return #LLQ_OK; #LLQ_ERROR_UNSUPPORTED if the backend has no such
 *          measurement (the CPU); #LLQ_ERROR_MEMORY, #LLQ_ERROR_DEVICE. */
LLQ_API int llq_backend_measure(llq_backend *backend, llq_device_rates *rates);

/** The time that one kind of operation has taken. */
typedef struct llq_profile_entry {
  size_t struct_size; /**< sizeof(llq_profile_entry) */
  char name[96];      /**< operation and shape */
  uint64_t n_calls;   /**< how often it was called */
  double seconds;     /**< on the device, of all calls together */
} llq_profile_entry;

/** Begins a profile, or ends it. While it is on, each operation is timed by
 *  itself, which makes the whole slower: nothing overlaps.
 *  @param is_on  1 = forget what there is and begin; 0 = end
 *  @return #LLQ_OK; #LLQ_ERROR_UNSUPPORTED (the CPU). */
LLQ_API int llq_backend_profile(llq_backend *backend, int32_t is_on);

/** One entry of the profile, in the order in which they first occurred.
 *  @return #LLQ_OK; #LLQ_ERROR_ARGUMENT when there is no entry `index`. */
LLQ_API int llq_backend_profile_get(llq_backend *backend, uint64_t index,
                                    llq_profile_entry *entry);

/** Closes a backend that no generator or quantizer uses any more. */
LLQ_API void llq_backend_close(llq_backend *backend);

/* ffi:end */

/** An llq_backend_options to start from: its size, and defaults. */
#define LLQ_BACKEND_OPTIONS_INIT {sizeof(llq_backend_options), NULL, 0, 0}
/** An llq_device_info to start from: its size, and defaults. */
#define LLQ_DEVICE_INFO_INIT {sizeof(llq_device_info), "", 0, 0, "", "", "", \
                              0, 0, 0, 0, ""}

/** An llq_device_rates to start from: its size, and zeros. */
#define LLQ_DEVICE_RATES_INIT {sizeof(llq_device_rates), 0, 0, 0, 0, 0, 0}
/** An llq_profile_entry to start from: its size, and zeros. */
#define LLQ_PROFILE_ENTRY_INIT {sizeof(llq_profile_entry), "", 0, 0}

#ifdef __cplusplus
}
#endif

#endif
