// Groups rows by label: a stable counting sort. A warp takes a run of rows, 32 at a time, and has a
// line of `counts` for itself: how many of its rows have each of the k labels, and last how many of
// them have another label than before. Rows of zero weight are neither counted nor placed. All
// numbers are whole, so they do not depend on the order of warps.

constexpr int AHEAD = 4;  // labels that a lane reads before it needs them
constexpr int NOWHERE = -1;

// The label of a row before `stop`.
template <bool WEIGHTED>
__device__ __forceinline__ int key_of(const int* __restrict__ label,
                                      const double* __restrict__ weight, long long row,
                                      long long stop) {
  if (row >= stop || (WEIGHTED && !(weight[row] > 0))) return NOWHERE;
  return label[row];
}

// The lanes that have the same key.
__device__ __forceinline__ unsigned peers_of(int key) {
#ifdef __CUDA_ARCH__
  return __match_any_sync(EVERY_LANE, key);
#else
  unsigned peers = 0;
  for (int lane = 0; lane < 32; ++lane) {
    peers |= unsigned(__shfl_sync(EVERY_LANE, key, lane) == key) << lane;
  }
  return peers;
#endif
}

// Fills `counts`, (lines, k + 1). `run`, a multiple of 32, rows a line.
template <bool WEIGHTED, int THREADS>
__global__ void __launch_bounds__(THREADS, 1)
    count_labels(const int* __restrict__ label, const int* __restrict__ previous,
                 const double* __restrict__ weight, long long n, int k, int run,
                 unsigned* __restrict__ counts) {
  const int lane = threadIdx.x % 32;
  const long long line = ((long long)blockIdx.x * THREADS + threadIdx.x) / 32;
  const long long stop = min((line + 1) * run, n);
  unsigned* own = counts + line * (k + 1);
  for (int j = lane; j <= k; j += 32) own[j] = 0;
  __syncwarp();
  unsigned changed = 0;
  for (long long first = line * run; first < stop; first += 32 * AHEAD) {
    int key[AHEAD];
#pragma unroll
    for (int u = 0; u < AHEAD; ++u) {
      const long long row = first + 32 * u + lane;
      key[u] = key_of<WEIGHTED>(label, weight, row, stop);
      changed += key[u] != NOWHERE && previous[row] != key[u];
    }
#pragma unroll
    for (int u = 0; u < AHEAD; ++u) {
      const unsigned peers = peers_of(key[u]);
      if (key[u] != NOWHERE && lane == __ffs(peers) - 1) own[key[u]] += __popc(peers);
      __syncwarp();
    }
  }
  changed = warp_sum(changed);
  if (lane == 0) own[k] = changed;
}

// Sums over the lines: counts[l, j] becomes how many rows of label j the lines before l have. Then
// `bounds`, where each cluster begins in the order, and of `numbers`, how many rows changed (the
// first) and the clusters' sizes. A block of (32, SLICES) threads takes 32 columns; a lane a column,
// a warp a slice of the lines. `ticket` is 0, and is left so.
template <int SLICES>
__global__ void __launch_bounds__(32 * SLICES, 1)
    add_counts(unsigned* __restrict__ counts, int lines, int k, volatile unsigned* totals,
               unsigned* ticket, long long* __restrict__ bounds, double* __restrict__ numbers) {
  __shared__ unsigned part[SLICES][32];
  __shared__ long long before[SLICES];
  const int lane = threadIdx.x % 32, slice = threadIdx.x / 32;
  const long long column = (long long)blockIdx.x * 32 + lane, columns = k + 1;
  const int begin = int((long long)lines * slice / SLICES);
  const int end = int((long long)lines * (slice + 1) / SLICES);
  unsigned* own = counts + column;
  unsigned sum = 0;
#pragma unroll 8
  for (int l = begin; l < end; ++l) sum += column < columns ? own[l * columns] : 0;
  part[slice][lane] = sum;
  __syncthreads();
  unsigned reached = 0;
  for (int s = 0; s < slice; ++s) reached += part[s][lane];
  if (column < columns) {
#pragma unroll 8
    for (int l = begin; l < end; ++l) {
      const unsigned more = own[l * columns];
      own[l * columns] = reached;
      reached += more;
    }
    if (slice == SLICES - 1) totals[column] = reached;
  }
  if (!last_block(ticket)) return;
  const int run = (k + 32 * SLICES - 1) / (32 * SLICES);
  const int from = min(int(threadIdx.x) * run, k), to = min(from + run, k);
  long long inside = 0;
  for (int j = from; j < to; ++j) inside += totals[j];
  const long long own_rows = inside;
#pragma unroll
  for (int offset = 1; offset < 32; offset <<= 1) {
    const long long lower = __shfl_up_sync(EVERY_LANE, inside, offset);
    if (lane >= offset) inside += lower;
  }
  if (lane == 31) before[slice] = inside;
  __syncthreads();
  long long start = inside - own_rows;
  for (int s = 0; s < slice; ++s) start += before[s];
  for (int j = from; j < to; ++j) {
    const unsigned rows = totals[j];
    bounds[j] = start;
    numbers[1 + j] = rows;
    start += rows;
  }
  if (threadIdx.x == 32 * SLICES - 1) {
    bounds[k] = start;
    numbers[0] = totals[k];
  }
}

// Puts every row where it belongs in the order; `counts` and `bounds` as add_counts() leaves them.
template <bool WEIGHTED, int THREADS>
__global__ void __launch_bounds__(THREADS, 1)
    place_rows(const int* __restrict__ label, const double* __restrict__ weight, long long n, int k,
               int run, const long long* __restrict__ bounds, unsigned* __restrict__ counts,
               long long* __restrict__ order) {
  const int lane = threadIdx.x % 32;
  const long long line = ((long long)blockIdx.x * THREADS + threadIdx.x) / 32;
  const long long stop = min((line + 1) * run, n);
  unsigned* own = counts + line * (k + 1);
  for (long long first = line * run; first < stop; first += 32 * AHEAD) {
    int key[AHEAD];
#pragma unroll
    for (int u = 0; u < AHEAD; ++u) {
      key[u] = key_of<WEIGHTED>(label, weight, first + 32 * u + lane, stop);
    }
#pragma unroll
    for (int u = 0; u < AHEAD; ++u) {
      const unsigned peers = peers_of(key[u]);
      const int rank = __popc(peers & ((1u << lane) - 1));
      const bool real = key[u] != NOWHERE;
      const unsigned taken = real ? own[key[u]] : 0;
      __syncwarp();
      if (real && rank == 0) own[key[u]] = taken + __popc(peers);
      __syncwarp();
      if (real) order[bounds[key[u]] + taken + rank] = first + 32 * u + lane;
    }
  }
}
