// Greedy k-means++ without the host: a round draws trial rows by the mass that each block of rows
// holds (draw_trials), measures every row against them (try_rows), and takes the best (take_best).
//
// `blocks` blocks of `size` rows. `masses` is (trials + 1, blocks): what each trial would leave of
// weight x cost in a block, and in the last line the blocks' weights. `totals` is (rounds + 1):
// the mass before a round; totals[0], before there is a centre, is the weight.

struct Drawn {
  int at;
  double before;
};

// The first of `count` items at which `before` and the products up to it exceed `target`: one that
// is positive, and the last of these where rounding leaves none. `factor` may be null. Also what
// comes before it. All threads of a block get it.
template <int THREADS>
__device__ __forceinline__ Drawn first_beyond(const double* __restrict__ item,
                                              const double* __restrict__ factor, int count,
                                              double before, double target) {
  constexpr int WARPS = THREADS / 32;
  __shared__ double sums[WARPS], reached;
  __shared__ int first, last;
  const int tid = threadIdx.x, lane = tid % 32, warp = tid / 32;
  const int run = (count + THREADS - 1) / THREADS;
  const int begin = tid * run < count ? tid * run : count;
  const int end = begin + run < count ? begin + run : count;
  double inside = 0;
  for (int i = begin; i < end; ++i) inside += factor ? item[i] * factor[i] : item[i];
#pragma unroll
  for (int offset = 1; offset < 32; offset <<= 1) {
    const double lower = __shfl_up_sync(EVERY_LANE, inside, offset);
    if (lane >= offset) inside += lower;
  }
  __syncthreads();
  if (lane == 31) sums[warp] = inside;
  if (tid == 0) {
    first = count;
    last = 0;
    reached = before;
  }
  __syncthreads();
  for (int w = 0; w < warp; ++w) before += sums[w];
  const double lower = __shfl_up_sync(EVERY_LANE, inside, 1);
  if (lane > 0) before += lower;
  double sum = before;
  int beyond = count, positive = 0;
  for (int i = begin; i < end; ++i) {
    const double mass = factor ? item[i] * factor[i] : item[i];
    sum += mass;
    if (mass > 0) {
      positive = i;
      if (sum > target && beyond == count) beyond = i;
    }
  }
  atomicMin(&first, beyond);
  atomicMax(&last, positive);
  __syncthreads();
  const int at = first < count ? first : last;
  if (begin <= at && at < end) {
    for (int i = begin; i < at; ++i) before += factor ? item[i] * factor[i] : item[i];
    reached = before;
  }
  __syncthreads();
  return {at, reached};
}

// A block draws a trial: the first row at which the cumulative mass exceeds uniform x total. Before
// there is a centre, and when no mass is left, all trials are one row, drawn by weight.
template <int THREADS>
__global__ void __launch_bounds__(THREADS, 1)
    draw_trials(const double* __restrict__ weight, const double* __restrict__ closest,
                const double* __restrict__ masses, const double* __restrict__ totals,
                const int* __restrict__ kept, const double* __restrict__ uniforms, long long n,
                int size, int blocks, int trials, int round, long long* __restrict__ drawn) {
  const bool by_weight = round == 0 || !(totals[round] > 0);
  const double uniform = uniforms[(long long)round * trials + (by_weight ? 0 : blockIdx.x)];
  const double target = uniform * totals[by_weight ? 0 : round];
  const double* line = masses + (long long)(by_weight ? trials : kept[round]) * blocks;
  const Drawn block = first_beyond<THREADS>(line, nullptr, blocks, 0, target);
  const long long start = (long long)block.at * size;
  const int rows = start + size < n ? size : int(n - start);
  const double* factor = by_weight ? nullptr : closest + start;
  const Drawn row = first_beyond<THREADS>(weight + start, factor, rows, block.before, target);
  if (threadIdx.x == 0) drawn[blockIdx.x] = start + row.at;
}

// Costs of every row at up to TRIALS rows of x, drawn[first ...], in float64: which of them would
// lower the row's cost (a bit each), and the mass that each would leave in the block. LANES
// threads, a power of two, take a row, ROWS rows at a time.
template <typename T, typename Cost, int LANES, int TRIALS, int ROWS, int THREADS>
__global__ void __launch_bounds__(THREADS, 2)
    try_rows(const T* __restrict__ x, long long row_stride, long long column_stride,
             const double* __restrict__ weight, const double* __restrict__ closest,
             const long long* __restrict__ drawn, long long n, int size, int d, int trials,
             int first, unsigned* __restrict__ lowered, double* __restrict__ masses) {
  constexpr int GROUPS = THREADS / LANES, WARPS = THREADS / 32, FEATURES = 128;
  constexpr int OWN = (TRIALS + LANES - 1) / LANES, AHEAD = 2;
  static_assert(FEATURES % LANES == 0, "a lane takes the same features of every tile");
  __shared__ double tile[TRIALS][FEATURES];
  __shared__ double part[WARPS][TRIALS];
  const int tid = threadIdx.x, lane = tid % LANES, group = tid / LANES;
  const long long start = (long long)blockIdx.x * size;
  const long long stop = start + size < n ? start + size : n;
  const Matrix<T> rows{x, row_stride, column_stride};
  double mass[OWN] = {};  // of trials lane, lane + LANES, ...
  for (long long row0 = start; row0 < stop; row0 += GROUPS * ROWS) {
    double cost[ROWS][TRIALS] = {};
    const T* from[ROWS];
#pragma unroll
    for (int r = 0; r < ROWS; ++r) {
      const long long row = row0 + group + r * GROUPS;
      from[r] = x + (row < stop ? row : stop - 1) * row_stride;
    }
    for (int t0 = 0; t0 < d; t0 += FEATURES) {
      if (row0 == start || d > FEATURES) {
        __syncthreads();
        for (int e = tid; e < TRIALS * FEATURES; e += THREADS) {
          const int c = e / FEATURES, t = t0 + e % FEATURES;
          const bool real = first + c < trials && t < d;
          tile[c][e % FEATURES] = real ? rows.template at<double>(drawn[first + c], t) : 0;
        }
        __syncthreads();
      }
      const int width = d - t0 < FEATURES ? d - t0 : FEATURES;
      for (int t = lane; t - lane < width; t += AHEAD * LANES) {
        T ahead[AHEAD][ROWS];  // all loads before the arithmetic, which hides their latency
#pragma unroll
        for (int s = 0; s < AHEAD; ++s)
#pragma unroll
          for (int r = 0; r < ROWS; ++r) {
            const int feature = t + s * LANES;
            ahead[s][r] = feature < width ? from[r][(t0 + feature) * column_stride] : T{};
          }
#pragma unroll
        for (int s = 0; s < AHEAD; ++s) {
          if (t - lane + s * LANES < width) {
            double own[ROWS];
#pragma unroll
            for (int r = 0; r < ROWS; ++r) own[r] = converted<double>(ahead[s][r]);
#pragma unroll
            for (int c = 0; c < TRIALS; ++c) {
              const double center = tile[c][t + s * LANES];
#pragma unroll
              for (int r = 0; r < ROWS; ++r) cost[r][c] = Cost::add(cost[r][c], own[r], center);
            }
          }
        }
      }
    }
#pragma unroll
    for (int r = 0; r < ROWS; ++r) {
      const long long row = row0 + group + r * GROUPS;
      const bool inside = row < stop;
      const double share = inside ? weight[row] : 0, before = inside ? closest[row] : 0;
      unsigned lower = 0;
#pragma unroll
      for (int c = 0; c < TRIALS; ++c) {
        const double sum = group_sum<LANES>(cost[r][c]);
        lower |= unsigned(sum < before) << c;
        if (c % LANES == lane) mass[c / LANES] += share * (sum < before ? sum : before);
      }
      if (inside && lane == 0) lowered[row] = first ? lowered[row] | lower << first : lower;
    }
  }
#pragma unroll
  for (int o = 0; o < OWN; ++o) {
    const int c = lane + o * LANES;
#pragma unroll
    for (int offset = LANES; offset < 32; offset <<= 1) {
      mass[o] += __shfl_xor_sync(EVERY_LANE, mass[o], offset);
    }
    if (tid % 32 < LANES && c < TRIALS) part[tid / 32][c] = mass[o];
  }
  __syncthreads();
  if (tid < TRIALS && first + tid < trials) {
    double sum = 0;
    for (int w = 0; w < WARPS; ++w) sum += part[w][tid];
    masses[(long long)(first + tid) * gridDim.x + blockIdx.x] = sum;
  }
}

// The first trial whose mass ties with the lowest: the order of a sum decides nothing.
__device__ __forceinline__ int best_of(const double* __restrict__ left, int trials, double slack) {
  double lowest = left[0];
  for (int c = 1; c < trials; ++c) lowest = left[c] < lowest ? left[c] : lowest;
  int best = 0;
  for (int c = trials - 1; c >= 0; --c) {
    if (left[c] <= lowest + slack) best = c;
  }
  return best;
}

// Makes the best trial a centre: `closest` of the rows that it lowers, found again. Warps look at
// 32 rows each and take one of them after another.
template <typename T, typename Cost, int WARPS>
__global__ void __launch_bounds__(32 * WARPS, 1)
    take_best(const T* __restrict__ x, long long row_stride, long long column_stride,
              const long long* __restrict__ drawn, const double* __restrict__ left,
              const unsigned* __restrict__ lowered, long long n, int d, int trials, int round,
              double tie, double* __restrict__ closest, double* __restrict__ totals,
              int* __restrict__ kept, long long* __restrict__ chosen) {
  const int lane = threadIdx.x % 32;
  const long long row0 = ((long long)blockIdx.x * WARPS + threadIdx.x / 32) * 32;
  const Matrix<T> rows{x, row_stride, column_stride};
  const int best = best_of(left, trials, tie * totals[round]);
  const long long center = drawn[best];
  if (blockIdx.x == 0 && threadIdx.x == 0) {
    chosen[round] = center;
    kept[round + 1] = best;
    totals[round + 1] = left[best];
  }
  unsigned waiting =
      __ballot_sync(EVERY_LANE, row0 + lane < n && (lowered[row0 + lane] >> best & 1));
  while (waiting) {
    const long long row = row0 + __ffs(waiting) - 1;
    waiting &= waiting - 1;
    double sum = 0;
    for (int t = lane; t < d; t += 32) {
      sum = Cost::add(sum, rows.template at<double>(row, t), rows.template at<double>(center, t));
    }
    sum = warp_sum(sum);
    if (lane == 0) closest[row] = sum;
  }
}
