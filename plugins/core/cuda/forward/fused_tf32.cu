#include "launch_fused.h"

namespace dcn::cuda {

template cudaError_t launch_fused<Tf32Products>(const FusedPlan&, const FusedForward<float>&,
                                                cudaStream_t);

}  // namespace dcn::cuda
