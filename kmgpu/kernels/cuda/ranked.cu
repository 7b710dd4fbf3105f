// The nearest centre of a row, and how near the runner-up is.

template <typename T>
struct Ranked {
  T best, second;
  int label;

  __device__ __forceinline__ void clear() {
    best = second = infinity<T>();
    label = 0;
  }
  __device__ __forceinline__ void insert(T cost, int j) {
    if (!(fabs(cost) < infinity<T>())) {
      best = infinity<T>() - infinity<T>();  // stays: no comparison with it holds
    } else if (cost < best) {  // equal ones are settled
      second = best;
      best = cost;
      label = j;
    } else if (cost < second) {
      second = cost;
    }
  }
  // insert() without branches, of costs that are sums of absolute values or squares; one that
  // overflows counts as the largest number, and NaN does not count.
  __device__ __forceinline__ void consider(T cost, int j) {
    second = fmin(second, fmax(best, cost));
    label = cost < best ? j : label;
    best = fmin(best, cost);
  }
  // Of two lists that share no centre.
  __device__ __forceinline__ void merge(T other_best, T other_second, int other_label) {
    if (other_best != other_best) {
      best = other_best;
    } else if (other_best < best || (other_best == best && other_label < label)) {
      second = best < other_second ? best : other_second;
      best = other_best;
      label = other_label;
    } else if (other_best < second) {
      second = other_best;
    }
  }
  __device__ __forceinline__ void merge_lanes(int lanes) {
    for (int offset = lanes / 2; offset > 0; offset >>= 1) {
      const T other_best = __shfl_xor_sync(EVERY_LANE, best, offset);
      const T other_second = __shfl_xor_sync(EVERY_LANE, second, offset);
      const int other_label = __shfl_xor_sync(EVERY_LANE, label, offset);
      merge(other_best, other_second, other_label);
    }
  }
};
