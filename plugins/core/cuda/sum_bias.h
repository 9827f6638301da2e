// The gradient of the bias, for every backward pass: grad_output summed over its pixels, in a fixed
// order. Two tasks, one after the other: pieces of each plane, then the pieces of each channel.
#pragma once

#include <cuda_runtime.h>

#include "deform_conv.h"
#include "dtype.h"
#include "elementwise.h"

namespace dcn::cuda {

// Pixels that are summed up by themselves first.
inline constexpr int64_t kPiecePixels = 8192;

DCN_INLINE int64_t pieces_of_plane(const Problem& p) {
  return (p.out_pixels() + kPiecePixels - 1) / kPiecePixels;
}

// Of all planes: so many sums are kept in between.
DCN_INLINE int64_t bias_pieces(const Problem& p) {
  return p.batch * p.out_channels * pieces_of_plane(p);
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

// A block for each piece.
template <class T>
class SumPieces {
  using A = Arithmetic<T>;

 public:
  SumPieces() = default;
  SumPieces(const Problem& p, const void* grad_output, A* sums)
      : count_(bias_pieces(p)),
        batch_(p.batch),
        channels_(p.out_channels),
        out_pixels_(p.out_pixels()),
        pieces_(pieces_of_plane(p)),
        grad_output_(static_cast<const T*>(grad_output)),
        sums_(sums) {}

  static constexpr int kSharedBytes = kElementThreads * static_cast<int>(sizeof(A));

  DCN_INLINE int64_t blocks() const { return count_; }

  __device__ void run(int64_t block, unsigned char* shared_memory) const {
    const int64_t first = block % pieces_ * kPiecePixels, left = out_pixels_ - first;
    const int64_t channel = block / pieces_ / batch_, image = block / pieces_ % batch_;
    const T* piece = grad_output_ + (image * channels_ + channel) * out_pixels_ + first;
    const A sum =
        sum_over_block(reinterpret_cast<A*>(shared_memory), left < kPiecePixels ? left : kPiecePixels,
                       [&](int64_t k) { return A(load(piece[k])); });
    if (threadIdx.x == 0) sums_[block] = sum;
  }

 private:
  int64_t count_ = 0, batch_, channels_, out_pixels_, pieces_;
  const T* grad_output_;  // [N, O, oH, oW]
  A* sums_;               // [O, N, pieces]
};

// A block for each channel.
template <class T>
class SumChannels {
  using A = Arithmetic<T>;

 public:
  SumChannels() = default;
  SumChannels(const Problem& p, const A* sums, void* grad_bias)
      : channels_(p.out_channels),
        of_channel_(p.batch * pieces_of_plane(p)),
        sums_(sums),
        grad_bias_(static_cast<T*>(grad_bias)) {}

  static constexpr int kSharedBytes = kElementThreads * static_cast<int>(sizeof(A));

  DCN_INLINE int64_t blocks() const { return channels_; }

  __device__ void run(int64_t block, unsigned char* shared_memory) const {
    const A* own = sums_ + block * of_channel_;
    const A sum = sum_over_block(reinterpret_cast<A*>(shared_memory), of_channel_,
                                 [&](int64_t k) { return own[k]; });
    if (threadIdx.x == 0) grad_bias_[block] = Store<T>::from(sum);
  }

 private:
  int64_t channels_ = 0, of_channel_;
  const A* sums_;  // [O, of a channel]
  T* grad_bias_;   // [O]
};

}  // namespace dcn::cuda
