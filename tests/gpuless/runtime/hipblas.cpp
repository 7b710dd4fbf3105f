// A pretend hipBLAS: the entry points that CuPy's matmul, tensordot, dot and einsum use.
// Sums run in order over k in the type itself; a GPU's order differs.
#include <cstddef>
#include <utility>
#include <vector>
extern "C" void gpuless_count_launch();

namespace {
enum { SUCCESS = 0, NOT_SUPPORTED = 7 };
enum { PLAIN = 111, TRANSPOSED = 112, ADJOINT = 113 };
enum { R_32F = 0, R_64F = 1 };

template <class T> T at(const T* a, int op, size_t row, size_t column, size_t ld) {
  return op == PLAIN ? a[row + column * ld] : a[column + row * ld];
}

// C = alpha op(A) op(B) + beta C, all column-major; op(A) is copied so that the inner loop
// runs over contiguous memory.
template <class T>
void gemm(int op_a, int op_b, int m, int n, int k, T alpha, const T* A, int lda, const T* B,
          int ldb, T beta, T* C, int ldc) {
  std::vector<T> a(size_t(m) * k), column(m);
  for (int t = 0; t < k; ++t)
    for (int i = 0; i < m; ++i) a[size_t(t) * m + i] = at(A, op_a, i, t, lda);
  for (int j = 0; j < n; ++j) {
    column.assign(m, T(0));
    for (int t = 0; t < k; ++t) {
      const T b = at(B, op_b, t, j, ldb), *from = &a[size_t(t) * m];
      for (int i = 0; i < m; ++i) column[i] += from[i] * b;
    }
    T* c = C + size_t(j) * ldc;
    for (int i = 0; i < m; ++i)
      c[i] = alpha * column[i] + (beta != T(0) ? beta * c[i] : T(0));
  }
}
template <class T>
int gemm_batch(int op_a, int op_b, int m, int n, int k, const void* alpha, const void* A, int lda,
               long long step_a, const void* B, int ldb, long long step_b, const void* beta,
               void* C, int ldc, long long step_c, int count) {
  gpuless_count_launch();
  for (int i = 0; i < count; ++i)
    gemm(op_a, op_b, m, n, k, *(const T*)alpha, (const T*)A + i * step_a, lda,
         (const T*)B + i * step_b, ldb, *(const T*)beta, (T*)C + i * step_c, ldc);
  return SUCCESS;
}
}  // namespace

extern "C" {
int hipblasCreate(void** handle) { return *handle = (void*)1, SUCCESS; }
int hipblasDestroy(void*) { return SUCCESS; }
int hipblasSetStream(void*, void*) { return SUCCESS; }
static int pointer_mode;  // without effect: host memory and device memory are the same
int hipblasSetPointerMode(void*, int mode) { return pointer_mode = mode, SUCCESS; }
int hipblasGetPointerMode(void*, int* mode) { return *mode = pointer_mode, SUCCESS; }

#define FOR_TYPE(X, T)                                                                         \
  int hipblas##X##gemmStridedBatched(                                                          \
      void*, int op_a, int op_b, int m, int n, int k, const T* alpha, const T* A, int lda,     \
      long long step_a, const T* B, int ldb, long long step_b, const T* beta, T* C, int ldc,   \
      long long step_c, int count) {                                                           \
    return gemm_batch<T>(op_a, op_b, m, n, k, alpha, A, lda, step_a, B, ldb, step_b, beta,  \
                            C, ldc, step_c, count);                                            \
  }                                                                                            \
  int hipblas##X##gemm(void* h, int op_a, int op_b, int m, int n, int k, const T* alpha,       \
                       const T* A, int lda, const T* B, int ldb, const T* beta, T* C,          \
                       int ldc) {                                                              \
    return hipblas##X##gemmStridedBatched(h, op_a, op_b, m, n, k, alpha, A, lda, 0, B, ldb, 0, \
                                          beta, C, ldc, 0, 1);                                 \
  }                                                                                            \
  int hipblas##X##gemmBatched(void*, int op_a, int op_b, int m, int n, int k, const T* alpha,  \
                              const T* const A[], int lda, const T* const B[], int ldb,        \
                              const T* beta, T* const C[], int ldc, int count) {               \
    gpuless_count_launch();                                                                    \
    for (int i = 0; i < count; ++i)                                                            \
      gemm(op_a, op_b, m, n, k, *alpha, A[i], lda, B[i], ldb, *beta, C[i], ldc);               \
    return SUCCESS;                                                                            \
  }                                                                                            \
  int hipblas##X##gemv(void*, int op, int m, int n, const T* alpha, const T* A, int lda,       \
                       const T* x, int step_x, const T* beta, T* y, int step_y) {              \
    gpuless_count_launch();                                                                    \
    int turned = op == PLAIN ? TRANSPOSED : PLAIN;             \
    if (op != PLAIN) std::swap(m, n);                                                          \
    gemm(PLAIN, turned, 1, m, n, *alpha, x, step_x, A, lda, *beta, y, step_y);                 \
    return SUCCESS;                                                                            \
  }
FOR_TYPE(S, float)
FOR_TYPE(D, double)

int hipblasGemmStridedBatchedEx(void*, int op_a, int op_b, int m, int n, int k, const void* alpha,
                                const void* A, int type_a, int lda, long long step_a,
                                const void* B, int type_b, int ldb, long long step_b,
                                const void* beta, void* C, int type_c, int ldc, long long step_c,
                                int count, int, int) {
  if (type_a != type_b || type_a != type_c) return NOT_SUPPORTED;
  auto batch = type_a == R_32F ? gemm_batch<float> : gemm_batch<double>;
  if (type_a != R_32F && type_a != R_64F) return NOT_SUPPORTED;
  return batch(op_a, op_b, m, n, k, alpha, A, lda, step_a, B, ldb, step_b, beta, C, ldc, step_c,
               count);
}
int hipblasGemmEx(void* h, int op_a, int op_b, int m, int n, int k, const void* alpha,
                  const void* A, int type_a, int lda, const void* B, int type_b, int ldb,
                  const void* beta, void* C, int type_c, int ldc, int compute, int algorithm) {
  return hipblasGemmStridedBatchedEx(h, op_a, op_b, m, n, k, alpha, A, type_a, lda, 0, B, type_b,
                                     ldb, 0, beta, C, type_c, ldc, 0, 1, compute, algorithm);
}
}
