// What surrounds the fused backward kernels: the weight as they read it, and their sums as the tensors
// that the host asked for, and the gradient of the bias. One launch before them, and one behind.
#pragma once

#include <cuda_runtime.h>

#include "../launch.h"
#include "../sum_bias.h"
#include "pack_columns.h"
#include "sum_coordinates.h"
#include "sum_weight.h"
#include "unstage.h"

namespace dcn::cuda {

template <class T>
void add_preparations(Launches& launches, const PackColumns<T>& weight, const FillZero& zeros,
                      const SumPieces<T>& bias);

template <class T>
void add_results(Launches& launches, const SumWeight<T>& weight, const Unstage<T>& input,
                 const SumCoordinates<T>& coordinates, const SumChannels<T>& bias);

}  // namespace dcn::cuda
