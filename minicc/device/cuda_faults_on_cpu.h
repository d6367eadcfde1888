// What would end the process while a kernel runs, as an error of the launch instead: part of cuda_on_cpu.h.
//
// While a `Faults` lives, the signals of a processor's faults are handled here. An integer division that only a
// CPU traps on goes on with what a device gives. Anything else (an address that is no memory, a stack that
// overflows, abort) jumps to `Faults::escape`. Faults of other threads of the process are left to the handlers
// that were there before, which are back when the `Faults` is gone.
#pragma once
#include <csetjmp>
#include <csignal>
#include <cstdint>
#include <cstring>

#include <pthread.h>
#include <ucontext.h>

namespace minicc {

#if defined(__x86_64__)

struct Division { unsigned long long low, quotient, remainder; };

// The results of a division that traps. By zero they are not specified on a device: all ones and the dividend, as
// common devices give; a dividend that is the least number may as well be one that was divided by -1, which wraps.
inline Division divided(unsigned long long dividend, int bits, bool has_sign) {
  unsigned long long ones = ~0ull >> (64 - bits), least = 1ull << (bits - 1);
  dividend &= ones;
  if (has_sign && dividend == least) return {dividend, least, 0};
  return {dividend, ones, dividend};
}

inline void put(greg_t& place, unsigned long long value, int bits) {
  unsigned long long written = bits == 16 ? 0xffff : ~0ull;  // results of 32 bits clear the upper half
  place = (greg_t)(((unsigned long long)place & ~written) | (value & written));
}

// Completes the div or idiv at which the thread stands, and moves behind it; false at any other instruction.
// Source: Intel, Software Developer's Manual, volume 2: instruction format, DIV, IDIV.
inline bool complete_division(void* context) {
  greg_t* r = ((ucontext_t*)context)->uc_mcontext.gregs;
  const unsigned char* p = (const unsigned char*)r[REG_RIP];
  int bits = 32;
  if (*p == 0x66) bits = 16, p++;
  if ((*p & 0xf0) == 0x40) bits = *p++ & 8 ? 64 : bits;
  if ((*p & 0xfe) != 0xf6 || (p[1] >> 3 & 7) < 6) return false;
  if (*p == 0xf6) bits = 8;
  int mode = p[1] >> 6, base = p[1] & 7;
  bool has_sign = p[1] >> 3 & 1, far = mode == 2 || (mode == 0 && base == 5);
  p += 2;
  if (mode != 3 && base == 4) far = far || (mode == 0 && (*p & 7) == 5), p++;
  p += far ? 4 : mode == 1;
  Division d = divided((unsigned long long)r[REG_RAX], bits, has_sign);
  if (bits == 8) {  // both in ax
    put(r[REG_RAX], d.remainder << 8 | d.quotient, 16);
  } else {
    put(r[REG_RAX], d.quotient, bits);
    put(r[REG_RDX], d.remainder, bits);
  }
  r[REG_RIP] = (greg_t)p;
  return true;
}

#else  // elsewhere an integer division does not trap

inline bool complete_division(void*) { return false; }

#endif

struct Faults {
  static constexpr int COUNT = 5, NUMBERS[COUNT] = {SIGFPE, SIGSEGV, SIGBUS, SIGILL, SIGABRT};
  static inline jmp_buf escape;            // where a fault goes; `signal` and `address` then say which
  static inline int signal = 0;
  static inline void* address = nullptr;

  Faults() {
    launching = pthread_self();
    stack_t own = {};
    own.ss_sp = stack, own.ss_size = sizeof stack;  // the kernel's own may be what overflows
    sigaltstack(&own, &stack_before);
    struct sigaction action = {};
    action.sa_sigaction = handle;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    for (int k = 0; k < COUNT; k++) sigaction(NUMBERS[k], &action, &before[k]);
  }

  ~Faults() {
    for (int k = 0; k < COUNT; k++) sigaction(NUMBERS[k], &before[k], nullptr);
    sigaltstack(&stack_before, nullptr);
  }

  Faults(const Faults&) = delete;
  Faults& operator=(const Faults&) = delete;

 private:
  static inline pthread_t launching;
  static inline struct sigaction before[COUNT];
  static inline stack_t stack_before;
  alignas(64) static inline char stack[64 << 10];

  static void handle(int number, siginfo_t* info, void* context) {
    if (!pthread_equal(pthread_self(), launching)) {  // it faults again, and the handler of before gets it
      for (int k = 0; k < COUNT; k++)
        if (NUMBERS[k] == number) sigaction(number, &before[k], nullptr);
      return;
    }
    if (number == SIGFPE && complete_division(context)) return;
    signal = number, address = info->si_addr;
    _longjmp(escape, 1);
  }
};

}  // namespace minicc
