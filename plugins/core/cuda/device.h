// The current CUDA device, in words.
#pragma once

#include <cuda_runtime.h>

#include "deform_conv.h"

namespace dcn::cuda {

// What a failed call of CUDA means, with the device and the architectures that this build has kernels
// for; no error for cudaSuccess.
Status status_of(cudaError_t error);

// Devices before sm_80 lack what the fused kernels are made of.
cudaError_t has_tensor_cores(bool* answer);

}  // namespace dcn::cuda
