// Stands in for CUDA's header of this name when g++ compiles the CUDA sources for the CPU: the words of
// the language that they use, and the runtime functions that they call. emulator.cpp runs the kernels.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <tuple>
#include <utility>

#define __global__
#define __device__
#define __host__
#define __shared__
#define __align__(bytes) __attribute__((aligned(bytes)))

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

// Of the thread that runs.
inline dim3 threadIdx, blockIdx, blockDim, gridDim;

struct CUstream_st;
using cudaStream_t = CUstream_st*;

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorNoDevice = 100,
  cudaErrorNoKernelImageForDevice = 209,
};
const char* cudaGetErrorString(cudaError_t error);

struct cudaDeviceProp {
  char name[256];
  int major, minor;
};
cudaError_t cudaGetDevice(int* device);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);

struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes;
  cudaStream_t stream;
};

namespace emulator {

cudaError_t launch(const cudaLaunchConfig_t& config, const std::function<void()>& thread);

// Waits until every thread of the block is at this line.
void barrier(int line);

}  // namespace emulator

#define __syncthreads() emulator::barrier(__LINE__)

template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  const std::tuple<Parameters...> copies(std::forward<Arguments>(arguments)...);
  return emulator::launch(*config, [&] { std::apply(kernel, copies); });
}
