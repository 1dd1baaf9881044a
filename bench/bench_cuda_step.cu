/* SPDX-License-Identifier: Apache-2.0 */
/* A step that decodes one token of each of some sequences, of the shape of
   Llama-3.1-8B with random weights: the recorded graph as a whole, with parts
   left out, and without overlap. What the parts cost, and what lies between
   them, is the difference.

     bench/bench_cuda_step [ROWS [FORMAT [CONTEXT]]]   default 1 int4-g128 160 */
#include <time.h>

#include "cuda_stream_test.cuh"

#include "backends/cuda/common/attention.h"
#include "backends/cuda/common/draw.h"
#include "backends/cuda/common/inputs.h"

namespace {

constexpr int n_layers = 32, hidden_size = 4096, inner_size = 14336,
              n_vocab = 128256;
constexpr int n_heads = 32, n_kv_heads = 8, head_size = 128, page_size = 64;
constexpr int qkv_width = (n_heads + 2 * n_kv_heads) * head_size;

enum part {
  QKV = 1,
  ATTEND = 2,
  O = 4,
  GATE_UP = 8,
  DOWN = 16, /* of a layer */
  INPUTS = 32,
  OUTPUT = 64,
  DRAW = 128,
  LINEARS = QKV | O | GATE_UP | DOWN,
  ALL = 255
};

template <class T> T *device_copy(const std::vector<T> &from) {
  void *p;
  CHECK(cudaMalloc(&p, from.size() * sizeof(T)));
  CHECK(cudaMemcpy(p, from.data(), from.size() * sizeof(T),
                   cudaMemcpyHostToDevice));
  return static_cast<T *>(p);
}

/* Sequences of `context` tokens before the one that is decoded. */
struct sequences {
  std::vector<llq_segment> segments;
  std::vector<int32_t> pages, ids, numbers;
  std::vector<llq_draw> draws;
  cuda_batch batch = {};

  sequences(int n, int context) {
    int n_pages = context / page_size + 1;
    for (int i = 0; i < n; i++) {
      segments.push_back({i, 1, context, i * n_pages});
      ids.push_back(i * 7919 % n_vocab);
      numbers.push_back(i);
      draws.push_back({});
      for (int p = 0; p < n_pages; p++)
        pages.push_back(i * n_pages + p);
    }
    batch.segments = device_copy(segments);
    batch.pages = device_copy(pages);
    batch.n_rows = batch.n_segments = n;
    batch.page_size = page_size;
    batch.n_segment_rows_max = 1;
    batch.n_positions_max = 256;
    while (batch.n_positions_max <= context)
      batch.n_positions_max *= 2;
  }
};

struct model {
  std::vector<cuda_linear> linears[4];
  cuda_linear output;
  bf16 *norm, *embedding, *hidden, *qkv, *attended, *inner, *last, *keys,
      *values;
  float *cos_sin, *logits;
  int32_t *ids, *numbers;
  llq_draw *draws, *drawn;
  char *inputs, *host_inputs;
  sequences s;
  int n;

  model(const format &f, int n, int context) : s(n, context), n(n) {
    for (int i = 0; i < 4; i++)
      for (int j = 0; j < n_layers; j++) {
        cuda_linear plain = random_linear(f, layer[i].n_out, layer[i].n_in),
                    w = tiled(plain);
        if (w.data != plain.data)
          release(plain);
        linears[i].push_back(w);
      }
    output = random_linear(formats[4], n_vocab, hidden_size);
    norm = random_bf16(inner_size, 1, 0.5f);
    embedding = random_bf16(static_cast<int64_t>(n_vocab) * hidden_size, 0, 1);
    hidden = random_bf16(n * hidden_size, 0, 1);
    qkv = random_bf16(n * qkv_width, 0, 1);
    attended = random_bf16(n * hidden_size, 0, 1);
    inner = random_bf16(n * inner_size, 0, 1);
    last = random_bf16(n * hidden_size, 0, 1);
    int64_t n_cached = static_cast<int64_t>(s.pages.size()) * page_size *
                       n_kv_heads * head_size;
    keys = random_bf16(n_layers * n_cached, 0, 1);
    values = random_bf16(n_layers * n_cached, 0, 1);
    cos_sin =
        device_copy(std::vector<float>((context + 1) * head_size, 0.70710678f));
    CHECK(cudaMalloc(&logits, 4ll * n * n_vocab));
    ids = device_copy(s.ids);
    numbers = device_copy(s.numbers);
    draws = device_copy(s.draws);
    CHECK(cudaMalloc(&inputs, 4096));
    CHECK(cudaMallocHost(&host_inputs, 4096));
    CHECK(cudaMallocHost(&drawn, n * sizeof(llq_draw)));
    memset(host_inputs, 0, 4096);
  }

  void linear(const cuda_launch &launch, int which, int j) const {
    const bf16 *x[] = {hidden, attended, hidden, inner};
    bf16 *out[] = {qkv, hidden, inner, hidden};
    const cuda_product product = {&linears[which][j],
                                  x[which],
                                  n,
                                  layer[which].norm ? norm : nullptr,
                                  1e-5f,
                                  layer[which].swiglu,
                                  layer[which].residual ? hidden : nullptr,
                                  out[which],
                                  LLQ_BF16};
    CHECK(sm90_fast(&launch, &product));
  }

  void attend(const cuda_launch &launch, int j) const {
    int64_t at = static_cast<int64_t>(s.pages.size()) * page_size * n_kv_heads *
                 head_size * j;
    const cuda_cache cache = {keys + at, values + at, LLQ_BF16,
                              page_size, n_kv_heads,  head_size};
    const cuda_attention attention = {&s.batch, qkv,       n_heads, &cache,
                                      cos_sin,  0.088388f, attended};
    CHECK(sm90_attend(&launch, &attention));
  }

  void run_output(const cuda_launch &launch, int parts) const {
    const cuda_product product = {&output, last,    n,      norm,   1e-5f,
                                  0,       nullptr, logits, LLQ_F32};
    if (parts & INPUTS)
      CHECK(common_pick(&launch, hidden, numbers, n, hidden_size, last));
    if (parts & OUTPUT)
      CHECK(sm90_fast(&launch, &product));
    if (parts & DRAW)
      CHECK(common_draw(&launch, logits, n, n_vocab, draws, drawn));
  }

  void step(int parts, int overlaps) const {
    const cuda_launch launch = {stream, n_units, overlaps, scratch,
                                scratch_size};
    if (parts & INPUTS) {
      CHECK(common_fetch(&launch, host_inputs, 1024, inputs));
      CHECK(common_pick(&launch, embedding, ids, n, hidden_size, hidden));
    }
    for (int j = 0; j < n_layers; j++) {
      if (parts & QKV)
        linear(launch, 0, j);
      if (parts & ATTEND)
        attend(launch, j);
      if (parts & O)
        linear(launch, 1, j);
      if (parts & GATE_UP)
        linear(launch, 2, j);
      if (parts & DOWN)
        linear(launch, 3, j);
    }
    run_output(launch, parts);
  }

  double floor_us(int parts, double bandwidth) const {
    double size = parts & OUTPUT ? total_size(output) : 0;
    for (int i = 0; i < 4; i++)
      if (parts & (i == 0 ? QKV : O << (i - 1)))
        size += n_layers * total_size(linears[i][0]);
    return size / bandwidth * 1e-6;
  }
};

/* A recorded step. */
struct recorded {
  cudaGraphExec_t executable;

  recorded(const model &m, int parts, int overlaps) {
    cudaGraph_t graph;
    CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    m.step(parts, overlaps);
    CHECK(cudaStreamEndCapture(stream, &graph));
    CHECK(cudaGraphInstantiate(&executable, graph, 0));
    CHECK(cudaGraphDestroy(graph));
  }

  ~recorded() {
    CHECK(cudaGraphExecDestroy(executable));
  }

  /* Median microseconds of 21 replays; `host`: as the host sees them, with its
     launch and its wait. */
  double median_us(bool host) const {
    std::vector<double> times;
    cudaEvent_t begin, end;
    CHECK(cudaEventCreate(&begin));
    CHECK(cudaEventCreate(&end));
    for (int i = 0; i < 24; i++) {
      float ms;
      timespec from, to;
      clock_gettime(CLOCK_MONOTONIC, &from);
      if (!host)
        CHECK(cudaEventRecord(begin, stream));
      CHECK(cudaGraphLaunch(executable, stream));
      if (!host)
        CHECK(cudaEventRecord(end, stream));
      CHECK(cudaStreamSynchronize(stream));
      clock_gettime(CLOCK_MONOTONIC, &to);
      if (!host)
        CHECK(cudaEventElapsedTime(&ms, begin, end));
      else
        ms = (to.tv_sec - from.tv_sec) * 1e3f +
             (to.tv_nsec - from.tv_nsec) * 1e-6f;
      if (i >= 3)
        times.push_back(1e3 * ms);
    }
    CHECK(cudaEventDestroy(begin));
    CHECK(cudaEventDestroy(end));
    std::sort(times.begin(), times.end());
    return times[times.size() / 2];
  }
};

void time_parts(const model &m, const char *what, int parts, double bandwidth) {
  double floor = m.floor_us(parts, bandwidth);
  double us = recorded(m, parts, 1).median_us(false);
  printf("%-28s %8.1f us, floor %7.1f (%5.1f %%); %6.2f a layer; ", what, us,
         floor, 100 * floor / us, us / n_layers);
  printf("without overlap %8.1f\n", recorded(m, parts, 0).median_us(false));
}

void time_step(const model &m, double bandwidth) {
  struct {
    const char *what;
    int parts;
  } cases[] = {
      {"all", ALL},
      {"without draw", ALL & ~DRAW},
      {"without draw, lm_head", ALL & ~DRAW & ~OUTPUT},
      {"layers", LINEARS | ATTEND},
      {"linears", LINEARS},
      {"qkv", QKV},
      {"attention", ATTEND},
      {"o", O},
      {"gate_up", GATE_UP},
      {"down", DOWN},
      {"qkv, attention", QKV | ATTEND},
      {"attention, o", ATTEND | O},
      {"qkv, attention, o", QKV | ATTEND | O},
      {"gate_up, down", GATE_UP | DOWN},
      {"inputs", INPUTS},
      {"lm_head", OUTPUT},
      {"draw", DRAW},
      {"inputs, lm_head, draw", INPUTS | OUTPUT | DRAW},
  };
  for (auto &c : cases)
    time_parts(m, c.what, c.parts, bandwidth);
  printf("all, as the host sees it     %8.1f us\n",
         recorded(m, ALL, 1).median_us(true));
}

} // namespace

int main(int argc, char **argv) {
  int n = argc > 1 ? atoi(argv[1]) : 1,
      context = argc > 3 ? atoi(argv[3]) : 160;
  const char *name = argc > 2 ? argv[2] : "int4-g128";
  cudaDeviceProp properties;
  CHECK(cudaGetDeviceProperties(&properties, 0));
  CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  make_scratch();
  n_units = properties.multiProcessorCount;
  for (const format &f : formats)
    if (strcmp(f.name, name) == 0 && n >= 1 && context >= 1) {
      model m(f, n, context);
      CHECK(cudaStreamSynchronize(stream));
      double bandwidth = measure_bandwidth();
      printf("%s, read bandwidth %.3f TB/s; %s, %d rows after %d tokens\n",
             properties.name, bandwidth, name, n, context);
      time_step(m, bandwidth);
      return 0;
    }
  printf("usage: bench_cuda_step [ROWS [FORMAT [CONTEXT]]]\n");
  return 2;
}
