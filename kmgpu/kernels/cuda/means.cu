// Rows are grouped by label: order[bounds[j]:bounds[j + 1]] are cluster j's.

// Sums of weight * (x - anchor) by cluster, the anchor being the cluster's first row. A thread
// walks one chunk of the order down one column; weights, if any, are a further column (with d = 0
// the only one). What it adds
// up for the cluster that began in an earlier chunk goes to `carry`, the rest to `sums`:
// each number has one writer and one order of additions.
template <typename T, bool WEIGHTED, int THREADS>
__global__ void __launch_bounds__(THREADS, 1)
    sum_chunks(const T* __restrict__ x, long long row_stride, long long column_stride,
               const long long* __restrict__ order, const long long* __restrict__ bounds,
               const double* __restrict__ weight, long long chunks, int chunk_rows, int k, int d,
               double* __restrict__ sums, double* __restrict__ carry) {
  const int columns = d + WEIGHTED;
  const long long task = (long long)blockIdx.x * THREADS + threadIdx.x;
  const long long chunk = task / columns, start = chunk * chunk_rows;
  const int column = int(task % columns);
  const Matrix<T> rows{x, row_stride, column_stride};
  const bool value = column < d;
  const long long last = start + chunk_rows < bounds[k] ? start + chunk_rows : bounds[k];
  if (chunk < chunks && start < last) {
    int j = cluster_of(bounds, k, start);
    long long p = start;
    while (p < last) {
      const long long stop = bounds[j + 1] < last ? bounds[j + 1] : last;
      if (p < stop) {
        const double anchor = value ? rows.template at<double>(order[bounds[j]], column) : 0;
        double sum = 0;
        for (long long q = p; q < stop; ++q) {
          const long long row = order[q];
          const double term = value ? rows.template at<double>(row, column) - anchor : 1;
          sum += WEIGHTED ? weight[row] * term : term;
        }
        double* to = bounds[j] < start ? carry + chunk * columns : sums + (long long)j * columns;
        to[column] = sum;
        p = stop;
      }
      ++j;
    }
  }
}

// Means from the sums of sum_chunks(); a warp takes one number of one centre.
template <typename T, bool WEIGHTED, int WARPS>
__global__ void __launch_bounds__(32 * WARPS, 1)
    finish_means(const T* __restrict__ x, long long row_stride, long long column_stride,
                 const long long* __restrict__ order, const long long* __restrict__ bounds,
                 const double* __restrict__ sums, const double* __restrict__ carry,
                 const double* __restrict__ previous, int chunk_rows, int k, int d,
                 double* __restrict__ centers) {
  const int columns = d + WEIGHTED;
  const long long at = (long long)blockIdx.x * WARPS + threadIdx.x / 32;
  const bool inside = at < (long long)k * d;
  const int j = inside ? int(at / d) : 0, column = inside ? int(at % d) : 0;
  const long long begin = bounds[j], end = bounds[j + 1];
  const double sum = cluster_sum(sums, carry, bounds, j, columns, column, chunk_rows);
  const double mass = WEIGHTED ? cluster_sum(sums, carry, bounds, j, columns, d, chunk_rows)
                               : double(end - begin);
  if (inside && threadIdx.x % 32 == 0) {
    if (begin < end) {
      const Matrix<T> rows{x, row_stride, column_stride};
      centers[at] = rows.template at<double>(order[begin], column) + sum / mass;
    } else {
      centers[at] = previous[at];
    }
  }
}
