// The nearest centre of every row: fused, or from the scores of a matrix product.
//
// Both kernels compute in Acc, which is float, and leave for each row the label, its cost and the
// runner-up's cost. Where the two are closer than Acc rounds, settle() ranks that row again by the
// costs that decide labels: float64, by differences, added feature after feature. A cost that Acc
// cannot hold makes the row's best NaN, which settle() takes as undecided.

// The point that centres and rows are taken relative to: by coordinate the lower median of up to 64
// centres, so near the data wherever they lie, and not drawn away by one far centre. A warp takes
// a coordinate; a lane counts the centres below its own.
template <typename Point, int WARPS>
__global__ void __launch_bounds__(32 * WARPS, 1)
    choose_origin(const double* __restrict__ centers, int k, int d, Point* __restrict__ origin) {
  constexpr int MOST = 64;
  const int lane = threadIdx.x % 32, count = k < MOST ? k : MOST;
  const long long column = (long long)blockIdx.x * WARPS + threadIdx.x / 32;
  for (int i = lane; column < d && i < count; i += 32) {
    const double own = centers[(long long)i * k / count * d + column];
    int rank = 0;
    for (int j = 0; j < count; ++j) {
      const double other = centers[(long long)j * k / count * d + column];
      rank += other < own || (other == own && j < i);
    }
    if (rank == (count - 1) / 2) origin[column] = Point(own);
  }
}

// Centres relative to the origin, and their lengths: |.|_1, or |.|_2 and its square `norms`. A warp
// takes a centre. `shifted` and `turned`, the centres as they are, lie feature after feature: lanes
// that take a centre each read side by side.
template <typename Point, typename Cost, int WARPS>
__global__ void __launch_bounds__(32 * WARPS, 1)
    shift_centers(const double* __restrict__ centers, const Point* __restrict__ origin, int k,
                  int d, float* __restrict__ shifted, double* __restrict__ turned,
                  double* __restrict__ extents, float* __restrict__ norms) {
  const int lane = threadIdx.x % 32;
  const long long j = (long long)blockIdx.x * WARPS + threadIdx.x / 32;
  double length = 0;
  for (int t = lane; j < k && t < d; t += 32) {
    const double from = origin[t], at = centers[j * d + t];
    shifted[(long long)t * k + j] = float(at - from);
    turned[(long long)t * k + j] = at;
    length = Cost::add(length, at, from);
  }
  length = warp_sum(length);
  if (j < k && lane == 0) {
    extents[j] = Cost::squared ? sqrt(length) : length;
    norms[j] = float(length);
  }
}

// Rows first .. first + ROWS of x less origin, BK features from `feature` on, transposed.
template <typename T, typename Acc, int ROWS, int BK, int THREADS>
__device__ __forceinline__ void load_rows(Acc (&tile)[BK][ROWS + 1], Matrix<T> x,
                                          const Origin<T>* __restrict__ origin, long long first,
                                          long long count, int d, int feature, int tid) {
  for (int e = tid; e < ROWS * BK; e += THREADS) {
    const int row = e / BK, t = e % BK;
    const bool inside = first + row < count && feature + t < d;
    tile[t][row] = inside ? x.about(first + row, feature + t, origin[feature + t]) : Acc(0);
  }
}

// The same of centres, which lie feature after feature.
template <typename Acc, int COLUMNS, int BK, int THREADS>
__device__ __forceinline__ void load_centers(Acc (&tile)[BK][COLUMNS + 1],
                                             const Acc* __restrict__ shifted, int first, int k,
                                             int d, int feature, int tid) {
  for (int e = tid; e < COLUMNS * BK; e += THREADS) {
    const int column = e % COLUMNS, t = e / COLUMNS;
    const bool inside = first + column < k && feature + t < d;
    tile[t][column] = inside ? shifted[(long long)(feature + t) * k + first + column] : Acc(0);
  }
}

// A block of (TX, TY) threads takes BM rows against BN centres at a time, BK features at a time;
// a thread keeps (BM / TY) x (BN / TX) costs in registers. ceil(n / BM) blocks. The TX threads
// of a row are lanes of one warp.
template <typename T, typename Acc, typename Cost, int BM, int BN, int BK, int TX, int TY>
__global__ void __launch_bounds__(TX* TY, 1)
    nearest_tiled(const T* __restrict__ x, long long row_stride, long long column_stride,
                  const Origin<T>* __restrict__ origin, const Acc* __restrict__ shifted, long long n,
                  int k, int d, int* __restrict__ label, Acc* __restrict__ best,
                  Acc* __restrict__ second) {
  constexpr int RM = BM / TY, RN = BN / TX;
  static_assert(TX <= 32 && (TX & (TX - 1)) == 0, "the threads of a row are lanes of one warp");
  __shared__ Acc xs[BK][BM + 1];
  __shared__ Acc cs[BK][BN + 1];
  const int tx = threadIdx.x, ty = threadIdx.y, tid = ty * TX + tx;
  const long long row0 = (long long)blockIdx.x * BM;
  const Matrix<T> rows{x, row_stride, column_stride};
  Ranked<Acc> ranked[RM];
#pragma unroll
  for (int r = 0; r < RM; ++r) ranked[r].clear();
  for (int col0 = 0; col0 < k; col0 += BN) {
    Acc cost[RM][RN] = {};
    for (int t0 = 0; t0 < d; t0 += BK) {
      load_rows<T, Acc, BM, BK, TX * TY>(xs, rows, origin, row0, n, d, t0, tid);
      load_centers<Acc, BN, BK, TX * TY>(cs, shifted, col0, k, d, t0, tid);
      __syncthreads();
#pragma unroll 2
      for (int t = 0; t < BK; ++t) {
        Acc a[RM], b[RN];
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
template <typename Acc, int WARPS>
__global__ void __launch_bounds__(32 * WARPS, 1)
    nearest_scored(const Acc* __restrict__ products, const Acc* __restrict__ norms,
                   const Acc* __restrict__ x, long long row_stride, long long column_stride,
                   long long rows, int k, int d, int* __restrict__ label, Acc* __restrict__ best,
                   Acc* __restrict__ second) {
  const int lane = threadIdx.x % 32;
  const long long row = (long long)blockIdx.x * WARPS + threadIdx.x / 32;
  const bool inside = row < rows;
  const Matrix<Acc> points{x, row_stride, column_stride};
  Ranked<Acc> ranked;
  ranked.clear();
  Acc length = 0;
  if (inside) {
    for (int j = lane; j < k; j += 32) ranked.insert(norms[j] - 2 * products[row * k + j], j);
    for (int t = lane; t < d; t += 32) {
      const Acc value = points.template at<Acc>(row, t);
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
