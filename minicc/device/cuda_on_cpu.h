// CUDA C++ on a CPU: what kernels.cu needs in order to compile with an ordinary C++ compiler, and to run.
//
// The threads of a block are coroutines on one thread of the machine; blocks run one after another. A
// coroutine runs until it waits: at a barrier, at a warp shuffle, or at the end of its thread, when it goes on
// with the next thread (so that a kernel without barriers never switches). When all threads of the block wait
// or have ended, `Block::release` decides who goes on; where CUDA would hang or is undefined it is an error:
//
//   - a __syncthreads that not all threads of the block reach, or that they reach at different lines;
//   - a warp operation with a mask that names lanes which never come;
//   - more shared memory, threads or arguments than the launch gives;
//   - what ends a process: an address that is no memory, a stack that overflows (cuda_faults_on_cpu.h).
//
// Shared memory holds NaN (bytes of 0xff) when a block starts, and a shuffle from a lane that takes no part
// gives NaN, so that results which depend on them show. kernels.cu is prepared by emulate.py: includes of CUDA
// are dropped, and `extern __shared__ T name[]` becomes a pointer to `dynamic_shared`.
#pragma once
#include <cmath>
#include <csetjmp>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <type_traits>
#include <utility>

#include <sys/mman.h>
#include <ucontext.h>

#include "cuda_faults_on_cpu.h"
#include "cuda_types_on_cpu.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __constant__ static
#define __align__(n) alignas(n)
#define __launch_bounds__(...)
#define __shared__ static __attribute__((section("minicc_shared")))  // one section, so that it can be poisoned

// ---- indices ---------------------------------------------------------------------------------------------

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
static uint3 threadIdx, blockIdx;
static dim3 blockDim, gridDim;
static const int warpSize = 32;

// ---- threads of a block ----------------------------------------------------------------------------------

extern "C" unsigned char __start_minicc_shared[] __attribute__((weak));
extern "C" unsigned char __stop_minicc_shared[] __attribute__((weak));

namespace minicc {

constexpr size_t GUARD_BYTES = 64 << 10, STACK_BYTES = (640 << 10) + GUARD_BYTES;  // a device has 512 KiB of local memory
constexpr size_t MOST_SHARED = 227 << 10, CANARY = 64, MESSAGE = 512;
constexpr int MOST_THREADS = 1024;
constexpr unsigned char POISON = 0xff;
alignas(1024) static unsigned char dynamic_shared[MOST_SHARED + CANARY];

enum class Wait { none, block, warp, active, ended };

struct Thread {
  Wait wait = Wait::none;
  int line = 0;              // of kernels.cu, where it waits
  unsigned mask = 0;         // of the warp operation that it waits at; then what __activemask gives
  int parity = 0;            // which slot the next shuffle uses
  unsigned long long slot[2][2] = {};
  int coroutine = -1;
};

struct Coroutine {
  void* stack;
  ucontext_t start;
  jmp_buf state;
  bool running = false;      // it has begun, so that `state` holds where it is
};

struct Name { char text[40]; };  // of a thread: "(1, 0, 0)"

struct Block {
  Thread threads[MOST_THREADS];
  Coroutine* coroutines[MOST_THREADS];
  int idle[MOST_THREADS];            // coroutines between threads
  int size = 0, made = 0, resting = 0, begun = 0, current = -1;  // how many threads, coroutines, idle ones; threads begun; the one that runs
  void (*body)(void** arguments) = nullptr;  // one thread of the kernel
  void** arguments = nullptr;
  jmp_buf scheduler;
  unsigned shared_bytes = 0;
  char error[MESSAGE] = "";

  void enter(int t) {
    current = t;
    threadIdx = {t % blockDim.x, t / blockDim.x % blockDim.y, t / (blockDim.x * blockDim.y)};
  }

  // Run threads on this coroutine, one after another, until one waits in its body or none is left to begin.
  void work(Coroutine* self, int id) {
    for (;;) {
      while (begun < size) {
        int t = begun++;
        threads[t].coroutine = id;
        enter(t);
        body(arguments);
        threads[current].wait = Wait::ended;
      }
      idle[resting++] = id;
      if (!_setjmp(self->state)) _longjmp(scheduler, 1);
    }
  }

  static void entry(int id);

  void resume(int id) {
    Coroutine* c = coroutines[id];
    if (_setjmp(scheduler)) return;
    if (c->running) _longjmp(c->state, 1);
    c->running = true;
    setcontext(&c->start);
  }

  // A coroutine between threads; -1 when there is no memory for another.
  int free_coroutine() {
    if (resting) return idle[--resting];
    void* stack = mmap(nullptr, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stack == MAP_FAILED) return -1;
    mprotect(stack, GUARD_BYTES, PROT_NONE);  // stacks grow down, to here
    Coroutine* c = new Coroutine;
    c->stack = stack;
    getcontext(&c->start);
    c->start.uc_stack.ss_sp = stack;
    c->start.uc_stack.ss_size = STACK_BYTES - made % 61 * 192;  // so that stacks do not share cache sets
    c->start.uc_link = nullptr;
    makecontext(&c->start, (void (*)())entry, 1, made);
    coroutines[made] = c;
    return made++;
  }

  // Called in a thread: wait, and come back when released.
  void wait(Wait kind, int line, unsigned mask) {
    int me = current;
    Thread& t = threads[me];
    t.wait = kind, t.line = line, t.mask = mask;
    Coroutine* c = coroutines[t.coroutine];
    if (!_setjmp(c->state)) _longjmp(scheduler, 1);
    enter(me);
  }

  Name name(int t) const {
    Name n;
    snprintf(n.text, sizeof n.text, "(%u, %u, %u)", t % blockDim.x, t / blockDim.x % blockDim.y, t / (blockDim.x * blockDim.y));
    return n;
  }

  // All threads wait or have ended: the ones that may go on, in order, and how many; 0 after an error.
  int release(int* go) {
    int count = 0;
    for (int first = 0; first < size; first += 32) count = release_warp(first, size - first < 32 ? size - first : 32, go, count);
    if (count) return count;
    int waiting = -1, away = -1;
    for (int t = 0; t < size; t++) {
      if (threads[t].wait == Wait::block && waiting < 0) waiting = t;
      if (threads[t].wait != Wait::block) away = t;
    }
    if (waiting < 0) return never_come();
    if (away >= 0) return barrier_missed(waiting, away);
    for (int t = 0; t < size; t++) {
      if (threads[t].line != threads[waiting].line) {
        snprintf(error, MESSAGE, "thread %s is at the barrier of line %d, thread %s at that of line %d", name(waiting).text,
                 threads[waiting].line, name(t).text, threads[t].line);
        return 0;
      }
      go[count++] = t;
    }
    return count;
  }

  int barrier_missed(int waiting, int away) {
    char where[80] = "has left the kernel";
    if (threads[away].wait != Wait::ended) snprintf(where, sizeof where, "waits at the warp operation of line %d", threads[away].line);
    snprintf(error, MESSAGE, "thread %s waits at the barrier of line %d, thread %s %s", name(waiting).text, threads[waiting].line,
             name(away).text, where);
    return 0;
  }

  int never_come() {
    int t = 0;
    while (threads[t].wait != Wait::warp) t++;
    snprintf(error, MESSAGE, "a warp operation waits for lanes that never come, line %d, thread %s", threads[t].line, name(t).text);
    return 0;
  }

  // The lanes of one warp that may go on: those at the same __activemask, and those whose whole mask has come.
  int release_warp(int first, int lanes, int* go, int count) {
    unsigned checked = 0, free = 0;  // lanes that a look at another lane has decided
    for (int k = 0; k < lanes; k++) {
      Thread& t = threads[first + k];
      if (t.wait != Wait::active && t.wait != Wait::warp) continue;
      if (!(checked >> k & 1)) {
        unsigned here = 1u << k;
        for (int j = k + 1; j < lanes; j++) here |= (unsigned)together(t, threads[first + j]) << j;
        unsigned exist = lanes < 32 ? (1u << lanes) - 1 : ~0u;
        checked |= here;
        if (t.wait == Wait::active || (t.mask & exist & ~here) == 0) free |= here;
        if (t.wait == Wait::active)
          for (int j = k; j < lanes; j++)
            if (here >> j & 1) threads[first + j].mask = here;
      }
      if (free >> k & 1) go[count++] = first + k;
    }
    return count;
  }

  static bool together(const Thread& a, const Thread& b) {
    return a.wait == b.wait && a.line == b.line && (a.wait == Wait::active || a.mask == b.mask);
  }

  // After a fault of the thread that runs: what happened.
  void describe_fault() {
    const char* what = "it reads or writes at an address that is no memory of this process";
    if (Faults::signal == SIGABRT) what = "it aborts";
    if (Faults::signal == SIGFPE || Faults::signal == SIGILL) what = "it runs an instruction that the CPU refuses";
    for (int k = 0; k < made; k++)
      if ((size_t)((char*)Faults::address - (char*)coroutines[k]->stack) < GUARD_BYTES) what = "its stack overflows: it needs more than the 640 KiB of a thread";
    snprintf(error, MESSAGE, "thread %s: %s", name(current).text, what);
  }

  // Give all stacks back; threads that wait never end.
  void give_up() {
    for (int k = 0; k < made; k++) {
      munmap(coroutines[k]->stack, STACK_BYTES);
      delete coroutines[k];
    }
    made = resting = 0;
  }

  // Run the block of `blockIdx`. Afterwards `error` says what went wrong, if anything did.
  void run(int count) {
    static int go[MOST_THREADS];
    size = count, begun = 0;
    for (int t = 0; t < size; t++) threads[t] = Thread();
    if (__start_minicc_shared) memset(__start_minicc_shared, POISON, __stop_minicc_shared - __start_minicc_shared);
    memset(dynamic_shared, POISON, shared_bytes + CANARY);
    while (begun < size) {
      int id = free_coroutine();
      if (id < 0) {
        snprintf(error, MESSAGE, "no memory for the stacks of its threads");
        return give_up();
      }
      resume(id);
    }
    while (!ended()) {
      int released = release(go);
      if (!released) return give_up();
      for (int k = 0; k < released; k++) threads[go[k]].wait = Wait::none;
      for (int k = 0; k < released; k++) resume(threads[go[k]].coroutine);
    }
    for (size_t k = 0; k < CANARY; k++)
      if (dynamic_shared[shared_bytes + k] != POISON) snprintf(error, MESSAGE, "it writes beyond its %u bytes of dynamic shared memory", shared_bytes);
  }

  bool ended() const {
    for (int t = 0; t < size; t++)
      if (threads[t].wait != Wait::ended) return false;
    return true;
  }
};

static Block block;

inline void Block::entry(int id) { block.work(block.coroutines[id], id); }

template <class T>
T exchange(unsigned mask, T value, int source, int line) {
  static_assert(sizeof(T) <= sizeof(Thread::slot[0]), "a shuffle of so wide a type is not emulated");
  Thread& me = block.threads[block.current];
  int first = block.current / 32 * 32, parity = me.parity;
  me.parity ^= 1;
  memcpy(me.slot[parity], &value, sizeof(T));
  block.wait(Wait::warp, line, mask);
  T result;
  memset((void*)&result, POISON, sizeof(T));
  if ((mask >> source & 1) && first + source < block.size) memcpy((void*)&result, block.threads[first + source].slot[parity], sizeof(T));
  return result;
}

template <class T>
T shuffle(unsigned mask, T value, int source, int width, bool inside, int line) {
  int lane = block.current % 32;
  return exchange(mask, value, inside ? lane / width * width + source % width : lane, line);
}

inline unsigned gather(unsigned mask, bool bit, int line) {
  Thread& me = block.threads[block.current];
  int first = block.current / 32 * 32, parity = me.parity;
  exchange(mask, (unsigned)bit, 0, line);
  unsigned found = 0;
  for (int k = 0; k < 32 && first + k < block.size; k++)
    if (mask >> k & 1) found |= (unsigned)(block.threads[first + k].slot[parity][0] & 1) << k;
  return found;
}

inline unsigned active(int line) {
  block.wait(Wait::active, line, 0);
  return block.threads[block.current].mask;
}

// ---- launching ---------------------------------------------------------------------------------------------

template <class... A, size_t... K>
void apply(void (*kernel)(A...), void** arguments, std::index_sequence<K...>) {
  kernel(*(std::remove_cv_t<A>*)arguments[K]...);
}

// One thread of the kernel, its function in front of its arguments.
template <class... A>
void run_thread(void** arguments) {
  apply((void (*)(A...))arguments[0], arguments + 1, std::index_sequence_for<A...>());
}

// Runs all blocks of a grid, up to the first in which something is wrong, which `block.error` then says.
inline void run_grid(const unsigned* grid, int threads) {
  Faults faults;
  if (_setjmp(Faults::escape)) {
    block.describe_fault();
    return block.give_up();
  }
  for (unsigned z = 0; z < grid[2]; z++)
    for (unsigned y = 0; y < grid[1]; y++)
      for (unsigned x = 0; x < grid[0]; x++) {
        blockIdx = {x, y, z};
        block.run(threads);
        if (block.error[0]) return;
      }
}

inline const char* kind(int size) { return size ? "a number" : "a pointer"; }

// Runs a kernel over its grid; the error, or null. `sizes[k]` is the bytes of argument k, 0 for a pointer.
template <class... A>
const char* launch(void (*kernel)(A...), void** arguments, const int* sizes, int count, const unsigned* grid, const unsigned* threads, unsigned shared) {
  static char message[MESSAGE + 64];
  const int wanted[] = {(std::is_pointer<A>::value ? 0 : (int)sizeof(A))..., -1};
  void* held[sizeof...(A) + 1] = {(void*)kernel};
  if (count != (int)sizeof...(A)) {
    snprintf(message, sizeof message, "expected %d arguments, got %d", (int)sizeof...(A), count);
    return message;
  }
  for (int k = 0; k < count; k++) {
    held[k + 1] = arguments[k];
    if (sizes[k] == wanted[k]) continue;
    snprintf(message, sizeof message, "expected %s of %d bytes as argument %d, got %s of %d bytes", kind(wanted[k]), wanted[k] ? wanted[k] : 8, k,
             kind(sizes[k]), sizes[k] ? sizes[k] : 8);
    return message;
  }
  gridDim = dim3(grid[0], grid[1], grid[2]);
  blockDim = dim3(threads[0], threads[1], threads[2]);
  if (shared > MOST_SHARED) return "expected at most 227 KiB of shared memory";
  if (threads[0] * threads[1] * threads[2] > (unsigned)MOST_THREADS) return "expected at most 1024 threads";
  block.shared_bytes = shared;
  block.body = run_thread<A...>;
  block.arguments = held;
  block.error[0] = 0;
  run_grid(grid, (int)(threads[0] * threads[1] * threads[2]));
  if (!block.error[0]) return nullptr;
  snprintf(message, sizeof message, "block (%u, %u, %u): %s", blockIdx.x, blockIdx.y, blockIdx.z, block.error);
  return message;
}

}  // namespace minicc

extern "C" void minicc_close() { minicc::block.give_up(); }

#define __syncthreads() minicc::block.wait(minicc::Wait::block, __LINE__, 0)
#define __syncwarp(...) (void)minicc::exchange(minicc::mask_or_all(__VA_ARGS__), 0, 0, __LINE__)
#define __activemask() minicc::active(__LINE__)
#define __shfl_sync(mask, value, ...) minicc::shuffle_to(mask, value, __LINE__, __VA_ARGS__)
#define __shfl_up_sync(mask, value, ...) minicc::shuffle_up(mask, value, __LINE__, __VA_ARGS__)
#define __shfl_down_sync(mask, value, ...) minicc::shuffle_down(mask, value, __LINE__, __VA_ARGS__)
#define __shfl_xor_sync(mask, value, ...) minicc::shuffle_xor(mask, value, __LINE__, __VA_ARGS__)
#define __ballot_sync(mask, bit) minicc::gather(mask, bit, __LINE__)
#define __any_sync(mask, bit) (minicc::gather(mask, bit, __LINE__) != 0)
#define __all_sync(mask, bit) minicc::all_of(mask, bit, __LINE__)

namespace minicc {
inline unsigned mask_or_all(unsigned mask = 0xffffffffu) { return mask; }
inline bool all_of(unsigned mask, bool bit, int line) {
  unsigned here = 0;
  for (int k = 0; k < 32 && block.current / 32 * 32 + k < block.size; k++) here |= 1u << k;
  return gather(mask, bit, line) == (mask & here);
}
template <class T> T shuffle_to(unsigned mask, T value, int line, int source, int width = 32) {
  return shuffle(mask, value, source, width, true, line);
}
template <class T> T shuffle_up(unsigned mask, T value, int line, unsigned delta, int width = 32) {
  int source = block.current % width - (int)delta;
  return shuffle(mask, value, source, width, source >= 0, line);
}
template <class T> T shuffle_down(unsigned mask, T value, int line, unsigned delta, int width = 32) {
  int source = block.current % width + (int)delta;
  return shuffle(mask, value, source, width, source < width, line);
}
template <class T> T shuffle_xor(unsigned mask, T value, int line, int bits, int width = 32) {
  int lane = block.current % 32, source = lane ^ bits;
  return exchange(mask, value, source / width <= lane / width ? source : lane, line);
}
}  // namespace minicc

inline void __threadfence() {}
inline void __threadfence_block() {}
inline void __threadfence_system() {}
template <class T> T __ldg(const T* p) { return *p; }
template <class T> T atomicAdd(T* p, std::common_type_t<T> v) { T old = *p; *p = old + v; return old; }
template <class T> T atomicSub(T* p, std::common_type_t<T> v) { T old = *p; *p = old - v; return old; }
template <class T> T atomicMax(T* p, std::common_type_t<T> v) { T old = *p; *p = old < v ? v : old; return old; }
template <class T> T atomicMin(T* p, std::common_type_t<T> v) { T old = *p; *p = v < old ? v : old; return old; }
template <class T> T atomicAnd(T* p, std::common_type_t<T> v) { T old = *p; *p = old & v; return old; }
template <class T> T atomicOr(T* p, std::common_type_t<T> v) { T old = *p; *p = old | v; return old; }
template <class T> T atomicExch(T* p, std::common_type_t<T> v) { T old = *p; *p = v; return old; }
template <class T> T atomicCAS(T* p, std::common_type_t<T> c, std::common_type_t<T> v) { T old = *p; if (old == c) *p = v; return old; }
