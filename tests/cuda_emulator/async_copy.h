// The asynchronous copies of one thread.
#pragma once

#include <cstddef>
#include <vector>

namespace emulator {

// What a thread reads before its wait is nobody's promise on a GPU: neither the old bytes nor the new.
// So the bytes are NaN from the copy on, and the data arrive at the wait, never earlier.
class AsyncCopies {
 public:
  void copy(void* shared, const void* global);  // zeros if global is null
  void commit();
  void wait(size_t pending);

  bool under_way() const { return !copies_.empty(); }
  void forget();

 private:
  struct Copy {
    void* to;
    unsigned char bytes[16];
  };
  std::vector<Copy> copies_;         // the oldest first
  std::vector<size_t> group_sizes_;  // of the first of them; the rest is not committed
  size_t committed_ = 0;
};

}  // namespace emulator
