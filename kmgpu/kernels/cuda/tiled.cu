// The nearest centre of every row, or of listed ones, by differences: costs in registers.
//
// Leaves for each row the label, its cost and the runner-up's, in float. Where the two are closer
// than float rounds, settle() ranks that row again. A cost that overflows is farther than any that
// does not, if row and centre are finite themselves. Of a row that is not, every cost is infinite or
// NaN, and its best stays infinite; where a centre is not, every row's best becomes NaN. settle()
// takes both as undecided.

// RUN numbers side by side, aligned to as many.
constexpr int RUN = 4;
struct __align__(16) Run {
  float value[RUN];
};

// BK features of a tile's rows and centres, feature after feature, and where the rows lie in x.
template <int BM, int BN, int BK>
struct Tile {
  float rows[BK][BM + RUN];
  float centers[BK][BN + RUN];
  long long offset[BM];
};

// Rows less origin, BK features from `first` on; a thread takes RUN of a row at a time. Those that
// lie beyond d are 0 up to the next multiple of RUN; none after it is read.
template <int THREADS, typename T, int BM, int BN, int BK>
__device__ __forceinline__ void stage_rows(Tile<BM, BN, BK>& tile, const T* __restrict__ x,
                                           long long column_stride,
                                           const Origin<T>* __restrict__ origin, int d, int first,
                                           int tid) {
  constexpr int RUNS = BK / RUN, COUNT = BM * RUNS / THREADS, STEP = THREADS / RUNS;
  const int own = tid % RUNS * RUN, feature = first + own, row = tid / RUNS;
  const T* const from = x + feature * column_stride;
  if (feature + RUN <= d && column_stride == 1) {
    T value[COUNT][RUN];
#pragma unroll
    for (int i = 0; i < COUNT; ++i) {
      const T* const at = from + tile.offset[row + i * STEP];
#pragma unroll
      for (int e = 0; e < RUN; ++e) value[i][e] = at[e];
    }
#pragma unroll
    for (int e = 0; e < RUN; ++e) {
      const Origin<T> middle = origin[feature + e];
#pragma unroll
      for (int i = 0; i < COUNT; ++i) {
        tile.rows[own + e][row + i * STEP] = less(value[i][e], middle);
      }
    }
  } else if (feature < d) {
    for (int e = 0; e < RUN; ++e) {
      const bool inside = feature + e < d;
      const Origin<T> middle = inside ? origin[feature + e] : 0;
      for (int r = row; r < BM; r += STEP) {
        const T* const at = from + tile.offset[r] + e * column_stride;
        tile.rows[own + e][r] = inside ? less(*at, middle) : 0;
      }
    }
  }
}

// The same of centres, RUN of them at a time; those beyond k are infinitely far.
template <int THREADS, int BM, int BN, int BK>
__device__ __forceinline__ void stage_centers(Tile<BM, BN, BK>& tile,
                                              const float* __restrict__ shifted, int k, int d,
                                              int first, int center, int tid) {
  constexpr int RUNS = BN / RUN, COUNT = BK * RUNS / THREADS, STEP = THREADS / RUNS;
  const int own = tid % RUNS * RUN, column = center + own, top = tid / RUNS;
  const float* const from = shifted + (long long)first * k + column;
  Run run[COUNT];
#pragma unroll
  for (int i = 0; i < COUNT; ++i) {
    const int t = top + i * STEP;
    if (column + RUN <= k && first + t < d) {
#pragma unroll
      for (int e = 0; e < RUN; ++e) run[i].value[e] = from[(long long)t * k + e];
    } else {
#pragma unroll
      for (int e = 0; e < RUN; ++e) {
        const bool real = column + e < k, inside = first + t < d;
        run[i].value[e] =
            !real ? infinity<float>() : inside ? from[(long long)t * k + e] : 0;
      }
    }
  }
#pragma unroll
  for (int i = 0; i < COUNT; ++i) {
    *reinterpret_cast<Run*>(&tile.centers[top + i * STEP][own]) = run[i];
  }
}

// The rows of an assignment: all of them, or those that a list names.
struct Chosen {
  const int* __restrict__ list;
  long long count;
  bool listed;
  __device__ __forceinline__ long long at(long long i) const { return listed ? list[i] : i; }
};

// A block of (TX, TY) threads takes BM rows against BN centres at a time, BK features at a time. A
// thread keeps (BM / TY) x (BN / TX) costs in registers: of runs of rows that lie RUN * TY apart and
// of runs of centres that lie RUN * TX apart, so that lanes read 16 bytes each, side by side. The TX
// threads of a row are lanes of one warp. There are n rows, or, if `listed`, the `total` that `open`
// names. Any number of blocks.
template <typename T, typename Cost, int BM, int BN, int BK, int TX, int TY>
__global__ void __launch_bounds__(TX* TY, 1)
    nearest_tiled(const T* __restrict__ x, long long row_stride, long long column_stride,
                  const Origin<T>* __restrict__ origin, const float* __restrict__ shifted,
                  const float* __restrict__ norms, long long n, int k, int d, int listed,
                  const int* __restrict__ open, const int* __restrict__ total,
                  int* __restrict__ label, float* __restrict__ best, float* __restrict__ second) {
  constexpr int RM = BM / TY, RN = BN / TX, THREADS = TX * TY;
  static_assert(TX <= 32 && (TX & (TX - 1)) == 0, "the threads of a row are lanes of one warp");
  __shared__ Tile<BM, BN, BK> tile;
  const int tx = threadIdx.x, ty = threadIdx.y, tid = ty * TX + tx;
  const Chosen rows{open, listed ? *total : n, listed != 0};
  for (long long row0 = (long long)blockIdx.x * BM; row0 < rows.count;
       row0 += (long long)gridDim.x * BM) {
    for (int r = tid; r < BM; r += THREADS) {  // the last row fills up what is left of BM
      tile.offset[r] = rows.at(row0 + r < rows.count ? row0 + r : rows.count - 1) * row_stride;
    }
    __syncthreads();
    Ranked<float> ranked[RM];
#pragma unroll
    for (int r = 0; r < RM; ++r) ranked[r].clear();
    float overflow = 0;  // NaN where a centre overflows
    for (int col0 = 0; col0 < k; col0 += BN) {
      float cost[RM][RN] = {};
      for (int t0 = 0; t0 < d; t0 += BK) {
        stage_rows<THREADS>(tile, x, column_stride, origin, d, t0, tid);
        stage_centers<THREADS>(tile, shifted, k, d, t0, col0, tid);
        __syncthreads();
        const int steps = d - t0 < BK ? (d - t0 + RUN - 1) / RUN * RUN : BK;
#pragma unroll RUN
        for (int t = 0; t < steps; ++t) {
          Run a[RM / RUN], b[RN / RUN];
#pragma unroll
          for (int r = 0; r < RM / RUN; ++r) {
            a[r] = *reinterpret_cast<const Run*>(&tile.rows[t][RUN * (ty + r * TY)]);
          }
#pragma unroll
          for (int c = 0; c < RN / RUN; ++c) {
            b[c] = *reinterpret_cast<const Run*>(&tile.centers[t][RUN * (tx + c * TX)]);
          }
#pragma unroll
          for (int r = 0; r < RM; ++r)
#pragma unroll
            for (int c = 0; c < RN; ++c) {
              const float center = b[c / RUN].value[c % RUN];
              cost[r][c] = Cost::add(cost[r][c], a[r / RUN].value[r % RUN], center);
            }
        }
        __syncthreads();
      }
#pragma unroll
      for (int c = 0; c < RN; ++c) {
        const int j = col0 + RUN * (tx + c / RUN * TX) + c % RUN;
        if (j < k) overflow += 0 * norms[j];
#pragma unroll
        for (int r = 0; r < RM; ++r) ranked[r].consider(cost[r][c], j);
      }
    }
#pragma unroll
    for (int r = 0; r < RM; ++r) {
      ranked[r].best += overflow;
      ranked[r].merge_lanes(TX);
      const long long i = row0 + RUN * (ty + r / RUN * TY) + r % RUN;
      if (tx == 0 && i < rows.count) {
        const long long row = rows.at(i);
        label[row] = ranked[r].label;
        best[row] = ranked[r].best;
        second[row] = ranked[r].second;
      }
    }
  }
}
