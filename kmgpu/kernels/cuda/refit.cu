// The refits, over rows grouped by label: order[bounds[j]:bounds[j + 1]] are cluster j's rows.

// The cluster that holds position p of the order: the last j with bounds[j] <= p.
__device__ __forceinline__ int cluster_of(const long long* __restrict__ bounds, int k,
                                          long long p) {
  int low = 0, high = k;
  while (high - low > 1) {
    const int middle = low + (high - low) / 2;
    if (bounds[middle] <= p) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return low;
}

// Sums of weight * (x - anchor) by cluster, the anchor being the cluster's first row. A thread
// walks one chunk of the order down one column; weights, if any, are a further column. What it adds
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
  const int lane = threadIdx.x % 32, columns = d + WEIGHTED;
  const long long at = (long long)blockIdx.x * WARPS + threadIdx.x / 32;
  const bool inside = at < (long long)k * d;
  const int j = inside ? int(at / d) : 0, column = inside ? int(at % d) : 0;
  const long long begin = bounds[j], end = bounds[j + 1];
  double sum = 0, mass = 0;
  if (inside && begin < end) {
    const long long last = (end - 1) / chunk_rows;
    for (long long c = begin / chunk_rows + 1 + lane; c <= last; c += 32) {
      sum += carry[c * columns + column];
      if (WEIGHTED) mass += carry[c * columns + d];
    }
  }
  sum = warp_sum(sum);
  mass = warp_sum(mass);
  if (inside && lane == 0) {
    if (begin < end) {
      sum += sums[(long long)j * columns + column];
      mass = WEIGHTED ? mass + sums[(long long)j * columns + d] : double(end - begin);
      const Matrix<T> rows{x, row_stride, column_stride};
      centers[at] = rows.template at<double>(order[begin], column) + sum / mass;
    } else {
      centers[at] = previous[at];
    }
  }
}

// Numbers as unsigned keys of the same order.
template <typename T>
struct Keys;
template <>
struct Keys<Half> {
  using Key = unsigned short;
  static __device__ __forceinline__ Key of(Half h) {
    return h.bits & 0x8000u ? ~h.bits : h.bits | 0x8000u;
  }
  static __device__ __forceinline__ double value(Key key) {
    const unsigned short bits = key & 0x8000u ? key ^ 0x8000u : ~key;
    return decode(Half{bits});
  }
};
template <>
struct Keys<float> {
  using Key = unsigned;
  static __device__ __forceinline__ Key of(float v) {
    const unsigned bits = __float_as_uint(v);
    return bits >> 31 ? ~bits : bits | 0x80000000u;
  }
  static __device__ __forceinline__ double value(Key key) {
    return converted<double>(__uint_as_float(key >> 31 ? key ^ 0x80000000u : ~key));
  }
};
template <typename T>
struct Keys {  // float64, and integers as float64
  using Key = unsigned long long;
  static constexpr Key SIGN = 1ull << 63;
  static __device__ __forceinline__ Key of(T v) {
    const Key bits = __double_as_longlong(double(v));
    return bits & SIGN ? ~bits : bits | SIGN;
  }
  static __device__ __forceinline__ double value(Key key) {
    return __longlong_as_double(key & SIGN ? key ^ SIGN : ~key);
  }
};

template <bool WEIGHTED>
struct Tally;
template <>
struct Tally<false> {
  using Own = int;        // of one thread
  using All = long long;  // of a cluster
};
template <>
struct Tally<true> {
  using Own = double;
  using All = double;
};

// Where the search for one feature's median stands: the key's leading digits, what lies below
// them, and what the lower and the upper median must reach.
template <typename Key, typename All>
struct Search {
  Key prefix;
  All below, low, high;
  bool next;  // whether the upper median is the next higher value
};

template <typename Search, typename All>
__device__ __forceinline__ void set_targets(Search& s, All total, long long m, bool weighted) {
  if (weighted) {
    // halves of the weight are equal up to the rounding of their sums
    const double slack = 2.220446049250313e-16 * sqrt(double(m)) * double(total);
    s.low = All(0.5 * double(total) - slack);
    s.high = All(0.5 * double(total) + slack);
  } else {
    s.low = All((m + 1) / 2);
    s.high = All(m / 2);
  }
}

// Coordinatewise medians, exact, by selection: a block takes one cluster and up to 32 features and
// finds the lower median's key four bits at a time, each pass over all rows of the cluster; the
// upper median is the same value or the next. `features`, a power of two up to 32, share a warp.
template <typename T, bool WEIGHTED, int THREADS>
__global__ void __launch_bounds__(THREADS, 1)
    select_medians(const T* __restrict__ x, long long row_stride, long long column_stride,
                   const long long* __restrict__ order, const long long* __restrict__ bounds,
                   const double* __restrict__ weight, const double* __restrict__ previous,
                   int features, int tiles, int d, double* __restrict__ centers) {
  using Key = typename Keys<T>::Key;
  using Own = typename Tally<WEIGHTED>::Own;
  using All = typename Tally<WEIGHTED>::All;
  constexpr int WARPS = THREADS / 32, DIGITS = 16, BITS = 8 * sizeof(Key);
  __shared__ Own part[WARPS][DIGITS][32];
  __shared__ All whole[DIGITS][32];
  __shared__ Search<Key, All> search[32];
  __shared__ Key above[WARPS][32];
  const int tid = threadIdx.x, lane = tid % 32, warp = tid / 32;
  const int j = blockIdx.x / tiles, own = tid % features;
  const int column = (blockIdx.x % tiles) * features + own;
  const long long begin = bounds[j], end = bounds[j + 1];
  const bool real = column < d;
  const int read = real ? column : 0;
  const Matrix<T> rows{x, row_stride, column_stride};
  if (begin == end) {
    if (real && tid < features) centers[(long long)j * d + column] = previous[(long long)j * d + column];
  } else {
    if (tid < features) search[tid] = {0, 0, 0, 0, false};
    __syncthreads();
    Key mask = 0;
    for (int shift = BITS - 4; shift >= 0; shift -= 4) {
      const Key prefix = search[own].prefix;
      Own count[DIGITS] = {};
#pragma unroll 2
      for (long long p = begin + tid / features; p < end; p += THREADS / features) {
        const long long row = order[p];
        const Key key = Keys<T>::of(rows.data[row * row_stride + read * column_stride]);
        const Own share = WEIGHTED ? Own(weight[row]) : Own(1);
        const int digit = ((key ^ prefix) & mask) == 0 ? int(key >> shift) & 15 : -1;
#pragma unroll
        for (int b = 0; b < DIGITS; ++b) count[b] += digit == b ? share : Own(0);
      }
#pragma unroll
      for (int b = 0; b < DIGITS; ++b) {
        for (int offset = 16; offset >= features; offset >>= 1) {
          count[b] += __shfl_xor_sync(EVERY_LANE, count[b], offset);
        }
        if (lane < features) part[warp][b][lane] = count[b];
      }
      __syncthreads();
      for (int e = tid; e < DIGITS * features; e += THREADS) {
        All sum = 0;
        for (int w = 0; w < WARPS; ++w) sum += part[w][e / features][e % features];
        whole[e / features][e % features] = sum;
      }
      __syncthreads();
      if (tid < features) {
        Search<Key, All>& s = search[tid];
        if (mask == 0) {
          All total = 0;
          for (int b = 0; b < DIGITS; ++b) total += whole[b][tid];
          set_targets(s, total, end - begin, WEIGHTED);
        }
        int found = 0;
        bool any = false;
        All below = s.below, reached = s.below;
        for (int b = 0; b < DIGITS; ++b) {  // the last digit that holds anything, if none suffices
          if (whole[b][tid] > 0 && (!any || reached < s.low)) {
            any = true;
            found = b;
            below = reached;
            reached += whole[b][tid];
          }
        }
        s.prefix |= Key(found) << shift;
        s.below = below;
        s.next = !(reached > s.high);
      }
      __syncthreads();
      mask |= Key(15) << shift;
    }
    const Key lower = search[own].prefix;
    Key higher = ~Key(0);
    for (long long p = begin + tid / features; p < end; p += THREADS / features) {
      const Key key = Keys<T>::of(rows.data[order[p] * row_stride + read * column_stride]);
      if (key > lower && key < higher) higher = key;
    }
    for (int offset = 16; offset >= features; offset >>= 1) {
      const Key other = __shfl_xor_sync(EVERY_LANE, higher, offset);
      higher = other < higher ? other : higher;
    }
    if (lane < features) above[warp][lane] = higher;
    __syncthreads();
    if (real && tid < features) {
      for (int w = 0; w < WARPS; ++w) higher = above[w][tid] < higher ? above[w][tid] : higher;
      const bool single = !search[tid].next || higher == ~Key(0);
      const double a = Keys<T>::value(lower), b = single ? a : Keys<T>::value(higher);
      centers[(long long)j * d + column] = 0.5 * a + 0.5 * b;
    }
  }
}
