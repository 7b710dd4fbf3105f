// Numbers as one half or two, and what is known of the best two scores of a row.

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

// Halves of two rows' features, `width` of them, to `room`, whose rows of `stride` words lie 8 apart:
// high ones, or with LOW the low ones. Of each group of four lanes, lane q takes words q, q + 4, ...
template <bool LOW, typename T>
__device__ __forceinline__ void fill_halves(const Matrix<T>& rows, const long long (&row)[2],
                                            const Origin<T>* __restrict__ origin, Origin<T> scale,
                                            int d, int width, unsigned* room, int stride,
                                            Lengths<Origin<T>> (&lengths)[2]) {
  using Wide = Origin<T>;
  const int g = threadIdx.x % 32 / 4, q = threadIdx.x % 4;
  constexpr int TOGETHER = 16 / sizeof(Wide);  // as many as registers hold
  lengths[0] = lengths[1] = {0, 0, 0};
#pragma unroll TOGETHER
  for (int t = 2 * q; t < width; t += 8) {
#pragma unroll
    for (int s = 0; s < 2; ++s) {
      Wide value[2] = {0, 0};
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        if (t + i < d) {
          value[i] = (rows.template at<Wide>(row[s], t + i) - origin[t + i]) * scale;
        }
      }
      unsigned word = packed(value[0], value[1]);
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const Wide kept = unpacked(word, i);
        value[i] -= kept;
        lengths[s].kept += kept * kept;
        lengths[s].lost += value[i] * value[i];
      }
      if constexpr (LOW) {
        word = packed(value[0], value[1]);
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          value[i] -= unpacked(word, i);
          lengths[s].left += value[i] * value[i];
        }
      }
      room[(g + 8 * s) * (long long)stride + t / 2] = word;
    }
  }
#pragma unroll
  for (int s = 0; s < 2; ++s) {
    lengths[s].kept = group_sum<4>(lengths[s].kept);
    lengths[s].lost = group_sum<4>(lengths[s].lost);
    if constexpr (LOW) lengths[s].left = group_sum<4>(lengths[s].left);
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

// What the rankings know of the rows and centres; see certificate.cu.
struct Known {
  const int* __restrict__ listed;  // rows to rank, or null: all of them
  int count, k;
  double scale;
  Frame frame;
  const double* __restrict__ extents;

  __device__ __forceinline__ int row(long long at) const {
    const long long inside = at < count ? at : count - 1;
    return listed ? listed[inside] : int(inside);
  }
};

// Ends rows start + 8 s of the list, slot s of this lane: labels, and `open` gets those that stay so,
// in no fixed order. Of the four lanes that share a row, each knows all of it: lane q ends slot q.
template <typename C, int COLUMNS, int SLOTS, typename Wide>
__device__ __forceinline__ void end_rows(const Top (&top)[SLOTS], const Lengths<Wide> (&lengths)[SLOTS],
                                         const Known& known, long long start, int width, int added,
                                         int* __restrict__ label, int* __restrict__ open,
                                         int* __restrict__ total) {
  const int lane = threadIdx.x % 32, q = lane % 4;
  Winner winner[SLOTS];
#pragma unroll
  for (int s = 0; s < SLOTS; ++s) {
    winner[s] = {top[s].best, top[s].second, top[s].template label<COLUMNS>(q)};
    winner[s].merge_lanes();
  }
  const Winner own = chosen(winner, q);
  const C certificate(chosen(lengths, q), known.frame, width, added);
  const bool ends = q < SLOTS && start + 8 * q < known.count;
  const int row = known.row(start + 8 * q), nearest = own.label < known.k ? own.label : 0;
  const float extent = known.scale * known.extents[nearest];
  const bool is_open = ends && !certificate.decides(own.best, own.second, extent, known.frame);
  if (ends) label[row] = nearest;
  const unsigned votes = __ballot_sync(EVERY_LANE, is_open);
  int place = 0;
  if (lane == 0 && votes) place = atomicAdd(total, __popc(votes));
  place = __shfl_sync(EVERY_LANE, place, 0);
  if (is_open) open[place + __popc(votes & ((1u << lane) - 1))] = row;
}
