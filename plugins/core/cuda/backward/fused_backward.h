// The fast backward pass, on tensor cores.
#pragma once

#include <cuda_runtime.h>

#include "deform_conv.h"

namespace dcn::cuda {

bool fused_backward_takes(const Problem& problem, const Options& options);
size_t fused_backward_workspace_bytes(const Problem& problem);

cudaError_t fused_backward(const Problem& problem, const BackwardArgs& args, const Options& options,
                           void* workspace, cudaStream_t stream);

}  // namespace dcn::cuda
