# SPDX-License-Identifier: Apache-2.0
# LLQ_CUDA: finds nvcc by compiling for both kernel tables with it.
# Sets HAVE_CUDA, NVCC, NVCC_CCBIN, NVCCFLAGS, CUDA_HOME.
AC_DEFUN([LLQ_CUDA], [
AC_ARG_ENABLE([cuda],
  [AS_HELP_STRING([--enable-cuda=auto|yes|no],
    [build the CUDA plugin (default: auto, if nvcc works)])],
  [], [enable_cuda=auto])
AC_ARG_WITH([cuda],
  [AS_HELP_STRING([--with-cuda=DIR],
    [the CUDA toolkit (default: where nvcc is)])],
  [], [with_cuda=])
AC_ARG_VAR([NVCC], [the CUDA compiler])
AC_ARG_VAR([NVCCFLAGS], [its flags (default: -O3 -lineinfo)])
AS_IF([test "$with_cuda" = no], [enable_cuda=no])

llq_cuda_summary=no
AS_IF([test "$enable_cuda" != no], [
  AC_PATH_PROG([NVCC], [nvcc], [],
    [$with_cuda/bin$PATH_SEPARATOR$PATH$PATH_SEPARATOR/usr/local/cuda/bin])
  # nvcc takes a program as its host compiler, not one with flags or a wrapper.
  set dummy $CXX
  case $[2] in *ccache | *distcc) shift ;; esac
  NVCC_CCBIN=$[2]
  AS_IF([test -z "$NVCCFLAGS"], [NVCCFLAGS="-O3 -lineinfo"])
  llq_cuda_works=no
  AS_IF([test -n "$NVCC"], [
    AC_CACHE_CHECK([whether $NVCC compiles for sm_80 and sm_90a],
      [llq_cv_nvcc], [
      # cuBLASLt's library itself is looked for at run time only.
      { echo '#include <cublasLt.h>'
        echo '__global__ void probe(int *x) { *x = 1; }'; } > conftest.cu
      AS_IF([$NVCC -ccbin $NVCC_CCBIN -std=c++17 \
             -gencode arch=compute_80,code=sm_80 \
             -gencode arch=compute_90a,code=sm_90a \
             -c conftest.cu -o conftest.o >&AS_MESSAGE_LOG_FD 2>&1],
        [llq_cv_nvcc=yes], [llq_cv_nvcc=no])
      rm -f conftest.cu conftest.o])
    llq_cuda_works=$llq_cv_nvcc])
  AS_IF([test "$llq_cuda_works" = yes], [
    AS_IF([test -n "$with_cuda" && test "$with_cuda" != yes],
      [CUDA_HOME=$with_cuda],
      [CUDA_HOME=$(dirname "$(dirname "$(readlink -f "$NVCC")")")])
    llq_cuda_summary="$CUDA_HOME, sm_80 and sm_90a"
  ], [test "$enable_cuda" = yes],
    [AC_MSG_ERROR([--enable-cuda=yes, but no working nvcc (see config.log)])])
])
AC_SUBST([NVCC_CCBIN])
AC_SUBST([CUDA_HOME])
AM_CONDITIONAL([HAVE_CUDA], [test "$llq_cuda_summary" != no])
])
