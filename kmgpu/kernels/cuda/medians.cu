// All clusters of at most `segment` rows, each by one block; the others are left out. Without the
// bound on registers three blocks would fit a multiprocessor.
template <typename T, bool WEIGHTED, int THREADS>
__global__ void __launch_bounds__(THREADS, 4)
    select_medians(const T* __restrict__ x, long long row_stride, long long column_stride,
                   const long long* __restrict__ order, const long long* __restrict__ bounds,
                   const typename Tally<WEIGHTED>::Count* __restrict__ weight,
                   const double* __restrict__ previous, int segment, int features, int tiles, int d,
                   double* __restrict__ centers) {
  using Block = Selection<T, WEIGHTED, THREADS>;
  using Key = typename Block::Key;
  __shared__ typename Block::Shared shared;
  const int j = blockIdx.x / tiles;
  const long long begin = bounds[j], m = bounds[j + 1] - begin, center = (long long)j * d;
  const Matrix<T> rows{x, row_stride, column_stride};
  const Block block{shared, features, d, int(blockIdx.x % tiles)};
  if (m == 0) {
    if (block.speaks()) centers[center + block.column] = previous[center + block.column];
  } else if (m <= segment) {
    auto& search = shared.search[block.own];
    for (int shift = Block::BITS - Block::DIGIT; shift >= 0; shift -= Block::DIGIT) {
      const Key prefix = block.first(shift) ? Key(0) : search.prefix;
      const Key above = block.count(rows, order + begin, weight, int(m), prefix, shift);
      if (shift == 0) block.note(search.above, above);
      block.fold();
      block.choose(shift, m);
    }
    block.finish(centers + center);
  }
}

// A large cluster, of more than `segment` rows, is cut where the order crosses multiples of
// `segment`. So at most one begins in each chunk between those, whose number is the cluster's slot
// in `searches`, and at most one goes on from the chunk before. Their counts lie in `totals` by
// slot, value of the digit and feature.

// One digit of all large clusters: a block counts the rows of a chunk.
template <typename T, bool WEIGHTED, int THREADS>
__global__ void __launch_bounds__(THREADS, 1)
    count_digits(const T* __restrict__ x, long long row_stride, long long column_stride,
                 const long long* __restrict__ order, const long long* __restrict__ bounds,
                 const typename Tally<WEIGHTED>::Count* __restrict__ weight, int segment,
                 int features, int tiles, int k, int d, int shift, SearchOf<T>* searches,
                 typename Tally<WEIGHTED>::Count* totals) {
  using Block = Selection<T, WEIGHTED, THREADS>;
  using Key = typename Block::Key;
  __shared__ typename Block::Shared shared;
  const long long chunk = blockIdx.x / tiles, start = chunk * segment;
  const long long stop = min(start + segment, bounds[k]);
  const Matrix<T> rows{x, row_stride, column_stride};
  const Block block{shared, features, d, int(blockIdx.x % tiles)};
  if (start < stop) {
    const int last = cluster_of(bounds, k, stop - 1);
    for (int j = cluster_of(bounds, k, start);; j = last) {
      const long long begin = max(bounds[j], start), end = min(bounds[j + 1], stop);
      if (bounds[j + 1] - bounds[j] > segment) {
        const long long slot = bounds[j] / segment;
        auto& search = searches[slot * d + block.read];
        const Key prefix = block.first(shift) ? Key(0) : search.prefix;
        const Key above = block.count(rows, order + begin, weight, int(end - begin), prefix, shift);
        if (shift == 0) block.note(search.above, above);
        for (int b = block.slot; b < Block::BINS; b += block.slots) {
          const auto sum = block.folded(b);
          auto& total = totals[(slot * Block::BINS + b) * d + block.read];
          if (block.column < d && sum > 0) atomicAdd(&total, sum);
        }
        __syncthreads();
      }
      if (j == last) break;
    }
  }
}

// The digit's value for each large cluster that begins in the block's chunk; the median after the
// last. The counts are left at 0.
template <typename T, bool WEIGHTED, int THREADS>
__global__ void __launch_bounds__(THREADS, 1)
    choose_digits(const long long* __restrict__ bounds, int segment, int features, int tiles, int k,
                  int d, int shift, SearchOf<T>* searches,
                  typename Tally<WEIGHTED>::Count* totals, double* __restrict__ centers) {
  using Block = Selection<T, WEIGHTED, THREADS>;
  __shared__ typename Block::Shared shared;
  const long long chunk = blockIdx.x / tiles, start = chunk * segment;
  const long long stop = min(start + segment, bounds[k]);
  const Block block{shared, features, d, int(blockIdx.x % tiles)};
  const int j = start < stop ? cluster_of(bounds, k, stop - 1) : 0;
  const long long begin = bounds[j], m = bounds[j + 1] - begin;
  if (start < stop && begin >= start && m > segment) {
    auto& search = searches[chunk * d + block.read];
    if (block.slot == 0 && !block.first(shift)) shared.search[block.own] = search;
    auto* total = totals + block.read;
    for (int b = block.slot; b < Block::BINS; b += block.slots) {
      auto& one = total[(chunk * Block::BINS + b) * d];
      const bool real = block.column < d;
      shared.count[0][b][block.own] = real ? one : 0;
      if (real) one = 0;
    }
    __syncthreads();
    block.choose(shift, m);
    if (shift == 0) {
      block.finish(centers + (long long)j * d);
    } else if (block.speaks()) {
      search = shared.search[block.own];
    }
  }
}
