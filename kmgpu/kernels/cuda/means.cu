// Rows are grouped by label: order[bounds[j]:bounds[j + 1]] are cluster j's.

// A thread walks one chunk of the order down one column; this gives it the chunk's parts of clusters
// and their rows.
template <typename T, bool WEIGHTED>
struct Chunk {
  Matrix<T> rows;
  const long long* __restrict__ order;
  const long long* __restrict__ bounds;
  const double* __restrict__ weight;
  int k, column;
  bool value;  // else the column is that of the weights
  long long start, last;

  __device__ __forceinline__ double at(long long p) const {
    return value ? rows.template at<double>(order[p], column) : 1;
  }
  // visit(j, first, stop) for every cluster that has rows in the chunk
  template <typename Visit>
  __device__ __forceinline__ void each_cluster(Visit visit) const {
    long long p = start;
    for (int j = start < last ? cluster_of(bounds, k, start) : 0; p < last; ++j) {
      const long long stop = bounds[j + 1] < last ? bounds[j + 1] : last;
      if (p < stop) visit(j, p, stop);
      p = stop;
    }
  }
  // take(number, weight) for the rows first .. stop, in this order
  template <typename Take>
  __device__ __forceinline__ void each_row(long long first, long long stop, Take take) const {
    constexpr int AHEAD = 4;  // loads before the arithmetic, which hides their latency
    for (long long p = first; p < stop; p += AHEAD) {
      double number[AHEAD], share[AHEAD];
#pragma unroll
      for (int u = 0; u < AHEAD; ++u) {
        const long long row = order[p + u < stop ? p + u : stop - 1];
        number[u] = value ? rows.template at<double>(row, column) : 1;
        share[u] = WEIGHTED ? weight[row] : 1;
      }
#pragma unroll
      for (int u = 0; u < AHEAD; ++u) {
        if (p + u < stop) take(number[u], share[u]);
      }
    }
  }
};

// The chunk of this thread; with no rows where there are no more.
template <typename T, bool WEIGHTED, int THREADS>
__device__ __forceinline__ Chunk<T, WEIGHTED> own_chunk(
    const Matrix<T>& rows, const long long* __restrict__ order,
    const long long* __restrict__ bounds, const double* __restrict__ weight, int chunk_rows, int k,
    int d, int columns) {
  const long long task = (long long)blockIdx.x * THREADS + threadIdx.x;
  const long long start = task / columns * chunk_rows, end = bounds[k];
  const int column = int(task % columns);
  const long long last = start + chunk_rows < end ? start + chunk_rows : end;
  return {rows, order, bounds, weight, k, column, column < d, start, last};
}

// Sums of weight * (x - anchor) by cluster, the anchor being the cluster's first row, and of each
// block's weight * (x - previous)^2. A thread walks one chunk of the order down one column; weights,
// if any, are a further column (with d = 0 the only one). What it adds up for the cluster that began
// in an earlier chunk goes to `carry`, the rest to `sums`: each number has one writer and one order
// of additions.
template <typename T, bool WEIGHTED, int THREADS>
__global__ void __launch_bounds__(THREADS, 1)
    sum_chunks(const T* __restrict__ x, long long row_stride, long long column_stride,
               const long long* __restrict__ order, const long long* __restrict__ bounds,
               const double* __restrict__ weight, const double* __restrict__ previous,
               int chunk_rows, int k, int d, double* __restrict__ sums, double* __restrict__ carry,
               double* __restrict__ losses) {
  const int columns = d + WEIGHTED;
  const Matrix<T> rows{x, row_stride, column_stride};
  const auto chunk = own_chunk<T, WEIGHTED, THREADS>(rows, order, bounds, weight, chunk_rows, k, d,
                                                     columns);
  double loss = 0;
  chunk.each_cluster([&](int j, long long first, long long stop) {
    const double anchor = chunk.value ? chunk.at(bounds[j]) : 0;
    const double center = chunk.value ? previous[(long long)j * d + chunk.column] : 1;
    double sum = 0;
    chunk.each_row(first, stop, [&](double number, double share) {
      sum += share * (number - anchor);
      loss += share * (number - center) * (number - center);
    });
    const bool begins = bounds[j] >= chunk.start;
    double* to = begins ? sums + (long long)j * columns
                        : carry + chunk.start / chunk_rows * columns;
    to[chunk.column] = sum;
  });
  loss = block_sum<THREADS>(loss);
  if (threadIdx.x == 0) losses[blockIdx.x] = loss;
}

// Means from the sums of sum_chunks(); a warp takes one number of one centre at a time. Then, of
// `numbers`: the loss at `previous`; how much of it the means gain, weight * (mean - previous)^2;
// and the shift, the sum of (mean - previous)^2. `gains` is (2, blocks). Any number of blocks.
template <typename T, bool WEIGHTED, int WARPS>
__global__ void __launch_bounds__(32 * WARPS, 1)
    finish_means(const T* __restrict__ x, long long row_stride, long long column_stride,
                 const long long* __restrict__ order, const long long* __restrict__ bounds,
                 const double* __restrict__ sums, const double* __restrict__ carry,
                 const double* __restrict__ previous, const double* __restrict__ losses,
                 int n_losses, int chunk_rows, int k, int d, double* __restrict__ centers,
                 volatile double* gains, unsigned* ticket, double* __restrict__ numbers) {
  constexpr int THREADS = 32 * WARPS;
  const int columns = d + WEIGHTED, blocks = gridDim.x, tid = threadIdx.x;
  const Matrix<T> rows{x, row_stride, column_stride};
  double gain = 0, shift = 0;
  for (long long at = (long long)blockIdx.x * WARPS + tid / 32; at < (long long)k * d;
       at += (long long)blocks * WARPS) {
    const int j = int(at / d), column = int(at % d);
    const long long begin = bounds[j], end = bounds[j + 1];
    const double sum = cluster_sum(sums, carry, bounds, j, columns, column, chunk_rows);
    const double mass = WEIGHTED ? cluster_sum(sums, carry, bounds, j, columns, d, chunk_rows)
                                 : double(end - begin);
    if (tid % 32 == 0) {
      const double before = previous[at];
      const double after =
          begin < end ? rows.template at<double>(order[begin], column) + sum / mass : before;
      centers[at] = after;
      gain += mass * (after - before) * (after - before);
      shift += (after - before) * (after - before);
    }
  }
  gain = block_sum<THREADS>(gain);
  shift = block_sum<THREADS>(shift);
  if (tid == 0) {
    gains[blockIdx.x] = gain;
    gains[blocks + blockIdx.x] = shift;
  }
  if (!last_block(ticket)) return;
  double total[3] = {};
  for (int b = tid; b < n_losses; b += THREADS) total[0] += losses[b];
  for (int b = tid; b < blocks; b += THREADS) {
    total[1] += gains[b];
    total[2] += gains[blocks + b];
  }
#pragma unroll
  for (int i = 0; i < 3; ++i) {
    const double sum = block_sum<THREADS>(total[i]);
    if (tid == 0) numbers[i] = sum;
  }
}

// The losses of k-medians: of `numbers`, weight * |x - before| and weight * |x - after| over all
// rows, and the shift, the sum of |after - before|. Threads take chunks as in sum_chunks(). `parts`
// is (3, blocks).
template <typename T, bool WEIGHTED, int THREADS>
__global__ void __launch_bounds__(THREADS, 1)
    add_losses(const T* __restrict__ x, long long row_stride, long long column_stride,
               const long long* __restrict__ order, const long long* __restrict__ bounds,
               const double* __restrict__ weight, const double* __restrict__ before,
               const double* __restrict__ after, int chunk_rows, int k, int d,
               volatile double* parts, unsigned* ticket, double* __restrict__ numbers) {
  const int blocks = gridDim.x, tid = threadIdx.x;
  const Matrix<T> rows{x, row_stride, column_stride};
  const auto chunk = own_chunk<T, WEIGHTED, THREADS>(rows, order, bounds, weight, chunk_rows, k, d,
                                                     d);
  double total[3] = {};
  chunk.each_cluster([&](int j, long long first, long long stop) {
    const double old = before[(long long)j * d + chunk.column];
    const double middle = after[(long long)j * d + chunk.column];
    chunk.each_row(first, stop, [&](double number, double share) {
      total[0] += share * fabs(number - old);
      total[1] += share * fabs(number - middle);
    });
  });
  for (long long at = (long long)blockIdx.x * THREADS + tid; at < (long long)k * d;
       at += (long long)blocks * THREADS) {
    total[2] += fabs(after[at] - before[at]);
  }
#pragma unroll
  for (int i = 0; i < 3; ++i) {
    const double sum = block_sum<THREADS>(total[i]);
    if (tid == 0) parts[i * blocks + blockIdx.x] = sum;
  }
  if (!last_block(ticket)) return;
#pragma unroll
  for (int i = 0; i < 3; ++i) {
    double sum = 0;
    for (int b = tid; b < blocks; b += THREADS) sum += parts[i * blocks + b];
    sum = block_sum<THREADS>(sum);
    if (tid == 0) numbers[i] = sum;
  }
}
