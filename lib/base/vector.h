/* SPDX-License-Identifier: Apache-2.0 */
/* For loops that the compiler turns into SIMD code. */
#ifndef LLQI_BASE_VECTOR_H
#define LLQI_BASE_VECTOR_H

/* Compiles a function of hot loops for several levels of x86-64; the loader
   picks one. The sanitizers cannot run before the loader has finished, and get
   one version. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) &&         \
    !defined(__SANITIZE_ADDRESS__)
#define LLQI_VECTOR                                                            \
  __attribute__((optimize("O3"), target_clones("default", "arch=x86-64-v3",    \
                                               "arch=x86-64-v4")))
#else
#define LLQI_VECTOR
#endif

#endif
