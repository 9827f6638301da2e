// The image as plane_sampler.h reads it: a plane for each vector, with zeros around it, so that what a
// sample near the edge touches is there to be read.
//
// Above a plane lie two rows of zeros, to the left of it a column of them. What lies below it or to the
// right of it is the next plane's, or the next row's; behind the last plane comes one more row. The
// very first vectors, 0, 1, and those one row below, are zeros that a sample from nowhere can touch.
#pragma once

#include <cstdint>

#include "inline.h"

namespace dcn::cuda {

// Distances and places in vectors.
struct BorderedPlanes {
  int32_t pitch;         // from row to row
  int64_t plane, image;  // from plane to plane, from image to image

  BorderedPlanes() = default;
  DCN_INLINE BorderedPlanes(int64_t height, int64_t width, int64_t vectors)
      : pitch(static_cast<int32_t>(width + 1)),
        plane((height + 2) * pitch),
        image(vectors * plane + pitch + 1) {}

  // Row 0, column 0 of the first plane.
  DCN_INLINE int32_t origin() const { return 2 * pitch + 1; }
};

}  // namespace dcn::cuda
