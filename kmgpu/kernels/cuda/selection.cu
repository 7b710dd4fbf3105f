// Coordinatewise medians, exact, by selection, over rows grouped by label:
// order[bounds[j]:bounds[j + 1]] are cluster j's.
//
// Numbers are read as unsigned keys of the same order. The key of the lower median is found one
// digit at a time, highest first, from how many rows, or what weight, each value of the digit has
// among the keys that begin with the digits found so far; the upper median is the same or the next
// higher key. A block works on up to 32 features of one cluster, or of one segment of a large one;
// `features`, a power of two up to 32, share a warp.

// Numbers as unsigned keys of the same order. No number has the highest key.
//
// Whole numbers: how far they are above the least of their type, in a Key of more bits. Of 64 bits
// the two highest have one key; they are one double.
template <int BYTES>
struct Wider;
template <>
struct Wider<1> {
  using Key = unsigned short;
};
template <>
struct Wider<2> {
  using Key = unsigned;
};
template <>
struct Wider<4> {
  using Key = unsigned long long;
};
template <>
struct Wider<8> {
  using Key = unsigned long long;
};
template <typename T>
struct Keys {
  using Key = typename Wider<sizeof(T)>::Key;
  static constexpr bool SIGNED = T(-1) < T(0);
  static constexpr Key LEAST = SIGNED ? Key(1) << (8 * sizeof(T) - 1) : Key(0);
  static constexpr Key MOST = Key(~Key(0)) - 1;
  static __device__ __forceinline__ Key of(T v) {
    const Key key = Key(Key(v) + LEAST);
    return key < MOST ? key : MOST;
  }
  static __device__ __forceinline__ double value(Key key) { return double(T(key - LEAST)); }
};
template <typename T>
struct ShortKeys {
  using Key = unsigned short;
  static __device__ __forceinline__ Key of(T h) {
    return h.bits & 0x8000u ? ~h.bits : h.bits | 0x8000u;
  }
  static __device__ __forceinline__ double value(Key key) {
    const unsigned short bits = key & 0x8000u ? key ^ 0x8000u : ~key;
    return converted<double>(T{bits});
  }
};
template <>
struct Keys<Half> : ShortKeys<Half> {};
template <>
struct Keys<Bfloat16> : ShortKeys<Bfloat16> {};
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
template <>
struct Keys<double> {
  using Key = unsigned long long;
  static constexpr Key SIGN = 1ull << 63;
  static __device__ __forceinline__ Key of(double v) {
    const Key bits = __double_as_longlong(v);
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
  using Count = unsigned;  // of a digit
  static constexpr int DIGIT = 8, AHEAD = 8;
};
template <>
struct Tally<true> {
  using Count = unsigned long long;
  static constexpr int DIGIT = 4, AHEAD = 4;
};

constexpr unsigned long long NO_KEY = ~0ull;

// Where the search for one feature's median stands: the key's leading digits, what lies below
// them, what the lower and the upper median must reach, and the lowest key above them all.
template <typename Key>
struct Search {
  Key prefix;
  long long below, low, high;
  bool next;  // whether the upper median is the next higher value
  unsigned long long above;
};

template <typename T>
using SearchOf = Search<typename Keys<T>::Key>;

// What the weight up to the lower median reaches, and that below the upper one does not pass;
// kmgpu.kernels.agreement.middle_ranks() says why. `rounded` is the number of weights, 0 if there are none.
template <typename Search>
__device__ __forceinline__ void set_targets(Search& s, long long total, long long rounded) {
  const long long tolerance = rounded + (total >> 52);
  s.low = (total + 1) / 2 - tolerance;
  s.high = total / 2 + tolerance;
}

// Four more bits of the key, from the counts of their 16 values; returns them.
template <typename Key, typename Count>
__device__ __forceinline__ int advance(Search<Key>& s, const Count* count, int shift) {
  int found = 0;
  bool any = false;
  long long below = s.below, reached = s.below;
#pragma unroll 4
  for (int b = 0; b < 16; ++b) {  // the last value that any row has, if none suffices
    const long long more = count[32 * b];
    if (more > 0 && (!any || reached < s.low)) {
      any = true;
      found = b;
      below = reached;
      reached += more;
    }
  }
  s.prefix |= Key(found) << shift;
  s.below = below;
  s.next = !(reached > s.high);
  return found;
}

// A block's work on one cluster, or on a segment of it; `shift` is the digit's place in the key.
template <typename T, bool WEIGHTED, int THREADS>
struct Selection {
  using Key = typename Keys<T>::Key;
  using Count = typename Tally<WEIGHTED>::Count;
  static constexpr int DIGIT = Tally<WEIGHTED>::DIGIT, AHEAD = Tally<WEIGHTED>::AHEAD;
  static constexpr int BITS = 8 * sizeof(T), BINS = 1 << DIGIT;
  // a GPU's shared memory does not add 64 bits at once, so each warp has its own
  static constexpr int COPIES = WEIGHTED ? THREADS / 32 : 1;
  static_assert(sizeof(SearchOf<T>) == 8 * 6, "medians() allocates them");
  struct Shared {
    Count count[COPIES][BINS][32];  // a lane has its own column: no two of a warp meet
    Count group[DIGIT > 4 ? 16 : 1][32];
    SearchOf<T> search[32];
  };
  Shared& shared;
  const int features, d, tile;
  const int own = threadIdx.x % features;  // feature of the tile
  const int slot = threadIdx.x / features, slots = THREADS / features;
  const int column = tile * features + own;
  const int read = column < d ? column : d - 1;

  __device__ __forceinline__ bool first(int shift) const { return shift + DIGIT == BITS; }
  // whether this thread alone speaks for a feature
  __device__ __forceinline__ bool speaks() const { return slot == 0 && column < d; }

  // Counts the rows whose keys begin with the prefix by their next digit, into the columns;
  // returns the lowest key above those.
  __device__ __forceinline__ Key count(const Matrix<T>& rows, const long long* __restrict__ order,
                                       const Count* __restrict__ weight, int n, Key prefix,
                                       int shift) const {
    Count* const mine = &shared.count[WEIGHTED ? threadIdx.x / 32 : 0][0][threadIdx.x % 32];
    const Key span = Key((Key(1) << (shift + DIGIT - 1)) * 2 - 1), last = prefix | span;
    const T* from = rows.data + read * rows.column_stride;
    Key above = Key(~Key(0));
    Count* all = &shared.count[0][0][0];
    for (int e = 0; e < COPIES * BINS * 32; e += THREADS) all[e + threadIdx.x] = 0;
    __syncthreads();
    for (int i = slot; i < n; i += AHEAD * slots) {
      long long row[AHEAD];
      Key key[AHEAD];
      Count share[AHEAD];
#pragma unroll
      for (int u = 0; u < AHEAD; ++u) row[u] = order[min(i + u * slots, n - 1)];
#pragma unroll
      for (int u = 0; u < AHEAD; ++u) {
        key[u] = Keys<T>::of(from[row[u] * rows.row_stride]);
        if (WEIGHTED) share[u] = weight[row[u]];
      }
#pragma unroll
      for (int u = 0; u < AHEAD; ++u) {
        const Key offset = Key(key[u] - prefix);
        if (i + u * slots < n && offset <= span) {
          Count* to = mine + 32 * int(offset >> shift);
          if constexpr (WEIGHTED) {
            *to += share[u];
          } else {
            atomicAdd(to, 1u);
          }
        }
        if (key[u] > last && key[u] < above) above = key[u];
      }
    }
    for (int lanes = 16; lanes >= features; lanes >>= 1) {
      const Key other = __shfl_xor_sync(EVERY_LANE, above, lanes);
      above = other < above ? other : above;
    }
    __syncthreads();
    return above;
  }

  // Notes the lowest key that count() has seen above those that it counted.
  __device__ __forceinline__ void note(unsigned long long& above, Key key) const {
    if (threadIdx.x % 32 < features && column < d && key != Key(~Key(0))) {
      atomicMin(&above, (unsigned long long)key);
    }
  }

  // One value's count, over all columns of the thread's feature.
  __device__ __forceinline__ Count folded(int b) const {
    const int ways = 32 / features;
    Count sum = 0;
    for (int c = 0; c < COPIES; ++c) {
      for (int way = 0; way < ways; ++way) {  // turned by b: threads beside each other, other banks
        sum += shared.count[c][b][own + features * ((way + b) & (ways - 1))];
      }
    }
    return sum;
  }

  __device__ __forceinline__ void fold() const {
    for (int b = slot; b < BINS; b += slots) shared.count[0][b][own] = folded(b);
    __syncthreads();
  }

  // A digit more, from the folded counts of a cluster of m rows.
  __device__ __forceinline__ void choose(int shift, long long m) const {
    const int tid = threadIdx.x;
    const Count* high = &shared.count[0][0][tid % 32];
    if (DIGIT > 4) {
      for (int g = slot; g < 16; g += slots) {
        Count sum = 0;
#pragma unroll 4
        for (int b = 16 * g; b < 16 * g + 16; ++b) sum += shared.count[0][b][own];
        shared.group[g][own] = sum;
      }
      high = &shared.group[0][tid % 32];
      __syncthreads();
    }
    if (tid < features) {
      auto& s = shared.search[tid];
      if (first(shift)) {
        long long total = 0;
        for (int b = 0; b < 16; ++b) total += high[32 * b];
        s = {0, 0, 0, 0, false, NO_KEY};
        set_targets(s, total, WEIGHTED ? m : 0);
      }
      const int found = advance(s, high, shift + DIGIT - 4);
      if (DIGIT > 4) advance(s, &shared.count[0][16 * found][tid], shift);
    }
    __syncthreads();
  }

  // Writes the medians, once the last digit is chosen.
  __device__ __forceinline__ void finish(double* __restrict__ center) const {
    auto& s = shared.search[own];
    for (int b = slot; b < BINS; b += slots) {
      const Key key = Key((s.prefix & ~Key(BINS - 1)) | Key(b));
      if (key > s.prefix && shared.count[0][b][own] > 0) {
        atomicMin(&s.above, (unsigned long long)key);
      }
    }
    __syncthreads();
    if (speaks()) {
      const double a = Keys<T>::value(s.prefix);
      const bool single = !s.next || s.above == NO_KEY;
      center[column] = 0.5 * a + 0.5 * (single ? a : Keys<T>::value(Key(s.above)));
    }
  }
};
