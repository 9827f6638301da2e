// The attributes of a node, as the core names them.
#pragma once

#include "host.h"

namespace dcn::ort {

// Absent attributes take their defaults. Throws for one of another kind than the core's.
Attributes read_attributes(const OrtApi& api, const OrtKernelInfo* info);

}  // namespace dcn::ort
