// Switches of stacks, by hand: swapcontext() makes two system calls each time, and a block of threads
// switches thousands of times. A switch saves what the calling convention makes a callee keep; kernels
// change no other state of the processor.
#include "fibre.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>

#include "fail.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

// Pushes the registers, leaves the stack pointer at *save, takes up the other one and pops.
extern "C" void emulator_switch_stack(void** save, void* load);

#if defined(__x86_64__)
asm(R"(
.text
.hidden emulator_switch_stack
.globl emulator_switch_stack
.type emulator_switch_stack, @function
emulator_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size emulator_switch_stack, .-emulator_switch_stack
)");
constexpr size_t kWords = 8, kReturnWord = 6;  // six registers, the return address, and an end of stack
#elif defined(__aarch64__)
asm(R"(
.text
.hidden emulator_switch_stack
.globl emulator_switch_stack
.type emulator_switch_stack, %function
emulator_switch_stack:
  sub sp, sp, #160
  stp x19, x20, [sp, #0]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp, #0]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
.size emulator_switch_stack, .-emulator_switch_stack
)");
constexpr size_t kWords = 20, kReturnWord = 11;
#else
#error "the emulator switches stacks on x86-64 and on aarch64"
#endif

namespace emulator {
namespace {

constexpr size_t kStackBytes = 256 << 10;
constexpr size_t kFirstFrames = 2 << 10;  // more than an entry has

Fibre* left = nullptr;  // by the switch under way
Fibre* running = nullptr;

size_t guard_bytes() {
  static const auto bytes = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return bytes;
}

}  // namespace

Fibre::~Fibre() {
  if (memory_) munmap(memory_, guard_bytes() + kStackBytes);
}

void Fibre::begin(void (*entry)()) {
  if (!memory_) {
    void* memory = mmap(nullptr, guard_bytes() + kStackBytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory, guard_bytes(), PROT_NONE) != 0)
      fail("no memory for the stack of a thread");
    memory_ = static_cast<char*>(memory);
    bottom_ = memory_ + guard_bytes();
    bytes_ = kStackBytes;
  }
  void* words[kWords] = {};
  words[kReturnWord] = reinterpret_cast<void*>(entry);
  stack_pointer_ = memory_ + guard_bytes() + kStackBytes - sizeof words;
  fake_stack_ = nullptr;
#if defined(__SANITIZE_ADDRESS__)
  // The stack's last user never returned from its entry: its first frames are still marked as in use.
  __asan_unpoison_memory_region(memory_ + guard_bytes() + kStackBytes - kFirstFrames, kFirstFrames);
#endif
  std::memcpy(stack_pointer_, words, sizeof words);
}

void arrived() {
#if defined(__SANITIZE_ADDRESS__)
  // The stack that was left, of which only this call knows where it lies if it is not one of ours.
  __sanitizer_finish_switch_fiber(running->fake_stack_, &left->bottom_, &left->bytes_);
#endif
}

void switch_fibre(Fibre* from, Fibre* to, bool for_good) {
  left = from;
  running = to;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(for_good ? nullptr : &from->fake_stack_, to->bottom_, to->bytes_);
#else
  (void)for_good;
#endif
  emulator_switch_stack(&from->stack_pointer_, to->stack_pointer_);
  arrived();
}

}  // namespace emulator
