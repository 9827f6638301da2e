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

// Where the vectors of the four corners lie from the start of an image, in bytes.
struct CornerStrides {
  int64_t start, row;
  int32_t pixel;
};

// Of one vector, at each corner.
template <int kWords>
struct Corners4 {
  Words<kWords> at[4];

  __device__ __forceinline__ void load(const unsigned char* image, const CornerStrides& strides,
                                       int32_t first, uint32_t inside) {
    const int64_t offset = strides.start + int64_t{first} * strides.pixel;
    const int64_t offsets[4] = {offset, offset + strides.pixel, offset + strides.row,
                                offset + strides.row + strides.pixel};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      at[i] = {};
      if (inside >> i & 1) at[i] = *reinterpret_cast<const Words<kWords>*>(image + offsets[i]);
    }
  }

  template <class Products>
  __device__ __forceinline__ Words<kWords> sample(const float (&weight)[4]) const {
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
        for (int e = 0; e < kElements; ++e) sum[e] += weight[i] * value[e];
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

  __device__ __forceinline__ CornerStrides strides(const KCursor& at) const {
    const int32_t pixel = layout.pixel_stride(at.segment) * int{sizeof(T)};
    return {(layout.start(at.segment) + at.vector() * layout.vector) * int64_t{sizeof(T)},
            int64_t{coordinates.in_w} * pixel, pixel};
  }
  __device__ __forceinline__ const unsigned char* image(int64_t n) const {
    return data + n * layout.image_size * int64_t{sizeof(T)};
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

template <class Products, int kTileRows, int kThreads>
class TabulatedSampler {
 public:
  using T = typename Products::Element;
  static constexpr int kRows = kTileRows * kStepSlots / kThreads;  // of a thread

  static DCN_INLINE constexpr int shared_bytes(int taps) { return SampleTable<kTileRows>::bytes(taps); }

  __device__ __forceinline__ TabulatedSampler(const SampledImage<T>& in, const TilePixels& pixels,
                                              int32_t group, int32_t first_step, unsigned char* memory)
      : in_(in),
        pixels_(pixels),
        table_(memory, in.order.taps),
        cursor_(in.order, group),
        slot_(static_cast<int>(threadIdx.x) % kStepSlots),
        row_(static_cast<int>(threadIdx.x) / kStepSlots) {
#pragma unroll
    for (int i = 0; i < kRows; ++i)
      image_[i] = in.image(pixels.valid(row(i)) ? pixels.image(row(i)) : 0);
    cursor_.advance(in.order, (first_step - 1) * kStepSlots + slot_);
  }

  // To the next step; at first, to the first one. All threads of the block take part, and all of them
  // are in the same segment.
  __device__ __forceinline__ void advance() {
    cursor_.advance(in_.order, kStepSlots);
    if (cursor_.segment.first != tabulated_) fill();
    tabulated_ = cursor_.segment.first;
  }

  // Row i of this thread at the current step: asks for the corners; stores the sample.
  __device__ __forceinline__ void load(int i) {
    const bool valid = cursor_.valid(in_.order);
    const int2 at = valid ? table_.corners[cursor_.tap() * kTileRows + row(i)] : int2{0, 0};
    corners_[i].load(image_[i], in_.strides(cursor_), at.x, static_cast<uint32_t>(at.y));
  }
  __device__ __forceinline__ void store(int i, unsigned char* tile) const {
    float weight[4] = {};
    if (cursor_.valid(in_.order)) {
      const float4 w = table_.weights[cursor_.tap() * kTileRows + row(i)];
      weight[0] = w.x, weight[1] = w.y, weight[2] = w.z, weight[3] = w.w;
    }
    *reinterpret_cast<Words<4>*>(tile + slot_offset(row(i), slot_)) =
        corners_[i].template sample<Products>(weight);
  }

 private:
  static_assert(kThreads % kTileRows == 0, "a thread fills the table for one pixel");

  __device__ __forceinline__ int row(int i) const { return row_ + i * (kThreads / kStepSlots); }

  // The barriers keep the table whole for those who still read it, and for those who read it next.
  __device__ __forceinline__ void fill() {
    __syncthreads();
    const Coordinates<T>& c = in_.coordinates;
    const int r = static_cast<int>(threadIdx.x) % kTileRows;
    const int32_t pixel = pixels_.pixel(r), y = c.base_y(pixel), x = c.base_x(pixel);
    const int64_t first_row =
        (pixels_.image(r) * c.offset_group + cursor_.segment.offset_group) * c.taps;
    if (!cursor_.at_end()) {
#pragma unroll 2
      for (int tap = static_cast<int>(threadIdx.x) / kTileRows; tap < c.taps;
           tap += kThreads / kTileRows) {
        SampleCorners corners;
        corners.inside = 0, corners.first = 0;
        corners.weight[0] = corners.weight[1] = corners.weight[2] = corners.weight[3] = 0;
        if (pixels_.valid(r)) {
          const int32_t tap_y = tap / c.kernel_w;
          corners = SampleCorners(c.point(first_row + tap, pixel, y + tap_y * c.dilation_h,
                                          x + (tap - tap_y * c.kernel_w) * c.dilation_w),
                                  c.in_h, c.in_w);
        }
        table_.weights[tap * kTileRows + r] =
            make_float4(corners.weight[0], corners.weight[1], corners.weight[2], corners.weight[3]);
        table_.corners[tap * kTileRows + r] =
            make_int2(corners.first, static_cast<int>(corners.inside));
      }
    }
    __syncthreads();
  }

  const SampledImage<T>& in_;
  const TilePixels& pixels_;
  SampleTable<kTileRows> table_;
  KCursor cursor_;
  int32_t tabulated_ = -1;  // first channel of the segment in the table
  int slot_, row_;
  const unsigned char* image_[kRows];
  Corners4<4> corners_[kRows];
};

// ---- directly -------------------------------------------------------------------------------

// kSlotVectors: 2 where vectors are narrow.
template <class Products, int kTileRows, int kThreads, int kSlotVectors>
class DirectSampler {
 public:
  using T = typename Products::Element;
  static constexpr int kRows = kTileRows * kStepSlots / kThreads;  // of a thread

  static DCN_INLINE constexpr int shared_bytes(int) { return 0; }

  __device__ __forceinline__ DirectSampler(const SampledImage<T>& in, const TilePixels& pixels,
                                           int32_t group, int32_t first_step, unsigned char*)
      : in_(in), ahead_(in.order, group) {
    // The lanes of a warp own neighbours in memory: the slots of a pixel, or, where each segment is a
    // single vector, the pixels of a slot.
    constexpr int kWarp = 32;
    const int thread = static_cast<int>(threadIdx.x), warp = thread / kWarp;
    const bool pixels_first = in.order.single_vectors;
    slot_ = pixels_first ? warp % kStepSlots : thread % kStepSlots;
    row_ = pixels_first ? warp / kStepSlots * kWarp + thread % kWarp : thread / kStepSlots;
    ahead_.advance(in.order, (first_step * kStepSlots + slot_) * kSlotVectors);
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
      const bool valid = pixels.valid(row(i));
      const int64_t n = valid ? pixels.image(row(i)) : 0;
      pixel_[i] = valid ? pixels.pixel(row(i)) : -1;
      y_[i] = in.coordinates.base_y(pixels.pixel(row(i)));
      x_[i] = in.coordinates.base_x(pixels.pixel(row(i)));
      image_[i] = in.image(n);
      first_row_[i] = n * in.coordinates.offset_group * in.coordinates.taps;
      ask(i);
    }
  }

  // To the next step; at first, to the first one.
  __device__ __forceinline__ void advance() {
    KCursor at = ahead_;
#pragma unroll
    for (int v = 0; v < kSlotVectors; ++v) {
      const Coordinates<T>& c = in_.coordinates;
      const int32_t tap_y = at.tap() / c.kernel_w;
      place_[v] = {in_.strides(at), tap_y * c.dilation_h,
                   (at.tap() - tap_y * c.kernel_w) * c.dilation_w, at.valid(in_.order)};
      at.advance(in_.order, 1);
    }
    ahead_.advance(in_.order, kStepSlots * kSlotVectors);
  }

  // Row i of this thread at the current step: asks for the corners; stores the sample.
  __device__ __forceinline__ void load(int i) {
#pragma unroll
    for (int v = 0; v < kSlotVectors; ++v) {
      const Place& place = place_[v];
      SampleCorners corners(in_.coordinates.point(asked_[i][v], y_[i] + place.y, x_[i] + place.x),
                            in_.coordinates.in_h, in_.coordinates.in_w);
      const bool valid = place.valid && pixel_[i] >= 0;
      corners_[i][v].load(image_[i], place.strides, corners.first, valid ? corners.inside : 0);
#pragma unroll
      for (int c = 0; c < 4; ++c) weight_[i][v][c] = valid ? corners.weight[c] : 0;
    }
    ask(i);
  }
  __device__ __forceinline__ void store(int i, unsigned char* tile) const {
    unsigned char* slot = tile + slot_offset(row(i), slot_);
#pragma unroll
    for (int v = 0; v < kSlotVectors; ++v)
      reinterpret_cast<Vector*>(slot)[v] = corners_[i][v].template sample<Products>(weight_[i][v]);
  }

 private:
  using Vector = Words<4 / kSlotVectors>;
  struct Place {
    CornerStrides strides;
    int32_t y, x;  // of the tap
    bool valid;
  };

  __device__ __forceinline__ int row(int i) const { return row_ + i * (kThreads / kStepSlots); }

  // For the offsets and the mask of the step after the current one.
  __device__ __forceinline__ void ask(int i) {
    KCursor at = ahead_;
#pragma unroll
    for (int v = 0; v < kSlotVectors; ++v) {
      asked_[i][v] = {};
      if (at.valid(in_.order) && pixel_[i] >= 0)
        asked_[i][v] = in_.coordinates.ask(
            first_row_[i] + at.segment.offset_group * in_.order.taps + at.tap(), pixel_[i]);
      at.advance(in_.order, 1);
    }
  }

  const SampledImage<T>& in_;
  KCursor ahead_;  // one step ahead
  int slot_, row_;
  Place place_[kSlotVectors];
  int32_t pixel_[kRows], y_[kRows], x_[kRows];
  const unsigned char* image_[kRows];
  int64_t first_row_[kRows];
  RawPoint asked_[kRows][kSlotVectors];
  Corners4<4 / kSlotVectors> corners_[kRows][kSlotVectors];
  float weight_[kRows][kSlotVectors][4];
};

}  // namespace dcn::cuda
