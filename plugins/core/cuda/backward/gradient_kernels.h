// Launches the fused backward kernels. They take long to compile: one file each.
#pragma once

#include "../launch.h"
#include "data_gradient.h"
#include "weight_gradient.h"

namespace dcn::cuda {

template <class Products>
void add_data_gradient(Launches& launches, const DataGradient<typename Products::Element>& job);

// `outs`: output channels of a block's tile, of which `partial` has whole ones.
template <class Products>
void add_weight_gradient(Launches& launches, const WeightGradient<typename Products::Element>& job,
                         int32_t outs, int32_t runs);

}  // namespace dcn::cuda
