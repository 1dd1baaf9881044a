/* SPDX-License-Identifier: Apache-2.0 */
/* The timing half of bench_cuda_attention.cu. */

/* The graph of one launch for each of n_layers caches. */
struct timing {
  shape s;
  int n_sequences, n_rows, first_position; /* each sequence; rows of one */
};

__global__ void fill_random(uint32_t *x, size_t n, uint32_t seed) {
  for (size_t i = blockIdx.x * static_cast<size_t>(blockDim.x) + threadIdx.x; i < n;
       i += static_cast<size_t>(gridDim.x) * blockDim.x) {
    uint32_t h = static_cast<uint32_t>(i) * 2654435761u ^ seed;
    h = (h ^ h >> 15) * 0x85ebca6bu;
    h = (h ^ h >> 13) * 0xc2b2ae35u;
    x[i] = (h & 0x807f807fu) | 0x3f003f00u; /* of magnitude 0.5 .. 2 */
  }
}

static double graph_time(attend_function attend, const timing &t, int overlaps) {
  const shape &s = t.s;
  int length = t.first_position + t.n_rows, n_pages_each = (length + s.page_size - 1) / s.page_size;
  int n_pages = t.n_sequences * n_pages_each, n_rows = t.n_sequences * t.n_rows;
  size_t cache_n = static_cast<size_t>(n_pages) * s.page_size * s.n_kv * s.d;
  size_t cold = static_cast<size_t>(300) << 20;
  int n_layers = static_cast<int>(std::min<size_t>(400, std::max<size_t>(2, cold / (4 * cache_n))));
  std::vector<int32_t> pages(n_pages);
  for (int i = 0; i < n_pages; i++)
    pages[i] = i;
  std::shuffle(pages.begin(), pages.end(), std::mt19937(7));
  std::vector<llq_segment> segments;
  std::vector<cuda_row> rows;
  for (int i = 0; i < t.n_sequences; i++) {
    segments.push_back({i * t.n_rows, t.n_rows, t.first_position, i * n_pages_each});
    for (int j = 0; j < t.n_rows; j++)
      rows.push_back({i * n_pages_each, t.first_position + j});
  }
  device_array<int32_t> d_pages(pages);
  device_array<llq_segment> d_segments(segments);
  device_array<cuda_row> d_rows(rows);
  device_array<bf16> keys(cache_n * n_layers), values(cache_n * n_layers);
  device_array<bf16> qkv(static_cast<size_t>(n_rows) * s.width());
  device_array<bf16> out(static_cast<size_t>(n_rows) * s.n_heads * s.d);
  device_array<float> cos_sin(std::vector<float>(static_cast<size_t>(length) * s.d, 0.7f));
  fill_random<<<1024, 256>>>(reinterpret_cast<uint32_t *>(keys.data), keys.n / 2, 1);
  fill_random<<<1024, 256>>>(reinterpret_cast<uint32_t *>(values.data), values.n / 2, 2);
  fill_random<<<1024, 256>>>(reinterpret_cast<uint32_t *>(qkv.data), qkv.n / 2, 3);
  CHECK(cudaDeviceSynchronize());
  cuda_batch batch = {d_rows.data,   d_segments.data, d_pages.data, n_rows,
                      t.n_sequences, s.page_size,     t.n_rows,     length};
  cudaStream_t stream;
  CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  cuda_cache cache = {keys.data, values.data, LLQ_BF16, s.page_size, s.n_kv, s.d};
  cuda_attention attention = {&batch, qkv.data, s.n_heads, &cache, cos_sin.data, 0.05f, out.data};
  device_array<char> scratch(sm80_attend_scratch(&attention, 132));
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  for (int i = 0; i < n_layers; i++) {
    cache.keys = keys.data + i * cache_n;
    cache.values = values.data + i * cache_n;
    cuda_launch launch = {stream, 132, overlaps && i > 0, scratch.data, scratch.n};
    CHECK(attend(&launch, &attention));
  }
  CHECK(cudaStreamEndCapture(stream, &graph));
  CHECK(cudaGraphInstantiate(&exec, graph, 0));
  std::vector<float> times;
  cudaEvent_t start, end;
  CHECK(cudaEventCreate(&start));
  CHECK(cudaEventCreate(&end));
  for (int i = 0; i < 7; i++) {
    CHECK(cudaEventRecord(start, stream));
    CHECK(cudaGraphLaunch(exec, stream));
    CHECK(cudaEventRecord(end, stream));
    CHECK(cudaEventSynchronize(end));
    float milliseconds;
    CHECK(cudaEventElapsedTime(&milliseconds, start, end));
    times.push_back(milliseconds * 1e3f / static_cast<float>(n_layers));
  }
  CHECK(cudaGraphExecDestroy(exec));
  CHECK(cudaGraphDestroy(graph));
  CHECK(cudaStreamDestroy(stream));
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}
