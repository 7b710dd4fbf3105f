// The nearest centre of every row of few features, by differences: a thread keeps rows in registers.
//
// Leaves what nearest_tiled() leaves, with the same meaning.

// A centre's features as they lie in shared memory, read at once.
template <int D>
struct __align__(D % 4 == 0 ? 16 : 8) Point {
  float value[D];
};

// The d numbers of a row less origin; 0 from there to D.
template <typename T, int D>
__device__ __forceinline__ void load_row(float (&row)[D], const T* __restrict__ from,
                                         long long column_stride,
                                         const Origin<T>* __restrict__ origin, int d) {
  if (d == D && column_stride == 1) {
    const Matrix<T> whole{from, 0, 1};
#pragma unroll
    for (int t = 0; t < D; ++t) row[t] = whole.about(0, t, origin[t]);
  } else {
    const Matrix<T> part{from, 0, column_stride};
#pragma unroll
    for (int t = 0; t < D; ++t) row[t] = t < d ? part.about(0, t, origin[t]) : 0;
  }
}

// A thread takes ROWS rows, THREADS apart, of d <= D features, and all centres; of these BN at a time
// lie in shared memory, where all lanes read the same one. ceil(n / (ROWS * THREADS)) blocks.
template <typename T, typename Cost, int D, int ROWS, int BN, int THREADS>
__global__ void __launch_bounds__(THREADS, 1)
    nearest_narrow(const T* __restrict__ x, long long row_stride, long long column_stride,
                   const Origin<T>* __restrict__ origin, const float* __restrict__ shifted,
                   const float* __restrict__ norms, long long n, int k, int d,
                   int* __restrict__ label, float* __restrict__ best, float* __restrict__ second) {
  constexpr int AHEAD = 4;
  static_assert(BN % AHEAD == 0, "centres are taken AHEAD at a time");
  __shared__ Point<D> centers[BN];
  __shared__ float overflows[BN];
  const long long row0 = (long long)blockIdx.x * (ROWS * THREADS) + threadIdx.x;
  float own[ROWS][D], overflow = 0;  // NaN where a centre overflows
  Ranked<float> ranked[ROWS];
#pragma unroll
  for (int r = 0; r < ROWS; ++r) {  // the last row fills up what is left
    const long long row = row0 + r * THREADS < n ? row0 + r * THREADS : n - 1;
    load_row(own[r], x + row * row_stride, column_stride, origin, d);
    ranked[r].clear();
  }
  for (int first = 0; first < k; first += BN) {
    const int count = k - first < BN ? k - first : BN;
    __syncthreads();
    for (int e = threadIdx.x; e < BN; e += THREADS) {
      const bool real = e < count;
      overflows[e] = real ? 0 * norms[first + e] : 0;
#pragma unroll
      for (int t = 0; t < D; ++t) {  // beyond k they are infinitely far
        centers[e].value[t] = !real   ? infinity<float>()
                              : t < d ? shifted[(long long)t * k + first + e]
                                      : 0;
      }
    }
    __syncthreads();
    for (int j = 0; j < count; j += AHEAD) {
#pragma unroll
      for (int u = 0; u < AHEAD; ++u) {
        const Point<D> center = centers[j + u];
        overflow += overflows[j + u];
#pragma unroll
        for (int r = 0; r < ROWS; ++r) {
          float cost = 0;
#pragma unroll
          for (int t = 0; t < D; ++t) cost = Cost::add(cost, own[r][t], center.value[t]);
          ranked[r].consider(cost, first + j + u);
        }
      }
    }
  }
#pragma unroll
  for (int r = 0; r < ROWS; ++r) {
    const long long row = row0 + r * THREADS;
    if (row < n) {
      label[row] = ranked[r].label;
      best[row] = ranked[r].best + overflow;
      second[row] = ranked[r].second;
    }
  }
}
