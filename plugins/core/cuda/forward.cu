// The forward pass on CUDA: picks the kernels, and cuts the workspace.
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>

#include "channels_last.h"
#include "deform_conv.h"
#include "device.h"
#include "forward/launch_fused.h"
#include "forward/pack_weight.h"
#include "forward/plan.h"
#include "forward/small_groups.h"
#include "plain/plain.h"

namespace dcn::cuda {
namespace {

constexpr size_t kAlignment = 256;

size_t aligned(size_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

// Pieces of the fused forward's workspace, in bytes from its start.
struct Workspace {
  size_t weight, image, partial, end;

  Workspace(const Problem& p, const KOrder& order)
      : weight(0),
        image(aligned(fused_weight_bytes(p, order))),
        partial(image + aligned(staged_image_bytes(p, order.segments))),
        end(partial + aligned(partial_sum_bytes(p))) {}
};

template <class Products>
cudaError_t run(const Problem& p, const ForwardArgs& args, unsigned char* workspace,
                cudaStream_t stream) {
  using T = typename Products::Element;
  const FusedPlan plan(p);
  const Workspace pieces(p, plan.order);
  const Segments& segments = plan.order.segments;

  const void* weight = args.packed_weight;
  if (!weight) {
    weight = workspace + pieces.weight;
    const cudaError_t error =
        pack_fused_weight(p, plan.order, args.weight, workspace + pieces.weight, stream);
    if (error != cudaSuccess) return error;
  }
  const void* image = args.input;
  const bool in_place =
      args.channels_last && reads_in_place(p, segments) &&
      reinterpret_cast<uintptr_t>(args.input) % (static_cast<size_t>(segments.vector) * sizeof(T)) == 0;
  if (!in_place) {
    image = workspace + pieces.image;
    const cudaError_t error =
        stage_image(p, segments, args.input, args.channels_last, workspace + pieces.image, stream);
    if (error != cudaSuccess) return error;
  }

  const int64_t pixels = p.batch * p.out_pixels();
  FusedForward<T> fused;
  fused.in = {plan.order, ImageLayout(p, segments, !in_place),
              Coordinates<T>(p, args.offset, args.mask), static_cast<const unsigned char*>(image),
              pixels};
  fused.weight = static_cast<const unsigned char*>(weight);
  OutputTensor<T>& out = fused.out;
  out.bias = static_cast<const T*>(args.bias);
  out.data = static_cast<T*>(args.output);
  out.partial = plan.splits > 1 ? reinterpret_cast<float4*>(workspace + pieces.partial) : nullptr;
  out.channels_last = args.channels_last;
  out.outs = static_cast<int32_t>(p.out_channels);
  out.group_outs = static_cast<int32_t>(p.group_out_channels());
  out.out_pixels = static_cast<int32_t>(p.out_pixels());
  out.pixels = pixels;
  out.pixel_tiles = static_cast<uint32_t>(plan.pixel_tiles);
  out.out_tiles = static_cast<uint32_t>(plan.out_tiles);
  fused.steps_per_split = plan.steps_per_split;
  return launch_fused<Products>(plan, fused, stream);
}

}  // namespace

size_t packed_weight_bytes(const Problem& problem, const Options& options) {
  return takes_fused(problem, options) ? fused_weight_bytes(problem, KOrder(problem)) : 0;
}

Status pack_weight(const Problem& problem, const Options& options, const void* weight, void* packed,
                   CUstream_st* stream) {
  if (packed_weight_bytes(problem, options) == 0) return {};
  bool fused = false;
  if (const cudaError_t error = has_tensor_cores(&fused); error != cudaSuccess) return status_of(error);
  if (fused) return status_of(pack_fused_weight(problem, KOrder(problem), weight, packed, stream));
  // The plain kernels will run, and find the weight as it was.
  const int64_t elements = problem.out_channels * problem.group_in_channels() * problem.taps();
  const size_t bytes = static_cast<size_t>(elements) * (problem.dtype == DType::kFloat32 ? 4 : 2);
  return status_of(cudaMemcpyAsync(packed, weight, bytes, cudaMemcpyDeviceToDevice, stream));
}

size_t workspace_bytes(const Problem& problem, const Options& options) {
  const size_t plain = plain_forward_workspace_bytes(problem);
  return takes_fused(problem, options) ? std::max(plain, Workspace(problem, KOrder(problem)).end)
                                       : plain;
}

Status forward(const Problem& problem, const ForwardArgs& args, const Options& options, void* workspace,
               CUstream_st* stream) {
  if (problem.batch * problem.out_pixels() == 0 || problem.out_channels == 0) return {};
  const bool small_groups = takes_small_groups(problem, options);
  bool fast = false;
  if (small_groups || takes_fused(problem, options))
    if (const cudaError_t error = has_tensor_cores(&fast); error != cudaSuccess)
      return status_of(error);
  if (!fast) {
    ForwardArgs plain = args;
    if (args.packed_weight) plain.weight = args.packed_weight;
    return plain_forward(problem, plain, workspace, stream);
  }
  if (small_groups) return small_groups_forward(problem, args, stream);
  auto* bytes = static_cast<unsigned char*>(workspace);
  switch (problem.dtype) {
    case DType::kFloat16: return status_of(run<HalfProducts<Float16>>(problem, args, bytes, stream));
    case DType::kBFloat16: return status_of(run<HalfProducts<BFloat16>>(problem, args, bytes, stream));
    case DType::kFloat32:
      return status_of(options.allow_tf32 ? run<Tf32Products>(problem, args, bytes, stream)
                                          : run<QuickFloatProducts>(problem, args, bytes, stream));
    case DType::kFloat64:
    case DType::kUnknown: break;
  }
  return {"the problem was not checked: its dtype is unknown"};
}

}  // namespace dcn::cuda
