#include "launch_fused.h"

namespace dcn::cuda {

template cudaError_t launch_fused<HalfProducts<BFloat16>>(const FusedPlan&,
                                                          const FusedForward<BFloat16>&, cudaStream_t);

}  // namespace dcn::cuda
