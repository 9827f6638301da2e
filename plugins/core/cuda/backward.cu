// The backward pass on CUDA: picks the kernels.
//
// Of the fused kernels' sums only those for the gradient of the input are atomic. Where every sum must
// have one order, the plain kernels compute that gradient.
#include <cuda_runtime.h>

#include <algorithm>

#include "backward/fused_backward.h"
#include "deform_conv.h"
#include "device.h"
#include "elementwise.h"
#include "plain/plain.h"

namespace dcn::cuda {
namespace {

template <class T, class C>
Status clear(const Problem& p, const BackwardArgs& args, cudaStream_t stream) {
  const int64_t rows = p.batch * p.offset_group * p.taps() * p.out_pixels();
  Launches launches(stream);
  if (args.grad_input)
    add_fill_zero<T>(launches, args.grad_input, p.batch * p.in_channels * p.in_pixels());
  if (args.grad_weight)
    add_fill_zero<T>(launches, args.grad_weight, p.out_channels * p.group_in_channels() * p.taps());
  if (args.grad_offset) add_fill_zero<C>(launches, args.grad_offset, 2 * rows);
  if (args.grad_bias) add_fill_zero<T>(launches, args.grad_bias, p.out_channels);
  if (args.grad_mask) add_fill_zero<C>(launches, args.grad_mask, rows);
  return status_of(launches.error());
}

// No output depends on anything: gradients are zero.
Status clear_gradients(const Problem& p, const BackwardArgs& args, cudaStream_t stream) {
  const bool wide = p.coordinate_dtype != p.dtype;
  switch (p.dtype) {
    case DType::kFloat32: return clear<float, float>(p, args, stream);
    case DType::kFloat64: return clear<double, double>(p, args, stream);
    // A zero has the same bits in either half.
    default:
      return wide ? clear<Float16, float>(p, args, stream) : clear<Float16, Float16>(p, args, stream);
  }
}

}  // namespace

size_t backward_workspace_bytes(const Problem& problem, const Options& options) {
  const size_t plain = plain_backward_workspace_bytes(problem);
  if (!fused_backward_takes(problem, options)) return plain;
  return std::max(plain, fused_backward_workspace_bytes(problem));
}

Status backward(const Problem& problem, const BackwardArgs& args, const Options& options,
                void* workspace, CUstream_st* stream) {
  if (problem.batch == 0 || problem.out_channels == 0 || problem.out_pixels() == 0)
    return clear_gradients(problem, args, stream);
  bool on_tensor_cores = false;
  if (fused_backward_takes(problem, options))
    if (const cudaError_t error = has_tensor_cores(&on_tensor_cores); error != cudaSuccess)
      return status_of(error);
  if (!on_tensor_cores) return plain_backward(problem, args, workspace, stream);

  BackwardArgs fused = args, plain;
  if (options.deterministic) {
    fused.grad_input = nullptr;
    plain = args;
    plain.grad_weight = plain.grad_offset = plain.grad_mask = plain.grad_bias = nullptr;
  }
  const Status status = status_of(fused_backward(problem, fused, options, workspace, stream));
  // Its launches follow on the stream: the workspace is free again by then.
  return status.ok() && plain.grad_input ? plain_backward(problem, plain, workspace, stream) : status;
}

}  // namespace dcn::cuda
