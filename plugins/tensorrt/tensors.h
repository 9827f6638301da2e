// TensorRT's tensors as the core describes tensors.
#pragma once

#include <array>

#include "deform_conv.h"
#include "nvinfer.h"

namespace dcn::trt {

using Inputs = std::array<TensorInfo, kInputCount>;

// The inputs of a node, from any of the ways in which TensorRT describes them. Throws Error if there
// are more than the operation has; whether they fit is for the core to check.
Inputs inputs_of(const nvinfer1::DataType* types, int32_t count);  // of unknown shape
Inputs inputs_of(const nvinfer1::PluginTensorDesc* tensors, int32_t count);
Inputs inputs_of(const nvinfer1::DynamicPluginTensorDesc* tensors, int32_t count);
// While shapes are inferred there are no dtypes yet: they pass for float32.
Inputs inputs_of(const nvinfer1::DimsExprs* shapes, int32_t count);

}  // namespace dcn::trt
