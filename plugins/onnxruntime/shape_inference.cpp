#include "shape_inference.h"

#include <memory>

namespace dcn::ort {

void infer_output_shape(const OrtApi& api, OrtShapeInferContext* context) {
  int64_t sizes[std::size(kOutputShape)];
  const char* names[std::size(kOutputShape)];
  for (size_t i = 0; i < std::size(kOutputShape); ++i) {
    const auto [tensor, dim] = kOutputShape[i];
    OrtTensorTypeAndShapeInfo* info = nullptr;  // owned by the context
    // An input that is missing or of a wrong rank is reported when the kernel is created.
    if (!succeeded(api, api.ShapeInferContext_GetInputTypeShape(context, tensor, &info))) return;
    const TensorInfo input = static_tensor_info(api, info);
    if (input.shape.size() != std::size(kOutputShape)) return;
    std::vector<const char*> symbols(input.shape.size());
    require(api, api.GetSymbolicDimensions(info, symbols.data(), symbols.size()));
    sizes[i] = input.shape[dim];
    names[i] = symbols[dim];
    if (sizes[i] == kUnknownDim && !*names[i]) return;
  }

  OrtTensorTypeAndShapeInfo* input = nullptr;
  require(api, api.ShapeInferContext_GetInputTypeShape(context, kInput, &input));
  ONNXTensorElementDataType type = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
  require(api, api.GetTensorElementType(input, &type));

  OrtTensorTypeAndShapeInfo* output = nullptr;
  require(api, api.CreateTensorTypeAndShapeInfo(&output));
  const std::unique_ptr<OrtTensorTypeAndShapeInfo, void (*)(OrtTensorTypeAndShapeInfo*)> owner(
      output, api.ReleaseTensorTypeAndShapeInfo);
  require(api, api.SetTensorElementType(output, type));
  require(api, api.SetDimensions(output, sizes, std::size(sizes)));
  require(api, api.SetSymbolicDimensions(output, names, std::size(names)));
  require(api, api.ShapeInferContext_SetOutputTypeShape(context, 0, output));
}

}  // namespace dcn::ort
