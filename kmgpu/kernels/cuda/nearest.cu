// Labels from the scores of a matrix product, and costs at labels.
//
// nearest_scored() computes in float, and leaves for each row the label, its cost and the runner-up's.
// Where the two are closer than float rounds, settle() ranks that row again by the costs that decide
// labels: float64, by differences, added feature after feature. A cost that float cannot hold makes
// the row's best NaN, which settle() takes as undecided.

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
