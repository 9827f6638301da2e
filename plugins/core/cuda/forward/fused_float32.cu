#include "launch_fused.h"

namespace dcn::cuda {

template cudaError_t launch_fused<QuickFloatProducts>(const FusedPlan&, const FusedForward<float>&,
                                                      cudaStream_t);

}  // namespace dcn::cuda
