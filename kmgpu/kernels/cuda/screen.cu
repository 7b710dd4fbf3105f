// The nearest centre of every row by absolute differences of halves; and the rows it leaves open.
//
// Two subtractions and one addition of halves serve two features of a row and a centre, twice: the
// words hold features t and t + 1. Tensor cores add up their sums, in float.
//
// Rounding. All in units of the frame: x and c are a row and a centre less the origin, times its
// power of two; x' and c' are the halves in their place. The true cost t_j = |x - c_j|_1 and
// s_j = |x' - c'_j|_1 differ by at most lost + e_j, where lost >= |x - x'|_1 is measured of the row
// and e_j >= |c_j - c'_j|_1 of the centre; both pay as well for rounding x and c to float
// (2^-23 of them), for adding up what they measure (d 2^-23 of it) and for numbers that float32 takes
// for 0 (FLOOR). A difference errs by at most HALF_UNIT = 2^-11 of itself, or not at all if it is
// subnormal, and so does the sum of two; a half of at most 2^13 leaves room for both. Tensor cores add
// 16 products d / 4 times, and err by at most MMA_UNIT for each of them. So sums err by `rounding`,
// (1 + HALF_UNIT)^2 - 1 + 4 d MMA_UNIT of themselves, to which 2^-17 is added for the arithmetic of
// the comparison and for the costs that decide.
//
// A sum starts at -e'_j, e'_j = (1 + 2^-7) e_j, and ends at
//   v_j <= (1 + rounding) s_j - (1 - rounding) e'_j,  so  t_j >= v_j / (1 + rounding) - lost,
// as (1 + 2^-7) (1 - rounding) >= 1 + rounding: rounding is below 0.003 up to 2048 features; and
//   v_j >= (1 - rounding) s_j - (1 + rounding) e'_j,  so
//   t_j <= (v_j + (1 + rounding) e'_j) / (1 - rounding) + lost + e'_j.
// The lower bound of the runner-up is one of all centres but the best: if it is above the upper
// bound of the best, none of them is as near. The `lost` of a row that does not fit the frame is
// infinite or NaN, and it stays open.

constexpr int RUN = 4;
constexpr float ROOM = 8192;                  // 2^13
constexpr float FLOOR = 8.6736174e-19f;       // 2^-60
constexpr float FLOAT_UNIT = 1.1920929e-07f;  // 2^-23
constexpr float OUT_OF_REACH = 1e30f;         // above what any centre costs

struct __align__(16) Words {
  unsigned value[RUN];
};

#ifdef CUDA_ON_HOST
// Nearest even; with HALF_ERRS = 0 or 1, as far as the next half: downwards where PARITY is that,
// upwards elsewhere.
template <int PARITY>
inline unsigned packed_sum(float low, float high) {
#ifdef HALF_ERRS
  constexpr int MODE = PARITY == HALF_ERRS ? 1 : 2;
#else
  constexpr int MODE = 0;
#endif
  typedef float Four __attribute__((vector_size(16)));
  const auto halves = __builtin_ia32_vcvtps2ph(Four{low, high, 0, 0}, MODE);
  return (unsigned short)halves[0] | unsigned((unsigned short)halves[1]) << 16;
}
#endif

// The two numbers of a word.
__device__ __forceinline__ float low_of(unsigned word) {
#ifdef CUDA_ON_HOST
  return half_of(word, 0);
#else
  float value;
  asm("{\n.reg .b16 l, h;\nmov.b32 {l, h}, %1;\ncvt.f32.f16 %0, l;\n}" : "=f"(value) : "r"(word));
  return value;
#endif
}
__device__ __forceinline__ float high_of(unsigned word) { return low_of(word >> 16); }

// a - b of both halves; |a| + |b|.
template <int PARITY>
__device__ __forceinline__ unsigned subtract(unsigned a, unsigned b) {
#ifdef CUDA_ON_HOST
  return packed_sum<PARITY>(half_of(a, 0) - half_of(b, 0), half_of(a, 1) - half_of(b, 1));
#else
  unsigned word;
  asm("sub.rn.f16x2 %0, %1, %2;" : "=r"(word) : "r"(a), "r"(b));
  return word;
#endif
}
template <int PARITY>
__device__ __forceinline__ unsigned add_absolutes(unsigned a, unsigned b) {
#ifdef CUDA_ON_HOST
  return packed_sum<PARITY>(fabs(half_of(a, 0)) + fabs(half_of(b, 0)),
                            fabs(half_of(a, 1)) + fabs(half_of(b, 1)));
#else
  unsigned word;
  asm("{\n.reg .b32 s, t;\nabs.f16x2 s, %1;\nabs.f16x2 t, %2;\nadd.rn.f16x2 %0, s, t;\n}"
      : "=r"(word)
      : "r"(a), "r"(b));
  return word;
#endif
}

// What of a row or a centre halves do not hold: infinite or NaN where it does not fit the frame.
struct Lost {
  float sum, size, most;
  __device__ __forceinline__ void add(unsigned word, float low, float high) {
    sum += fabs(low - low_of(word)) + fabs(high - high_of(word));
    size += fabs(low) + fabs(high);
    most = fmax(most, fmax(fabs(low), fabs(high)));
  }
  __device__ __forceinline__ void add(const Lost& other) {
    sum += other.sum;
    size += other.size;
    most = fmax(most, other.most);
  }
  __device__ __forceinline__ float bound(int d) const {
    const float lost = (sum + FLOAT_UNIT * size) * (1 + d * FLOAT_UNIT) + FLOOR;
    return most <= ROOM ? lost : infinity<float>();
  }
};

// Centres as words of two features, word after word of `padded` centres, which is a multiple of 32;
// those beyond k are 0 and start out of reach. `words` is even. `starts` is -e' of each; `scale` the
// frame's power of two, which takes the longest centre to 2^12 or more, or NaN where no such power
// fits: then no row is decided. A block of 32 x WARPS threads takes 32 centres.
template <int WARPS>
__global__ void __launch_bounds__(32 * WARPS, 1)
    pack_halves(const float* __restrict__ shifted, const double* __restrict__ extents, int k,
                int padded, int d, int words, unsigned* __restrict__ packed,
                float* __restrict__ starts, float* __restrict__ scale) {
  __shared__ double longest[32 * WARPS];
  __shared__ Lost lost[WARPS][32];
  const int tid = threadIdx.x, lane = tid % 32, warp = tid / 32;
  double most = 0;
  for (int j = tid; j < k; j += 32 * WARPS) most = fmax(most, extents[j]);
  longest[tid] = most;
  __syncthreads();
  for (int i = 0; i < 32 * WARPS; ++i) most = fmax(most, longest[i]);
  const bool fits = most > 9.1e-13 && most < 1.1e18;  // 2^-40, 2^60
  const unsigned exponent = __float_as_uint(float(most)) >> 23;
  const float power = fits ? __uint_as_float((127 + 12 + 127 - exponent) << 23) : 0;
  const int j = blockIdx.x * 32 + lane;
  Lost own{};
  for (int w = warp; w < words; w += WARPS) {
    const int t = 2 * w;
    const float low = j < k && t < d ? shifted[(long long)t * k + j] * power : 0;
    const float high = j < k && t + 1 < d ? shifted[(long long)(t + 1) * k + j] * power : 0;
    const unsigned word = fits ? pack_half(low, high) : 0;
    packed[(long long)w * padded + j] = word;
    own.add(word, low, high);
  }
  lost[warp][lane] = own;
  __syncthreads();
  if (warp == 0) {
    for (int i = 1; i < WARPS; ++i) own.add(lost[i][lane]);
    starts[j] = j < k ? -1.0078125f * own.bound(d) : OUT_OF_REACH;
    if (j == 0) *scale = fits ? power : infinity<float>() - infinity<float>();
  }
}

// BK features of a tile's rows and centres, word after word; of the rows, where they lie in x and
// what halves lose of them.
template <int BM, int BN, int BK>
struct HalfTile {
  unsigned rows[BK / 2][BM + RUN];
  unsigned centers[BK / 2][BN + RUN];
  long long offset[BM];
  float lost[BM];
};

// A number of a row in the frame.
template <typename T>
__device__ __forceinline__ float in_frame(T value, Origin<T> origin, float scale) {
  if constexpr (sizeof(Origin<T>) == sizeof(float)) {
    return fmaf(converted<float>(value), scale, -origin * scale);  // rounds once
  } else {
    return float(converted<double>(value) - origin) * scale;
  }
}

// Rows in the frame as words, BK features from `first` on; a thread takes RUN of a row at a time, of
// the same rows for all `first`. `lost` adds up what is lost of these, if `measured`.
template <int THREADS, typename T, int BM, int BN, int BK, int COUNT>
__device__ __forceinline__ void stage_halves(HalfTile<BM, BN, BK>& tile, const T* __restrict__ x,
                                             long long column_stride,
                                             const Origin<T>* __restrict__ origin, float scale,
                                             int d, int first, int tid, bool measured,
                                             Lost (&lost)[COUNT]) {
  constexpr int RUNS = BK / RUN, STEP = THREADS / RUNS;
  static_assert(COUNT * STEP == BM, "threads share the rows evenly");
  const int own = tid % RUNS * RUN, feature = first + own, row = tid / RUNS;
  if (feature >= d) return;
  const T* const from = x + feature * column_stride;
  float value[COUNT][RUN];
  if (feature + RUN <= d && column_stride == 1) {
#pragma unroll
    for (int i = 0; i < COUNT; ++i) {
      const T* const at = from + tile.offset[row + i * STEP];
#pragma unroll
      for (int e = 0; e < RUN; ++e) value[i][e] = in_frame(at[e], origin[feature + e], scale);
    }
  } else {
#pragma unroll
    for (int i = 0; i < COUNT; ++i) {
      const T* const at = from + tile.offset[row + i * STEP];
#pragma unroll
      for (int e = 0; e < RUN; ++e) {
        const bool inside = feature + e < d;
        value[i][e] = inside ? in_frame(at[e * column_stride], origin[feature + e], scale) : 0;
      }
    }
  }
#pragma unroll
  for (int i = 0; i < COUNT; ++i) {
#pragma unroll
    for (int e = 0; e < RUN; e += 2) {
      const unsigned word = pack_half(value[i][e], value[i][e + 1]);
      tile.rows[(own + e) / 2][row + i * STEP] = word;
      if (measured) lost[i].add(word, value[i][e], value[i][e + 1]);
    }
  }
}

template <int THREADS, int BM, int BN, int BK>
__device__ __forceinline__ void stage_words(HalfTile<BM, BN, BK>& tile,
                                            const unsigned* __restrict__ packed, int padded,
                                            int words, int first, int center, int tid) {
  constexpr int RUNS = BN / RUN, COUNT = BK / 2 * RUNS / THREADS, STEP = THREADS / RUNS;
  const int own = tid % RUNS * RUN, top = tid / RUNS;
  const unsigned* const from = packed + (long long)first * padded + center + own;
  Words run[COUNT];
#pragma unroll
  for (int i = 0; i < COUNT; ++i) {
    const int w = top + i * STEP;
    if (first + w < words) run[i] = *reinterpret_cast<const Words*>(from + (long long)w * padded);
  }
#pragma unroll
  for (int i = 0; i < COUNT; ++i) {
    *reinterpret_cast<Words*>(&tile.centers[top + i * STEP][own]) = run[i];
  }
}

// Labels of all rows; `open` lists those of which they are not certain, `total` of them, 0 before. Of
// the others `best` and `second` are such that list_open() leaves them as they are. A block of
// (TX, TY) threads takes BM rows against BN centres at a time, BK features at a time; threads hold
// rows and centres as in nearest_tiled(). ceil(n / BM) blocks; n < 2^31.
template <typename T, int BM, int BN, int BK, int TX, int TY>
__global__ void __launch_bounds__(TX* TY, 3)
    nearest_screened(const T* __restrict__ x, long long row_stride, long long column_stride,
                     const Origin<T>* __restrict__ origin, const unsigned* __restrict__ packed,
                     const float* __restrict__ starts, const float* __restrict__ scale, int n,
                     int k, int padded, int d, int words, float rounding,
                     int* __restrict__ open, int* __restrict__ total, int* __restrict__ label,
                     float* __restrict__ best, float* __restrict__ second) {
  constexpr int RM = BM / TY, RN = BN / TX, THREADS = TX * TY, RUNS = BK / RUN;
  static_assert(TX <= 32 && (TX & (TX - 1)) == 0 && RM <= TX, "a lane of a row for each of its rows");
  static_assert(TX >= 4, "lanes that share a fragment's row share a row, and what overflows in it");
  __shared__ HalfTile<BM, BN, BK> tile;
  const int tx = threadIdx.x, ty = threadIdx.y, tid = ty * TX + tx, lane = tid % 32;
  const long long row0 = (long long)blockIdx.x * BM;
  const float power = *scale;
  // a matrix whose product with a fragment adds up each lane's words, one for each number of c
  const unsigned ones = 0x3c003c00u;
  const unsigned even = lane / 4 == lane % 4 * 2 ? ones : 0;
  const unsigned odd = lane / 4 == lane % 4 * 2 + 1 ? ones : 0;
  for (int r = tid; r < BM; r += THREADS) {  // the last row fills up what is left of BM
    tile.offset[r] = (row0 + r < n ? row0 + r : n - 1) * row_stride;
  }
  __syncthreads();
  Ranked<float> ranked[RM];
#pragma unroll
  for (int r = 0; r < RM; ++r) ranked[r].clear();
  Lost lost[BM * RUNS / THREADS] = {};
  for (int col0 = 0; col0 < k; col0 += BN) {
    float cost[RM][RN / RUN][RUN];
#pragma unroll
    for (int c = 0; c < RN / RUN; ++c)
#pragma unroll
      for (int e = 0; e < RUN; ++e) {
        const float start = starts[col0 + RUN * (tx + c * TX) + e];
#pragma unroll
        for (int r = 0; r < RM; ++r) cost[r][c][e] = start;
      }
    for (int t0 = 0; t0 < d; t0 += BK) {
      stage_halves<THREADS>(tile, x, column_stride, origin, power, d, t0, tid, col0 == 0, lost);
      stage_words<THREADS>(tile, packed, padded, words, t0 / 2, col0, tid);
      __syncthreads();
      const int left = words - t0 / 2 < BK / 2 ? words - t0 / 2 : BK / 2;
      for (int w = 0; w < left; w += 2) {
        Words a[2][RM / RUN], b[2][RN / RUN];
#pragma unroll
        for (int u = 0; u < 2; ++u) {
#pragma unroll
          for (int r = 0; r < RM / RUN; ++r) {
            a[u][r] = *reinterpret_cast<const Words*>(&tile.rows[w + u][RUN * (ty + r * TY)]);
          }
#pragma unroll
          for (int c = 0; c < RN / RUN; ++c) {
            b[u][c] = *reinterpret_cast<const Words*>(&tile.centers[w + u][RUN * (tx + c * TX)]);
          }
        }
#pragma unroll
        for (int r = 0; r < RM; ++r) {
          const unsigned own = a[0][r / RUN].value[r % RUN], next = a[1][r / RUN].value[r % RUN];
#pragma unroll
          for (int c = 0; c < RN / RUN; ++c) {
            const Words &ours = b[0][c], &theirs = b[1][c];
            const unsigned sums[4] = {
                add_absolutes<0>(subtract<0>(own, ours.value[0]), subtract<0>(next, theirs.value[0])),
                add_absolutes<0>(subtract<0>(own, ours.value[2]), subtract<0>(next, theirs.value[2])),
                add_absolutes<1>(subtract<1>(own, ours.value[1]), subtract<1>(next, theirs.value[1])),
                add_absolutes<1>(subtract<1>(own, ours.value[3]), subtract<1>(next, theirs.value[3]))};
            mma(cost[r][c], sums, even, odd);
          }
        }
      }
      __syncthreads();
    }
#pragma unroll
    for (int c = 0; c < RN / RUN; ++c)
#pragma unroll
      for (int e = 0; e < RUN; ++e) {
        const int j = col0 + RUN * (tx + c * TX) + e;
#pragma unroll
        for (int r = 0; r < RM; ++r) ranked[r].consider(cost[r][c][e], j);
      }
  }
#pragma unroll
  for (int i = 0; i < BM * RUNS / THREADS; ++i) {
#pragma unroll
    for (int offset = RUNS / 2; offset > 0; offset >>= 1) {
      lost[i].add({__shfl_xor_sync(EVERY_LANE, lost[i].sum, offset),
                   __shfl_xor_sync(EVERY_LANE, lost[i].size, offset),
                   __shfl_xor_sync(EVERY_LANE, lost[i].most, offset)});
    }
    if (tid % RUNS == 0) tile.lost[tid / RUNS + i * (THREADS / RUNS)] = lost[i].bound(d);
  }
  __syncthreads();
  Ranked<float> own = ranked[0];  // of the row of this lane
#pragma unroll
  for (int r = 0; r < RM; ++r) {
    ranked[r].merge_lanes(TX);
    if (tx == r) own = ranked[r];
  }
  const int r = RUN * (ty + tx / RUN * TY) + tx % RUN;
  const bool inside = tx < RM && row0 + r < n;
  bool decided = true;
  if (inside) {
    const float extra = -starts[own.label];
    decided = own.second - own.best > rounding * (own.second + 1.01f * (own.best + extra)) +
                                          2.01f * (extra + tile.lost[r]);
    label[row0 + r] = own.label;
    best[row0 + r] = 0;
    second[row0 + r] = infinity<float>();
  }
  const unsigned votes = __ballot_sync(EVERY_LANE, !decided);
  int first = 0;
  if (lane == 0 && votes) first = atomicAdd(total, __popc(votes));
  first = __shfl_sync(EVERY_LANE, first, 0);
  if (!decided) open[first + __popc(votes & ((1u << lane) - 1))] = int(row0 + r);
}
