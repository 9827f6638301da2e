// Writes the image as bordered_planes.h describes it.
#pragma once

#include <cuda_runtime.h>

#include "../segments.h"
#include "deform_conv.h"

namespace dcn::cuda {

size_t bordered_planes_bytes(const Problem& problem, const Segments& segments);

// From [N, C, H, W] or [N, H, W, C]. Each segment must be a single vector.
cudaError_t stage_planes(const Problem& problem, const Segments& segments, const void* input,
                         bool channels_last, void* staged, cudaStream_t stream);

}  // namespace dcn::cuda
