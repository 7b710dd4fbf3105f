// The nearest centre of every row by tensor cores, and a list of the rows that they do not decide.

// Centres as halves, `width` of them each: `padded` centres of high halves, then as many of low
// ones; and norms |c|^2 / 2. `frame`: the scale, the longest centre. `residuals`: for each block
// what halves leave, as Frame has it. Empties the two lists. A warp takes a centre; any number of
// blocks.
template <typename Point, int WARPS>
__global__ void __launch_bounds__(32 * WARPS, 1)
    pack_centers(const double* __restrict__ centers, const Point* __restrict__ origin,
                 const double* __restrict__ extents, int k, int d, int padded, int width,
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
    for (int p = lane; p < width / 2; p += 32) {
      double value[2];
      for (int i = 0; i < 2; ++i) {
        const int t = 2 * p + i;
        value[i] = j < k && t < d ? (centers[j * d + t] - double(origin[t])) * scale : 0;
      }
      const unsigned high = packed(value[0], value[1]);
      for (int i = 0; i < 2; ++i) value[i] -= unpacked(high, i), lost += value[i] * value[i];
      const unsigned low = packed(value[0], value[1]);
      for (int i = 0; i < 2; ++i) value[i] -= unpacked(low, i), left += value[i] * value[i];
      halves[j * (width / 2) + p] = high;
      halves[(padded + j) * (width / 2) + p] = low;
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

// What a block's threads share of the kernel's shape. A warp takes M matrices of 16 rows, whose
// halves its lanes keep in registers; tiles of COLUMNS centres pass through shared memory, one
// being read while the next one comes.
template <int D, bool SPLIT>
struct Shape {
  static constexpr int PARTS = SPLIT ? 2 : 1, STEPS = D / 16, STRIDE = D + HALF_PAD;
  static constexpr int M = SPLIT || D > 128 ? 1 : 2, SLOTS = 2 * M;
  static constexpr int COLUMNS = PARTS * D > 256 ? 16 : PARTS * D > 128 ? 32 : 64;
  // warps of a multiprocessor, as far as registers go
  static constexpr int RESIDENT = PARTS * D > 256 ? 8 : D > 64 ? 12 : D > 16 ? 16 : 24;
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
template <typename T, int D, bool SPLIT>
struct Rows {
  using S = Shape<D, SPLIT>;
  using Wide = Origin<T>;
  unsigned a[S::PARTS][S::M][S::STEPS][4];
  Lengths<Wide> lengths[S::SLOTS];

  // 16 rows at a time pass through `room`, this warp's own.
  __device__ __forceinline__ void load(const Matrix<T>& rows, const Known& known, long long start,
                                       const Wide* __restrict__ origin, int d, unsigned* room) {
    const Wide scale = known.scale;
#pragma unroll
    for (int m = 0; m < S::M; ++m) {
      const long long row[2] = {known.row(start + 16 * m), known.row(start + 16 * m + 8)};
      Lengths<Wide> own[2];
      fill_halves<false>(rows, row, origin, scale, d, D, room, S::STRIDE / 2, own);
      take(a[0][m], room);
      if constexpr (SPLIT) {
        fill_halves<true>(rows, row, origin, scale, d, D, room, S::STRIDE / 2, own);
        take(a[1][m], room);
      }
      lengths[2 * m] = own[0];
      lengths[2 * m + 1] = own[1];
    }
  }
  __device__ __forceinline__ void take(unsigned (&words)[S::STEPS][4], const unsigned* room) const {
    const int lane = threadIdx.x % 32;
    __syncwarp();
#pragma unroll
    for (int step = 0; step < S::STEPS; ++step) {
      load_matrix(words[step], room + lane % 16 * (S::STRIDE / 2) + 8 * step + lane / 16 * 4);
    }
    __syncwarp();
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

// Labels of rows 0 .. *count, or with SPLIT of those listed; `open` gets those that stay open, in no
// fixed order. Any number of blocks.
template <typename T, int D, bool SPLIT, int WARPS>
__global__ void __launch_bounds__(32 * WARPS, Shape<D, SPLIT>::RESIDENT / WARPS)
    nearest_tensor(const T* __restrict__ x, long long row_stride, long long column_stride,
                   const Origin<T>* __restrict__ origin, const int4* __restrict__ halves,
                   const float4* __restrict__ norms, const double* __restrict__ extents,
                   const double* __restrict__ frame, const float* __restrict__ residuals,
                   int n_residuals, int n, int k, int padded, int d,
                   const int* __restrict__ listed, const int* __restrict__ n_listed,
                   int* __restrict__ label, int* __restrict__ open, int* __restrict__ total) {
  using S = Shape<D, SPLIT>;
  static_assert(WARPS * 16 <= 2 * S::PARTS * S::COLUMNS, "16 rows of each warp fit the tiles");
  __shared__ int4 shared[2 * sizeof(Tile<D, SPLIT>) / sizeof(int4)];
  Tile<D, SPLIT>* const tiles = reinterpret_cast<Tile<D, SPLIT>*>(shared);
  const int warp = threadIdx.x / 32;
  const Known known{SPLIT ? listed : nullptr, SPLIT ? *n_listed : n, k, frame[0],
                    frame_of(frame, residuals, n_residuals), extents};
  const Matrix<T> matrix{x, row_stride, column_stride};
  const long long step = (long long)gridDim.x * WARPS * 16 * S::M;
  for (long long first = (long long)blockIdx.x * WARPS * 16 * S::M; first < known.count;
       first += step) {
    const long long start = first + warp * 16 * S::M + threadIdx.x % 32 / 4;
    Rows<T, D, SPLIT> rows;
    rows.load(matrix, known, start, origin, d,
              reinterpret_cast<unsigned*>(shared) + warp * 16 * (S::STRIDE / 2));
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
    end_rows<Certificate<SPLIT, S::COLUMNS>, S::COLUMNS>(top, rows.lengths, known, start, D, D, label,
                                                         open, total);
    __syncthreads();  // before a tile is overwritten
  }
}
