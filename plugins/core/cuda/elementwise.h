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

// Sum over a block. Every thread adds what is kElementThreads apart, then halves of the block are added
// to each other. `value(i)` gives the values; the sum is thread 0's.
template <class A, class Value>
__device__ A sum_over_block(A* sums,  // [kElementThreads], shared
                            int64_t count, const Value& value) {
  const int thread = static_cast<int>(threadIdx.x);
  A sum = 0;
  for (int64_t i = thread; i < count; i += kElementThreads) sum += value(i);
  sums[thread] = sum;
  for (int half = kElementThreads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (thread < half) sums[thread] += sums[thread + half];
  }
  return sums[0];
}

// The gradient of the bias comes from pieces of so many pixels, which are summed up by themselves
// first.
inline constexpr int64_t kPiecePixels = 8192;

DCN_INLINE int64_t pieces_of_plane(const Problem& p) {
  return (p.out_pixels() + kPiecePixels - 1) / kPiecePixels;
}

// A block for each piece.
template <class T>
__global__ void sum_pieces(const Problem p, const T* grad_output,  // [N, O, oH, oW]
                           Arithmetic<T>* sums) {                  // [N, O, pieces]
  using A = Arithmetic<T>;
  extern __shared__ __align__(16) unsigned char shared_memory[];
  const int64_t pieces = pieces_of_plane(p);
  for (int64_t i = blockIdx.x; i < p.batch * p.out_channels * pieces; i += gridDim.x) {
    const int64_t first = i % pieces * kPiecePixels, left = p.out_pixels() - first;
    const T* piece = grad_output + i / pieces * p.out_pixels() + first;
    const A sum =
        sum_over_block(reinterpret_cast<A*>(shared_memory), left < kPiecePixels ? left : kPiecePixels,
                       [&](int64_t k) { return A(load(piece[k])); });
    if (threadIdx.x == 0) sums[i] = sum;
    __syncthreads();
  }
}

// A block for each channel.
template <class T>
__global__ void sum_channels(const Problem p, const Arithmetic<T>* sums,  // [N, O, pieces]
                             T* grad_bias) {                              // [O]
  using A = Arithmetic<T>;
  extern __shared__ __align__(16) unsigned char shared_memory[];
  const int64_t pieces = pieces_of_plane(p);
  for (int64_t channel = blockIdx.x; channel < p.out_channels; channel += gridDim.x) {
    const A sum = sum_over_block(reinterpret_cast<A*>(shared_memory), p.batch * pieces, [&](int64_t k) {
      return sums[(k / pieces * p.out_channels + channel) * pieces + k % pieces];
    });
    if (threadIdx.x == 0) grad_bias[channel] = Store<T>::from(sum);
    __syncthreads();
  }
}

template <class T>
void add_fill_zero(Launches& launches, void* to, int64_t count) {
  launches.add(fill_zero<T>, grid_of(divide_up(count, kElementThreads)), kElementThreads, 0,
               static_cast<T*>(to), count);
}

// Elements of `sums`.
inline int64_t bias_pieces(const Problem& p) {
  return p.batch * p.out_channels * pieces_of_plane(p);
}

template <class T>
void add_grad_bias(Launches& launches, const Problem& p, const BackwardArgs& args,
                   Arithmetic<T>* sums) {
  constexpr size_t kSharedBytes = kElementThreads * sizeof(Arithmetic<T>);
  launches.add(sum_pieces<T>, grid_of(bias_pieces(p)), kElementThreads, kSharedBytes, p,
               static_cast<const T*>(args.grad_output), sums);
  launches.add(sum_channels<T>, grid_of(p.out_channels), kElementThreads, kSharedBytes, p, sums,
               static_cast<T*>(args.grad_bias));
}

}  // namespace dcn::cuda
