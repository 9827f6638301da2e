// The sums of the input's gradient, which lie as the staged image does, as the tensor.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "../channels_last.h"
#include "../elementwise.h"

namespace dcn::cuda {

// A block transposes some vectors of some pixels through shared memory.
template <class T>
class Unstage {
  static constexpr int kPixels = 64, kChannels = 32, kQuads = kChannels / 4;
  static constexpr int kColumns = kElementThreads / kQuads, kOwn = kPixels / kColumns;

  struct Tile {
    int32_t channels[kChannels];  // of the image, or -1
    // A word more than needed in each row, so that a column lies in different banks.
    float rows[kChannels][kPixels + 1];
  };

 public:
  static constexpr int kSharedBytes = static_cast<int>(sizeof(Tile));

  Unstage() = default;
  Unstage(const Segments& segments, const ImageLayout& layout, int64_t images, const float* staged,
          void* image)
      : segments_(segments),
        layout_(layout),
        images_(images),
        pixel_tiles_(static_cast<int32_t>((layout.pixels + kPixels - 1) / kPixels)),
        tile_vectors_(kChannels / segments.vector),
        vector_tiles_((segments.vectors + tile_vectors_ - 1) / tile_vectors_),
        staged_(staged),
        image_(static_cast<T*>(image)) {}

  DCN_INLINE int64_t blocks() const { return images_ * pixel_tiles_ * vector_tiles_; }

  __device__ void run(int64_t of_all, unsigned char* shared_memory) const {
    const auto block = static_cast<int32_t>(of_all);
    auto& s = *reinterpret_cast<Tile*>(shared_memory);
    const int thread = static_cast<int>(threadIdx.x);
    const int32_t rest = block / pixel_tiles_;
    const int64_t pixel = int64_t{block % pixel_tiles_} * kPixels;
    const int32_t first = rest % vector_tiles_ * tile_vectors_;
    const int64_t image = rest / vector_tiles_;
    const int64_t left = layout_.pixels - pixel;

    // Neighbouring lanes read four channels each of a pixel. All that a thread reads is under way at a
    // time.
    const int quad = thread % kQuads, column = thread / kQuads;
    const int32_t in_tile = quad * 4 / segments_.vector, in_vector = quad * 4 % segments_.vector;
    const bool valid = first + in_tile < segments_.vectors;
    float4 own[kOwn] = {};
    Segment segment{};
    int32_t in_segment = 0;
    if (valid) {
      segment = segments_.at_vector(first + in_tile);
      in_segment = (first + in_tile - segment.first_vector) * segments_.vector + in_vector;
      const int32_t stride = layout_.pixel_stride(segment);
      const float* from = staged_ + image * layout_.image_size + layout_.start(segment) + in_segment +
                          (pixel + column) * stride;
#pragma unroll
      for (int k = 0; k < kOwn; ++k)
        if (column + k * kColumns < left)
          own[k] = *reinterpret_cast<const float4*>(from + int64_t{k * kColumns} * stride);
    }
    for (int c = 0; column == 0 && c < 4; ++c)
      s.channels[quad * 4 + c] =
          valid && in_segment + c < segment.channels ? segment.first + in_segment + c : -1;
#pragma unroll
    for (int k = 0; k < kOwn; ++k) {
      s.rows[quad * 4][column + k * kColumns] = own[k].x;
      s.rows[quad * 4 + 1][column + k * kColumns] = own[k].y;
      s.rows[quad * 4 + 2][column + k * kColumns] = own[k].z;
      s.rows[quad * 4 + 3][column + k * kColumns] = own[k].w;
    }
    __syncthreads();

    T* const to = image_ + image * layout_.channels * layout_.pixels + pixel;
#pragma unroll
    for (int i = 0; i < kChannels * kPixels; i += kElementThreads) {
      const int row = (i + thread) / kPixels, at = (i + thread) % kPixels;
      if (s.channels[row] >= 0 && at < left)
        to[s.channels[row] * layout_.pixels + at] = Store<T>::from(s.rows[row][at]);
    }
  }

 private:
  Segments segments_;
  ImageLayout layout_;
  int64_t images_ = 0;
  int32_t pixel_tiles_ = 0, tile_vectors_, vector_tiles_ = 0;
  const float* staged_;
  T* image_;  // [N, C, H, W]
};

}  // namespace dcn::cuda
