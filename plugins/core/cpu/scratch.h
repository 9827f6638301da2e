// Memory that the kernels work in, kept between calls: a fresh block of tens of megabytes would cost
// a page fault for every 4 KiB of it, at each call.
#pragma once

#include <cstddef>

namespace dcn::cpu {

// A 64-byte-aligned block, uninitialised, given back to a process-wide store when it goes out of
// scope. The store keeps at most 64 MiB. Throws std::bad_alloc.
class Scratch {
 public:
  explicit Scratch(size_t bytes);
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  void* data() const { return data_; }
  char* bytes() const { return static_cast<char*>(data_); }

 private:
  void* data_;
  size_t capacity_;
};

}  // namespace dcn::cpu
