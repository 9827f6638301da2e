#include <cuda_runtime.h>

#include "data_gradient.h"
#include "gradient_kernels.h"

namespace dcn::cuda {
namespace {

// As many as run at a time on the largest GPUs in use, so that all end together.
#if !defined(DCN_CUDA_DATA_BLOCKS)
#define DCN_CUDA_DATA_BLOCKS (2 * 132)
#endif

template <class Tile>
void add_tile(Launches& launches, const DataGradient<typename Tile::T>& job) {
  launches.add(differentiate_data<Tile>, grid_of(std::min(job.units, DCN_CUDA_DATA_BLOCKS)),
               kGradientBlock, sizeof(typename Tile::Shared), job);
}

}  // namespace

template <class Products>
void add_data_gradient(Launches& launches, const DataGradient<typename Products::Element>& job) {
  if constexpr (sizeof(typename Products::Element) == 2)
    if (job.bundles.segments.vector == 8) return add_tile<DataTile<Products, 8>>(launches, job);
  add_tile<DataTile<Products, 4>>(launches, job);
}

template void add_data_gradient<HalfProducts<Float16>>(Launches&, const DataGradient<Float16>&);
template void add_data_gradient<HalfProducts<BFloat16>>(Launches&, const DataGradient<BFloat16>&);
template void add_data_gradient<ExactFloatProducts>(Launches&, const DataGradient<float>&);
template void add_data_gradient<Tf32Products>(Launches&, const DataGradient<float>&);

}  // namespace dcn::cuda
