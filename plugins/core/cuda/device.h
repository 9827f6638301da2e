// The current CUDA device, in words.
#pragma once

#include <cuda_runtime.h>

#include "deform_conv.h"

namespace dcn::cuda {

// What a failed call of CUDA means, with the device and the architectures that this build has kernels
// for; no error for cudaSuccess.
Status status_of(cudaError_t error);

}  // namespace dcn::cuda
