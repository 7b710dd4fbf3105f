// Ranks again the rows that a first ranking leaves open, by the costs that decide labels.

// Bounds on the rounding of costs in float, in float64. A computed cost differs from the one that
// decides, t, by at most g(t) = near * X^2 + mixed * X * sqrt(t) + far * t (squared) or
// near * X + far * t (Manhattan), X being the row's length about the origin, and by `least` where
// numbers underflow. g grows with t, so a centre j as near as the best one has a computed cost of
// at most t + g(t): if the runner-up's is higher than best + 2 g(t), there is none. X is at most
// the row's distance to its centre + `extent`, that centre's own length; t is bounded by solving
// t <= best + g(t). `unit` is what float rounds to; a double that is then rounded to float errs by as
// much and 2^-29 of it, which the bounds have room for.
struct Rounding {
  double near, mixed, far, least, unit;
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

// A cost computed by differences in float, above this, belongs to a centre farther than one of cost
// t, whatever made the first ranking. Twice d, as t is a sum in another order.
template <typename Cost>
__device__ __forceinline__ double highest(double t, double length, int d, Rounding r) {
  const double share = (2.0 * d + 8) * r.unit;
  if (!Cost::squared) return t * (1 + share) + 4 * r.unit * length + r.least;
  const double root = sqrt(t), raised = root + 3 * r.unit * (length + root);
  return raised * raised * (1 + share) + r.least;
}

// highest() for a row's present centre, whose numbers lie k apart; all lanes of a warp get it.
template <typename T, typename Cost>
__device__ __forceinline__ double limit_of(const Matrix<T>& rows, long long row,
                                           const Origin<T>* __restrict__ origin,
                                           const double* __restrict__ center, int k, int d,
                                           Rounding rounding) {
  double cost = 0, length = 0;
  for (int t = threadIdx.x % 32; t < d; t += 32) {
    const double value = rows.template at<double>(row, t);
    cost = Cost::add(cost, value, center[(long long)t * k]);
    length = Cost::add(length, value, double(origin[t]));
  }
  cost = warp_sum(cost);
  length = warp_sum(length);
  return highest<Cost>(cost, Cost::squared ? sqrt(length) : length, d, rounding);
}

// Lists the rows that a first ranking leaves open, in no fixed order: `total` of them, 0 before.
// ceil(n / THREADS) blocks; n < 2^31.
template <typename Cost, int THREADS>
__global__ void __launch_bounds__(THREADS, 1)
    list_open(const float* __restrict__ best, const float* __restrict__ second,
              const int* __restrict__ label, const double* __restrict__ extents, int n, double near,
              double mixed, double far, double least, double unit, int* __restrict__ open,
              int* __restrict__ total) {
  const int lane = threadIdx.x % 32;
  const long long row = (long long)blockIdx.x * THREADS + threadIdx.x;
  const Rounding rounding{near, mixed, far, least, unit};
  const bool is_open =
      row < n && !decided<Cost>(best[row], second[row], extents[label[row]], rounding);
  const unsigned votes = __ballot_sync(EVERY_LANE, is_open);
  int first = 0;
  if (lane == 0 && votes) first = atomicAdd(total, __popc(votes));
  first = __shfl_sync(EVERY_LANE, first, 0);
  if (is_open) open[first + __popc(votes & ((1u << lane) - 1))] = int(row);
}

// Ranks the listed rows by the costs that decide labels. A warp takes ROWS of them at a time, so
// that a number of a centre is read once for all; a lane takes a centre. Where float holds every T,
// costs in float tell first which centres can be the nearest. Ties go to the lowest index, and so do costs that float64
// cannot hold. Any number of blocks.
template <typename T, typename Cost, int ROWS, int WARPS>
__global__ void __launch_bounds__(32 * WARPS, 1)
    settle(const T* __restrict__ x, long long row_stride, long long column_stride,
           const Origin<T>* __restrict__ origin, const float* __restrict__ shifted,
           const double* __restrict__ turned, int k, int d, double near, double mixed, double far,
           double least, double unit, const int* __restrict__ open, const int* __restrict__ total,
           int* __restrict__ label) {
  constexpr bool ROUGH = sizeof(Origin<T>) < sizeof(double);  // else they would save nothing
  const int lane = threadIdx.x % 32, count = *total;
  const Matrix<T> rows{x, row_stride, column_stride};
  const Rounding rounding{near, mixed, far, least, unit};
  const long long step = (long long)gridDim.x * WARPS * ROWS;
  for (long long first = ((long long)blockIdx.x * WARPS + threadIdx.x / 32) * ROWS; first < count;
       first += step) {
    long long row[ROWS];
    double limit[ROWS];
    Ranked<double> ranked[ROWS];
#pragma unroll
    for (int r = 0; r < ROWS; ++r) {  // the last row fills up what is left of ROWS
      row[r] = open[first + r < count ? first + r : count - 1];
      limit[r] = 0;
      ranked[r].clear();
      if constexpr (ROUGH) {
        limit[r] =
            limit_of<T, Cost>(rows, row[r], origin, turned + label[row[r]], k, d, rounding);
      }
    }
    for (int j = lane; j < k; j += 32) {
      float rough[ROWS] = {};
      if constexpr (ROUGH) {
#pragma unroll 4
        for (int t = 0; t < d; ++t) {
          const Origin<T> from = origin[t];
          const float center = shifted[(long long)t * k + j];
#pragma unroll
          for (int r = 0; r < ROWS; ++r) {
            rough[r] = Cost::add(rough[r], rows.about(row[r], t, from), center);
          }
        }
      }
#pragma unroll
      for (int r = 0; r < ROWS; ++r) {
        if (rough[r] > limit[r] && rough[r] < infinity<float>()) continue;
        double exact = 0;
#pragma unroll 4
        for (int t = 0; t < d; ++t) {
          const double value = rows.template at<double>(row[r], t);
          exact = Cost::add_in_order(exact, value, turned[(long long)t * k + j]);
        }
        if (exact < ranked[r].best) {
          ranked[r].best = exact;
          ranked[r].label = j;
        }
      }
    }
#pragma unroll
    for (int r = 0; r < ROWS; ++r) {
      ranked[r].merge_lanes(32);
      if (lane == 0) label[row[r]] = ranked[r].label;
    }
  }
}
