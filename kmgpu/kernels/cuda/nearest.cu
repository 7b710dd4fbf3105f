// The nearest centre of every row: fused, or from the scores of a matrix product.
//
// Both kernels leave for each row the label, its cost and the runner-up's cost. Where the two are
// closer than float32 rounds, settle() ranks that row again in float64, so no row depends on it.
// A cost that float32 cannot hold makes the row's best NaN, which settle() takes as undecided.

// The point that centres and rows are taken relative to: by coordinate the lower median of up to 64
// centres, so near the data wherever they lie, and not drawn away by one far centre. A warp takes
// a coordinate; a lane counts the centres below its own.
template <typename Acc, int WARPS>
__global__ void __launch_bounds__(32 * WARPS, 1)
    choose_origin(const double* __restrict__ centers, int k, int d, Acc* __restrict__ origin) {
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
    if (rank == (count - 1) / 2) origin[column] = Acc(own);
  }
}

// Centres relative to the origin, and their lengths: |.|_1, or |.|_2 and its square `norms`. A warp
// takes a centre.
template <typename Acc, typename Cost, int WARPS>
__global__ void __launch_bounds__(32 * WARPS, 1)
    shift_centers(const double* __restrict__ centers, const Acc* __restrict__ origin, int k, int d,
                  Acc* __restrict__ shifted, double* __restrict__ extents,
                  Acc* __restrict__ norms) {
  const int lane = threadIdx.x % 32;
  const long long j = (long long)blockIdx.x * WARPS + threadIdx.x / 32;
  double length = 0;
  for (int t = lane; j < k && t < d; t += 32) {
    const double from = origin[t], at = centers[j * d + t];
    shifted[j * d + t] = Acc(at - from);
    length = Cost::add(length, at, from);
  }
  length = warp_sum(length);
  if (j < k && lane == 0) {
    extents[j] = Cost::squared ? sqrt(length) : length;
    norms[j] = Acc(length);
  }
}

template <typename T>
struct Ranked {
  T best, second;
  int label;

  __device__ __forceinline__ void clear() {
    best = second = infinity<T>();
    label = 0;
  }
  __device__ __forceinline__ void insert(T cost, int j) {
    if (!(fabs(cost) < infinity<T>())) {
      best = infinity<T>() - infinity<T>();  // stays: no comparison with it holds
    } else if (cost < best || (cost == best && j < label)) {
      second = best;
      best = cost;
      label = j;
    } else if (cost < second) {
      second = cost;
    }
  }
  // Of two lists that share no centre.
  __device__ __forceinline__ void merge(T other_best, T other_second, int other_label) {
    if (other_best != other_best) {
      best = other_best;
    } else if (other_best < best || (other_best == best && other_label < label)) {
      second = best < other_second ? best : other_second;
      best = other_best;
      label = other_label;
    } else if (other_best < second) {
      second = other_best;
    }
  }
  __device__ __forceinline__ void merge_lanes(int lanes) {
    for (int offset = lanes / 2; offset > 0; offset >>= 1) {
      const T other_best = __shfl_xor_sync(EVERY_LANE, best, offset);
      const T other_second = __shfl_xor_sync(EVERY_LANE, second, offset);
      const int other_label = __shfl_xor_sync(EVERY_LANE, label, offset);
      merge(other_best, other_second, other_label);
    }
  }
};

// Rows first .. first + ROWS of x less origin, BK features from `feature` on, transposed.
template <typename T, typename Acc, int ROWS, int BK, int THREADS>
__device__ __forceinline__ void load_tile(Acc (&tile)[BK][ROWS + 1], Matrix<T> x,
                                          const Acc* __restrict__ origin, long long first,
                                          long long count, int d, int feature, int tid) {
  for (int e = tid; e < ROWS * BK; e += THREADS) {
    const int row = e / BK, t = e % BK;
    const bool inside = first + row < count && feature + t < d;
    tile[t][row] = inside ? x.template at<Acc>(first + row, feature + t) -
                                (origin ? origin[feature + t] : Acc(0))
                          : Acc(0);
  }
}

// A block of (TX, TY) threads takes BM rows against BN centres at a time, BK features at a time;
// a thread keeps (BM / TY) x (BN / TX) costs in registers. ceil(n / BM) blocks. The TX threads
// of a row are lanes of one warp. `centers` are relative to `origin`, C-contiguous.
template <typename T, typename Acc, typename Cost, int BM, int BN, int BK, int TX, int TY>
__global__ void __launch_bounds__(TX* TY, 1)
    nearest_tiled(const T* __restrict__ x, long long row_stride, long long column_stride,
                  const Acc* __restrict__ origin, const Acc* __restrict__ centers, long long n,
                  int k, int d, int* __restrict__ label, Acc* __restrict__ best,
                  Acc* __restrict__ second) {
  constexpr int RM = BM / TY, RN = BN / TX;
  static_assert(TX <= 32 && (TX & (TX - 1)) == 0, "the threads of a row are lanes of one warp");
  __shared__ Acc xs[BK][BM + 1];
  __shared__ Acc cs[BK][BN + 1];
  const int tx = threadIdx.x, ty = threadIdx.y, tid = ty * TX + tx;
  const long long row0 = (long long)blockIdx.x * BM;
  const Matrix<T> rows{x, row_stride, column_stride};
  const Matrix<Acc> columns{centers, d, 1};
  Ranked<Acc> ranked[RM];
#pragma unroll
  for (int r = 0; r < RM; ++r) ranked[r].clear();
  for (int col0 = 0; col0 < k; col0 += BN) {
    Acc cost[RM][RN] = {};
    for (int t0 = 0; t0 < d; t0 += BK) {
      load_tile<T, Acc, BM, BK, TX * TY>(xs, rows, origin, row0, n, d, t0, tid);
      load_tile<Acc, Acc, BN, BK, TX * TY>(cs, columns, nullptr, col0, k, d, t0, tid);
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

// Bounds on the rounding of float32 costs, in float64. A computed cost differs from the true cost
// t by at most g(t) = near * X^2 + mixed * X * sqrt(t) + far * t (squared) or near * X + far * t
// (Manhattan), X being the row's length about the origin. g grows with t, so a centre j as near
// as the best one has a computed cost of at most t + g(t): if the runner-up's is higher than
// best + 2 g(t), there is none. X is at most the row's distance to its centre + `extent`, that
// centre's own length; t is bounded by solving t <= best + g(t).
struct Rounding {
  double near, mixed, far, least;
};

template <typename Cost>
__device__ __forceinline__ bool decided(float best, float second, double extent, Rounding r) {
  if (!(fabs(best) < infinity<float>())) return false;
  const double computed = best > 0 ? best : 0;
  double share, most, margin;
  if (Cost::squared) {
    share = 2 * r.near + 1.5 * r.mixed + r.far;
    most = (computed + (2 * r.near + 0.5 * r.mixed) * extent * extent) * (1 + 2 * share);
    const double root = sqrt(most), length = root + extent;
    margin = 2 * (r.near * length * length + r.mixed * length * root + r.far * most);
  } else {
    share = r.near + r.far;
    most = (computed + r.near * extent) * (1 + 2 * share);
    margin = 2 * (r.near * (most + extent) + r.far * most);
  }
  return share < 0.25 && double(second) - double(best) > margin * (1 + 1e-9) + r.least;
}

// A computed cost above this belongs to a centre farther than one of true cost t. The costs of
// settle() are sums of differences, whatever made the first ranking.
template <typename Cost>
__device__ __forceinline__ double highest(double t, double length, int d, double least) {
  const double unit = 5.9604644775390625e-08;  // 2^-24
  if (!Cost::squared) return t * (1 + (d + 8) * unit) + 4 * unit * length + least;
  const double root = sqrt(t), raised = root + 3 * unit * (length + root);
  return raised * raised * (1 + (d + 8) * unit) + least;
}

// Ranks undecided rows in float64, a row a warp; a lane takes a centre, and float32 tells which
// centres need float64. Ties go to the lowest index. Warps look at 32 rows each.
template <typename T, typename Cost, int WARPS>
__global__ void __launch_bounds__(32 * WARPS, 1)
    settle(const T* __restrict__ x, long long row_stride, long long column_stride,
           const float* __restrict__ origin, const float* __restrict__ shifted,
           const double* __restrict__ centers, const double* __restrict__ extents, long long n,
           int k, int d, double near, double mixed, double far, double least,
           const float* __restrict__ best, const float* __restrict__ second,
           int* __restrict__ label) {
  const int lane = threadIdx.x % 32;
  const long long row0 = ((long long)blockIdx.x * WARPS + threadIdx.x / 32) * 32;
  const Matrix<T> rows{x, row_stride, column_stride};
  const Rounding rounding{near, mixed, far, least};
  const long long own = row0 + lane;
  bool open = false;
  if (own < n && k > 1) {
    open = !decided<Cost>(best[own], second[own], extents[label[own]], rounding);
  }
  unsigned waiting = __ballot_sync(EVERY_LANE, open);
  while (waiting) {
    const long long row = row0 + __ffs(waiting) - 1;
    waiting &= waiting - 1;
    const double* first = centers + (long long)label[row] * d;
    double lowest = 0, length = 0;
    for (int t = 0; t < d; ++t) {
      const double value = rows.template at<double>(row, t);
      lowest = Cost::add(lowest, value, first[t]);
      length = Cost::add(length, value, double(origin[t]));
    }
    if (Cost::squared) length = sqrt(length);
    const double limit = highest<Cost>(lowest, length, d, least);
    Ranked<double> ranked;
    ranked.clear();
    for (int j = lane; j < k; j += 32) {
      float rough = 0;
      for (int t = 0; t < d; ++t) {
        const float value = rows.template at<float>(row, t) - origin[t];
        rough = Cost::add(rough, value, shifted[(long long)j * d + t]);
      }
      if (rough > limit && rough < infinity<float>()) continue;
      double exact = 0;
      for (int t = 0; t < d; ++t) {
        exact = Cost::add(exact, rows.template at<double>(row, t), centers[(long long)j * d + t]);
      }
      ranked.insert(exact, j);
    }
    ranked.merge_lanes(32);
    if (lane == 0) label[row] = ranked.label;
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
