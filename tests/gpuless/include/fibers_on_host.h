// A block as fibers, one for each CUDA thread, switched at barriers: repeatable, and a barrier that
// part of a block skips is seen.
#pragma once

namespace coh {
struct Failure {
  const char* message;
};
enum State : char { READY, AT_BLOCK, AT_WARP, DONE };

// Saves the registers that a call must keep; swapcontext() would make a system call each time.
asm(R"(
  .text
  .local coh_switch
  .type coh_switch, @function
coh_switch:
  push %rbp
  push %rbx
  push %r12
  push %r13
  push %r14
  push %r15
  mov %rsp, (%rdi)
  mov %rsi, %rsp
  pop %r15
  pop %r14
  pop %r13
  pop %r12
  pop %rbx
  pop %rbp
  ret
)");
extern "C" __attribute__((visibility("hidden"))) void coh_switch(void** from, void* to);

constexpr size_t stack_size = (128 << 10) + 320;  // no power of two: spreads over cache sets
struct Fiber {
  void* context;
  State state;
};
inline Fiber fiber[1024];
inline char* stacks;  // only the pages that kernels really touch cost memory
inline void* scheduler;
inline bool on_fiber;
inline const char* failure;
inline Body current_body;
inline void* current_call;

inline const void* scheduler_stack;
inline size_t scheduler_stack_size;
#ifdef __SANITIZE_ADDRESS__  // it has to be told which stack is in use
inline void leave_for(const void* stack, size_t size) {
  __sanitizer_start_switch_fiber(nullptr, stack, size);
}
inline void arrive(const void** left, size_t* size) {
  __sanitizer_finish_switch_fiber(nullptr, left, size);
}
inline void forget(char* stack) { __asan_unpoison_memory_region(stack, stack_size); }
#else
inline void leave_for(const void*, size_t) {}
inline void arrive(const void**, size_t*) {}
inline void forget(char*) {}
#endif

inline void to_fiber(unsigned i) {
  leave_for(stacks + i * stack_size, stack_size);
  on_fiber = true;
  coh_switch(&scheduler, fiber[i].context);
  on_fiber = false;
  arrive(nullptr, nullptr);
}
inline void to_scheduler() {
  leave_for(scheduler_stack, scheduler_stack_size);
  coh_switch(&fiber[tid].context, scheduler);
  arrive(nullptr, nullptr);
}
inline void wait(State s) {
  if (!on_fiber) throw Failure{"a barrier that the kernel's own text does not show"};
  fiber[tid].state = s;
  to_scheduler();
}
[[noreturn]] inline void fail(const char* message) {
  if (!on_fiber) throw Failure{message};
  failure = message;
  to_scheduler();
  std::abort();  // not reached: nothing goes on after a failure
}
inline void fiber_main() {
  arrive(&scheduler_stack, &scheduler_stack_size);
  current_body(current_call);
  wait(DONE);
}
inline void prepare(unsigned i) {
  char* stack = stacks + i * stack_size;
  forget(stack);
  auto top = (void**)(((uintptr_t)stack + stack_size) & ~(uintptr_t)15);
  *--top = nullptr;             // keeps the stack aligned as after a call
  *--top = (void*)&fiber_main;  // where the first `ret` goes
  fiber[i] = {std::memset(top - 6, 0, 6 * sizeof(void*)), READY};
}

// Set while the module is loaded if any function in it that is really used has a barrier.
static bool needs_fibers = false;
struct Mark {
  Mark() { needs_fibers = true; }
};
template <int> static Mark mark;
template <int N> void use_fibers() { (void)&mark<N>; }
template <int N> void sync_block_() { use_fibers<N>(), wait(AT_BLOCK); }
template <int N> void sync_warp_() { use_fibers<N>(), wait(AT_WARP); }
#define sync_block sync_block_<0>
#define sync_warp sync_warp_<0>

inline void run_fibers(unsigned n, Body body, void* call) {
  current_body = body, current_call = call, failure = nullptr;
  if (!stacks) stacks = (char*)std::malloc(1024 * stack_size);
  for (unsigned i = 0; i < n; ++i) prepare(i);
  for (unsigned done = 0; done < n;) {
    bool progress = false;
    Order order(n);
    for (unsigned k = 0; k < n; ++k) {
      unsigned i = order.next();
      if (fiber[i].state != READY) continue;
      progress = true;
      set_thread(i);
      to_fiber(i);
      if (failure) throw Failure{failure};
      done += fiber[i].state == DONE;
    }
    unsigned at_block = 0;
    for (unsigned w = 0; w < n; w += 32) {  // a warp goes on when all its live lanes wait
      unsigned end = n - w < 32 ? n : w + 32, at_warp = 0, live = 0;
      for (unsigned i = w; i < end; ++i) {
        at_warp += fiber[i].state == AT_WARP;
        at_block += fiber[i].state == AT_BLOCK;
        live += fiber[i].state != DONE;
      }
      if (!at_warp || at_warp != live) continue;
      progress = true;
      for (unsigned i = w; i < end; ++i)
        if (fiber[i].state == AT_WARP) fiber[i].state = READY;
    }
    if (at_block && at_block == n - done) {
#ifndef COH_ALLOW_EXIT
      if (done) throw Failure{"__syncthreads() reached by only part of the block"};
#endif
      progress = true;
      for (unsigned i = 0; i < n; ++i)
        if (fiber[i].state == AT_BLOCK) fiber[i].state = READY;
    }
    if (!progress && done < n) throw Failure{"deadlock: divergent barrier or shuffle"};
  }
}
inline void run_block(unsigned n, Body body, void* call) {
  if (needs_fibers) return run_fibers(n, body, call);
  Order order(n);
  for (unsigned k = 0; k < n; ++k) {
    set_thread(order.next());
    body(call);
  }
}
}  // namespace coh
