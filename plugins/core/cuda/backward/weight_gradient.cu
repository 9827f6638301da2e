#include <cuda_runtime.h>

#include "gradient_kernels.h"
#include "weight_gradient.h"

namespace dcn::cuda {
namespace {

template <class Tile>
void add_tile(Launches& launches, const WeightGradient<typename Tile::T>& job, int32_t runs) {
  launches.add(differentiate_weight<Tile>,
               grid_of(job.columns.tiles(), job.partial.rows / (Tile::kOuts / 16),
                       int64_t{runs} * job.partial.groups),
               kGradientBlock, sizeof(typename Tile::Shared), job);
}

}  // namespace

template <class Products>
void add_weight_gradient(Launches& launches, const WeightGradient<typename Products::Element>& job,
                         int32_t outs, int32_t runs) {
  if constexpr (sizeof(typename Products::Element) == 2)
    if (job.columns.segments.vector == 8) {
      if (outs == 64) return add_tile<WeightTile<Products, 8, 64>>(launches, job, runs);
      if (outs == 128) return add_tile<WeightTile<Products, 8, 128>>(launches, job, runs);
      return add_tile<WeightTile<Products, 8, 256>>(launches, job, runs);
    }
  if (outs == 64) return add_tile<WeightTile<Products, 4, 64>>(launches, job, runs);
  add_tile<WeightTile<Products, 4, 128>>(launches, job, runs);
}

template void add_weight_gradient<HalfProducts<Float16>>(Launches&, const WeightGradient<Float16>&,
                                                         int32_t, int32_t);
template void add_weight_gradient<HalfProducts<BFloat16>>(Launches&, const WeightGradient<BFloat16>&,
                                                          int32_t, int32_t);
template void add_weight_gradient<ExactFloatProducts>(Launches&, const WeightGradient<float>&, int32_t,
                                                      int32_t);
template void add_weight_gradient<Tf32Products>(Launches&, const WeightGradient<float>&, int32_t,
                                                int32_t);

}  // namespace dcn::cuda
