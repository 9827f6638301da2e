// Kernels that fill and round, for every backward pass.
#pragma once

#include <cuda_runtime.h>

#include "deform_conv.h"
#include "dtype.h"
#include "launch.h"

namespace dcn::cuda {

inline constexpr int kElementThreads = 256;

template <class T>
__global__ void fill_zero(T* to, const int64_t count) {
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count;
       i += int64_t{gridDim.x} * blockDim.x)
    to[i] = T{};
}

template <class T>
__global__ void round_to(const Arithmetic<T>* from, T* to, const int64_t count) {
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count;
       i += int64_t{gridDim.x} * blockDim.x)
    to[i] = Store<T>::from(from[i]);
}

template <class T>
void add_fill_zero(Launches& launches, void* to, int64_t count) {
  launches.add(fill_zero<T>, grid_of(divide_up(count, kElementThreads)), kElementThreads, 0,
               static_cast<T*>(to), count);
}

}  // namespace dcn::cuda
