// Weights as whole numbers, whose sums are exact in any order; see kmgpu.kernels.agreement.

// The power of two that brings each cluster's weight, from the sums of sum_chunks() with d = 0, to
// between 2^61 and 2^62. A warp takes a cluster.
template <int WARPS>
__global__ void __launch_bounds__(32 * WARPS, 1)
    choose_scales(const double* __restrict__ sums, const double* __restrict__ carry,
                  const long long* __restrict__ bounds, int chunk_rows, int k,
                  int* __restrict__ scales) {
  const long long warp = (long long)blockIdx.x * WARPS + threadIdx.x / 32;
  const long long j = warp < k ? warp : k - 1;
  const double total = cluster_sum(sums, carry, bounds, j, 1, 0, chunk_rows);
  if (threadIdx.x % 32 == 0) scales[j] = total > 0 ? 61 - ilogb(total) : 0;
}

// Every weight in such units, at least one: no row of positive weight is lost. A thread takes a
// position of the order.
template <int THREADS>
__global__ void __launch_bounds__(THREADS, 1)
    count_weights(const double* __restrict__ weight, const long long* __restrict__ order,
                  const long long* __restrict__ bounds, const int* __restrict__ scales, int k,
                  unsigned long long* __restrict__ units) {
  const long long p = (long long)blockIdx.x * THREADS + threadIdx.x;
  if (p < bounds[k]) {
    const long long row = order[p];
    const long long count = llrint(scalbn(weight[row], scales[cluster_of(bounds, k, p)]));
    units[row] = count > 0 ? count : 1;
  }
}
