// TensorRT's tensors as the core describes tensors.
#pragma once

#include <array>
#include <string>

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

// The same for people: "float32, float32"; "[2, -1, 9, 11], [8, 6, 3, 2]", -1 for an unknown size; and
// for a profile the smallest and the largest sizes, "[1, 12, 9, 11] .. [4, 12, 18, 22]".
std::string text_of(const nvinfer1::DataType* types, int32_t count);
std::string text_of(const nvinfer1::DimsExprs* shapes, int32_t count);
std::string text_of(const nvinfer1::DynamicPluginTensorDesc* tensors, int32_t count);

}  // namespace dcn::trt
