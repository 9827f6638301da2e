#include "kernel.h"

#include <array>

#include "attributes.h"

namespace dcn::ort {
namespace {

using Inputs = std::array<TensorInfo, kInputCount>;

Problem checked(const Attributes& attributes, const Inputs& inputs) {
  Problem problem;
  const Status status = check(attributes, inputs.data(), &problem);
  if (!status.ok()) throw Error(ORT_INVALID_ARGUMENT, status.message);
  return problem;
}

template <class Query>
std::string text(const OrtApi& api, Query&& query) {
  size_t size = 0;
  require(api, query(nullptr, &size));
  std::string result(size, '\0');
  require(api, query(result.data(), &size));
  result.resize(size - 1);  // the host counts the terminating zero
  return result;
}

std::string node_name(const OrtApi& api, const OrtKernelInfo* info) {
  return text(api,
              [&](char* out, size_t* size) { return api.KernelInfo_GetNodeName(info, out, size); });
}

// What the graph says of the node's input, or an absent tensor.
TensorInfo graph_input(const OrtApi& api, const OrtKernelInfo* info, size_t index) {
  const std::string name = text(api, [&](char* out, size_t* size) {
    return api.KernelInfo_GetInputName(info, index, out, size);
  });
  if (name.empty()) return {};
  OrtTypeInfo* type_info = nullptr;
  require(api, api.KernelInfo_GetInputTypeInfo(info, index, &type_info));
  const std::unique_ptr<OrtTypeInfo, void (*)(OrtTypeInfo*)> owner(type_info, api.ReleaseTypeInfo);
  const OrtTensorTypeAndShapeInfo* tensor = nullptr;  // owned by type_info
  require(api, api.CastTypeInfoToTensorInfo(type_info, &tensor));
  return static_tensor_info(api, tensor);
}

Inputs graph_inputs(const OrtApi& api, const OrtKernelInfo* info) {
  Inputs inputs;
  size_t count = 0;
  require(api, api.KernelInfo_GetInputCount(info, &count));
  for (size_t i = 0; i < count && i < inputs.size(); ++i) inputs[i] = graph_input(api, info, i);
  return inputs;
}

const void* data_of(const OrtApi& api, const OrtValue* value) {
  void* data = nullptr;
  if (value) require(api, api.GetTensorMutableData(const_cast<OrtValue*>(value), &data));
  return data;
}

Node read_node(const OrtApi& api, const OrtKernelInfo* info) {
  Node node;
  node.attributes = read_attributes(api, info);
  Inputs inputs = graph_inputs(api, info);
  int is_constant = 0;
  const OrtValue* weight = nullptr;
  require(api, api.KernelInfoGetConstantInput_tensor(info, kWeight, &is_constant, &weight));
  if (is_constant) inputs[kWeight] = tensor_info(api, weight);
  node.problem = checked(node.attributes, inputs);
  if (is_constant) node.weight = data_of(api, weight);
  return node;
}

}  // namespace

std::unique_ptr<Kernel> make_kernel(const OrtApi& api, const OrtKernelInfo* info,
                                    const Provider& provider) {
  try {
    return provider.make_kernel(api, info, read_node(api, info));
  } catch (const Error& e) {
    // At run the host says which node failed; at session creation nobody would.
    throw Error(e.code, "deformable convolution '" + node_name(api, info) + "': " + e.what());
  }
}

void Kernel::compute(OrtKernelContext* context) const {
  size_t count = 0;
  require(api_, api_.KernelContext_GetInputCount(context, &count));
  std::array<const OrtValue*, kInputCount> values{};
  Inputs inputs;
  for (size_t i = 0; i < count && i < inputs.size(); ++i) {
    require(api_, api_.KernelContext_GetInput(context, i, &values[i]));
    if (values[i]) inputs[i] = tensor_info(api_, values[i]);
  }
  const Problem problem = checked(attributes_, inputs);

  int64_t shape[std::size(kOutputShape)];
  for (size_t i = 0; i < std::size(kOutputShape); ++i)
    shape[i] = inputs[kOutputShape[i].tensor].shape[kOutputShape[i].dim];
  OrtValue* output = nullptr;
  require(api_, api_.KernelContext_GetOutput(context, 0, shape, std::size(shape), &output));

  ForwardArgs args;
  args.input = data_of(api_, values[kInput]);
  args.weight = data_of(api_, values[kWeight]);
  args.offset = data_of(api_, values[kOffset]);
  args.bias = data_of(api_, values[kBias]);
  args.mask = data_of(api_, values[kMask]);
  args.output = const_cast<void*>(data_of(api_, output));
  run(context, problem, args);
}

}  // namespace dcn::ort
