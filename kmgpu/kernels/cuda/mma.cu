// What tensor cores need beyond CUDA C++: five functions of inline PTX. Each has a twin for the host
// that follows the PTX manual (9.7.15, matrix instructions; 9.7.9, asynchronous copies).
//
// A fragment holds 32-bit words of two halves. With g = lane / 4 and q = lane % 4, a 16x16 matrix a
// lies so: word 0 is row g, columns 2q and 2q + 1; word 1 row g + 8; words 2 and 3 the same 8
// columns on. A 16x8 matrix b: word 0 is column g, rows 2q and 2q + 1; word 1 the same 8 rows on. A
// 16x8 matrix c of float: rows g and g + 8, columns 2q and 2q + 1.

#ifdef CUDA_ON_HOST
struct Fragments {
  unsigned a[4], b[2];
};
struct Copy {
  void* to;
  const void* from;
};
inline Fragments fragments[1024];  // by thread, for the other lanes of its warp
inline const void* addresses[1024];
inline Copy copies[1024][64];  // begun, not yet waited for: until then their targets hold junk
inline int n_copies[1024];

inline float half_of(unsigned word, int i) {
  return decode(Half{(unsigned short)(word >> 16 * i)});
}
#endif

// Two numbers rounded to binary16, nearest even: `low` in the low half of the word.
__device__ __forceinline__ unsigned pack_half(float low, float high) {
  unsigned word;
#ifdef CUDA_ON_HOST
  typedef float Four __attribute__((vector_size(16)));
  const auto halves = __builtin_ia32_vcvtps2ph(Four{low, high, 0, 0}, 0);
  word = (unsigned short)halves[0] | unsigned((unsigned short)halves[1]) << 16;
#elif __CUDA_ARCH__ >= 800
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
#else
  asm("{\n.reg .b16 l, h;\ncvt.rn.f16.f32 l, %1;\ncvt.rn.f16.f32 h, %2;\nmov.b32 %0, {l, h};\n}"
      : "=r"(word)
      : "f"(low), "f"(high));
#endif
  return word;
}

// Begins to copy 16 bytes to shared memory; both addresses are multiples of 16.
__device__ __forceinline__ void copy16(void* to, const void* from) {
#ifdef CUDA_ON_HOST
  copies[coh::tid][n_copies[coh::tid]++] = {to, from};
#elif __CUDA_ARCH__ >= 800
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(
                   (unsigned)__cvta_generic_to_shared(to)),
               "l"(from)
               : "memory");
#else
  *static_cast<int4*>(to) = *static_cast<const int4*>(from);
#endif
}

// Waits for this thread's copies; others see them after a barrier.
__device__ __forceinline__ void wait() {
#ifdef CUDA_ON_HOST
  for (int i = 0; i < n_copies[coh::tid]; ++i) {
    memcpy(copies[coh::tid][i].to, copies[coh::tid][i].from, 16);
  }
  n_copies[coh::tid] = 0;
#elif __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_all;" ::: "memory");
#endif
}

// Four 8x8 matrices of halves from shared memory: lane 8i + r names the 16 bytes of row r of matrix
// i, and gets of each matrix elements 2q and 2q + 1 of row g. Read by rows, two matrices of centres
// 8 features apart are the words of b.
__device__ __forceinline__ void load_matrix(unsigned (&words)[4], const void* row) {
#ifdef CUDA_ON_HOST
  const unsigned lane = coh::tid % 32, first = coh::tid - lane;
  addresses[coh::tid] = row;
  __syncwarp();
  for (int i = 0; i < 4; ++i) {
    words[i] = static_cast<const unsigned*>(addresses[first + 8 * i + lane / 4])[lane % 4];
  }
  __syncwarp();
#else
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
               : "r"((unsigned)__cvta_generic_to_shared(row))
               : "memory");
#endif
}

// c += a b. What a tensor core rounds, and in which order it adds, no manual says; MMA_UNIT charges
// each of the 16 products this much of the sum of their absolute values and c's. With
// MMA_ERRS = 0 or 1 the host errs by almost that: downwards in the columns of that parity, upwards
// in the others.
constexpr float MMA_UNIT = 2.384185791015625e-07f;  // 2^-22
__device__ __forceinline__ void mma(float (&c)[4], const unsigned (&a)[4], unsigned b0,
                                    unsigned b1) {
#ifdef CUDA_ON_HOST
  const unsigned lane = coh::tid % 32, first = coh::tid - lane;
  fragments[coh::tid] = {{a[0], a[1], a[2], a[3]}, {b0, b1}};
  __syncwarp();
  for (int e = 0; e < 4; ++e) {
    const int row = e / 2, column = 2 * (lane % 4) + e % 2;
    double sum = c[e], size = fabs(c[e]);
    for (int t = 0; t < 16; ++t) {
      const int half = t / 8, q = t % 8 / 2;
      const double product =
          double(half_of(fragments[first + lane / 4 * 4 + q].a[2 * half + row], t % 2)) *
          half_of(fragments[first + column * 4 + q].b[half], t % 2);
      sum += product;
      size += fabs(product);
    }
#ifdef MMA_ERRS
    sum += (column % 2 == MMA_ERRS ? -15.5 : 15.5) * MMA_UNIT * size;
#endif
    c[e] = float(sum);
  }
  __syncwarp();
#elif __CUDA_ARCH__ >= 800
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%8}, "
      "{%0, %1, %2, %3};\n"
      "mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%6, %7}, {%9}, "
      "{%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#endif
}
