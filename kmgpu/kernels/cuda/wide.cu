// The same for rows that do not fit registers: a product by tiles of rows, centres and features.

// A warp takes 32 rows and COLUMNS centres, a block WARPS of these; CHUNK features at a time pass
// through shared memory, one chunk being read while the next one comes.
template <bool SPLIT>
struct WideShape {
  static constexpr int PARTS = SPLIT ? 2 : 1, WARPS = SPLIT ? 2 : 4, ROWS = 32 * WARPS;
  static constexpr int COLUMNS = SPLIT ? 32 : 128, CHUNK = 32, STRIDE = CHUNK + HALF_PAD;
  static constexpr int SUMS = SPLIT ? 3 : 1, RESIDENT = SPLIT ? 4 : 2;
};

template <bool SPLIT>
struct Chunk {
  using S = WideShape<SPLIT>;
  int4 halves[S::PARTS][S::ROWS + S::COLUMNS][S::STRIDE / 8];

  // Begins to bring features from `feature` on of the block's rows, in `room`, and of the centres
  // from `first` on.
  __device__ __forceinline__ void fetch(const int4* room, const int4* __restrict__ centers,
                                        int first, long long padded, int width, int feature) {
    constexpr int PIECES = S::CHUNK / 8;
#pragma unroll
    for (int part = 0; part < S::PARTS; ++part) {
      const int4* const rows = room + part * S::ROWS * (long long)(width / 8) + feature / 8;
      const int4* const columns = centers + (part * padded + first) * (width / 8) + feature / 8;
#pragma unroll 1
      for (int e = threadIdx.x; e < S::ROWS * PIECES; e += 32 * S::WARPS) {
        copy16(&halves[part][e / PIECES][e % PIECES],
               rows + e / PIECES * (long long)(width / 8) + e % PIECES);
      }
#pragma unroll 1
      for (int e = threadIdx.x; e < S::COLUMNS * PIECES; e += 32 * S::WARPS) {
        copy16(&halves[part][S::ROWS + e / PIECES][e % PIECES],
               columns + e / PIECES * (long long)(width / 8) + e % PIECES);
      }
    }
  }
};

// Sums of a warp's products. With SPLIT: of a chunk's high halves, of all chunks, of low halves.
template <bool SPLIT>
struct Sums {
  using S = WideShape<SPLIT>;
  float c[S::SUMS][2][S::COLUMNS / 8][4];

  // `norms` are |c|^2 / 2 of the tile's centres.
  __device__ __forceinline__ void begin(const float* __restrict__ norms) {
    const int q = threadIdx.x % 4;
#pragma unroll
    for (int n = 0; n < S::COLUMNS / 8; ++n) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
#pragma unroll
        for (int m = 0; m < 2; ++m) {
          c[SPLIT][m][n][e] = -norms[8 * n + 2 * q + e % 2];
          if constexpr (SPLIT) c[0][m][n][e] = c[2][m][n][e] = 0;
        }
      }
    }
  }
  __device__ __forceinline__ void add(const Chunk<SPLIT>& chunk) {
    const int lane = threadIdx.x % 32, row = threadIdx.x / 32 * 32;
#pragma unroll
    for (int step = 0; step < S::CHUNK / 16; ++step) {
      unsigned a[S::PARTS][2][4];
#pragma unroll
      for (int part = 0; part < S::PARTS; ++part) {
#pragma unroll
        for (int m = 0; m < 2; ++m) {
          load_matrix(a[part][m],
                      &chunk.halves[part][row + 16 * m + lane % 16][2 * step + lane / 16]);
        }
      }
#pragma unroll
      for (int n = 0; n < S::COLUMNS / 8; n += 2) {
        const int column = S::ROWS + 8 * n + lane / 16 * 8 + lane % 8;
        unsigned high[4], low[4];
        load_matrix(high, &chunk.halves[0][column][2 * step + lane / 8 % 2]);
        if constexpr (SPLIT) load_matrix(low, &chunk.halves[1][column][2 * step + lane / 8 % 2]);
#pragma unroll
        for (int m = 0; m < 2; ++m) {
#pragma unroll
          for (int i = 0; i < 2; ++i) {
            mma(c[0][m][n + i], a[0][m], high[2 * i], high[2 * i + 1]);
            if constexpr (SPLIT) {
              mma(c[2][m][n + i], a[1][m], high[2 * i], high[2 * i + 1]);
              mma(c[2][m][n + i], a[0][m], low[2 * i], low[2 * i + 1]);
            }
          }
        }
      }
    }
    if constexpr (SPLIT) {
#pragma unroll
      for (int m = 0; m < 2; ++m) {
#pragma unroll
        for (int n = 0; n < S::COLUMNS / 8; ++n) {
#pragma unroll
          for (int e = 0; e < 4; ++e) {
            c[1][m][n][e] += c[0][m][n][e];
            c[0][m][n][e] = 0;
          }
        }
      }
    }
  }
  __device__ __forceinline__ void rank(Top (&top)[4], int tile) const {
#pragma unroll
    for (int s = 0; s < 4; ++s) top[s].before = top[s].best;
#pragma unroll
    for (int m = 0; m < 2; ++m) {
#pragma unroll
      for (int n = 0; n < S::COLUMNS / 8; ++n) {
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const float score =
              SPLIT ? c[SPLIT][m][n][e] + c[S::SUMS - 1][m][n][e] : c[0][m][n][e];
          top[2 * m + e / 2].template insert<S::COLUMNS>(score, 2 * n + e % 2);
        }
      }
    }
#pragma unroll
    for (int s = 0; s < 4; ++s) {
      if (top[s].best != top[s].before) top[s].tile = tile;
    }
  }
};

// As nearest_tensor(), for `width` features, a multiple of CHUNK. Each block keeps the halves of its
// rows in `rooms`, PARTS * ROWS * width halves of its own.
template <typename T, bool SPLIT>
__global__ void __launch_bounds__(32 * WideShape<SPLIT>::WARPS, WideShape<SPLIT>::RESIDENT)
    nearest_wide(const T* __restrict__ x, long long row_stride, long long column_stride,
                 const Origin<T>* __restrict__ origin, const int4* __restrict__ halves,
                 const float* __restrict__ norms, const double* __restrict__ extents,
                 const double* __restrict__ frame, const float* __restrict__ residuals,
                 int n_residuals, int n, int k, int padded, int d, const int* __restrict__ listed,
                 const int* __restrict__ n_listed, int* __restrict__ label,
                 int* __restrict__ open, int* __restrict__ total, int width, int4* rooms) {
  using S = WideShape<SPLIT>;
  using Wide = Origin<T>;
  __shared__ Chunk<SPLIT> chunks[2];
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const Known known{SPLIT ? listed : nullptr, SPLIT ? *n_listed : n, k, frame[0],
                    frame_of(frame, residuals, n_residuals), extents};
  const Matrix<T> matrix{x, row_stride, column_stride};
  int4* const room = rooms + blockIdx.x * (long long)(S::PARTS * S::ROWS) * (width / 8);
  const int per_tile = width / S::CHUNK, n_chunks = padded / S::COLUMNS * per_tile;
  for (long long first = (long long)blockIdx.x * S::ROWS; first < known.count;
       first += (long long)gridDim.x * S::ROWS) {
    const long long start = first + 32 * warp + lane / 4;
    Lengths<Wide> lengths[4];
#pragma unroll
    for (int m = 0; m < 2; ++m) {
      const long long row[2] = {known.row(start + 16 * m), known.row(start + 16 * m + 8)};
      unsigned* const own =
          reinterpret_cast<unsigned*>(room) + (32 * warp + 16 * m) * (long long)(width / 2);
      Lengths<Wide> two[2];
      fill_halves<false>(matrix, row, origin, Wide(known.scale), d, width, own, width / 2, two);
      if constexpr (SPLIT) {
        fill_halves<true>(matrix, row, origin, Wide(known.scale), d, width,
                          own + S::ROWS * (long long)(width / 2), width / 2, two);
      }
      lengths[2 * m] = two[0];
      lengths[2 * m + 1] = two[1];
    }
    __syncthreads();
    chunks[0].fetch(room, halves, 0, padded, width, 0);
    Top top[4];
#pragma unroll
    for (int s = 0; s < 4; ++s) top[s].clear();
    Sums<SPLIT> sums;
    for (int i = 0, tile = 0, part = 0; i < n_chunks; ++i) {
      wait();
      __syncthreads();
      const bool last = part == per_tile - 1;
      if (i + 1 < n_chunks) {
        chunks[(i + 1) % 2].fetch(room, halves, (tile + last) * S::COLUMNS, padded, width,
                                  last ? 0 : (part + 1) * S::CHUNK);
      }
      if (part == 0) sums.begin(norms + tile * S::COLUMNS);
      sums.add(chunks[i % 2]);
      if (last) sums.rank(top, tile);
      tile += last;
      part = last ? 0 : part + 1;
    }
    end_rows<Certificate<SPLIT, S::COLUMNS>, S::COLUMNS>(top, lengths, known, start, width,
                                                         SPLIT ? S::CHUNK : width, label, open,
                                                         total);
    __syncthreads();  // before the rows and a chunk are overwritten
  }
}
