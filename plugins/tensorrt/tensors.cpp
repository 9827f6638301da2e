#include "tensors.h"

#include "messages.h"

namespace dcn::trt {
namespace {

using nvinfer1::DataType;

DType dtype_of(DataType type) {
  switch (type) {
    case DataType::kFLOAT: return DType::kFloat32;
    case DataType::kHALF: return DType::kFloat16;
    case DataType::kBF16: return DType::kBFloat16;
    default: return DType::kUnknown;
  }
}

// Of the types that a message may have to name.
std::string name_of_type(DataType type) {
  switch (type) {
    case DataType::kINT8: return "INT8";
    case DataType::kINT32: return "INT32";
    case DataType::kBOOL: return "BOOL";
    case DataType::kUINT8: return "UINT8";
    case DataType::kFP8: return "FP8";
    case DataType::kINT64: return "INT64";
    default: return "TensorRT type " + std::to_string(static_cast<int32_t>(type));
  }
}

TensorInfo tensor_of(DataType type) {
  TensorInfo tensor;
  tensor.present = true;
  tensor.dtype = dtype_of(type);
  tensor.dtype_name = name_of_type(type);
  return tensor;
}

// TensorRT writes -1 for a size that it does not know yet, and for the rank of an unknown shape.
TensorInfo tensor_of(DataType type, const nvinfer1::Dims& dims) {
  TensorInfo tensor = tensor_of(type);
  tensor.rank_known = dims.nbDims >= 0;
  for (int32_t i = 0; i < dims.nbDims; ++i)
    tensor.shape.push_back(dims.d[i] < 0 ? kUnknownDim : dims.d[i]);
  return tensor;
}

TensorInfo tensor_of(const nvinfer1::PluginTensorDesc& tensor) {
  return tensor_of(tensor.type, tensor.dims);
}

TensorInfo tensor_of(const nvinfer1::DynamicPluginTensorDesc& tensor) {
  return tensor_of(tensor.desc.type, tensor.desc.dims);
}

TensorInfo tensor_of(const nvinfer1::DimsExprs& shape) {
  TensorInfo tensor = tensor_of(DataType::kFLOAT);
  tensor.rank_known = shape.nbDims >= 0;
  for (int32_t i = 0; i < shape.nbDims; ++i)
    tensor.shape.push_back(shape.d[i]->isConstant() ? shape.d[i]->getConstantValue() : kUnknownDim);
  return tensor;
}

template <class Size>
std::string list_of(int32_t count, const Size& size) {
  std::string text = "[";
  for (int32_t i = 0; i < count; ++i) text += (i ? ", " : "") + std::to_string(size(i));
  return text + "]";
}

std::string text_of(const nvinfer1::Dims& dims) {
  return list_of(dims.nbDims, [&](int32_t i) { return dims.d[i]; });
}

std::string text_of(DataType type) {
  const DType dtype = dtype_of(type);
  return dtype == DType::kUnknown ? name_of_type(type) : name_of(dtype);
}

std::string text_of(const nvinfer1::DimsExprs& shape) {
  return list_of(shape.nbDims, [&](int32_t i) {
    return shape.d[i]->isConstant() ? shape.d[i]->getConstantValue() : kUnknownDim;
  });
}

std::string text_of(const nvinfer1::DynamicPluginTensorDesc& tensor) {
  const std::string min = text_of(tensor.min), max = text_of(tensor.max);
  return min == max ? min : min + " .. " + max;
}

template <class Description>
std::string texts_of(const Description* descriptions, int32_t count) {
  std::string text;
  for (int32_t i = 0; i < count; ++i) text += (i ? ", " : "") + text_of(descriptions[i]);
  return text;
}

template <class Description>
Inputs translate(const Description* descriptions, int32_t count) {
  if (count > kInputCount)
    throw Error("has " + std::to_string(count) + " inputs, expected at most " +
                std::to_string(kInputCount) + ": input, weight, offset, bias, mask");
  Inputs inputs;
  for (int32_t i = 0; i < count; ++i) inputs[i] = tensor_of(descriptions[i]);
  return inputs;
}

}  // namespace

Inputs inputs_of(const DataType* types, int32_t count) {
  return translate(types, count);
}

Inputs inputs_of(const nvinfer1::PluginTensorDesc* tensors, int32_t count) {
  return translate(tensors, count);
}

Inputs inputs_of(const nvinfer1::DynamicPluginTensorDesc* tensors, int32_t count) {
  return translate(tensors, count);
}

Inputs inputs_of(const nvinfer1::DimsExprs* shapes, int32_t count) {
  return translate(shapes, count);
}

std::string text_of(const DataType* types, int32_t count) {
  return texts_of(types, count);
}

std::string text_of(const nvinfer1::DimsExprs* shapes, int32_t count) {
  return texts_of(shapes, count);
}

std::string text_of(const nvinfer1::DynamicPluginTensorDesc* tensors, int32_t count) {
  return texts_of(tensors, count);
}

}  // namespace dcn::trt
