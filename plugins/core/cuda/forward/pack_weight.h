// The weight in the order in which the fused forward reads it: [group, step, O/group, 64 bytes], so
// that a block's share of a step lies together. What pads segments and steps is zero.
#pragma once

#include <cuda_runtime.h>

#include "../k_order.h"
#include "deform_conv.h"

namespace dcn::cuda {

size_t fused_weight_bytes(const Problem& problem, const KOrder& order);
cudaError_t pack_fused_weight(const Problem& problem, const KOrder& order, const void* weight,
                              void* packed, cudaStream_t stream);

}  // namespace dcn::cuda
