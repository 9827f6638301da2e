// The op on CUDA: on the current stream of the tensors' device, with memory of torch's allocator.
// Nothing here waits for the device, so that a CUDA graph can capture it.
//
// Compiled in a build without nvcc too: a CUDA tensor is then answered with what is missing.
#include <torch/csrc/stable/library.h>

#include "device.h"
#include "device_memory.h"
#include "op.h"
#include "options.h"

// Tests register this code for the CPU, with its kernels on the emulator.
#if !defined(DCN_TORCH_CUDA_KEY)
#define DCN_TORCH_CUDA_KEY CUDA
#endif

namespace dcn::torch_op {
namespace {

// Given back to the allocator when the call has enqueued its work: what the allocator makes of it next
// on this stream comes behind that work.
Tensor new_workspace(const Tensor& like, size_t bytes) {
  return torch::stable::new_empty(like, Ints{static_cast<int64_t>(cuda::with_alignment(bytes))},
                                  torch::headeronly::ScalarType::Byte);
}

struct Cuda {
  static std::string elsewhere(const Tensor& tensor, const Tensor& input) {
    if (!is_on_cuda(tensor)) return "not on a CUDA device, where other tensors are";
    const auto device = tensor.get_device_index(), expected = input.get_device_index();
    if (device == expected) return {};
    return "on CUDA device " + std::to_string(device) + ", expected " + std::to_string(expected) +
           " like input";
  }

  static void forward(const Problem& problem, const ForwardArgs& args, const Tensor& input) {
    cuda::Options options;
    if (problem.dtype == DType::kFloat32) options = current_options();
    const CurrentStream current(input);
    const Tensor workspace = new_workspace(input, cuda::workspace_bytes(problem, options));
    const Status status = cuda::forward(problem, args, options,
                                        cuda::aligned(workspace.mutable_data_ptr()), current.stream());
    if (!status.ok()) refuse(status.message);
  }

  static void backward(const Problem& problem, const BackwardArgs& args, const Tensor& input) {
    const cuda::Options options = current_options();
    const CurrentStream current(input);
    const Tensor workspace = new_workspace(input, cuda::backward_workspace_bytes(problem, options));
    const Status status = cuda::backward(problem, args, options,
                                         cuda::aligned(workspace.mutable_data_ptr()), current.stream());
    if (!status.ok()) refuse(status.message);
  }
};

}  // namespace
}  // namespace dcn::torch_op

STABLE_TORCH_LIBRARY_IMPL(dcn_deploy, DCN_TORCH_CUDA_KEY, library) {
  using namespace dcn::torch_op;
  library.impl("deform_conv2d", TORCH_BOX(&deform_conv2d<Cuda>));
  library.impl("deform_conv2d_backward", TORCH_BOX(&deform_conv2d_backward<Cuda>));
}
