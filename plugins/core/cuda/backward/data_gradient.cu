#include <cuda_runtime.h>

#include "data_gradient.h"
#include "gradient_kernels.h"

namespace dcn::cuda {
namespace {

template <class Tile>
void add_tile(Launches& launches, const DataGradient<typename Tile::T>& job, int32_t tap_runs) {
  launches.add(differentiate_data<Tile>,
               grid_of(divide_up(job.pixels, Tile::kPixels) * job.bundles.count, tap_runs),
               kGradientBlock, sizeof(typename Tile::Shared), job);
}

}  // namespace

template <class Products>
void add_data_gradient(Launches& launches, const DataGradient<typename Products::Element>& job,
                       int32_t tap_runs) {
  if constexpr (sizeof(typename Products::Element) == 2)
    if (job.bundles.segments.vector == 8)
      return add_tile<DataTile<Products, 8>>(launches, job, tap_runs);
  add_tile<DataTile<Products, 4>>(launches, job, tap_runs);
}

template void add_data_gradient<HalfProducts<Float16>>(Launches&, const DataGradient<Float16>&,
                                                       int32_t);
template void add_data_gradient<HalfProducts<BFloat16>>(Launches&, const DataGradient<BFloat16>&,
                                                        int32_t);
template void add_data_gradient<ExactFloatProducts>(Launches&, const DataGradient<float>&, int32_t);
template void add_data_gradient<Tf32Products>(Launches&, const DataGradient<float>&, int32_t);

}  // namespace dcn::cuda
