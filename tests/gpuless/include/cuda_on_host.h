// Runs CUDA C++ kernels on a CPU, for tests only.
//
// One CUDA thread is one fiber, so barriers and shuffles work and a run is repeatable; a kernel
// that has neither runs as a plain loop.  -DCOH_THREADS makes one std::thread of each CUDA thread
// instead (for ThreadSanitizer).  Blocks run one after the other, so __shared__ can be `static`.
// Blocks and threads are taken in a scrambled order: code that needs an order must not pass.
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <type_traits>
#include <utility>
#ifdef COH_FLUSH
#include <immintrin.h>
#endif
#define CUDA_ON_HOST 1

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
};
using uint3 = dim3;

#ifdef COH_THREADS
#include <barrier>
#include <memory>
#include <thread>
#include <vector>
#define COH_PER_THREAD thread_local
#else
#define COH_PER_THREAD
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif
#endif

inline COH_PER_THREAD dim3 threadIdx;
inline dim3 blockIdx, blockDim, gridDim;
constexpr int warpSize = 32;
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __align__(n) alignas(n)
#define __shared__ static
#define __constant__

namespace coh {
constexpr size_t max_dynamic_shared = 48 << 10, canary = 1 << 10;
alignas(256) inline unsigned char dynamic_shared[max_dynamic_shared + canary];
inline COH_PER_THREAD unsigned tid;  // flat index inside the block
struct Slot {
  alignas(16) unsigned char bytes[16];
};
inline Slot lane[1024];  // where the lanes of a warp exchange values
using Body = void (*)(void* call);

inline void set_thread(unsigned i) {
  tid = i;
  if (i < blockDim.x)
    threadIdx = {i, 0, 0};
  else
    threadIdx = {i % blockDim.x, i / blockDim.x % blockDim.y, i / (blockDim.x * blockDim.y)};
}

// Visits 0..n-1, each once, in an order that changes from one Order to the next.
struct Order {
  uint64_t n, step, at;
  explicit Order(uint64_t count) : n(count) {
    static uint64_t seed = 12345;
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    at = (seed >> 33) % n;
    step = (seed >> 40) % n;
    while (gcd(step, n) != 1) step = (step + 1) % n;
  }
  static uint64_t gcd(uint64_t a, uint64_t b) { return b ? gcd(b, a % b) : a; }
  uint64_t next() {
    at += step;
    return at -= at < n ? 0 : n;
  }
};

}  // namespace coh

#ifdef COH_THREADS
#include "threads_on_host.h"
#else
#include "fibers_on_host.h"
#endif

namespace coh {
inline void run_grid(const unsigned* g, const unsigned* b, size_t shared, Body body, void* call) {
  gridDim = {g[0], g[1], g[2]};
  blockDim = {b[0], b[1], b[2]};
  uint64_t threads = uint64_t(b[0]) * b[1] * b[2], blocks = uint64_t(g[0]) * g[1] * g[2];
  if (!threads || threads > 1024 || b[2] > 64)
    fail("a block has 1 to 1024 threads, at most 64 of them in z");
  if (!blocks || g[0] > 0x7fffffffu || g[1] > 65535 || g[2] > 65535) fail("grid out of bounds");
  if (shared > max_dynamic_shared) fail("more than 48 KiB of dynamic shared memory");
  std::memset(lane, 0, sizeof lane);
  Order order(blocks);
  for (uint64_t k = 0; k < blocks; ++k) {
    uint64_t i = order.next();
    blockIdx = {unsigned(i % g[0]), unsigned(i / g[0] % g[1]), unsigned(i / g[0] / g[1])};
    if (shared) std::memset(dynamic_shared, 0xA5, shared + canary);
    run_block(threads, body, call);
    for (size_t c = 0; shared && c < canary; ++c)
      if (dynamic_shared[shared + c] != 0xA5) fail("write past the dynamic shared memory");
  }
}

template <class... A> struct Call {
  void (*kernel)(A...);
  void** args;
  template <size_t... I> void run(std::index_sequence<I...>) {
    kernel(*(std::remove_reference_t<A>*)args[I]...);
  }
  static void body(void* self) { ((Call*)self)->run(std::index_sequence_for<A...>{}); }
};
// With -DCOH_FLUSH subnormal numbers are zero while a kernel runs, as NVRTC's -ftz=true makes those
// of float32; here those of float64 are zero too.
struct Flush {
#ifdef COH_FLUSH
  unsigned before = _mm_getcsr();
  Flush() { _mm_setcsr(before | _MM_FLUSH_ZERO_ON | 0x40); }  // 0x40: those that are read
  ~Flush() { _mm_setcsr(before); }
#endif
};
// Launches a kernel; returns what went wrong, or null.
template <class... A>
const char* launch(void (*kernel)(A...), const unsigned* grid, const unsigned* block,
                   size_t shared, void** args) {
  Call<A...> call{kernel, args};
  [[maybe_unused]] Flush flush;
#ifdef COH_THREADS
  run_grid(grid, block, shared, Call<A...>::body, &call);
#else
  try {
    run_grid(grid, block, shared, Call<A...>::body, &call);
  } catch (const Failure& f) {
    return f.message;
  }
#endif
  return nullptr;
}

// One character for each parameter: P pointer, f float, d double, i 4 bytes, l 8 bytes, b 1 byte.
template <class T> constexpr char code() {
  if (std::is_pointer_v<T>) return 'P';
  if (std::is_floating_point_v<T>) return sizeof(T) == 4 ? 'f' : 'd';
  return sizeof(T) == 4 ? 'i' : sizeof(T) == 8 ? 'l' : sizeof(T) == 1 ? 'b' : '?';
}
template <class... A> const char* signature(void (*)(A...)) {
  static const char codes[] = {code<A>()..., 0};
  return codes;
}
}  // namespace coh

#include "device_functions.h"
