// The output's shape, while a session builds its graph.
#pragma once

#include "host.h"

namespace dcn::ort {

// Copies the output's dimensions, with their symbolic names, from the inputs, and its dtype from the
// first. Says nothing where a dimension is neither known nor named: the host has no word for that.
void infer_output_shape(const OrtApi& api, OrtShapeInferContext* context);

}  // namespace dcn::ort
