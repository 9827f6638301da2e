// Samples that lie where a table in shared memory says: of all taps and pixels of the tile, filled by
// the block when a segment begins. For segments of many channels, each of which needs the same answers.
#pragma once

#include <cstdint>

#include "../sampler.h"

namespace dcn::cuda {

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
      vector_[i] = in.image(pixels.valid(own) ? static_cast<int32_t>(pixels.image(own)) : 0);
    }
    cursor_.advance(in.order, first_step * kStepSlots + slot);
    fill<kOfThread>();
    cursor_.position -= kStepSlots;
  }

  // To the next step; at first, to the first one. All threads of the block take part, and all of them
  // are in the same chunk. In one of four vectors the next step is the next tap, and no more.
  __device__ __forceinline__ void advance() {
    cursor_.position += kStepSlots;
    entry_ += kTileRows;
    if (cursor_.position < whole_end_) return;
    const int32_t segment = cursor_.segment.first;
    cursor_.advance(in_.order, 0);
    if (cursor_.segment.first != segment) fill<1>();
    const bool valid = cursor_.valid(in_.order);
    entry_ = valid ? cursor_.tap() * kTileRows + row_ : -1;
    whole_end_ = valid && cursor_.width == kStepSlots ? kStepSlots * in_.order.taps : 0;
    const VectorPlane plane = in_.plane(cursor_);
    pixel_bytes_ = plane.pixel;
#pragma unroll
    for (int i = 0; i < kRows; ++i) vector_[i] += plane.start - start_;
    start_ = plane.start;
  }

  // Row i of this thread at the current step: asks for the corners; stores the sample.
  __device__ __forceinline__ void load(int i) {
    CornerPixels pixels(0, 0, 0, 0);
    weight_ = CornerWeights(0, 0, 0);
    if (entry_ >= 0) {
      const int2 at = table_.corners[entry_ + i * kRowDistance];
      const float4 w = table_.weights[entry_ + i * kRowDistance];
      pixels.first = at.x, pixels.inside = static_cast<uint32_t>(at.y);
      weight_.weight[0] = w.x, weight_.weight[1] = w.y, weight_.weight[2] = w.z,
      weight_.weight[3] = w.w;
    }
    corners_.load(vector_[i], pixel_bytes_, in_.coordinates.in_w, pixels);
  }
  __device__ __forceinline__ void store(int i, unsigned char* tile) const {
    *reinterpret_cast<Words<4>*>(tile + slot_offset_ + i * kRowDistance * kStepBytes) =
        corners_.template sample<Products>(weight_);
  }

 private:
  // As many taps of the table as a thread has in kernels of three by three.
  static constexpr int kOfThread = (9 * kTileRows + kThreads - 1) / kThreads;
  // From one row of a thread to the next.
  static constexpr int kRowDistance = kThreads / kStepSlots;
  static_assert(kRowDistance / 2 % kStepSlots == 0, "slots change places alike in both");
  static_assert(kThreads % kTileRows == 0, "a thread fills the table for one pixel");

  // Nobody reads the table meanwhile: a step begins with a barrier, and then comes advance().
  // kAtOnce: taps of a thread whose offsets are asked for together, which takes registers.
  template <int kAtOnce>
  __device__ __forceinline__ void fill() {
    constexpr int kDistance = kThreads / kTileRows;  // from one tap of a thread to the next
    const Coordinates<T>& c = in_.coordinates;
    const int r = static_cast<int>(threadIdx.x) % kTileRows;
    const int32_t pixel = pixels_.pixel(r), y = c.base_y(pixel), x = c.base_x(pixel);
    const auto image = static_cast<int32_t>(pixels_.image(r));
    const int32_t first_row = cursor_.segment.offset_group * c.taps;
    const int taps = cursor_.at_end() ? 0 : c.taps;
    for (int first = static_cast<int>(threadIdx.x) / kTileRows; first < taps;
         first += kAtOnce * kDistance) {
      RawPoint raw[kAtOnce];
#pragma unroll
      for (int k = 0; k < kAtOnce; ++k) {
        raw[k] = kNowhere;
        const int tap = first + k * kDistance;
        if (tap < taps && pixels_.valid(r)) raw[k] = c.ask(image, first_row + tap, pixel);
      }
#pragma unroll
      for (int k = 0; k < kAtOnce; ++k) {
        const int tap = first + k * kDistance;
        if (tap >= taps) break;
        const SampleCorners corners(c.point(raw[k], y + c.tap_y(tap), x + c.tap_x(tap)), c.in_h,
                                    c.in_w);
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
  int entry_;              // of the first row in the table, or -1
  int32_t whole_end_ = 0;  // of the chunk, if it is one of four vectors: the position behind it
  // Where pixel 0 of each row's image has the vector, how far into the image that is, and how far it is
  // from there to the next pixel.
  const unsigned char* vector_[kRows];
  int64_t start_ = 0;
  int32_t pixel_bytes_;
  CornerWeights weight_;
  Corners4<4> corners_;
};

}  // namespace dcn::cuda
