#include "host.h"

#include <memory>

namespace dcn::ort {
namespace {

DType dtype_of(ONNXTensorElementDataType type) {
  for (const auto& entry : kDTypes)
    if (entry.element_type == type) return entry.dtype;
  return DType::kUnknown;
}

}  // namespace

void require(const OrtApi& api, OrtStatus* status) {
  if (!status) return;
  const Error error(api.GetErrorCode(status), api.GetErrorMessage(status));
  api.ReleaseStatus(status);
  throw error;
}

bool succeeded(const OrtApi& api, OrtStatus* status) {
  if (!status) return true;
  api.ReleaseStatus(status);
  return false;
}

TensorInfo tensor_info(const OrtApi& api, const OrtTensorTypeAndShapeInfo* info) {
  ONNXTensorElementDataType type = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
  size_t rank = 0;
  require(api, api.GetTensorElementType(info, &type));
  require(api, api.GetDimensionsCount(info, &rank));
  TensorInfo result{true, dtype_of(type), true, std::vector<int64_t>(rank),
                    "ONNX type " + std::to_string(type)};
  require(api, api.GetDimensions(info, result.shape.data(), rank));
  return result;
}

TensorInfo tensor_info(const OrtApi& api, const OrtValue* value) {
  OrtTensorTypeAndShapeInfo* info = nullptr;
  require(api, api.GetTensorTypeAndShape(value, &info));
  const std::unique_ptr<OrtTensorTypeAndShapeInfo, void (*)(OrtTensorTypeAndShapeInfo*)> owner(
      info, api.ReleaseTensorTypeAndShapeInfo);
  return tensor_info(api, info);
}

TensorInfo static_tensor_info(const OrtApi& api, const OrtTensorTypeAndShapeInfo* info) {
  TensorInfo result = tensor_info(api, info);
  result.rank_known = !result.shape.empty();
  return result;
}

}  // namespace dcn::ort
