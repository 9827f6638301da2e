// Launches the fused backward kernels. They take long to compile: one file each.
#pragma once

#include "../launch.h"
#include "data_gradient.h"
#include "weight_gradient.h"

namespace dcn::cuda {

template <class Products>
void add_data_gradient(Launches& launches, const DataGradient<typename Products::Element>& job);

// Output channels of a block's tile.
template <class T>
int32_t weight_tile_outs(const WeightGradient<T>& job) {
  const int32_t most = sizeof(T) == 2 && job.bundles.segments.vector == 8 ? 256 : 128;
  return job.group_outs <= 64 ? 64 : job.group_outs <= 128 ? 128 : most;
}

template <class Products>
void add_weight_gradient(Launches& launches, const WeightGradient<typename Products::Element>& job,
                         int32_t runs);

}  // namespace dcn::cuda
