// A block as fibers, one for each CUDA thread, switched at barriers: repeatable, and a barrier that
// part of a block skips is seen.
#pragma once

namespace coh {
struct Failure {
  const char* message;
};
enum State : char { READY, AT_BLOCK, AT_WARP, DONE };

#ifdef COH_UCONTEXT
using Context = ucontext_t;
inline void prepare(Context& c, char* stack, size_t size, void (*entry)()) {
  getcontext(&c);
  c.uc_stack.ss_sp = stack;
  c.uc_stack.ss_size = size;
  makecontext(&c, entry, 0);
}
inline void switch_to(Context& from, Context& to) { swapcontext(&from, &to); }
#else
// swapcontext() makes a system call each time; this saves the same registers without one.
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
using Context = void*;
inline void prepare(Context& c, char* stack, size_t size, void (*entry)()) {
  auto top = (void**)(((uintptr_t)stack + size) & ~(uintptr_t)15);
  *--top = nullptr;        // keeps the stack aligned as after a call
  *--top = (void*)entry;   // where the first `ret` goes
  c = std::memset(top - 6, 0, 6 * sizeof(void*));
}
inline void switch_to(Context& from, Context& to) { coh_switch(&from, to); }
#endif

constexpr size_t stack_size = (128 << 10) + 320;  // no power of two: spreads over cache sets
struct Fiber {
  Context context;
  State state;
};
inline Fiber fiber[1024];
inline char* stacks;  // only the pages that kernels really touch cost memory
inline Context scheduler;
inline bool on_fiber;
inline const char* failure;
inline Body current_body;
inline void* current_call;

inline void wait(State s) {
  if (!on_fiber) throw Failure{"a barrier that the kernel's own text does not show"};
  fiber[tid].state = s;
  switch_to(fiber[tid].context, scheduler);
}
[[noreturn]] inline void fail(const char* message) {
  if (!on_fiber) throw Failure{message};
  failure = message;
  switch_to(fiber[tid].context, scheduler);
  std::abort();  // not reached: nothing goes on after a failure
}
inline void fiber_main() {
  current_body(current_call);
  wait(DONE);
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
  for (unsigned i = 0; i < n; ++i) {
    fiber[i].state = READY;
    prepare(fiber[i].context, stacks + i * stack_size, stack_size, fiber_main);
  }
  for (unsigned done = 0; done < n;) {
    bool progress = false;
    Order order(n);
    for (unsigned k = 0; k < n; ++k) {
      unsigned i = order.next();
      if (fiber[i].state != READY) continue;
      progress = true;
      set_thread(i);
      on_fiber = true;
      switch_to(scheduler, fiber[i].context);
      on_fiber = false;
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
