// What kernels call: barriers, warp operations, atomics, bits, arithmetic, vector types.
#pragma once

namespace coh {
template <class T> void publish(uint64_t mask, T value) {
  static_assert(sizeof(T) <= sizeof(Slot));
  if ((mask & 0xffffffffu) != 0xffffffffu) fail("only full-mask warp operations are emulated");
  std::memcpy(&lane[tid], &value, sizeof value);
  sync_warp();
}
template <class T> T exchange(uint64_t mask, T value, unsigned source) {
  publish(mask, value);
  std::memcpy(&value, &lane[(tid & ~31u) + source], sizeof value);
  sync_warp();
  return value;
}
template <class T> struct Same {
  using type = T;
};
template <class T> using same_t = typename Same<T>::type;
template <class T, class F> T update(T* p, F f) {
  T old, next;
  __atomic_load(p, &old, __ATOMIC_SEQ_CST);
  do next = f(old);
  while (!__atomic_compare_exchange(p, &old, &next, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
  return old;
}
template <class To, class From> To bits(From from) {
  To to;
  static_assert(sizeof to == sizeof from);
  std::memcpy(&to, &from, sizeof to);
  return to;
}
}  // namespace coh

// Barriers and warp operations.
template <int = 0> void __syncthreads() { coh::sync_block(); }
template <int = 0> void __syncwarp(unsigned = ~0u) { coh::sync_warp(); }
inline void __threadfence() {}
inline void __threadfence_block() {}
template <class T> T __shfl_sync(uint64_t mask, T v, int source, int width = 32) {
  return coh::exchange(mask, v, (coh::tid & 31 & ~(width - 1)) + (source & (width - 1)));
}
template <class T> T __shfl_xor_sync(uint64_t mask, T v, int with, int width = 32) {
  int me = coh::tid & 31, to = me ^ with;
  return coh::exchange(mask, v, to < (me & ~(width - 1)) + width ? to : me);
}
template <class T> T __shfl_down_sync(uint64_t mask, T v, unsigned by, int width = 32) {
  unsigned me = coh::tid & 31;
  return coh::exchange(mask, v, (me & (width - 1)) + by < unsigned(width) ? me + by : me);
}
template <class T> T __shfl_up_sync(uint64_t mask, T v, unsigned by, int width = 32) {
  unsigned me = coh::tid & 31;
  return coh::exchange(mask, v, (me & (width - 1)) >= by ? me - by : me);
}
template <class T> unsigned __ballot_sync(uint64_t mask, T predicate) {
  unsigned votes = 0;
  coh::publish(mask, bool(predicate));
  for (unsigned i = 0; i < 32; ++i)
    votes |= unsigned(coh::lane[(coh::tid & ~31u) + i].bytes[0]) << i;
  coh::sync_warp();
  return votes;
}
template <class T> int __any_sync(uint64_t mask, T p) { return __ballot_sync(mask, p) != 0; }
template <class T> int __all_sync(uint64_t mask, T p) { return !__any_sync(mask, !p); }

// Atomics, loads and bits.
#define COH_ATOMIC(name, expression)                                    \
  template <class T, class = std::enable_if_t<std::is_arithmetic_v<T>>> \
  T name(T* p, coh::same_t<T> v) {                                      \
    return coh::update(p, [=](T old) { return T(expression); });        \
  }
COH_ATOMIC(atomicAdd, old + v)
COH_ATOMIC(atomicSub, old - v)
COH_ATOMIC(atomicMin, v < old ? v : old)
COH_ATOMIC(atomicMax, old < v ? v : old)
COH_ATOMIC(atomicAnd, old & v)
COH_ATOMIC(atomicOr, old | v)
COH_ATOMIC(atomicXor, old ^ v)
COH_ATOMIC(atomicExch, v)
template <class T> T atomicCAS(T* p, coh::same_t<T> expected, coh::same_t<T> v) {
  __atomic_compare_exchange(p, &expected, &v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
  return expected;
}
template <class T> T __ldg(const T* p) { return *p; }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __clz(int x) { return x ? __builtin_clz(x) : 32; }
inline int __clzll(long long x) { return x ? __builtin_clzll(x) : 64; }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }
inline int __float_as_int(float f) { return coh::bits<int>(f); }
inline float __int_as_float(int i) { return coh::bits<float>(i); }
inline unsigned __float_as_uint(float f) { return coh::bits<unsigned>(f); }
inline float __uint_as_float(unsigned u) { return coh::bits<float>(u); }
inline long long __double_as_longlong(double d) { return coh::bits<long long>(d); }
inline double __longlong_as_double(long long i) { return coh::bits<double>(i); }
inline double __hiloint2double(int hi, int lo) {
  return coh::bits<double>(uint64_t(unsigned(hi)) << 32 | unsigned(lo));
}

// Arithmetic.  Kernels are built with -ffp-contract=off, so that a * b + c rounds twice here;
// a GPU fuses it unless the kernel says __fmul_rn or fmaf.
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __fma_rn(double a, double b, double c) { return std::fma(a, b, c); }
inline float rsqrtf(float x) { return 1 / std::sqrt(x); }
template <class T> T rsqrt(T x) { return 1 / std::sqrt(x); }
#define COH_IF_ARITHMETIC \
  std::enable_if_t<std::is_arithmetic_v<A> && std::is_arithmetic_v<B>, std::common_type_t<A, B>>
template <class A, class B> constexpr COH_IF_ARITHMETIC min(A a, B b) {
  using T = std::common_type_t<A, B>;
  return T(b) < T(a) ? T(b) : T(a);
}
template <class A, class B> constexpr COH_IF_ARITHMETIC max(A a, B b) {
  using T = std::common_type_t<A, B>;
  return T(a) < T(b) ? T(b) : T(a);
}

// Vector types.
#define COH_VECTOR(T)                                                             \
  struct alignas(2 * sizeof(T)) T##2 { T x, y; };                                 \
  struct alignas(4 * sizeof(T) < 16 ? 4 * sizeof(T) : 16) T##4 { T x, y, z, w; }; \
  inline T##2 make_##T##2(T x, T y) { return {x, y}; }                            \
  inline T##4 make_##T##4(T x, T y, T z, T w) { return {x, y, z, w}; }
COH_VECTOR(float)
COH_VECTOR(double)
COH_VECTOR(int)
