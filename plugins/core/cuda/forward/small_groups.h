// The forward pass for groups of so few channels that tensor cores would mostly multiply padding:
// depthwise layers and their like.
#pragma once

#include <cuda_runtime.h>

#include "deform_conv.h"

namespace dcn::cuda {

// On a device of sm_80 or later. Needs no workspace, and reads the weight as it is.
Status small_groups_forward(const Problem& problem, const ForwardArgs& args, cudaStream_t stream);

}  // namespace dcn::cuda
