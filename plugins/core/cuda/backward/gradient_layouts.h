// What surrounds the fused backward kernels: the weight as they read it, and their sums as the tensors
// that the host asked for.
#pragma once

#include <cuda_runtime.h>

#include "../launch.h"
#include "data_gradient.h"
#include "weight_gradient.h"

namespace dcn::cuda {

// The weight, transposed, as DataGradient has it; zeros in between.
template <class T>
void add_pack_columns(Launches& launches, const Problem& p, const DataGradient<T>& job,
                      const void* weight, void* packed);

// Partial sums of the gradients of offset and mask, in the order of the bundles.
template <class T>
void add_sum_coordinates(Launches& launches, const DataGradient<T>& job);

// Partial sums of the gradient of the weight, in the order of the runs, as [O, C/group, kH, kW].
template <class T>
void add_sum_weight(Launches& launches, const Problem& p, const WeightGradient<T>& job, int32_t runs,
                    void* grad_weight);

// The sums of the gradient of the input, staged, as [N, C, H, W].
template <class T>
void add_unstage(Launches& launches, const Problem& p, const DataGradient<T>& job, void* grad_input);

}  // namespace dcn::cuda
