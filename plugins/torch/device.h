// The CUDA device that a tensor is on.
#pragma once

#include "tensors.h"

struct CUstream_st;

namespace dcn::torch_op {

bool is_on_cuda(const Tensor& tensor);

// Makes the tensor's device the current one, as long as it lives, and tells torch's current stream
// there.
class CurrentStream {
 public:
  explicit CurrentStream(const Tensor& tensor);
  CUstream_st* stream() const { return stream_; }

 private:
  std::optional<torch::stable::accelerator::DeviceGuard> guard_;
  CUstream_st* stream_;
};

}  // namespace dcn::torch_op
