// Launches of kernels, one after the other on a stream: after the first that fails, none follows.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <utility>

namespace dcn::cuda {

inline int64_t divide_up(int64_t count, int64_t of) {
  return (count + of - 1) / of;
}

// Within the limits of a grid; kernels stride over what lies beyond.
inline dim3 grid_of(int64_t x, int64_t y = 1, int64_t z = 1) {
  constexpr int64_t kMaxX = INT32_MAX, kMaxYZ = 65535;
  return dim3(static_cast<unsigned>(std::min(x, kMaxX)), static_cast<unsigned>(std::min(y, kMaxYZ)),
              static_cast<unsigned>(std::min(z, kMaxYZ)));
}

class Launches {
 public:
  explicit Launches(cudaStream_t stream) : stream_(stream) {}

  template <class... Parameters, class... Arguments>
  void add(void (*kernel)(Parameters...), dim3 grid, int threads, size_t shared_bytes,
           Arguments&&... arguments) {
    if (error_ != cudaSuccess || grid.x == 0 || grid.y == 0 || grid.z == 0) return;
    constexpr size_t kUnaskedSharedBytes = 48 << 10;
    if (shared_bytes > kUnaskedSharedBytes) {
      error_ = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                    static_cast<int>(shared_bytes));
      if (error_ != cudaSuccess) return;
    }
    cudaLaunchConfig_t config{};
    config.gridDim = grid;
    config.blockDim = dim3(static_cast<unsigned>(threads));
    config.dynamicSmemBytes = shared_bytes;
    config.stream = stream_;
    error_ = cudaLaunchKernelEx(&config, kernel, std::forward<Arguments>(arguments)...);
  }

  // For what launches by itself: `launch` takes the stream.
  template <class Launch>
  void add(const Launch& launch) {
    if (error_ == cudaSuccess) error_ = launch(stream_);
  }

  cudaError_t error() const { return error_; }

 private:
  cudaStream_t stream_;
  cudaError_t error_ = cudaSuccess;
};

}  // namespace dcn::cuda
