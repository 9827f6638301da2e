// The producer of the fused forward: samples the pixels of a block's tile, one step of the K dimension
// at a time, into shared memory, where the tensor cores read them.
//
// A thread owns one slot of the step and some rows (output pixels) of the tile. For each it loads the
// four corners, 16 bytes of channels at once, adds them up in float32 and rounds once. Where the
// samples lie it knows in one of two ways:
//   TabulatedSampler: from a table of all taps and pixels of the tile in shared memory, which the block
//     fills when a segment begins. For segments of many channels, each of which needs the same answers.
//   DirectSampler: it reads offset and mask itself, a step earlier than it needs them. For segments of
//     few channels and for kernels whose table would be too large.
#pragma once

#include <cstdint>

#include "channels_last.h"
#include "coordinates.h"
#include "k_order.h"
#include "warp.h"

namespace dcn::cuda {

// ---- the tile in shared memory --------------------------------------------------------------

// Byte offset of a slot of a row of a [rows, 64 bytes] tile. Slots change places from row to row, so
// that neither a column of eight rows nor two rows fall into the same banks twice.
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

  // `width`: of the image; `pixels`: where the corners lie.
  __device__ __forceinline__ void load(const unsigned char* image, const VectorPlane& plane,
                                       int32_t width, const CornerPixels& pixels) {
    const int64_t offset = plane.start + int64_t{pixels.first} * plane.pixel;
    const int64_t below = offset + int64_t{width} * plane.pixel;
    const int64_t offsets[4] = {offset, offset + plane.pixel, below, below + plane.pixel};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      at[i] = {};
      if (pixels.inside >> i & 1) at[i] = *reinterpret_cast<const Words<kWords>*>(image + offsets[i]);
    }
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

// The output pixels of a block's tile, which may belong to several images.
struct TilePixels {
  int64_t first_image;
  uint32_t first_pixel, out_pixels;
  int64_t count;  // in the tile, or more

  template <class T>
  __device__ __forceinline__ TilePixels(const SampledImage<T>& in, int64_t first)
      : first_image(first / in.coordinates.out_pixels),
        first_pixel(static_cast<uint32_t>(first % in.coordinates.out_pixels)),
        out_pixels(static_cast<uint32_t>(in.coordinates.out_pixels)),
        count(in.output_pixels - first) {}

  __device__ __forceinline__ bool valid(int row) const { return row < count; }
  __device__ __forceinline__ int64_t image(int row) const {
    return first_image + (first_pixel + static_cast<uint32_t>(row)) / out_pixels;
  }
  __device__ __forceinline__ int32_t pixel(int row) const {
    return static_cast<int32_t>((first_pixel + static_cast<uint32_t>(row)) % out_pixels);
  }
};

// ---- from a table ---------------------------------------------------------------------------

// Of every tap and every pixel of the tile: the weights of the corners; where the first lies and which
// of them lie inside.
template <int kTileRows>
struct SampleTable {
  float4* weights;  // [taps, kTileRows]
  int2* corners;    // [taps, kTileRows]

  static DCN_INLINE constexpr int bytes(int taps) {
    return taps * kTileRows * static_cast<int>(sizeof(float4) + sizeof(int2));
  }
  __device__ __forceinline__ SampleTable(unsigned char* memory, int taps)
      : weights(reinterpret_cast<float4*>(memory)),
        corners(reinterpret_cast<int2*>(weights + taps * kTileRows)) {}
};

template <class Products, class Shape>
class TabulatedSampler {
 public:
  using T = typename Products::Element;
  static constexpr int kTileRows = Shape::kPixels, kThreads = Shape::kThreads;
  static constexpr int kRows = kTileRows * kStepSlots / kThreads;  // of a thread

  static DCN_INLINE constexpr int shared_bytes(int taps) { return SampleTable<kTileRows>::bytes(taps); }

  __device__ __forceinline__ TabulatedSampler(const SampledImage<T>& in, const TilePixels& pixels,
                                              int32_t group, int32_t first_step, unsigned char* memory)
      : in_(in),
        pixels_(pixels),
        table_(memory, in.order.taps),
        cursor_(in.order, group),
        row_(static_cast<int>(threadIdx.x) / kStepSlots) {
    const int slot = static_cast<int>(threadIdx.x) % kStepSlots;
    slot_offset_ = slot_offset(row_, slot);
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
      const int own = row_ + i * kRowDistance;
      image_[i] = pixels.valid(own) ? static_cast<int32_t>(pixels.image(own)) : 0;
    }
    cursor_.advance(in.order, first_step * kStepSlots + slot);
    fill<4>();
    cursor_.position -= kStepSlots;
  }

  // To the next step; at first, to the first one. All threads of the block take part, and all of them
  // are in the same segment.
  __device__ __forceinline__ void advance() {
    const int32_t before = cursor_.segment.first;
    cursor_.advance(in_.order, kStepSlots);
    if (cursor_.segment.first != before) fill<1>();
    entry_ = cursor_.valid(in_.order) ? cursor_.tap() * kTileRows + row_ : -1;
  }

  // Row i of this thread at the current step: asks for the corners; stores the sample.
  __device__ __forceinline__ void load(int i) {
    const int2 at = entry_ >= 0 ? table_.corners[entry_ + i * kRowDistance] : make_int2(0, 0);
    CornerPixels pixels;
    pixels.first = at.x, pixels.inside = static_cast<uint32_t>(at.y);
    corners_.load(in_.image(image_[i]), in_.plane(cursor_), in_.coordinates.in_w, pixels);
  }
  __device__ __forceinline__ void store(int i, unsigned char* tile) const {
    CornerWeights weight(0, 0, 0);
    if (entry_ >= 0) {
      const float4 w = table_.weights[entry_ + i * kRowDistance];
      weight.weight[0] = w.x, weight.weight[1] = w.y, weight.weight[2] = w.z, weight.weight[3] = w.w;
    }
    *reinterpret_cast<Words<4>*>(tile + slot_offset_ + i * kRowDistance * kStepBytes) =
        corners_.template sample<Products>(weight);
  }

 private:
  // From one row of a thread to the next.
  static constexpr int kRowDistance = kThreads / kStepSlots;
  static_assert(kRowDistance / 2 % kStepSlots == 0, "slots change places alike in both");
  static_assert(kThreads % kTileRows == 0, "a thread fills the table for one pixel");

  // Nobody reads the table meanwhile: a step begins with a barrier, and then comes advance().
  // kAtOnce: taps whose offsets are asked for together, which takes registers.
  template <int kAtOnce>
  __device__ __forceinline__ void fill() {
    const Coordinates<T>& c = in_.coordinates;
    const int r = static_cast<int>(threadIdx.x) % kTileRows;
    const int32_t pixel = pixels_.pixel(r), y = c.base_y(pixel), x = c.base_x(pixel);
    const auto image = static_cast<int32_t>(pixels_.image(r));
    const int32_t first_row = cursor_.segment.offset_group * c.taps;
    if (!cursor_.at_end()) {
#pragma unroll kAtOnce
      for (int tap = static_cast<int>(threadIdx.x) / kTileRows; tap < c.taps;
           tap += kThreads / kTileRows) {
        RawPoint raw = kNowhere;
        if (pixels_.valid(r)) raw = c.ask(image, first_row + tap, pixel);
        const SampleCorners corners(c.point(raw, y + c.tap_y(tap), x + c.tap_x(tap)), c.in_h, c.in_w);
        const float (&w)[4] = corners.weight;
        table_.weights[tap * kTileRows + r] = make_float4(w[0], w[1], w[2], w[3]);
        table_.corners[tap * kTileRows + r] =
            make_int2(corners.first, static_cast<int>(corners.inside));
      }
    }
    __syncthreads();
  }

  const SampledImage<T>& in_;
  const TilePixels& pixels_;
  SampleTable<kTileRows> table_;
  KCursor<> cursor_;
  int row_, slot_offset_;
  int entry_;  // of the first row in the table, or -1
  int32_t image_[kRows];
  Corners4<4> corners_;
};

// ---- directly -------------------------------------------------------------------------------

// kSlotVectors: 2 where vectors are narrow.
template <class Products, class Shape, int kSlotVectors>
class DirectSampler {
 public:
  using T = typename Products::Element;
  static constexpr int kThreads = Shape::kThreads;
  static constexpr int kRows = Shape::kPixels * kStepSlots / kThreads;  // of a thread

  static DCN_INLINE constexpr int shared_bytes(int) { return 0; }

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
      const int32_t tap_y = c.by_kernel_w.quotient(at.tap());
      place_[v] = {in_.plane(at), tap_y << 16 | c.by_kernel_w.rest(at.tap(), tap_y)};
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
        const int32_t row = at.segment.offset_group * in_.order.taps + at.tap();
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
