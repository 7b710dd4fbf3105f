// The nearest centre of every row by tensor cores, and a list of the rows that they do not decide.

// The number type in which rows less the origin are exact up to float32's or float64's rounding.
template <typename T, bool NARROW = (sizeof(T) < 4)>
struct WideOf {
  using type = double;
};
template <typename T>
struct WideOf<T, true> {
  using type = float;
};
template <>
struct WideOf<float, false> {
  using type = float;
};

constexpr int HALF_PAD = 8;  // halves between the rows of a tile: load_matrix() meets no bank twice
constexpr float BEYOND = 3e38f;  // in place of |c|^2 / 2 where a tile has no more centres

// Numbers that no half holds become the largest; what is lost then leaves the row open.
template <typename Wide>
__device__ __forceinline__ unsigned packed(Wide low, Wide high) {
  const float one = fminf(fmaxf(float(low), -HALF_MOST), HALF_MOST);
  const float other = fminf(fmaxf(float(high), -HALF_MOST), HALF_MOST);
  return pack_half(one, other);
}
__device__ __forceinline__ float unpacked(unsigned word, int i) {
  return decode(Half{(unsigned short)(word >> 16 * i)});
}

__device__ __forceinline__ float warp_max(float value) {
  for (int offset = 16; offset > 0; offset >>= 1) {
    value = fmaxf(value, __shfl_xor_sync(EVERY_LANE, value, offset));
  }
  return value;
}

// Brings the longest centre to between 2^8 and 2^9: rows 128 times as far from the origin still fit
// halves, and numbers 2^22 times as small are no subnormal ones. NaN, so that no row is decided,
// where float32 does not hold such a factor of it.
__device__ __forceinline__ double scale_of(double longest) {
  constexpr int MOST = 96;
  int shift = longest > 0 ? 8 - ilogb(longest) : 0;
  shift = shift > MOST ? MOST : shift < -MOST ? -MOST : shift;
  const double scale = scalbn(1.0, shift);
  return scale * longest < 1024 ? scale : infinity<double>() - infinity<double>();
}

// Centres as halves, D of them each, `padded` centres of high halves, then as many of low ones; and
// norms |c|^2 / 2. `frame`: the scale, the longest centre. `residuals`: for each block what halves
// leave, as Frame has it. Empties the two lists. A warp takes a centre; any number of blocks.
template <typename Acc, int D, int WARPS>
__global__ void __launch_bounds__(32 * WARPS, 1)
    pack_centers(const double* __restrict__ centers, const Acc* __restrict__ origin,
                 const double* __restrict__ extents, int k, int d, int padded,
                 unsigned* __restrict__ halves, float* __restrict__ norms,
                 double* __restrict__ frame, float* __restrict__ residuals,
                 int* __restrict__ totals) {
  __shared__ double longest_of[32 * WARPS];
  __shared__ float lost_of[WARPS][2];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  double longest = 0;
  for (int j = threadIdx.x; j < k; j += 32 * WARPS) {
    longest = longest > extents[j] ? longest : extents[j];
  }
  longest_of[threadIdx.x] = longest;
  __syncthreads();
  for (int i = 0; i < 32 * WARPS; ++i) longest = longest > longest_of[i] ? longest : longest_of[i];
  const double scale = scale_of(longest);
  float coarse = 0, fine = 0;
  for (long long j = (long long)blockIdx.x * WARPS + warp; j < padded;
       j += (long long)gridDim.x * WARPS) {
    double lost = 0, left = 0;
    for (int p = lane; p < D / 2; p += 32) {
      double value[2];
      for (int i = 0; i < 2; ++i) {
        const int t = 2 * p + i;
        value[i] = j < k && t < d ? (centers[j * d + t] - double(origin[t])) * scale : 0;
      }
      const unsigned high = packed(value[0], value[1]);
      for (int i = 0; i < 2; ++i) value[i] -= unpacked(high, i), lost += value[i] * value[i];
      const unsigned low = packed(value[0], value[1]);
      for (int i = 0; i < 2; ++i) value[i] -= unpacked(low, i), left += value[i] * value[i];
      halves[j * (D / 2) + p] = high;
      halves[(padded + j) * (D / 2) + p] = low;
    }
    const double length = j < k ? scale * extents[j] : 0;
    // a millionth for this arithmetic
    const double about = 1.000001 / (length + ABOUT);
    coarse = fmaxf(coarse, float(sqrt(warp_sum(lost)) * about + 1e-12));
    fine = fmaxf(fine, float(sqrt(warp_sum(left)) * about + 1e-12));
    if (lane == 0) norms[j] = j < k ? float(0.5 * length * length) : BEYOND;
  }
  if (lane == 0) lost_of[warp][0] = coarse, lost_of[warp][1] = fine;
  __syncthreads();
  if (threadIdx.x < 2) {
    float most = 0;
    for (int w = 0; w < WARPS; ++w) most = fmaxf(most, lost_of[w][threadIdx.x]);
    residuals[2 * blockIdx.x + threadIdx.x] = most;
    if (blockIdx.x == 0) {
      totals[threadIdx.x] = 0;
      frame[threadIdx.x] = threadIdx.x ? scale * longest : scale;
    }
  }
}

// The best and second score of a row among the centres of one lane. The lowest bits of a score
// are its number in its tile.
struct Top {
  float best, second, before;
  int tile;

  __device__ __forceinline__ void clear() {
    best = second = -infinity<float>();
    tile = 0;
  }
  template <int COLUMNS>
  __device__ __forceinline__ void insert(float score, int number) {
    constexpr unsigned BITS = COLUMNS / 4 - 1;
    const float value = __uint_as_float((__float_as_uint(score) & ~BITS) | number);
    second = fmaxf(second, fminf(best, value));
    best = fmaxf(best, value);
  }
  // The centre of the best score, for lane q of four that share a row.
  template <int COLUMNS>
  __device__ __forceinline__ int label(int q) const {
    const int number = __float_as_uint(best) & (COLUMNS / 4 - 1);
    return tile * COLUMNS + number / 2 * 8 + 2 * q + number % 2;
  }
};

template <int N, typename T>
__device__ __forceinline__ T chosen(const T (&values)[N], int which) {
  T value = values[0];
#pragma unroll
  for (int i = 1; i < N; ++i) {
    if (which == i) value = values[i];
  }
  return value;
}

// What a block's threads share of the kernel's shape. A warp takes M matrices of 16 rows, whose
// halves its lanes keep in registers; tiles of COLUMNS centres pass through shared memory, one
// being read while the next one comes.
template <int D, bool SPLIT>
struct Shape {
  static constexpr int PARTS = SPLIT ? 2 : 1, STEPS = D / 16, STRIDE = D + HALF_PAD;
  static constexpr int M = SPLIT || D > 128 ? 1 : 2, SLOTS = 2 * M;
  static constexpr int COLUMNS = PARTS * D > 256 ? 16 : PARTS * D > 128 ? 32 : 64;
  // warps of a multiprocessor, as far as registers go
  static constexpr int RESIDENT = PARTS * D > 256 ? 8 : D > 64 ? 12 : D > 32 ? 16 : 24;
};

template <int D, bool SPLIT>
struct Tile {
  using S = Shape<D, SPLIT>;
  int4 halves[S::PARTS * S::COLUMNS * S::STRIDE / 8];
  float4 norms[S::COLUMNS / 4];

  // Begins to bring centres first .. first + COLUMNS.
  template <int THREADS>
  __device__ __forceinline__ void fetch(const int4* __restrict__ from,
                                        const float4* __restrict__ lengths, int first,
                                        long long padded) {
    constexpr int PIECES = D / 8, N = S::COLUMNS * PIECES;
#pragma unroll
    for (int part = 0; part < S::PARTS; ++part) {
      const int4* source = from + (part * padded + first) * PIECES;
#pragma unroll 1
      for (int e = threadIdx.x; e < N; e += THREADS) {
        copy16(halves + (part * S::COLUMNS + e / PIECES) * (S::STRIDE / 8) + e % PIECES, source + e);
      }
    }
    if (threadIdx.x < S::COLUMNS / 4) {
      copy16(norms + threadIdx.x, lengths + first / 4 + threadIdx.x);
    }
  }
  // The words of b for centres column .. column + 16 and features 16 step .. 16 step + 16.
  __device__ __forceinline__ void load(unsigned (&words)[4], int part, int column, int step) const {
    const int lane = threadIdx.x % 32;
    const int row = part * S::COLUMNS + column + lane / 16 * 8 + lane % 8;
    load_matrix(words, halves + row * (S::STRIDE / 8) + 2 * step + lane / 8 % 2);
  }
};

// The rows of a warp: their halves as fragments, and what these leave. Slot s of a lane is row
// lane / 4 + 8 s.
template <typename T, typename Acc, int D, bool SPLIT>
struct Rows {
  using S = Shape<D, SPLIT>;
  using Wide = typename WideOf<T>::type;
  unsigned a[S::PARTS][S::M][S::STEPS][4];
  Lengths<Wide> lengths[S::SLOTS];

  // 16 rows at a time pass through `room`, this warp's own.
  __device__ __forceinline__ void load(const Matrix<T>& rows, const long long (&row)[S::SLOTS],
                                       const Acc* __restrict__ origin, Wide scale, int d,
                                       unsigned* room) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int m = 0; m < S::M; ++m) {
#pragma unroll
      for (int part = 0; part < S::PARTS; ++part) {
        fill(rows, row[2 * m], row[2 * m + 1], origin, scale, d, room, part, 2 * m);
        __syncwarp();
#pragma unroll
        for (int step = 0; step < S::STEPS; ++step) {
          load_matrix(a[part][m][step],
                      room + lane % 16 * (S::STRIDE / 2) + 8 * step + lane / 16 * 4);
        }
        __syncwarp();
      }
    }
#pragma unroll
    for (int s = 0; s < S::SLOTS; ++s) {
      lengths[s].kept = group_sum<4>(lengths[s].kept);
      lengths[s].lost = group_sum<4>(lengths[s].lost);
      if constexpr (SPLIT) lengths[s].left = group_sum<4>(lengths[s].left);
    }
  }
  // The high halves (`part` 0) or the low ones of rows `one` and `other`, slots `slot` and the next.
  __device__ __forceinline__ void fill(const Matrix<T>& rows, long long one, long long other,
                                       const Acc* __restrict__ origin, Wide scale, int d,
                                       unsigned* room, int part, int slot) {
    const int g = threadIdx.x % 32 / 4, q = threadIdx.x % 4;
    lengths[slot] = lengths[slot + 1] = {0, 0, 0};
#pragma unroll 4
    for (int t = 2 * q; t < D; t += 8) {
#pragma unroll
      for (int s = 0; s < 2; ++s) {
        Wide value[2] = {0, 0};
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          if (t + i < d) {
            const Wide from = origin[t + i];
            value[i] = (rows.template at<Wide>(s ? other : one, t + i) - from) * scale;
          }
        }
        unsigned word = packed(value[0], value[1]);
        Lengths<Wide>& sums = lengths[slot + s];
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          const Wide kept = unpacked(word, i);
          value[i] -= kept;
          sums.kept += kept * kept;
          sums.lost += value[i] * value[i];
        }
        if (part == 1) {
          word = packed(value[0], value[1]);
#pragma unroll
          for (int i = 0; i < 2; ++i) {
            value[i] -= unpacked(word, i);
            sums.left += value[i] * value[i];
          }
        }
        room[(g + 8 * s) * (S::STRIDE / 2) + t / 2] = word;
      }
    }
  }

  // Scores of all rows at the centres of a tile.
  __device__ __forceinline__ void rank(Top (&top)[S::SLOTS], const Tile<D, SPLIT>& tile,
                                       int number) const {
    const int q = threadIdx.x % 4;
#pragma unroll
    for (int s = 0; s < S::SLOTS; ++s) top[s].before = top[s].best;
#pragma unroll 1
    for (int column = 0; column < S::COLUMNS; column += 16) {
      float c[S::PARTS][S::M][2][4];
#pragma unroll
      for (int n = 0; n < 2; ++n) {
        const float2 norm =
            reinterpret_cast<const float2*>(tile.norms)[(column + 8 * n) / 2 + q];
#pragma unroll
        for (int m = 0; m < S::M; ++m) {
#pragma unroll
          for (int e = 0; e < 4; ++e) {
            c[0][m][n][e] = e % 2 ? -norm.y : -norm.x;
            if constexpr (SPLIT) c[1][m][n][e] = 0;
          }
        }
      }
#pragma unroll
      for (int step = 0; step < S::STEPS; ++step) {
        unsigned high[4], low[4];
        tile.load(high, 0, column, step);
        if constexpr (SPLIT) tile.load(low, 1, column, step);
#pragma unroll
        for (int m = 0; m < S::M; ++m) {
#pragma unroll
          for (int n = 0; n < 2; ++n) {
            mma(c[0][m][n], a[0][m][step], high[2 * n], high[2 * n + 1]);
            if constexpr (SPLIT) {
              mma(c[1][m][n], a[1][m][step], high[2 * n], high[2 * n + 1]);
              mma(c[1][m][n], a[0][m][step], low[2 * n], low[2 * n + 1]);
            }
          }
        }
      }
#pragma unroll
      for (int m = 0; m < S::M; ++m) {
#pragma unroll
        for (int n = 0; n < 2; ++n) {
#pragma unroll
          for (int e = 0; e < 4; ++e) {
            const float score = SPLIT ? c[0][m][n][e] + c[S::PARTS - 1][m][n][e] : c[0][m][n][e];
            top[2 * m + e / 2].template insert<S::COLUMNS>(score, column / 4 + 2 * n + e % 2);
          }
        }
      }
    }
#pragma unroll
    for (int s = 0; s < S::SLOTS; ++s) {
      if (top[s].best != top[s].before) top[s].tile = number;
    }
  }
};

// The outcome for one row, its four lanes' together.
struct Winner {
  float best, second;
  int label;

  __device__ __forceinline__ void merge_lanes() {
#pragma unroll
    for (int offset = 1; offset < 4; offset <<= 1) {
      const float other = __shfl_xor_sync(EVERY_LANE, best, offset);
      const float next = __shfl_xor_sync(EVERY_LANE, second, offset);
      const int its = __shfl_xor_sync(EVERY_LANE, label, offset);
      second = fmaxf(fminf(best, other), fmaxf(second, next));
      if (other > best) label = its;  // equal ones are open
      best = fmaxf(best, other);
    }
  }
};

__device__ __forceinline__ Frame frame_of(const double* __restrict__ frame,
                                          const float* __restrict__ residuals, int n_residuals) {
  float coarse = 0, fine = 0;
  for (int i = threadIdx.x % 32; i < n_residuals; i += 32) {
    coarse = fmaxf(coarse, residuals[2 * i]);
    fine = fmaxf(fine, residuals[2 * i + 1]);
  }
  return {1.0001f * float(frame[1]), warp_max(coarse), warp_max(fine)};
}

// Labels of rows 0 .. *count, or with SPLIT of those listed; `open` gets those that stay open, in no
// fixed order. Any number of blocks.
template <typename T, typename Acc, int D, bool SPLIT, int WARPS>
__global__ void __launch_bounds__(32 * WARPS, Shape<D, SPLIT>::RESIDENT / WARPS)
    nearest_tensor(const T* __restrict__ x, long long row_stride, long long column_stride,
                   const Acc* __restrict__ origin, const int4* __restrict__ halves,
                   const float4* __restrict__ norms, const double* __restrict__ extents,
                   const double* __restrict__ frame, const float* __restrict__ residuals,
                   int n_residuals, int n, int k, int padded, int d,
                   const int* __restrict__ listed, const int* __restrict__ n_listed,
                   int* __restrict__ label, int* __restrict__ open, int* __restrict__ total) {
  using S = Shape<D, SPLIT>;
  using Wide = typename WideOf<T>::type;
  static_assert(WARPS * 16 <= 2 * S::PARTS * S::COLUMNS, "16 rows of each warp fit the tiles");
  __shared__ int4 shared[2 * sizeof(Tile<D, SPLIT>) / sizeof(int4)];
  Tile<D, SPLIT>* const tiles = reinterpret_cast<Tile<D, SPLIT>*>(shared);
  const int lane = threadIdx.x % 32, q = lane % 4, warp = threadIdx.x / 32;
  const int count = SPLIT ? *n_listed : n;
  const Frame limits = frame_of(frame, residuals, n_residuals);
  const double scale = frame[0];
  const Matrix<T> matrix{x, row_stride, column_stride};
  const long long step = (long long)gridDim.x * WARPS * 16 * S::M;
  for (long long first = (long long)blockIdx.x * WARPS * 16 * S::M; first < count; first += step) {
    const long long start = first + warp * 16 * S::M + lane / 4;
    long long row[S::SLOTS];
#pragma unroll
    for (int s = 0; s < S::SLOTS; ++s) {
      row[s] = start + 8 * s < count ? start + 8 * s : count - 1;
      if constexpr (SPLIT) row[s] = listed[row[s]];
    }
    Rows<T, Acc, D, SPLIT> rows;
    unsigned* room = reinterpret_cast<unsigned*>(shared) + warp * 16 * (S::STRIDE / 2);
    rows.load(matrix, row, origin, Wide(scale), d, room);
    __syncthreads();  // the tiles take that room
    tiles[0].template fetch<32 * WARPS>(halves, norms, 0, padded);
    Top top[S::SLOTS];
#pragma unroll
    for (int s = 0; s < S::SLOTS; ++s) top[s].clear();
    for (int at = 0, tile = 0; at < padded; at += S::COLUMNS, ++tile) {
      wait();
      __syncthreads();
      if (at + S::COLUMNS < padded) {
        tiles[(tile + 1) % 2].template fetch<32 * WARPS>(halves, norms, at + S::COLUMNS, padded);
      }
      rows.rank(top, tiles[tile % 2], tile);
    }
    Winner winner[S::SLOTS];
#pragma unroll
    for (int s = 0; s < S::SLOTS; ++s) {
      winner[s] = {top[s].best, top[s].second, top[s].template label<S::COLUMNS>(q)};
      winner[s].merge_lanes();
    }
    // of the four lanes of a row, each has all that is known of it: lane q ends row slot q
    const Winner own = chosen(winner, q);
    const bool ends = q < S::SLOTS && start + 8 * q < count;
    const int mine = ends ? (SPLIT ? listed[start + 8 * q] : int(start + 8 * q)) : 0;
    const int nearest = own.label < k ? own.label : 0;
    const Certificate<SPLIT, D, S::COLUMNS> certificate(chosen(rows.lengths, q), limits);
    const bool is_open =
        ends && !certificate.decides(own.best, own.second, float(scale * extents[nearest]), limits);
    if (ends) label[mine] = nearest;
    const unsigned votes = __ballot_sync(EVERY_LANE, is_open);
    int place = 0;
    if (lane == 0 && votes) place = atomicAdd(total, __popc(votes));
    place = __shfl_sync(EVERY_LANE, place, 0);
    if (is_open) open[place + __popc(votes & ((1u << lane) - 1))] = mine;
    __syncthreads();  // before a tile is overwritten
  }
}
