// The backward pass on CUDA: picks the kernels.
#include <cuda_runtime.h>

#include "deform_conv.h"

namespace dcn::cuda {

size_t backward_workspace_bytes(const Problem&, const Options&) {
  return 0;
}

Status backward(const Problem&, const BackwardArgs&, const Options&, void*, CUstream_st*) {
  return {"there is no backward pass on CUDA yet"};
}

}  // namespace dcn::cuda
