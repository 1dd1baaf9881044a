/* SPDX-License-Identifier: Apache-2.0 */
/* Sequences, pages and a cache for bench_cuda_attention.cu. */

struct shape {
  int d, n_heads, n_kv, page_size;
  int width() const {
    return (n_heads + 2 * n_kv) * d;
  }
};

/* Device memory that frees itself. */
template <typename T> struct device_array {
  T *data = nullptr;
  size_t n;
  explicit device_array(size_t n) : n(n) {
    CHECK(cudaMallocAsync(&data, std::max<size_t>(n, 1) * sizeof(T), 0));
  }
  explicit device_array(const std::vector<T> &from) : device_array(from.size()) {
    CHECK(cudaMemcpy(data, from.data(), n * sizeof(T), cudaMemcpyHostToDevice));
  }
  device_array(const device_array &) = delete;
  ~device_array() {
    cudaFreeAsync(data, 0);
  }
  std::vector<T> download() const {
    std::vector<T> to(n);
    CHECK(cudaMemcpy(to.data(), data, n * sizeof(T), cudaMemcpyDeviceToHost));
    return to;
  }
};

/* Sequences whose tokens' q, k and v are known beforehand. */
struct world {
  shape s;
  std::vector<int> lengths, first_page, first_token;
  std::vector<int32_t> pages;
  std::vector<bf16> qkv; /* [tokens, width] */
  std::vector<float> cos_sin;
  int n_pages = 0, n_tokens = 0;
};

static bf16 not_a_number() {
  return __ushort_as_bfloat16(0x7fff);
}

static world make_world(const shape &s, const std::vector<int> &lengths, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  world w = {s, lengths, {}, {}, {}, {}, {}};
  for (int length : lengths) {
    w.first_page.push_back(static_cast<int>(w.pages.size()));
    w.first_token.push_back(w.n_tokens);
    w.n_tokens += length;
    for (int i = 0; i * s.page_size < length; i++)
      w.pages.push_back(w.n_pages++);
  }
  std::shuffle(w.pages.begin(), w.pages.end(), random);
  w.qkv.resize(static_cast<size_t>(w.n_tokens) * s.width());
  for (auto &x : w.qkv)
    x = __float2bfloat16(1.5f * normal(random));
  int longest = *std::max_element(lengths.begin(), lengths.end());
  for (int p = 0; p < longest; p++)
    for (int i = 0; i < s.d; i++) {
      double angle = p * pow(10000, -2.0 * (i % (s.d / 2)) / s.d);
      w.cos_sin.push_back(static_cast<float>(i < s.d / 2 ? cos(angle) : sin(angle)));
    }
  return w;
}

/* A cache full of what must never be seen. */
struct cache_memory {
  device_array<bf16> keys, values;
  explicit cache_memory(const world &w, bf16 fill)
      : keys(std::vector<bf16>(size_of(w), fill)), values(std::vector<bf16>(size_of(w), fill)) {
  }
  static size_t size_of(const world &w) {
    return static_cast<size_t>(w.n_pages) * w.s.page_size * w.s.n_kv * w.s.d;
  }
  cuda_cache view(const world &w) const {
    return {keys.data, values.data, LLQ_BF16, w.s.page_size, w.s.n_kv, w.s.d};
  }
};

static float turned(const bf16 *head, const float *table, int i, int d) {
  int half = d / 2;
  float a = __bfloat162float(head[i % half]), b = __bfloat162float(head[i % half + half]);
  float c = table[i % half], s = table[half + i % half];
  volatile float x = (i < half ? a : b) * c, y = (i < half ? b : a) * s;
  return __bfloat162float(__float2bfloat16(i < half ? x - y : x + y));
}

/* The tokens of all sequences with q and k turned. */
static std::vector<bf16> turn(const world &w) {
  std::vector<bf16> turned_qkv = w.qkv;
  const shape &s = w.s;
  for (size_t i = 0; i < w.lengths.size(); i++)
    for (int p = 0; p < w.lengths[i]; p++) {
      size_t row = static_cast<size_t>(w.first_token[i] + p) * s.width();
      for (int h = 0; h < s.n_heads + s.n_kv; h++)
        for (int e = 0; e < s.d; e++)
          turned_qkv[row + h * s.d + e] =
              __float2bfloat16(turned(&w.qkv[row + h * s.d], &w.cos_sin[p * s.d], e, s.d));
    }
  return turned_qkv;
}
