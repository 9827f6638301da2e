// Kernels that fill, round and add up, for every backward pass.
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

// Gradient of the bias: a block for each channel. Every thread adds what is kElementThreads apart, then
// halves of the block are added to each other.
template <class T>
__global__ void sum_channels(const Problem p, const BackwardArgs args) {
  using A = Arithmetic<T>;
  extern __shared__ __align__(16) unsigned char shared_memory[];
  A* sums = reinterpret_cast<A*>(shared_memory);  // [kElementThreads]
  const int thread = static_cast<int>(threadIdx.x);
  for (int64_t channel = blockIdx.x; channel < p.out_channels; channel += gridDim.x) {
    A sum = 0;
    for (int64_t image = 0; image < p.batch; ++image) {
      const T* plane =
          static_cast<const T*>(args.grad_output) + (image * p.out_channels + channel) * p.out_pixels();
      A image_sum = 0;
      for (int64_t i = thread; i < p.out_pixels(); i += kElementThreads) image_sum += load(plane[i]);
      sum += image_sum;
    }
    sums[thread] = sum;
    for (int half = kElementThreads / 2; half > 0; half /= 2) {
      __syncthreads();
      if (thread < half) sums[thread] += sums[thread + half];
    }
    if (thread == 0) static_cast<T*>(args.grad_bias)[channel] = Store<T>::from(sums[0]);
    __syncthreads();
  }
}

template <class T>
void add_fill_zero(Launches& launches, void* to, int64_t count) {
  launches.add(fill_zero<T>, grid_of(divide_up(count, kElementThreads)), kElementThreads, 0,
               static_cast<T*>(to), count);
}

template <class T>
void add_sum_channels(Launches& launches, const Problem& p, const BackwardArgs& args) {
  launches.add(sum_channels<T>, grid_of(p.out_channels), kElementThreads,
               kElementThreads * sizeof(Arithmetic<T>), p, args);
}

}  // namespace dcn::cuda
