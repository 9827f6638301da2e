// The plain kernels: every shape, every dtype, no speed. They take what the fast kernels do not, and
// the fast kernels are judged against them.
#pragma once

#include <cuda_runtime.h>

#include "deform_conv.h"

namespace dcn::cuda {

size_t plain_forward_workspace_bytes(const Problem& problem);
Status plain_forward(const Problem& problem, const ForwardArgs& args, void* workspace,
                     cudaStream_t stream);

size_t plain_backward_workspace_bytes(const Problem& problem);
Status plain_backward(const Problem& problem, const BackwardArgs& args, void* workspace,
                      cudaStream_t stream);

}  // namespace dcn::cuda
