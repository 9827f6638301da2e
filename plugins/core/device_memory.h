// What hosts need of CUDA beside the operation itself, without CUDA's headers: memory of the device for
// what outlives a call, and a word about streams.
#pragma once

#include <functional>

#include "deform_conv.h"

namespace dcn::cuda {

// The operation's workspace lies at a multiple of this.
inline constexpr size_t kWorkspaceAlignment = 256;

// Bytes to ask of an allocator that promises less, and where the workspace then begins.
constexpr size_t with_alignment(size_t bytes) {
  return bytes ? bytes + kWorkspaceAlignment : 0;
}
inline void* aligned(void* memory) {
  const auto address = reinterpret_cast<uintptr_t>(memory);
  return reinterpret_cast<void*>((address + kWorkspaceAlignment - 1) / kWorkspaceAlignment *
                                 kWorkspaceAlignment);
}

// Memory of the current device. Neither is called while work is enqueued; another thread may be
// capturing a CUDA graph meanwhile.
Status allocate(size_t bytes, void** memory);
void release(void* memory) noexcept;

// Calls `work` with a stream of its own, and waits for what that enqueues. Not the default stream: work
// there waits for others', and spoils a CUDA graph that another thread captures meanwhile.
Status run_on_own_stream(const std::function<Status(CUstream_st* stream)>& work);

// Whether what is enqueued on `stream` now is noted for a CUDA graph instead of being done.
bool is_capturing(CUstream_st* stream);

// Makes a device the calling thread's current one, for as long as it lives.
class CurrentDevice {
 public:
  explicit CurrentDevice(int device);
  ~CurrentDevice();
  CurrentDevice(const CurrentDevice&) = delete;
  CurrentDevice& operator=(const CurrentDevice&) = delete;

 private:
  int before_ = -1;  // -1: nothing to restore
};

}  // namespace dcn::cuda
