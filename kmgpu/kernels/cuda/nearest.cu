// The nearest centre of every row: fused, or from the scores of a matrix product.
//
// Both kernels compute in float, and leave for each row the label, its cost and the
// runner-up's cost. Where the two are closer than float rounds, settle() ranks that row again by the
// costs that decide labels: float64, by differences, added feature after feature. A cost that float
// cannot hold makes the row's best NaN, which settle() takes as undecided.

// Rows first .. first + ROWS of x less origin, BK features from `feature` on, transposed.
template <typename T, int ROWS, int BK, int THREADS>
__device__ __forceinline__ void load_rows(float (&tile)[BK][ROWS + 1], Matrix<T> x,
                                          const Origin<T>* __restrict__ origin, long long first,
                                          long long count, int d, int feature, int tid) {
  for (int e = tid; e < ROWS * BK; e += THREADS) {
    const int row = e / BK, t = e % BK;
    const bool inside = first + row < count && feature + t < d;
    tile[t][row] = inside ? x.about(first + row, feature + t, origin[feature + t]) : 0;
  }
}

// The same of centres, which lie feature after feature.
template <int COLUMNS, int BK, int THREADS>
__device__ __forceinline__ void load_centers(float (&tile)[BK][COLUMNS + 1],
                                             const float* __restrict__ shifted, int first, int k,
                                             int d, int feature, int tid) {
  for (int e = tid; e < COLUMNS * BK; e += THREADS) {
    const int column = e % COLUMNS, t = e / COLUMNS;
    const bool inside = first + column < k && feature + t < d;
    tile[t][column] = inside ? shifted[(long long)(feature + t) * k + first + column] : 0;
  }
}

// A block of (TX, TY) threads takes BM rows against BN centres at a time, BK features at a time;
// a thread keeps (BM / TY) x (BN / TX) costs in registers. ceil(n / BM) blocks. The TX threads
// of a row are lanes of one warp.
template <typename T, typename Cost, int BM, int BN, int BK, int TX, int TY>
__global__ void __launch_bounds__(TX* TY, 1)
    nearest_tiled(const T* __restrict__ x, long long row_stride, long long column_stride,
                  const Origin<T>* __restrict__ origin, const float* __restrict__ shifted, long long n,
                  int k, int d, int* __restrict__ label, float* __restrict__ best,
                  float* __restrict__ second) {
  constexpr int RM = BM / TY, RN = BN / TX;
  static_assert(TX <= 32 && (TX & (TX - 1)) == 0, "the threads of a row are lanes of one warp");
  __shared__ float xs[BK][BM + 1];
  __shared__ float cs[BK][BN + 1];
  const int tx = threadIdx.x, ty = threadIdx.y, tid = ty * TX + tx;
  const long long row0 = (long long)blockIdx.x * BM;
  const Matrix<T> rows{x, row_stride, column_stride};
  Ranked<float> ranked[RM];
#pragma unroll
  for (int r = 0; r < RM; ++r) ranked[r].clear();
  for (int col0 = 0; col0 < k; col0 += BN) {
    float cost[RM][RN] = {};
    for (int t0 = 0; t0 < d; t0 += BK) {
      load_rows<T, BM, BK, TX * TY>(xs, rows, origin, row0, n, d, t0, tid);
      load_centers<BN, BK, TX * TY>(cs, shifted, col0, k, d, t0, tid);
      __syncthreads();
#pragma unroll 2
      for (int t = 0; t < BK; ++t) {
        float a[RM], b[RN];
#pragma unroll
        for (int r = 0; r < RM; ++r) a[r] = xs[t][ty + r * TY];
#pragma unroll
        for (int c = 0; c < RN; ++c) b[c] = cs[t][tx + c * TX];
#pragma unroll
        for (int r = 0; r < RM; ++r)
#pragma unroll
          for (int c = 0; c < RN; ++c) cost[r][c] = Cost::add(cost[r][c], a[r], b[c]);
      }
      __syncthreads();
    }
#pragma unroll
    for (int r = 0; r < RM; ++r)
#pragma unroll
      for (int c = 0; c < RN; ++c) {
        const int j = col0 + tx + c * TX;
        if (j < k) ranked[r].insert(cost[r][c], j);
      }
  }
#pragma unroll
  for (int r = 0; r < RM; ++r) {
    ranked[r].merge_lanes(TX);
    const long long row = row0 + ty + r * TY;
    if (tx == 0 && row < n) {
      label[row] = ranked[r].label;
      best[row] = ranked[r].best;
      second[row] = ranked[r].second;
    }
  }
}

// The end of a squared-distance assignment. `products` is (rows, k), the product of the rows x,
// relative to an origin, with the centres; `norms` are the centres' squared lengths. A warp takes
// a row. Costs are norms - 2 products + |x|^2, whose last term is no concern of the ranking.
template <int WARPS>
__global__ void __launch_bounds__(32 * WARPS, 1)
    nearest_scored(const float* __restrict__ products, const float* __restrict__ norms,
                   const float* __restrict__ x, long long row_stride, long long column_stride,
                   long long rows, int k, int d, int* __restrict__ label, float* __restrict__ best,
                   float* __restrict__ second) {
  const int lane = threadIdx.x % 32;
  const long long row = (long long)blockIdx.x * WARPS + threadIdx.x / 32;
  const bool inside = row < rows;
  const Matrix<float> points{x, row_stride, column_stride};
  Ranked<float> ranked;
  ranked.clear();
  float length = 0;
  if (inside) {
    for (int j = lane; j < k; j += 32) ranked.insert(norms[j] - 2 * products[row * k + j], j);
    for (int t = lane; t < d; t += 32) {
      const float value = points.template at<float>(row, t);
      length += value * value;
    }
  }
  ranked.merge_lanes(32);
  length = warp_sum(length);
  if (inside && lane == 0) {
    label[row] = ranked.label;
    best[row] = ranked.best + length;
    second[row] = ranked.second + length;
  }
}

// Cost of every row at the centre of its label, float64. LANES threads, a power of two, take a row.
template <typename T, typename Cost, int LANES, int THREADS>
__global__ void __launch_bounds__(THREADS, 1)
    costs_at(const T* __restrict__ x, long long row_stride, long long column_stride,
             const double* __restrict__ centers, const int* __restrict__ label, long long n, int d,
             double* __restrict__ cost) {
  const int lane = threadIdx.x % LANES;
  const long long row = ((long long)blockIdx.x * THREADS + threadIdx.x) / LANES;
  const Matrix<T> rows{x, row_stride, column_stride};
  double sum = 0;
  if (row < n) {
    const double* center = centers + (long long)label[row] * d;
    for (int t = lane; t < d; t += LANES) {
      sum = Cost::add(sum, rows.template at<double>(row, t), center[t]);
    }
  }
  sum = group_sum<LANES>(sum);
  if (row < n && lane == 0) cost[row] = sum;
}
