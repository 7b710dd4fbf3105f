// Put before every other file of this folder.

// IEEE binary16, decoded here: its header is not part of every CuPy installation.
struct Half {
  unsigned short bits;
};

__device__ __forceinline__ float decode(Half h) {
  const unsigned sign = (h.bits & 0x8000u) << 16;
  const unsigned shifted = ((h.bits & 0x7fffu) << 13) + 0x38000000u;
  // a subnormal half takes the exponent of 2^-14, which is then subtracted: no float is subnormal
  const float magnitude = (h.bits & 0x7c00u)
                              ? __uint_as_float(shifted)
                              : __uint_as_float(shifted + 0x00800000u) - __uint_as_float(0x38800000u);
  return __uint_as_float(__float_as_uint(magnitude) | sign);
}

// The upper half of a float.
struct Bfloat16 {
  unsigned short bits;
};

// A whole number that To does not hold is rounded, as NumPy rounds it.
template <typename To, typename T>
__device__ __forceinline__ To converted(T value) {
  return To(value);
}
template <typename To>
__device__ __forceinline__ To converted(Half value) {
  return To(decode(value));
}
// Exact also where the compiler is told to take float32's subnormal numbers for zero, as CuPy tells
// it: the instruction itself reads them. The host has no such instruction.
__device__ __forceinline__ double widened(float value) {
#ifdef __CUDA_ARCH__
  double wide;
  asm("cvt.f64.f32 %0, %1;" : "=d"(wide) : "f"(value));
  return wide;
#else
  const unsigned bits = __float_as_uint(value);
  if (bits & 0x7f800000u) return value;
  const double magnitude = int(bits & 0x007fffffu) * 1.40129846432481707e-45;  // of 2^-149
  return bits >> 31 ? -magnitude : magnitude;
#endif
}
template <typename To>
__device__ __forceinline__ To converted(float value) {
  if constexpr (sizeof(To) == sizeof(double)) return widened(value);
  return To(value);
}

template <typename To>
__device__ __forceinline__ To converted(Bfloat16 value) {
  return converted<To>(__uint_as_float((unsigned)value.bits << 16));
}

// What numbers of T are taken relative to: a float where float holds all of T, else a double.
template <typename T, bool NARROW = (sizeof(T) < sizeof(float))>
struct Relative {
  using Origin = double;
};
template <typename T>
struct Relative<T, true> {
  using Origin = float;
};
template <>
struct Relative<float, false> {
  using Origin = float;
};
template <typename T>
using Origin = typename Relative<T>::Origin;

// A number less `origin` as a float; the difference, of doubles if need be, is rounded to it.
template <typename T>
__device__ __forceinline__ float less(T value, Origin<T> origin) {
  return float(converted<Origin<T>>(value) - origin);
}

// A matrix of n_samples rows that lies anywhere: strides count elements and may be negative.
template <typename T>
struct Matrix {
  const T* __restrict__ data;
  long long row_stride, column_stride;
  __device__ __forceinline__ T given(long long row, int column) const {
    return data[row * row_stride + column * column_stride];
  }
  template <typename To>
  __device__ __forceinline__ To at(long long row, int column) const {
    return converted<To>(given(row, column));
  }
  __device__ __forceinline__ float about(long long row, int column, Origin<T> origin) const {
    return less(given(row, column), origin);
  }
};

template <typename T>
__device__ __forceinline__ T infinity();
template <>
__device__ __forceinline__ float infinity<float>() {
  return __int_as_float(0x7f800000);
}
template <>
__device__ __forceinline__ double infinity<double>() {
  return __longlong_as_double(0x7ff0000000000000LL);
}

// What a coordinate adds to a cost. add() may be fused; add_in_order() rounds as NumPy does, to the
// bits of the costs that decide labels on every backend.
struct Manhattan {
  static constexpr bool squared = false;
  template <typename T>
  static __device__ __forceinline__ T add(T sum, T a, T b) {
    return sum + fabs(a - b);
  }
  static __device__ __forceinline__ double add_in_order(double sum, double a, double b) {
    return __dadd_rn(sum, fabs(__dadd_rn(a, -b)));
  }
};
struct Squared {
  static constexpr bool squared = true;
  template <typename T>
  static __device__ __forceinline__ T add(T sum, T a, T b) {
    const T gap = a - b;
    return sum + gap * gap;
  }
  static __device__ __forceinline__ double add_in_order(double sum, double a, double b) {
    const double gap = __dadd_rn(a, -b);
    return __dadd_rn(sum, __dmul_rn(gap, gap));
  }
};

constexpr unsigned EVERY_LANE = 0xffffffffu;

// The sum over each group of LANES lanes, a power of two up to 32; all of them get it.
template <int LANES, typename T>
__device__ __forceinline__ T group_sum(T value) {
#pragma unroll
  for (int offset = LANES / 2; offset > 0; offset >>= 1) {
    value += __shfl_xor_sync(EVERY_LANE, value, offset);
  }
  return value;
}
template <typename T>
__device__ __forceinline__ T warp_sum(T value) {
  return group_sum<32>(value);
}

// The sum over a block of THREADS threads, in one order; all of them get it.
template <int THREADS>
__device__ __forceinline__ double block_sum(double value) {
  __shared__ double part[THREADS / 32];
  value = warp_sum(value);
  __syncthreads();  // `part` may still be read from before
  if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = value;
  __syncthreads();
  double sum = 0;
  for (int w = 0; w < THREADS / 32; ++w) sum += part[w];
  return sum;
}

// Whether all other blocks have passed here, so that what they wrote before can be read (as
// volatile: an older copy may lie in this multiprocessor). `ticket` is 0, and is left so.
__device__ __forceinline__ bool last_block(unsigned* ticket) {
  __shared__ bool last;
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    last = atomicAdd(ticket, 1u) == gridDim.x - 1;
    if (last) *ticket = 0;
  }
  __syncthreads();
  __threadfence();
  return last;
}

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

// A cluster's sum in one column of what sum_chunks() leaves, added by the lanes of a warp.
__device__ __forceinline__ double cluster_sum(const double* __restrict__ sums,
                                              const double* __restrict__ carry,
                                              const long long* __restrict__ bounds, long long j,
                                              int columns, int column, int chunk_rows) {
  const long long begin = bounds[j], end = bounds[j + 1];
  if (begin == end) return 0;
  const long long last = (end - 1) / chunk_rows;
  double sum = 0;
  for (long long c = begin / chunk_rows + 1 + threadIdx.x % 32; c <= last; c += 32) {
    sum += carry[c * columns + column];
  }
  return warp_sum(sum) + sums[j * columns + column];
}
