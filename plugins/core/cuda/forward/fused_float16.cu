#include "launch_fused.h"

namespace dcn::cuda {

template cudaError_t launch_fused<HalfProducts<Float16>>(const FusedPlan&, const FusedForward<Float16>&,
                                                         cudaStream_t);

}  // namespace dcn::cuda
