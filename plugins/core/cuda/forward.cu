// The forward pass on CUDA: picks the kernels.
#include <cuda_runtime.h>

#include "deform_conv.h"
#include "plain.h"

namespace dcn::cuda {

size_t packed_weight_bytes(const Problem&, const Options&) {
  return 0;
}

Status pack_weight(const Problem&, const Options&, const void*, void*, CUstream_st*) {
  return {};
}

size_t workspace_bytes(const Problem& problem, const Options&) {
  return plain_forward_workspace_bytes(problem);
}

Status forward(const Problem& problem, const ForwardArgs& args, const Options&, void* workspace,
               CUstream_st* stream) {
  if (problem.batch * problem.out_pixels() == 0 || problem.out_channels == 0) return {};
  return plain_forward(problem, args, workspace, stream);
}

}  // namespace dcn::cuda
