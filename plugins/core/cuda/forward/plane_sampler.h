// Samples of segments that are a single vector each, of which there are many where offset groups have
// few channels: each vector has an offset and a mask of its own, and what a thread does to find a place
// weighs as much as what it does there. So here it does little:
//
// - A warp samples neighbouring pixels of one image at one place of K. What is known of that place is
//   in a table, and the same for all rows of a thread.
// - Narrow vectors are taken two by two, of neighbouring segments at the same tap.
// - The image has a border of zeros (bordered_planes.h): one question tells whether a sample touches
//   the image at all, and then all four corners are read.
#pragma once

#include <cstdint>

#include "../sampler.h"

namespace dcn::cuda {

// What is the same at all pixels for a slot of K. Behind the end of K, the tap is nowhere: NaN.
struct alignas(16) PlaneTap {
  float y, x;      // from tap 0, in pixels
  uint32_t index;  // from tap 0 in plane 0, in vectors
  uint32_t row;    // of the mask
};

// kCoordinateBytes: of an offset and a mask.
template <class Products, class Shape, int kSlotVectors, int kCoordinateBytes>
class PlaneSampler {
 public:
  using T = typename Products::Element;
  static constexpr int kThreads = Shape::kThreads;
  static constexpr int kRows = Shape::kPixels * kStepSlots / kThreads;  // of a thread

  // One step more than there are: what is asked for ahead of the last one.
  static DCN_INLINE constexpr int shared_bytes(const KOrder& order) {
    return (order.steps + 1) * kStepSlots * static_cast<int>(sizeof(PlaneTap));
  }

  // The tile must lie within one image.
  __device__ __forceinline__ PlaneSampler(const SampledImage<T>& in, const TilePixels& pixels,
                                          int32_t group, int32_t first_step, unsigned char* memory)
      : in_(in), at_(reinterpret_cast<const PlaneTap*>(memory)) {
    const Coordinates<T>& c = in.coordinates;
    fill(reinterpret_cast<PlaneTap*>(memory), group, first_step);
    constexpr int kWarp = 32;
    const int thread = static_cast<int>(threadIdx.x), warp = thread / kWarp;
    const int slot = warp % kStepSlots, row = warp / kStepSlots * kWarp + thread % kWarp;
    slot_offset_ = slot_offset(row, slot);
    at_ += slot;

    const auto image = static_cast<uint64_t>(pixels.first_image);
    image_ = in.data + image * static_cast<uint64_t>(in_.planes.image) * sizeof(Vector);
    row_bytes_ = static_cast<uint32_t>(c.out_pixels) * kCoordinateBytes;
    const uint32_t pixel = pixels.first_pixel + static_cast<uint32_t>(row);
    const uint64_t first_row = image * c.rows * row_bytes_;
    const auto* const offset = static_cast<const unsigned char*>(c.offset);
    const auto* const mask = c.has_mask ? static_cast<const unsigned char*>(c.mask) : offset;
    mask_ = at_distance(mask + first_row, pixel, kCoordinateBytes);
    y_ = at_distance(offset + 2 * first_row, pixel, kCoordinateBytes);
    x_ = y_ + row_bytes_;
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
      const auto own = static_cast<int32_t>(pixel) + i * kRowDistance;
      const int32_t y = c.base_y(own), x = c.base_x(own);
      centre_y_[i] = static_cast<float>(y + 1) - c.half_h;
      centre_x_[i] = static_cast<float>(x + 1) - c.half_w;
      index_[i] = static_cast<uint32_t>(y * in_.planes.pitch + x + in_.planes.origin()) -
                  kFloorBits * (static_cast<uint32_t>(in_.planes.pitch) + 1);
#pragma unroll
      for (int v = 0; v < kSlotVectors; ++v) asked_[i][v].mask = one();
    }
    __syncthreads();
    ahead_ = at_->row;
#pragma unroll
    for (int i = 0; i < kRows; ++i) ask(i);
  }

  // To the next step; at first, to the first one.
  __device__ __forceinline__ void advance() {
    here_ = *at_;
    at_ += kStepSlots;
    ahead_ = at_->row;
  }

  // Row i of this thread at the current step: asks for the corners; stores the sample.
  __device__ __forceinline__ void load(int i) {
    const Coordinates<T>& c = in_.coordinates;
    const float centre_y = centre_y_[i] + here_.y, centre_x = centre_x_[i] + here_.x;
    const auto pitch = static_cast<uint32_t>(in_.planes.pitch);
#pragma unroll
    for (int v = 0; v < kSlotVectors; ++v) {
      const float y = value(asked_[i][v].y), x = value(asked_[i][v].x);
      const SplitOffset split_y(y), split_x(x);
      // Modulo 2^32, where kFloorBits go away; of no meaning outside the image.
      uint32_t index = split_y.floor_bits * pitch + split_x.floor_bits +
                       (index_[i] + here_.index + v * static_cast<uint32_t>(in_.planes.plane));
      if (!(inside(y, centre_y, c.half_h) & inside(x, centre_x, c.half_w))) index = 0;
      blend_[v] = {split_y.fraction, split_x.fraction, value(asked_[i][v].mask)};
      const unsigned char* const top = at_distance(image_, index, sizeof(Vector));
      const unsigned char* const bottom = at_distance(top, pitch, sizeof(Vector));
      corners_[v].at[0] = vector(top), corners_[v].at[1] = vector(top + sizeof(Vector));
      corners_[v].at[2] = vector(bottom), corners_[v].at[3] = vector(bottom + sizeof(Vector));
    }
    ask(i);
  }
  __device__ __forceinline__ void store(int i, unsigned char* tile) const {
    union {
      Words<kSlotBytes / 4> slot;
      Vector vector[kSlotVectors];
    } samples;
#pragma unroll
    for (int v = 0; v < kSlotVectors; ++v) {
      const Blend& b = blend_[v];
      const float bottom = b.y * b.mask, top = b.mask - bottom;
      CornerWeights weights;  // its own, in fewer instructions; NaN where the mask is infinite
      weights.weight[1] = top * b.x, weights.weight[0] = top - top * b.x;
      weights.weight[3] = bottom * b.x, weights.weight[2] = bottom - bottom * b.x;
      samples.vector[v] = corners_[v].template sample<Products>(weights);
    }
    *reinterpret_cast<Words<kSlotBytes / 4>*>(tile + slot_offset_ + i * kRowDistance * kStepBytes) =
        samples.slot;
  }

 private:
  using Vector = Words<kSlotBytes / 4 / kSlotVectors>;
  struct Blend {
    float y, x, mask;
  };
  // From one row of a thread to the next.
  static constexpr int kRowDistance = kThreads / kStepSlots;
  static_assert(kRowDistance / 2 % kStepSlots == 0, "slots change places alike in both");

  static __device__ __forceinline__ float value(uint32_t bits) {
    if constexpr (kCoordinateBytes == 2)
      return load_pair<T>(bits).x;
    else
      return bit_cast<float>(bits);
  }
  static __device__ __forceinline__ uint32_t one() {
    if constexpr (kCoordinateBytes == 2)
      return Store<T>::from(1.0f).bits;
    else
      return bit_cast<uint32_t>(1.0f);
  }
  static __device__ __forceinline__ Vector vector(const unsigned char* at) {
    if constexpr (kSlotVectors == 2) {
      const uint2 words = __ldg(reinterpret_cast<const uint2*>(at));
      return {{words.x, words.y}};
    } else {
      const uint4 words = __ldg(reinterpret_cast<const uint4*>(at));
      return {{words.x, words.y, words.z, words.w}};
    }
  }

  // The whole block, for all steps from `first_step` on.
  __device__ __forceinline__ void fill(PlaneTap* table, int32_t group, int32_t first_step) const {
    const Coordinates<T>& c = in_.coordinates;
    const Segments& segments = in_.order.segments;
    const int32_t channels = segments.smaller(segments.group_channels, segments.offset_group_channels);
    const int32_t vectors =  // of a group
        segments.group_channels == channels
            ? 1
            : segments.by_offset_group.quotient(segments.group_channels);
    const int32_t count = (in_.order.steps - first_step + 1) * kStepSlots;
#pragma unroll 1
    for (int32_t i = static_cast<int32_t>(threadIdx.x); i < count; i += kThreads) {
      const int32_t at = first_step * kStepSlots + i, unit = in_.order.by_taps.quotient(at);
      const int32_t tap = in_.order.by_taps.rest(at, unit), first = unit * kSlotVectors;
      PlaneTap entry = {bit_cast<float>(~0u), bit_cast<float>(~0u), 0, 0};
      if (first < vectors) {
        const int32_t vector = group * vectors + first, y = c.tap_y(tap), x = c.tap_x(tap);
        const int32_t offset_group = segments.by_offset_group.quotient(vector * channels);
        entry.y = static_cast<float>(y), entry.x = static_cast<float>(x);
        entry.index = static_cast<uint32_t>(y * in_.planes.pitch + x) +
                      static_cast<uint32_t>(vector) * static_cast<uint32_t>(in_.planes.plane);
        entry.row = static_cast<uint32_t>(offset_group * c.taps + tap);
      }
      table[i] = entry;
    }
  }

  // For the offsets and the mask of the step after the current one.
  __device__ __forceinline__ void ask(int i) {
#pragma unroll
    for (int v = 0; v < kSlotVectors; ++v) {
      const uint32_t row = ahead_ + static_cast<uint32_t>(v * in_.order.taps);
      constexpr int kDistance = kRowDistance * kCoordinateBytes;
      asked_[i][v].y =
          load_once<kCoordinateBytes>(at_distance(y_, row, 2 * row_bytes_) + i * kDistance);
      asked_[i][v].x =
          load_once<kCoordinateBytes>(at_distance(x_, row, 2 * row_bytes_) + i * kDistance);
      if (in_.coordinates.has_mask)
        asked_[i][v].mask =
            load_once<kCoordinateBytes>(at_distance(mask_, row, row_bytes_) + i * kDistance);
    }
  }

  const SampledImage<T>& in_;
  const PlaneTap* at_;  // of the next step
  PlaneTap here_;
  uint32_t ahead_;  // row
  int slot_offset_;
  const unsigned char* image_;
  const unsigned char *y_, *x_, *mask_;      // of row 0, at offset group 0, tap 0
  uint32_t row_bytes_;                       // of the mask
  float centre_y_[kRows], centre_x_[kRows];  // of tap 0, from the middle of the image
  uint32_t index_[kRows];                    // of tap 0 without an offset
  RawPoint asked_[kRows][kSlotVectors];
  Corners4<kSlotBytes / 4 / kSlotVectors> corners_[kSlotVectors];
  Blend blend_[kSlotVectors];
};

}  // namespace dcn::cuda
