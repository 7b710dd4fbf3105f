// Centres about a point among them, as the rankings and settle() read them.

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
