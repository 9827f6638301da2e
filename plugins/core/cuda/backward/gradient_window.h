// The gradient of the input, as far as it lies in a window about the block's tile: summed up in the
// registers of the block's warps over all taps of a run, and added to memory once at its end.
//
// To a row of the window, a tap adds
//   [columns of the window, samples] * [samples, channels],
// where the left operand holds the two weights that a sample has in this row, and the right one the
// gradients of the samples. A warp owns two rows. For each it makes a list of the samples that touch
// it, which are few, and lets the tensor cores add these up. Nobody else touches its sums, so that no
// addition in between is atomic.
//
// Gradients and weights are multiplied as T. What is too large for that, or no number, would spread
// through zeros of the left operand; such taps pass the window by (data_gradient.h).
#pragma once

#include <cstdint>

#include "../products.h"
#include "../warp.h"
#include "data_tile.h"

namespace dcn::cuda {

template <class Tile>
class WindowSums {
 public:
  __device__ __forceinline__ WindowSums(const DataGradient<typename Tile::T>& p,
                                        typename Tile::Shared& s)
      : p_(p), s_(s), items_(s.items[threadIdx.x / 32]) {}

  // One tap, whose samples and their gradients lie in shared memory.
  __device__ __forceinline__ void add_tap() {
    for (int slot = 0; slot < s_.map.slots; ++slot) {
#pragma unroll
      for (int own = 0; own < kOwnRows; ++own) {
        const int count = list(s_.samples[slot], own);
        if (count == 0) continue;
        sync_warp();
        // The next list is not written before the whole warp has taken part in these products, which
        // need all that was read of this one.
        for (int first = 0; first < count; first += Tile::kStepItems)
          multiply(sum_[own], items_ + first, s_.map.begin[slot] * Tile::kVector,
                   s_.map.begin[slot + 1] * Tile::kVector);
      }
    }
  }

  // Adds the sums to those in memory. Two lanes exchange a half of what they hold, so that each has
  // four neighbouring channels, and both together 32 bytes.
  __device__ __forceinline__ void flush() const {
    const int32_t pitch = p_.bundles.segment_vectors * Tile::kVector;
    const bool odd = lane() % 2 != 0;
    const int four = lane() % 4 / 2 * 4;  // of eight channels
#pragma unroll
    for (int own = 0; own < kOwnRows; ++own) {
      const int32_t y = row_of(own);
      if (!in_image(y)) continue;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int32_t x = s_.window.left + lane() / 4 + half * 8;
        const bool valid = static_cast<uint32_t>(x) < static_cast<uint32_t>(p_.coordinates.in_w);
        const int64_t pixel =
            s_.run.image * p_.image.image_size + int64_t{y * p_.coordinates.in_w + x} * pitch;
#pragma unroll
        for (int j = 0; j < kColumns; j += 2) {
          const float* left = &sum_[own][j][half * 2];
          const float* right = &sum_[own][j + 1][half * 2];
          const float theirs[2] = {shuffle_xor(odd ? left[0] : right[0], 1),
                                   shuffle_xor(odd ? left[1] : right[1], 1)};
          const float4 sums = odd ? make_float4(theirs[0], theirs[1], right[0], right[1])
                                  : make_float4(left[0], left[1], theirs[0], theirs[1]);
          const int vector = (j + odd) * (8 / Tile::kVector) + four / Tile::kVector;
          // Most columns at the sides are still zero. NaN is not.
          const bool something = sums.x != 0 || sums.y != 0 || sums.z != 0 || sums.w != 0;
          if (valid && something && vector < s_.map.vectors)
            add4(p_.grad_input + pixel + s_.map.start[vector] + four % Tile::kVector, sums);
        }
      }
    }
  }

 private:
  using T = typename Tile::T;
  using Products = typename Tile::Products;
  static constexpr int kOwnRows = kWindowSide / kGradientWarps;
  static constexpr int kColumns = Tile::kChannels / 8;
  static_assert(kWindowSide == 16, "rows of a fragment");

  static __device__ __forceinline__ int lane() { return static_cast<int>(threadIdx.x % 32); }
  // Of the image.
  __device__ __forceinline__ int32_t row_of(int own) const {
    return s_.window.top + static_cast<int>(threadIdx.x / 32) + own * kGradientWarps;
  }
  __device__ __forceinline__ bool in_image(int32_t y) const {
    return static_cast<uint32_t>(y) < static_cast<uint32_t>(p_.coordinates.in_h);
  }

  // Lists what touches a row of the warp's, filled up with nothing to whole steps. Returns its length.
  __device__ __forceinline__ int list(const DataSample (&samples)[Tile::kPixels], int own) const {
    if (!in_image(row_of(own))) return 0;
    sync_warp();  // all lanes have read the list before
    const int below = static_cast<int>(threadIdx.x / 32) + own * kGradientWarps;
    int count = 0;
#pragma unroll
    for (int first = 0; first < Tile::kPixels; first += 32) {
      const DataSample& at = samples[first + lane()];
      const bool bottom = at.window_row == below, touches = bottom || at.window_row == below + 1;
      const Votes votes = vote(touches);
      if (touches) {
        const CornerWeights weights = at.weights();
        items_[count + votes.before] = {first + lane(), at.window_column - 1,
                                        bottom ? weights.weight[2] : weights.weight[0],
                                        bottom ? weights.weight[3] : weights.weight[1]};
      }
      count += votes.all;
    }
    if (lane() < Tile::kStepItems) items_[count + lane()] = {0, kWindowSide, 0, 0};
    return count;
  }

  // One step of a list. Of the right operand, only the channels of the samples' segment count.
  __device__ __forceinline__ void multiply(float (&sum)[kColumns][4], const WindowItem* items,
                                           int first_channel, int end_channel) const {
    constexpr int kElements = Products::kWordElements;
    const int row = lane() / 4, column = lane() % 4;
    uint32_t a[4];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      float top[kElements], bottom[kElements];
#pragma unroll
      for (int e = 0; e < kElements; ++e) {
        const WindowItem item = items[(i * 4 + column) * kElements + e];
        top[e] = item.weight(row), bottom[e] = item.weight(row + 8);
      }
      a[2 * i] = Products::pack(top), a[2 * i + 1] = Products::pack(bottom);
    }
    const typename Products::Samples left(a);
    const unsigned char* grads[2];
    if constexpr (Tile::kBytes == 2)  // a row of four matrices: items, then channels
      grads[0] = s_.grad_samples + items[lane() % 16].sample * Tile::kSamplePitch + lane() / 16 * 16;
    else
#pragma unroll
      for (int i = 0; i < 2; ++i)
        grads[i] = s_.grad_samples + items[column + 4 * i].sample * Tile::kSamplePitch + row * 4;
#pragma unroll
    for (int j = 0; j < kColumns; j += 2) {
      if (end_channel <= j * 8 || first_channel >= j * 8 + 16) continue;
      uint32_t b[2][2];
      if constexpr (Tile::kBytes == 2) {
        uint32_t two[4];
        load_matrices_transposed(two, grads[0] + j * 16);
        b[0][0] = two[0], b[0][1] = two[1], b[1][0] = two[2], b[1][1] = two[3];
      } else {
#pragma unroll
        for (int k = 0; k < 2; ++k)
#pragma unroll
          for (int i = 0; i < 2; ++i)
            b[k][i] = *reinterpret_cast<const uint32_t*>(grads[i] + (j + k) * 32);
      }
#pragma unroll
      for (int k = 0; k < 2; ++k) {
        const int channel = (j + k) * 8;
        if constexpr (Tile::kVector == 8) {
          if (channel < first_channel || channel >= end_channel) continue;
        } else if (channel + row < first_channel || channel + row >= end_channel) {
          b[k][0] = b[k][1] = 0;
        }
        Products::multiply(sum[j + k], left, typename Products::Weights(b[k]));
      }
    }
  }

  const DataGradient<T>& p_;
  typename Tile::Shared& s_;
  WindowItem* items_;  // [kPixels + kStepItems], shared by the warp
  float sum_[kOwnRows][kColumns][4] = {};
};

}  // namespace dcn::cuda
