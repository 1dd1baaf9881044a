# SPDX-License-Identifier: Apache-2.0
EXTRA_DIST += bench/gptq_peer.py bench/paired_kl.py bench/quantizer_quality.py \
	bench/quantizer_speed.py bench/tokenizer.py

# Whole models by torch, transformers and llama.cpp, beside `llq bench`
EXTRA_DIST += bench/llama_cpp_peer.py bench/random_gguf.py bench/whole_peers.py

# Programs a second: bench/bench_sandbox ../shared/data/HumanEval.jsonl.gz
EXTRA_PROGRAMS += bench/bench_sandbox
bench_bench_sandbox_LDADD = libllqi.la

# Rates of round-to-nearest, beside those of memory.
EXTRA_PROGRAMS += bench/bench_quantizer
bench_bench_quantizer_LDADD = libllqi.la

# The CPU's linears, beside memory and arithmetic: bench/bench_linear [arch [threads]]
EXTRA_PROGRAMS += bench/bench_linear
bench_bench_linear_LDADD = libllqi.la

# Tokens a second: bench/bench_generate MODEL [THREADS [f32|bf16]]
EXTRA_PROGRAMS += bench/bench_generate
bench_bench_generate_LDADD = libllq.la
# From files to a device: bench/bench_load DIRECTORY BACKEND [cold]
EXTRA_PROGRAMS += bench/bench_load
bench_bench_load_LDADD = libllq.la
# GPTQ's time: bench/bench_gptq MODEL BACKEND [SAMPLES [LENGTH [LAYERS ...]]]
EXTRA_PROGRAMS += bench/bench_gptq
bench_bench_gptq_LDADD = libllq.la
# A whole model's tokens a second: bench/bench_forward [model [threads [scheme ...]]]
EXTRA_PROGRAMS += bench/bench_forward
bench_bench_forward_SOURCES = bench/bench_forward.c \
	tests/support/forward_run.c tests/support/forward_run.h
bench_bench_forward_LDADD = libllqi.la

# The CUDA tables' attention:
# bench/bench_cuda_attention [quick|check|time|prompts]
EXTRA_DIST += bench/bench_cuda_attention.cu \
	bench/bench_cuda_attention_ceiling.h bench/bench_cuda_attention_tables.h \
	bench/bench_cuda_attention_time.h bench/bench_cuda_attention_world.h
if HAVE_CUDA
EXTRA_PROGRAMS += bench/bench_cuda_attention
bench_bench_cuda_attention_SOURCES =
nodist_EXTRA_bench_bench_cuda_attention_SOURCES = force-cxx-link.cc
bench_bench_cuda_attention_LDFLAGS = $(AM_LDFLAGS) -L$(CUDA_HOME)/lib64
bench_bench_cuda_attention_LDADD = bench/bench_cuda_attention.lo \
	lib/backends/cuda/common/rates.lo \
	lib/backends/cuda/sm80/attention.lo lib/backends/cuda/sm90/attention.lo \
	-lcublasLt -lcudart_static -lrt -lpthread -ldl
endif

sm90_mixed = lib/backends/cuda/sm90/mixed.lo lib/backends/cuda/sm90/mixed_int4.lo \
	lib/backends/cuda/sm90/mixed_plain.lo

# The CUDA kernels of few rows: bench/bench_cuda_stream [test|quick|bench]
EXTRA_DIST += bench/bench_cuda_stream.cu bench/cuda_stream_problem.cuh \
	bench/cuda_stream_test.cuh
if HAVE_CUDA
EXTRA_PROGRAMS += bench/bench_cuda_stream
bench_bench_cuda_stream_SOURCES =
nodist_EXTRA_bench_bench_cuda_stream_SOURCES = force-cxx-link.cc
bench_bench_cuda_stream_LDFLAGS = $(AM_LDFLAGS) -L$(CUDA_HOME)/lib64
bench_bench_cuda_stream_LDADD = bench/bench_cuda_stream.lo \
	lib/backends/cuda/any/elementwise.lo lib/backends/cuda/any/linear.lo \
	lib/backends/cuda/common/quantize.lo lib/backends/cuda/common/repack.lo \
	lib/backends/cuda/sm80/fixed.lo lib/backends/cuda/sm80/stream.lo \
	lib/backends/cuda/sm90/fixed.lo $(sm90_mixed) \
	lib/backends/cuda/sm90/stream.lo \
	-lcudart_static -lrt -lpthread -ldl
endif

# A whole step of decoding, and its parts: bench/bench_cuda_step [ROWS [FORMAT]]
EXTRA_DIST += bench/bench_cuda_step.cu
if HAVE_CUDA
EXTRA_PROGRAMS += bench/bench_cuda_step
bench_bench_cuda_step_SOURCES =
nodist_EXTRA_bench_bench_cuda_step_SOURCES = force-cxx-link.cc
bench_bench_cuda_step_LDFLAGS = $(AM_LDFLAGS) -L$(CUDA_HOME)/lib64
bench_bench_cuda_step_LDADD = bench/bench_cuda_step.lo \
	lib/backends/cuda/any/elementwise.lo lib/backends/cuda/any/linear.lo \
	lib/backends/cuda/common/draw.lo lib/backends/cuda/common/inputs.lo \
	lib/backends/cuda/common/repack.lo lib/backends/cuda/sm80/fixed.lo \
	lib/backends/cuda/sm80/stream.lo lib/backends/cuda/sm90/attention.lo \
	lib/backends/cuda/sm90/fixed.lo $(sm90_mixed) \
	lib/backends/cuda/sm90/stream.lo -lcudart_static -lrt -lpthread -ldl
endif

# Products through cuBLASLt, and rows between products:
# bench/bench_cuda_library [test|rows|time]; bench/cuda_peers.py for torch's
EXTRA_DIST += bench/bench_cuda_library.cu bench/bench_cuda_sm80.cu \
	bench/bench_cuda_support.cuh bench/cuda_peers.py
if HAVE_CUDA
EXTRA_PROGRAMS += bench/bench_cuda_library
bench_bench_cuda_library_SOURCES =
nodist_EXTRA_bench_bench_cuda_library_SOURCES = force-cxx-link.cc
bench_bench_cuda_library_LDFLAGS = $(AM_LDFLAGS) -L$(CUDA_HOME)/lib64
bench_bench_cuda_library_LDADD = bench/bench_cuda_library.lo \
	lib/backends/cuda/any/elementwise.lo lib/backends/cuda/any/linear.lo \
	lib/backends/cuda/common/dequantize.lo \
	lib/backends/cuda/common/quantize.lo lib/backends/cuda/common/sums.lo \
	lib/backends/cuda/llq_cuda_la-fastest.lo \
	lib/backends/cuda/llq_cuda_la-library.lo \
	lib/backends/cuda/llq_cuda_la-library_product.lo \
	-lcudart_static -lrt -lpthread -ldl
# Products of sm80's mma.sync: bench/bench_cuda_sm80 [test|time]
EXTRA_PROGRAMS += bench/bench_cuda_sm80
bench_bench_cuda_sm80_SOURCES =
nodist_EXTRA_bench_bench_cuda_sm80_SOURCES = force-cxx-link.cc
bench_bench_cuda_sm80_LDFLAGS = $(AM_LDFLAGS) -L$(CUDA_HOME)/lib64
bench_bench_cuda_sm80_LDADD = bench/bench_cuda_sm80.lo \
	lib/backends/cuda/any/elementwise.lo lib/backends/cuda/any/linear.lo \
	lib/backends/cuda/common/quantize.lo lib/backends/cuda/sm80/mixed.lo \
	-lcudart_static -lrt -lpthread -ldl
bench/bench_cuda_sm80.lo bench/bench_cuda_library.lo: AM_CPPFLAGS += -I$(top_srcdir)
endif

# Int4 products of many rows, checked and timed: bench/bench_cuda_mixed [test|time]
EXTRA_DIST += bench/bench_cuda_mixed.cu bench/mixed_reference.cuh bench/mixed_test.cuh
if HAVE_CUDA
EXTRA_PROGRAMS += bench/bench_cuda_mixed
bench_bench_cuda_mixed_SOURCES =
nodist_EXTRA_bench_bench_cuda_mixed_SOURCES = force-cxx-link.cc
bench_bench_cuda_mixed_LDFLAGS = $(AM_LDFLAGS) -L$(CUDA_HOME)/lib64
bench_bench_cuda_mixed_LDADD = bench/bench_cuda_mixed.lo \
	$(sm90_mixed) \
	-lcublasLt -lcudart_static -lrt -lpthread -ldl
endif
