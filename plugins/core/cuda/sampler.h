// What the producers of the fused forward share: they sample the pixels of a block's tile, one step of
// the K dimension at a time, into shared memory, where the tensor cores read them.
//
// A thread owns one slot of the step and some rows (output pixels) of the tile. For each it loads the
// four corners, 16 bytes of channels at once, adds them up in float32 and rounds once. Where the
// samples lie it knows in one of two ways: from a table (tabulated_sampler.h), or directly
// (direct_sampler.h).
#pragma once

#include <cstdint>

#include "channels_last.h"
#include "coordinates.h"
#include "forward/tile_pixels.h"
#include "k_order.h"
#include "warp.h"

namespace dcn::cuda {

// ---- the tile in shared memory --------------------------------------------------------------

// Byte offset of a slot of a row of a [rows, 64 bytes] tile. Slots change places from row to row, so
// that neither a column of eight rows nor two rows fall into the same banks twice.
inline constexpr int kSlotPattern = 2 * kStepSlots;  // rows after which they lie as before
__device__ __forceinline__ int slot_offset(int row, int slot) {
  return row * kStepBytes + (slot ^ (row >> 1 & (kStepSlots - 1))) * kSlotBytes;
}

// ---- the image ------------------------------------------------------------------------------

template <int kWords>
struct alignas(kWords * 4) Words {
  uint32_t word[kWords];
};

// Where a vector of every pixel lies from the start of an image, in bytes.
struct VectorPlane {
  int64_t start;
  int32_t pixel;  // from one pixel to the next
};

// Of one vector, at each corner.
template <int kWords>
struct Corners4 {
  Words<kWords> at[4];

  // `first`: the vector of pixel 0; `pixel`: bytes from one pixel to the next; `width`: of the image;
  // `pixels`: where the corners lie.
  __device__ __forceinline__ void load(const unsigned char* first, int32_t pixel, int32_t width,
                                       const CornerPixels& pixels) {
    const unsigned char* const top = first + int64_t{pixels.first} * pixel;
    const auto right = static_cast<uint32_t>(pixel), down = static_cast<uint32_t>(width);
    const unsigned char* const bottom = top + uint64_t{down} * right;
    const unsigned char* const corner[4] = {top, top + right, bottom, bottom + right};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      at[i] = {};
      if (pixels.inside >> i & 1) at[i] = *reinterpret_cast<const Words<kWords>*>(corner[i]);
    }
  }
  __device__ __forceinline__ void load(const unsigned char* image, const VectorPlane& plane,
                                       int32_t width, const CornerPixels& pixels) {
    load(image + plane.start, plane.pixel, width, pixels);
  }

  template <class Products>
  __device__ __forceinline__ Words<kWords> sample(const CornerWeights& weight) const {
    constexpr int kElements = Products::kWordElements;
    Words<kWords> out;
#pragma unroll
    for (int w = 0; w < kWords; ++w) {
      float sum[kElements] = {};
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        float value[kElements];
        Products::unpack(at[i].word[w], value);
#pragma unroll
        for (int e = 0; e < kElements; ++e) sum[e] += weight.weight[i] * value[e];
      }
      out.word[w] = Products::pack(sum);
    }
    return out;
  }
};

// What the samplers know of the problem.
template <class T>
struct SampledImage {
  KOrder order;
  ImageLayout layout;
  Coordinates<T> coordinates;
  const unsigned char* data;  // [N, image_size] elements of T, as `layout` says
  int64_t output_pixels;      // of all images

  template <class Cursor>
  __device__ __forceinline__ VectorPlane plane(const Cursor& at) const {
    return {(layout.start(at.segment) + at.vector() * layout.vector) * int64_t{sizeof(T)},
            layout.pixel_stride(at.segment) * int32_t{sizeof(T)}};
  }
  __device__ __forceinline__ const unsigned char* image(int32_t n) const {
    return data + static_cast<uint32_t>(n) * (static_cast<uint64_t>(layout.image_size) * sizeof(T));
  }
};

}  // namespace dcn::cuda
