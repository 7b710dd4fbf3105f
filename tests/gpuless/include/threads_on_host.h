// A block as std::threads, one for each CUDA thread: what ThreadSanitizer needs to see races.
#pragma once

namespace coh {
[[noreturn]] inline void fail(const char* message) {
  std::fprintf(stderr, "cuda_on_host: %s\n", message);
  std::abort();
}
inline std::unique_ptr<std::barrier<>> block_barrier;
inline std::vector<std::unique_ptr<std::barrier<>>> warp_barrier;
inline void sync_block() { block_barrier->arrive_and_wait(); }
inline void sync_warp() { warp_barrier[tid / 32]->arrive_and_wait(); }
inline void run_block(unsigned n, Body body, void* call) {
  block_barrier = std::make_unique<std::barrier<>>(n);
  warp_barrier.clear();
  for (unsigned w = 0; w < n; w += 32)
    warp_barrier.push_back(std::make_unique<std::barrier<>>(n - w < 32 ? n - w : 32));
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < n; ++i)
    threads.emplace_back([=] {
      set_thread(i);
      body(call);
      warp_barrier[i / 32]->arrive_and_drop();
      block_barrier->arrive_and_drop();
    });
  for (auto& t : threads) t.join();
}
}  // namespace coh
