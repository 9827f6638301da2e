// What both fused backward kernels do alike: which output pixel a row of a tile is, where its samples
// lie, and products whose operands come as they are in memory.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <type_traits>

#include "../coordinates.h"
#include "../divider.h"
#include "../products.h"
#include "bundles.h"

namespace dcn::cuda {

inline constexpr int kGradientWarps = 8;
inline constexpr int kGradientBlock = kGradientWarps * 32;  // threads

// An output pixel, counted through all images, of which there are fewer than 2^31.
struct PixelPlace {
  int32_t image, pixel;

  DCN_INLINE PixelPlace(int32_t of_all, const Divider& by_out_pixels)
      : image(by_out_pixels.quotient(of_all)), pixel(by_out_pixels.rest(of_all, image)) {}
};

// An output pixel with the integer part of its samples' coordinates, for tap 0; image -1: beyond the
// last.
struct PixelBase {
  int32_t image, pixel, y, x;
};

template <class T>
__device__ __forceinline__ PixelBase base_at(const Coordinates<T>& c, const Divider& by_out_pixels,
                                             int32_t of_all, int32_t end) {
  if (of_all >= end) return {-1, 0, 0, 0};
  const PixelPlace at(of_all, by_out_pixels);
  return {at.image, at.pixel, c.base_y(at.pixel), c.base_x(at.pixel)};
}

// A sample, and the image that it is of.
struct StagedPoint {
  SamplePoint point;
  int32_t image;
};

// Of one tap of one offset group, in two steps, so that other work can be done until the loads are
// there.
template <class T>
__device__ __forceinline__ RawPoint ask_point(const Coordinates<T>& c, const PixelBase& at,
                                              int32_t offset_group, int32_t tap) {
  if (at.image < 0) return kNowhere;
  return c.ask(at.image, offset_group * c.taps + tap, at.pixel);
}

template <class T>
__device__ __forceinline__ StagedPoint point_of(const Coordinates<T>& c, const PixelBase& at,
                                                const RawPoint& raw, int32_t tap) {
  return {c.point(raw, at.y + c.tap_y(tap), at.x + c.tap_x(tap)), at.image < 0 ? 0 : at.image};
}

// One vector of one sample of a tile of kRows pixels. Neighbouring lanes own neighbours in memory: the
// vectors of a pixel, or, where each segment is a single vector, the pixels of a vector.
template <int kRows>
struct TileVector {
  int vector, row;

  DCN_INLINE TileVector(int i, bool single_vectors)
      : vector(single_vectors ? i / kRows : i % kBundleVectors),
        row(single_vectors ? i % kRows : i / kBundleVectors) {}
};

// grad_output as the fused kernels read it: staged like an image whose channels are the outputs.
struct GradOutputLayout {
  ImageLayout layout;
  Divider by_pixels;  // of an image
  int32_t outs;       // of a group, with padding

  // Element at which the group's channels of a pixel begin.
  DCN_INLINE int64_t element(int32_t group, int32_t image, int32_t pixel) const {
    return image * layout.image_size + int64_t{group} * outs * layout.pixels + int64_t{pixel} * outs;
  }
};

// Products take a left operand that is rounded to what is multiplied; grad_output is not.
template <class Products>
__device__ __forceinline__ typename Products::Samples left_operand(uint32_t (&words)[4]) {
  if constexpr (std::is_same_v<Products, Tf32Products>) {
#pragma unroll
    for (uint32_t& word : words) word = to_tf32(bit_cast<float>(word));
  }
  return typename Products::Samples(words);
}

// 16 * kRows by 8 * kColumns sums of a warp, over 32 bytes of what is summed over.
template <class Products, int kRows, int kColumns>
__device__ __forceinline__ void multiply_fragments(float (&sum)[kRows][kColumns][4],
                                                   uint32_t (&a)[kRows][4],
                                                   const uint32_t (&b)[kColumns][2]) {
  typename Products::Samples left[kRows];
#pragma unroll
  for (int i = 0; i < kRows; ++i) left[i] = left_operand<Products>(a[i]);
#pragma unroll
  for (int j = 0; j < kColumns; ++j) {
    const typename Products::Weights right(b[j]);
#pragma unroll
    for (int i = 0; i < kRows; ++i) Products::multiply(sum[i][j], left[i], right);
  }
}

}  // namespace dcn::cuda
