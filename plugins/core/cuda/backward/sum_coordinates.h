// Adds up the partial sums of the gradients of offset and mask, in the order of the bundles.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "../elementwise.h"
#include "../launch.h"
#include "data_gradient.h"

namespace dcn::cuda {

// A block owns some pixels of one tap of one offset group.
template <class T>
class SumCoordinates {
 public:
  SumCoordinates() = default;
  explicit SumCoordinates(const DataGradient<T>& job)
      : job_(job),
        pixel_tiles_(static_cast<int32_t>(divide_up(job.pixels, kElementThreads))),
        rows_(job.coordinates.offset_group * job.coordinates.taps) {}

  static constexpr int kSharedBytes = 0;

  DCN_INLINE int64_t blocks() const { return int64_t{rows_} * pixel_tiles_; }

  __device__ void run(int64_t block, unsigned char* /*shared_memory*/) const {
    const auto row = static_cast<int32_t>(block) / pixel_tiles_;
    const int64_t of_all = int64_t{static_cast<int32_t>(block) % pixel_tiles_} * kElementThreads +
                           static_cast<int>(threadIdx.x);
    if (of_all >= job_.pixels) return;
    const int32_t offset_group = row / job_.coordinates.taps;
    const int32_t parts = job_.bundles.last_of(offset_group) - job_.bundles.first_of(offset_group) + 1;
    const float* from = job_.gradients.partial + int64_t{row} * 3 * job_.pixels + of_all;
    float yxm[3] = {};
#pragma unroll 4
    for (int32_t part = 0; part < parts; ++part)
      for (int k = 0; k < 3; ++k) yxm[k] += from[(int64_t{part} * rows_ * 3 + k) * job_.pixels];
    const PixelPlace at(static_cast<int32_t>(of_all), job_.out.by_pixels);
    job_.gradients.template write<T>(at.image, at.pixel, row, rows_, job_.coordinates.out_pixels, yxm);
  }

 private:
  DataGradient<T> job_;
  int32_t pixel_tiles_ = 0, rows_ = 0;
};

}  // namespace dcn::cuda
