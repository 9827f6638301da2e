#include "custom_op.h"

#include <climits>

#include "shape_inference.h"

namespace dcn::ort {
namespace {

const CustomOp& self(const OrtCustomOp* op) {
  return *static_cast<const CustomOp*>(op);
}

}  // namespace

CustomOp::CustomOp(const OrtApi& api, const Face& face, const Provider& provider,
                   ONNXTensorElementDataType type, bool infers_shapes)
    : OrtCustomOp{}, api(api), face(face), provider(provider), element_type(type) {
  version = kApiVersion;
  GetName = [](const OrtCustomOp* op) { return self(op).face.op; };
  GetStartVersion = [](const OrtCustomOp* op) { return self(op).face.since_version; };
  GetEndVersion = [](const OrtCustomOp*) { return INT_MAX; };
  GetExecutionProviderType = [](const OrtCustomOp* op) { return self(op).provider.name; };

  GetInputTypeCount = [](const OrtCustomOp*) -> size_t { return kInputCount; };
  GetInputType = [](const OrtCustomOp* op, size_t i) {
    return i == kInput ? self(op).element_type : ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
  };
  GetInputCharacteristic = [](const OrtCustomOp*, size_t i) {
    return i == kInput ? INPUT_OUTPUT_REQUIRED : INPUT_OUTPUT_OPTIONAL;
  };
  GetInputMemoryType = [](const OrtCustomOp*, size_t) { return OrtMemTypeDefault; };
  GetOutputTypeCount = [](const OrtCustomOp*) -> size_t { return 1; };
  GetOutputType = [](const OrtCustomOp* op, size_t) { return self(op).element_type; };
  GetOutputCharacteristic = [](const OrtCustomOp*, size_t) { return INPUT_OUTPUT_REQUIRED; };

  CreateKernelV2 = [](const OrtCustomOp* op, const OrtApi*, const OrtKernelInfo* info, void** kernel) {
    const OrtApi& api = self(op).api;
    return guarded(api, [&] { *kernel = make_kernel(api, info, self(op).provider).release(); });
  };
  KernelComputeV2 = [](void* kernel, OrtKernelContext* context) {
    const Kernel& node = *static_cast<const Kernel*>(kernel);
    return guarded(node.api(), [&] { node.compute(context); });
  };
  KernelDestroy = [](void* kernel) { delete static_cast<Kernel*>(kernel); };
  if (infers_shapes)
    InferOutputShapeFn = [](const OrtCustomOp* op, OrtShapeInferContext* context) {
      return guarded(self(op).api, [&] { infer_output_shape(self(op).api, context); });
    };
}

}  // namespace dcn::ort
