// The core's CUDA entry points as C functions, for Python's ctypes: compiled with the emulator into one
// library, whose device memory is ordinary memory, and by nvcc into another, for a GPU.
//
// Problems and arguments arrive in structs of 64-bit integers and pointers, whose members are copied by
// name: a mistake in their order shows here and not as a wrong result.
#include <string>

#include "cuda/forward/plan.h"
#include "deform_conv.h"

#define DCN_EXPORT extern "C" __attribute__((visibility("default")))

struct CallProblem {
  int64_t dtype, coordinate_dtype, has_bias, has_mask;
  int64_t batch, in_channels, in_h, in_w, out_channels, out_h, out_w, kernel_h, kernel_w;
  int64_t stride_h, stride_w, pad_top, pad_left, pad_bottom, pad_right, dilation_h, dilation_w;
  int64_t group, offset_group;
};

struct CallOptions {
  int64_t allow_tf32, deterministic, plain;
};

struct CallForward {
  const void *input, *weight, *packed_weight, *offset, *bias, *mask;
  void* output;
  int64_t channels_last;
};

struct CallBackward {
  const void *grad_output, *input, *weight, *offset, *mask;
  void *grad_input, *grad_weight, *grad_offset, *grad_bias, *grad_mask;
};

namespace {

dcn::Problem problem_of(const CallProblem* call) {
  dcn::Problem p;
  p.dtype = static_cast<dcn::DType>(call->dtype);
  p.coordinate_dtype = static_cast<dcn::DType>(call->coordinate_dtype);
  p.has_bias = call->has_bias != 0, p.has_mask = call->has_mask != 0;
  p.batch = call->batch;
  p.in_channels = call->in_channels, p.in_h = call->in_h, p.in_w = call->in_w;
  p.out_channels = call->out_channels, p.out_h = call->out_h, p.out_w = call->out_w;
  p.kernel_h = call->kernel_h, p.kernel_w = call->kernel_w;
  p.stride_h = call->stride_h, p.stride_w = call->stride_w;
  p.pad_top = call->pad_top, p.pad_left = call->pad_left;
  p.pad_bottom = call->pad_bottom, p.pad_right = call->pad_right;
  p.dilation_h = call->dilation_h, p.dilation_w = call->dilation_w;
  p.group = call->group, p.offset_group = call->offset_group;
  return p;
}

dcn::cuda::Options options_of(const CallOptions* call) {
  dcn::cuda::Options options;
  options.allow_tf32 = call->allow_tf32 != 0;
  options.deterministic = call->deterministic != 0;
  options.plain = call->plain != 0;
  return options;
}

// Empty: all is well. Good until the thread's next call.
const char* text_of(dcn::Status status) {
  thread_local std::string text;
  text = std::move(status.message);
  return text.c_str();
}

}  // namespace

DCN_EXPORT const char* dcn_cuda_path(const CallProblem* problem, const CallOptions* options) {
  return dcn::cuda::path(problem_of(problem), options_of(options));
}

// The tile and the pieces that the fused forward takes, e.g. "tabulated 128x64 of 3 splits"; empty if
// it does not take the problem.
DCN_EXPORT const char* dcn_cuda_plan(const CallProblem* call, const CallOptions* options) {
  const dcn::Problem problem = problem_of(call);
  if (!dcn::cuda::takes_fused(problem, options_of(options))) return text_of({});
  constexpr const char* kNames[] = {"tabulated", "direct", "narrow", "planes", "pairs"};
  const dcn::cuda::FusedPlan plan(problem);
  return text_of({std::string(kNames[static_cast<int>(plan.sampling)]) + " " +
                  std::to_string(plan.tile_pixels) + "x" + std::to_string(plan.tile_outs) + " of " +
                  std::to_string(plan.splits) + " splits"});
}

DCN_EXPORT size_t dcn_cuda_packed_weight_bytes(const CallProblem* problem, const CallOptions* options) {
  return dcn::cuda::packed_weight_bytes(problem_of(problem), options_of(options));
}

DCN_EXPORT size_t dcn_cuda_workspace_bytes(const CallProblem* problem, const CallOptions* options) {
  return dcn::cuda::workspace_bytes(problem_of(problem), options_of(options));
}

DCN_EXPORT size_t dcn_cuda_backward_workspace_bytes(const CallProblem* problem,
                                                    const CallOptions* options) {
  return dcn::cuda::backward_workspace_bytes(problem_of(problem), options_of(options));
}

DCN_EXPORT const char* dcn_cuda_pack_weight(const CallProblem* problem, const CallOptions* options,
                                            const void* weight, void* packed, CUstream_st* stream) {
  return text_of(
      dcn::cuda::pack_weight(problem_of(problem), options_of(options), weight, packed, stream));
}

DCN_EXPORT const char* dcn_cuda_forward(const CallProblem* problem, const CallOptions* options,
                                        const CallForward* call, void* workspace, CUstream_st* stream) {
  dcn::ForwardArgs args;
  args.input = call->input, args.weight = call->weight, args.packed_weight = call->packed_weight;
  args.offset = call->offset, args.bias = call->bias, args.mask = call->mask;
  args.output = call->output;
  args.channels_last = call->channels_last != 0;
  return text_of(dcn::cuda::forward(problem_of(problem), args, options_of(options), workspace, stream));
}

DCN_EXPORT const char* dcn_cuda_backward(const CallProblem* problem, const CallOptions* options,
                                         const CallBackward* call, void* workspace,
                                         CUstream_st* stream) {
  dcn::BackwardArgs args;
  args.grad_output = call->grad_output, args.input = call->input, args.weight = call->weight;
  args.offset = call->offset, args.mask = call->mask;
  args.grad_input = call->grad_input, args.grad_weight = call->grad_weight;
  args.grad_offset = call->grad_offset, args.grad_bias = call->grad_bias;
  args.grad_mask = call->grad_mask;
  return text_of(
      dcn::cuda::backward(problem_of(problem), args, options_of(options), workspace, stream));
}
