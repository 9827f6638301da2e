// A stack that runs, and the way to another one.
#pragma once

#include <cstddef>

namespace emulator {

class Fibre {
 public:
  Fibre() = default;  // of the stack that runs already
  Fibre(const Fibre&) = delete;
  Fibre& operator=(const Fibre&) = delete;
  ~Fibre();

  // The next switch to it calls `entry`, on a stack of its own; `entry` never returns.
  void begin(void (*entry)());

 private:
  friend void switch_fibre(Fibre* from, Fibre* to, bool for_good);
  friend void arrived();

  void* stack_pointer_ = nullptr;
  char* memory_ = nullptr;  // of its own stack and a page below it that nobody may touch
  const void* bottom_ = nullptr;
  size_t bytes_ = 0;
  void* fake_stack_ = nullptr;  // AddressSanitizer's
};

// Runs `to` until something switches back to `from`. `for_good`: nothing will, before begin().
void switch_fibre(Fibre* from, Fibre* to, bool for_good = false);

// The first thing that an entry calls.
void arrived();

}  // namespace emulator
