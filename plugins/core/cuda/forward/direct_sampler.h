// Samples whose place a thread finds out itself: it reads offset and mask a step earlier than it needs
// them. For segments of few channels, and for kernels whose table would be too large; plane_sampler.h
// takes the most frequent of these problems, faster.
#pragma once

#include <cstdint>

#include "../sampler.h"

namespace dcn::cuda {

// kSlotVectors: 2 where vectors are narrow.
template <class Products, class Shape, int kSlotVectors>
class DirectSampler {
 public:
  using T = typename Products::Element;
  static constexpr int kThreads = Shape::kThreads;
  static constexpr int kRows = Shape::kPixels * kStepSlots / kThreads;  // of a thread

  static DCN_INLINE constexpr int shared_bytes(const KOrder&) { return 0; }

  __device__ __forceinline__ DirectSampler(const SampledImage<T>& in, const TilePixels& pixels,
                                           int32_t group, int32_t first_step, unsigned char*)
      : in_(in), ahead_(in.order, group) {
    // The lanes of a warp own neighbours in memory: the slots of a pixel, or, where each segment is a
    // single vector, the pixels of a slot.
    constexpr int kWarp = 32;
    const int thread = static_cast<int>(threadIdx.x), warp = thread / kWarp;
    const bool pixels_first = in.order.single_vectors;
    const int slot = pixels_first ? warp % kStepSlots : thread % kStepSlots;
    const int row = pixels_first ? warp / kStepSlots * kWarp + thread % kWarp : thread / kStepSlots;
    slot_offset_ = slot_offset(row, slot);
    ahead_.advance(in.order, (first_step * kStepSlots + slot) * kSlotVectors);
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
      const int own = row + i * kRowDistance;
      image_[i] = pixels.valid(own) ? static_cast<int32_t>(pixels.image(own)) : -1;
      pixel_[i] = pixels.pixel(own);
      ask(i);
    }
  }

  // To the next step; at first, to the first one.
  __device__ __forceinline__ void advance() {
    Cursor at = ahead_;
#pragma unroll
    for (int v = 0; v < kSlotVectors; ++v) {
      const Coordinates<T>& c = in_.coordinates;
      const KPlace place = at.place(in_.order);
      const int32_t tap_y = c.by_kernel_w.quotient(place.tap);
      place_[v] = {in_.plane(place), tap_y << 16 | c.by_kernel_w.rest(place.tap, tap_y)};
      at.advance(in_.order, 1);
    }
    ahead_.advance(in_.order, kStepSlots * kSlotVectors);
  }

  // Row i of this thread at the current step: asks for the corners; stores the sample.
  __device__ __forceinline__ void load(int i) {
#pragma unroll
    for (int v = 0; v < kSlotVectors; ++v) {
      const Coordinates<T>& c = in_.coordinates;
      const int32_t tap_y = place_[v].tap >> 16, tap_x = place_[v].tap & 0xffff;
      const SamplePoint point = c.point(asked_[i][v], c.base_y(pixel_[i]) + tap_y * c.dilation_h,
                                        c.base_x(pixel_[i]) + tap_x * c.dilation_w);
      corners_[v].load(in_.image(image_[i]), plane(place_[v]), c.in_w,
                       CornerPixels(point.y.low, point.x.low, c.in_h, c.in_w));
      blend_[v] = {point.y.fraction, point.x.fraction, point.mask};
    }
    ask(i);
  }
  __device__ __forceinline__ void store(int i, unsigned char* tile) const {
    unsigned char* slot = tile + slot_offset_ + i * kRowDistance * kStepBytes;
#pragma unroll
    for (int v = 0; v < kSlotVectors; ++v) {
      const Blend& b = blend_[v];
      reinterpret_cast<Vector*>(slot)[v] =
          corners_[v].template sample<Products>(CornerWeights(b.y, b.x, b.mask));
    }
  }

 private:
  using Vector = Words<4 / kSlotVectors>;
  using Cursor = KCursor<kSlotVectors == 2>;
  struct Place {
    VectorPlane plane;
    int32_t tap;  // row and column in the kernel, of 16 bits each
  };
  struct Blend {
    float y, x, mask;
  };
  // From one row of a thread to the next.
  static constexpr int kRowDistance = kThreads / kStepSlots;
  static_assert(kRowDistance / 2 % kStepSlots == 0, "slots change places alike in both");

  // Narrow vectors lie beside each other: a segment has but one.
  __device__ __forceinline__ VectorPlane plane(const Place& place) const {
    return {place.plane.start, kSlotVectors == 1 ? place.plane.pixel : int32_t{sizeof(Vector)}};
  }

  // For the offsets and the mask of the step after the current one.
  __device__ __forceinline__ void ask(int i) {
    Cursor at = ahead_;
#pragma unroll
    for (int v = 0; v < kSlotVectors; ++v) {
      asked_[i][v] = kNowhere;
      if (at.valid(in_.order) && image_[i] >= 0) {
        const KPlace place = at.place(in_.order);
        const int32_t row = place.segment.offset_group * in_.order.taps + place.tap;
        asked_[i][v] = in_.coordinates.ask(image_[i], row, pixel_[i]);
      }
      at.advance(in_.order, 1);
    }
  }

  const SampledImage<T>& in_;
  Cursor ahead_;  // one step ahead
  int slot_offset_;
  Place place_[kSlotVectors];
  int32_t image_[kRows], pixel_[kRows];  // image -1: beyond the last
  RawPoint asked_[kRows][kSlotVectors];
  Corners4<4 / kSlotVectors> corners_[kSlotVectors];
  Blend blend_[kSlotVectors];
};

}  // namespace dcn::cuda
