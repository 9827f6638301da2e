// The kernels for one instruction set; the build compiles this file once for each.
#include "kernels.h"

#include "backward_tile.h"
#include "depthwise_tile.h"
#include "forward_tile.h"
#include "pack.h"
#include "stage.h"

namespace dcn::cpu::DCN_ISA {
namespace {

template <class T>
constexpr Kernels make_kernels() {
  using A = Arithmetic<T>;
  Kernels k{};
  k.lanes = kLanes<A>;
  k.panel_width = kPanelWidth<A>;
  k.row_block = kRowBlock;
  k.element_bytes = sizeof(T);
  k.arithmetic_bytes = sizeof(A);
  k.k_step = 1;
  k.packed_bytes = sizeof(A);
  k.forward_scratch_bytes = sizeof(ForwardScratch<A>);
  k.backward_scratch_bytes = sizeof(BackwardScratch<A>);
  k.pack_panel = pack_panel<T>;
  k.pack_depthwise = pack_depthwise<T>;
  k.pack_transposed = pack_transposed<T>;
  k.stage = stage<T>;
  k.unstage = unstage<T>;
  k.forward_tile = forward_tile<T, A>;
  k.depthwise_tile = depthwise_tile<T>;
  k.backward_tile = backward_tile<T>;
  k.unpack_weight_gradient = unpack_weight_gradient<T>;
  k.backward_depthwise_tile = backward_depthwise_tile<T>;
  k.unpack_depthwise_gradient = unpack_depthwise_gradient<T>;
  k.sum_rows = sum_rows<T>;
  k.sum_channel = sum_channel<T>;
  return k;
}

}  // namespace

// constexpr: nothing of a better instruction set may run while the library loads.
#define DCN_KERNELS(name, T)                         \
  constexpr Kernels name##Table = make_kernels<T>(); \
  extern const Kernels name;                         \
  const Kernels name = name##Table;
DCN_KERNELS(kFloat32, float)
DCN_KERNELS(kFloat16, Float16)
DCN_KERNELS(kBFloat16, BFloat16)
DCN_KERNELS(kFloat64, double)
#undef DCN_KERNELS

}  // namespace dcn::cpu::DCN_ISA
