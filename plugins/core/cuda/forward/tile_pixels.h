// The output pixels of a block's tile, which may belong to several images.
#pragma once

#include <cstdint>

namespace dcn::cuda {

struct TilePixels {
  int64_t first_image;
  uint32_t first_pixel, out_pixels;
  int64_t count;  // in the tile, or more

  // `out_pixels`: of an image; `pixels`: of all images; `first`: of the tile.
  __device__ __forceinline__ TilePixels(int32_t out_pixels, int64_t pixels, int64_t first)
      : first_image(first / out_pixels),
        first_pixel(static_cast<uint32_t>(first % out_pixels)),
        out_pixels(static_cast<uint32_t>(out_pixels)),
        count(pixels - first) {}

  __device__ __forceinline__ bool valid(int row) const { return row < count; }
  __device__ __forceinline__ int64_t image(int row) const {
    return first_image + (first_pixel + static_cast<uint32_t>(row)) / out_pixels;
  }
  __device__ __forceinline__ int32_t pixel(int row) const {
    return static_cast<int32_t>((first_pixel + static_cast<uint32_t>(row)) % out_pixels);
  }
};

}  // namespace dcn::cuda
