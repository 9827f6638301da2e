// Launches the fused forward as planned. Compiled once per arithmetic, in fused_*.cu: these are the
// kernels that take long to compile.
#pragma once

#include <cuda_runtime.h>

#include "direct_sampler.h"
#include "fused_forward.h"
#include "plan.h"
#include "plane_sampler.h"
#include "split_sum.h"
#include "tabulated_sampler.h"

namespace dcn::cuda {

// Pixels, output channels, warps along each, blocks per processor.
using Shape128x256 = TileShape<128, 256, 2, 4, 1>;
using Shape128x128 = TileShape<128, 128, 4, 2, 1>;
using Shape128x64 = TileShape<128, 64, 4, 2, 2>;
using Shape64x256 = TileShape<64, 256, 1, 8, 1>;
using Shape64x128 = TileShape<64, 128, 2, 4, 2>;
using Shape64x64 = TileShape<64, 64, 2, 2, 3>;

template <class Products, class Shape, template <class, class, int...> class Sampler, int... kSampling>
cudaError_t launch_shape(const FusedPlan& plan, const FusedForward<typename Products::Element>& p,
                         cudaStream_t stream) {
  constexpr int kUnaskedSharedBytes = 48 << 10;
  const auto kernel = fused_forward<Products, Shape, Sampler, kSampling...>;
  const int bytes =
      StepBuffers<Shape>::kBytes + Sampler<Products, Shape, kSampling...>::shared_bytes(plan.order);
  if (bytes > kUnaskedSharedBytes) {
    const cudaError_t error =
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
    if (error != cudaSuccess) return error;
  }
  const int64_t blocks = plan.tiles.count * plan.out_tiles * (p.out.outs / p.out.group_outs);
  if (blocks > INT32_MAX) return cudaErrorInvalidConfiguration;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(blocks), static_cast<unsigned>(plan.splits));
  config.blockDim = dim3(Shape::kThreads);
  config.dynamicSmemBytes = static_cast<size_t>(bytes);
  config.stream = stream;
  const cudaError_t error = cudaLaunchKernelEx(&config, kernel, p);
  if (error != cudaSuccess || !p.out.partial) return error;
  return launch_sum_splits<typename Products::Element, Shape>(p.out, blocks, plan.splits, stream);
}

template <class Products, class Shape>
cudaError_t launch_pairs(const FusedPlan& plan, const FusedForward<typename Products::Element>& p,
                         cudaStream_t stream) {
  if (p.in.coordinates.of_float32)
    return launch_shape<Products, Shape, PlaneSampler, 2, 4>(plan, p, stream);
  return launch_shape<Products, Shape, PlaneSampler, 2, 2>(plan, p, stream);
}

template <class Products>
cudaError_t launch_fused(const FusedPlan& plan, const FusedForward<typename Products::Element>& p,
                         cudaStream_t stream) {
  const auto is = [&](int pixels, int outs) {
    return plan.tile_pixels == pixels && plan.tile_outs == outs;
  };
  constexpr bool kHalves = sizeof(typename Products::Element) == 2;
  switch (plan.sampling) {
    case Sampling::kTabulated:
      if (is(128, 128)) return launch_shape<Products, Shape128x128, TabulatedSampler>(plan, p, stream);
      if constexpr (kHalves) {
        if (is(128, 256))
          return launch_shape<Products, Shape128x256, TabulatedSampler>(plan, p, stream);
        if (is(128, 64)) return launch_shape<Products, Shape128x64, TabulatedSampler>(plan, p, stream);
      } else {
        if (is(64, 64)) return launch_shape<Products, Shape64x64, TabulatedSampler>(plan, p, stream);
      }
      break;
    case Sampling::kDirect:
      if constexpr (kHalves) {
        if (is(64, 256)) return launch_shape<Products, Shape64x256, DirectSampler, 1>(plan, p, stream);
        if (is(64, 128)) return launch_shape<Products, Shape64x128, DirectSampler, 1>(plan, p, stream);
        if (is(128, 64)) return launch_shape<Products, Shape128x64, DirectSampler, 1>(plan, p, stream);
      } else {
        if (is(64, 64)) return launch_shape<Products, Shape64x64, DirectSampler, 1>(plan, p, stream);
      }
      break;
    case Sampling::kDirectNarrow:
      if constexpr (kHalves) {
        if (is(64, 128)) return launch_shape<Products, Shape64x128, DirectSampler, 2>(plan, p, stream);
        if (is(128, 64)) return launch_shape<Products, Shape128x64, DirectSampler, 2>(plan, p, stream);
      }
      break;
    case Sampling::kPlanes:
      if constexpr (kHalves) {
        if (is(64, 128))
          return launch_shape<Products, Shape64x128, PlaneSampler, 1, 2>(plan, p, stream);
        if (is(128, 64))
          return launch_shape<Products, Shape128x64, PlaneSampler, 1, 2>(plan, p, stream);
      } else {
        if (is(64, 64)) return launch_shape<Products, Shape64x64, PlaneSampler, 1, 4>(plan, p, stream);
      }
      break;
    case Sampling::kPlanePairs:
      if constexpr (kHalves) {
        if (is(64, 128)) return launch_pairs<Products, Shape64x128>(plan, p, stream);
        if (is(128, 64)) return launch_pairs<Products, Shape128x64>(plan, p, stream);
      }
      break;
  }
  return cudaErrorInvalidValue;
}

extern template cudaError_t launch_fused<HalfProducts<Float16>>(const FusedPlan&,
                                                                const FusedForward<Float16>&,
                                                                cudaStream_t);
extern template cudaError_t launch_fused<HalfProducts<BFloat16>>(const FusedPlan&,
                                                                 const FusedForward<BFloat16>&,
                                                                 cudaStream_t);
extern template cudaError_t launch_fused<QuickFloatProducts>(const FusedPlan&,
                                                             const FusedForward<float>&, cudaStream_t);
extern template cudaError_t launch_fused<Tf32Products>(const FusedPlan&, const FusedForward<float>&,
                                                       cudaStream_t);

}  // namespace dcn::cuda
