// The names under which the operation is known to TensorRT.
#pragma once

#include <cstdint>

#include "deform_conv.h"

namespace dcn::trt {

struct Face {
  const char* name;
  const char* plugin_namespace;
};

// Ours, and the standard's: parsers ask for ONNX's DeformConv by its name alone.
inline constexpr Face kFaces[] = {{kOpName, kDomain}, {"DeformConv", ""}};

// A string for TensorRT; kOpVersion, since which the operation is what it is.
inline constexpr char kPluginVersion[] = "1";
static_assert(kPluginVersion[0] == '0' + kOpVersion && kPluginVersion[1] == 0,
              "the contract's version");

}  // namespace dcn::trt
