// How the output pixels of all images are cut into tiles.
#pragma once

#include <cstdint>

#include "../divider.h"

namespace dcn::cuda {

// Either all images are cut as one, and a tile may hold the end of an image and the beginning of the
// next; or each by itself, where the last tile of an image begins early enough to be full: the pixels
// that it shares with the one before it are computed twice, to the same end.
struct PixelTiles {
  int32_t tile;  // pixels of a tile
  int32_t out_pixels;
  bool within_images;
  Divider by_image;  // tiles of an image, if within images
  int64_t count;     // of all images

  PixelTiles() = default;
  PixelTiles(int32_t tile, int64_t batch, int64_t out_pixels, bool within_images)
      : tile(tile),
        out_pixels(static_cast<int32_t>(out_pixels)),
        within_images(within_images),
        by_image(blocks(out_pixels)),
        count(within_images ? batch * blocks(out_pixels) : blocks(batch * out_pixels)) {}

  // The first pixel of tile `i`, counted through all images.
  DCN_INLINE int64_t first(int32_t i) const {
    if (!within_images) return int64_t{i} * tile;
    const int32_t image = by_image.quotient(i), last = out_pixels - tile;
    const int32_t pixel = by_image.rest(i, image) * tile;
    return int64_t{image} * out_pixels + (pixel < last ? pixel : last);
  }

 private:
  int64_t blocks(int64_t pixels) const { return (pixels + tile - 1) / tile; }
};

}  // namespace dcn::cuda
