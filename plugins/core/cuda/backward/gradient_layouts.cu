#include <cuda_runtime.h>

#include "../side_by_side.h"
#include "dtype.h"
#include "gradient_layouts.h"

namespace dcn::cuda {

template <class T>
void add_preparations(Launches& launches, const PackColumns<T>& weight, const FillZero& zeros,
                      const SumPieces<T>& bias) {
  add_side_by_side(launches, weight, zeros, bias);
}

template <class T>
void add_results(Launches& launches, const SumWeight<T>& weight, const Unstage<T>& input,
                 const SumCoordinates<T>& coordinates, const SumChannels<T>& bias) {
  add_side_by_side(launches, weight, input, coordinates, bias);
}

#define DCN_INSTANTIATE(T)                                                             \
  template void add_preparations<T>(Launches&, const PackColumns<T>&, const FillZero&, \
                                    const SumPieces<T>&);                              \
  template void add_results<T>(Launches&, const SumWeight<T>&, const Unstage<T>&,      \
                               const SumCoordinates<T>&, const SumChannels<T>&);
DCN_INSTANTIATE(float)
DCN_INSTANTIATE(Float16)
DCN_INSTANTIATE(BFloat16)
#undef DCN_INSTANTIATE

}  // namespace dcn::cuda
