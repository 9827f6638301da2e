// What surrounds the fused backward kernels: the weight as they read it, and their sums as the tensors
// that the host asked for. A launch before them and one behind.
#pragma once

#include <cuda_runtime.h>

#include "../launch.h"
#include "pack_columns.h"
#include "sum_coordinates.h"
#include "sum_weight.h"
#include "unstage.h"

namespace dcn::cuda {

template <class T>
void add_preparations(Launches& launches, const PackColumns<T>& weight, const FillZero& zeros);

template <class T>
void add_results(Launches& launches, const SumWeight<T>& weight, const Unstage<T>& input,
                 const SumCoordinates<T>& coordinates);

}  // namespace dcn::cuda
