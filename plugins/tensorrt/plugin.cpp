#include "plugin.h"

#include <iterator>
#include <utility>

#include "messages.h"
#include "tensors.h"

namespace dcn::trt {
namespace {

using nvinfer1::DataType;
using nvinfer1::PluginCapabilityType;
using nvinfer1::TensorFormat;

constexpr int32_t kSuccess = 0;
constexpr int32_t kFailure = -1;

Problem checked(const Attributes& attributes, const Inputs& inputs) {
  Problem problem;
  const Status status = check(attributes, inputs.data(), &problem);
  if (!status.ok()) throw Error(status.message);
  return problem;
}

// The largest problem of the profile. The largest sizes of two tensors need not fit each other, as
// those of one call must: only what is the same throughout the profile has been checked.
Problem largest(const Attributes& attributes, const nvinfer1::DynamicPluginTensorDesc* inputs,
                int32_t count) {
  Problem problem = checked(attributes, inputs_of(inputs, count));
  const auto at_most = [&](int64_t& size, Input tensor, int dim) {
    if (size == kUnknownDim) size = inputs[tensor].max.d[dim];
  };
  at_most(problem.batch, kInput, 0);
  at_most(problem.in_channels, kInput, 1);
  at_most(problem.in_h, kInput, 2);
  at_most(problem.in_w, kInput, 3);
  at_most(problem.out_channels, kWeight, 0);
  at_most(problem.kernel_h, kWeight, 2);
  at_most(problem.kernel_w, kWeight, 3);
  at_most(problem.out_h, kOffset, 2);
  at_most(problem.out_w, kOffset, 3);
  return problem;
}

// Halves with their channels last, in vectors of eight: where all vectors are whole, as dense as the
// core wants channels-last data.
bool is_whole_hwc8(const nvinfer1::PluginTensorDesc& image) {
  constexpr int64_t kVector = 8;
  return image.format == TensorFormat::kHWC8 && image.type != DataType::kFLOAT &&
         image.dims.nbDims == 4 && image.dims.d[1] > 0 && image.dims.d[1] % kVector == 0;
}

}  // namespace

Plugin::Plugin(const Face& face, std::string node, NodeAttributes attributes)
    : face_(face),
      node_(std::move(node)),
      attributes_(std::move(attributes)),
      fields_(Fields::values(attributes_)) {}

nvinfer1::IPluginCapability* Plugin::getCapabilityInterface(PluginCapabilityType type) noexcept {
  switch (type) {
    case PluginCapabilityType::kCORE: return static_cast<IPluginV3OneCore*>(this);
    case PluginCapabilityType::kBUILD: return static_cast<IPluginV3OneBuild*>(this);
    case PluginCapabilityType::kRUNTIME: return static_cast<IPluginV3OneRuntime*>(this);
  }
  return nullptr;
}

nvinfer1::IPluginV3* Plugin::clone() noexcept {
  return guarded<nvinfer1::IPluginV3*>(node_.c_str(), nullptr, [&] {
    auto copy = std::make_unique<Plugin>(face_, node_, attributes_);
    if (problem_) copy->problem_ = std::make_unique<const Problem>(*problem_);
    copy->channels_last_ = channels_last_;
    return copy.release();
  });
}

const char* Plugin::getPluginName() const noexcept {
  return face_.name;
}

const char* Plugin::getPluginVersion() const noexcept {
  return kPluginVersion;
}

const char* Plugin::getPluginNamespace() const noexcept {
  return face_.plugin_namespace;
}

int32_t Plugin::getNbOutputs() const noexcept {
  return 1;
}

int32_t Plugin::getOutputDataTypes(DataType* outputs, int32_t, const DataType* inputs,
                                   int32_t input_count) const noexcept {
  return guarded(node_.c_str(), kFailure, [&] {
    trace("getOutputDataTypes", text_of(inputs, input_count));
    checked(attributes_.operation, inputs_of(inputs, input_count));
    outputs[0] = inputs[kInput];
    return kSuccess;
  });
}

int32_t Plugin::getOutputShapes(const nvinfer1::DimsExprs* inputs, int32_t input_count,
                                const nvinfer1::DimsExprs*, int32_t, nvinfer1::DimsExprs* outputs,
                                int32_t, nvinfer1::IExprBuilder&) noexcept {
  return guarded(node_.c_str(), kFailure, [&] {
    trace("getOutputShapes", text_of(inputs, input_count));
    checked(attributes_.operation, inputs_of(inputs, input_count));
    outputs[0].nbDims = std::size(kOutputShape);
    for (size_t i = 0; i < std::size(kOutputShape); ++i)
      outputs[0].d[i] = inputs[kOutputShape[i].tensor].d[kOutputShape[i].dim];
    return kSuccess;
  });
}

// Asked for each tensor in turn, when those before it have been settled; what comes after is taken to
// fit. A no is an answer here and no error: nothing is logged.
bool Plugin::supportsFormatCombination(int32_t position,
                                       const nvinfer1::DynamicPluginTensorDesc* tensors,
                                       int32_t input_count, int32_t) noexcept {
  return guarded(node_.c_str(), false, [&] {
    const nvinfer1::PluginTensorDesc &tensor = tensors[position].desc, &input = tensors[kInput].desc;
    const bool is_image = position == kInput || position >= input_count;
    if (tensor.format != TensorFormat::kLINEAR && !(is_image && is_whole_hwc8(tensor))) return false;
    if (position >= input_count) return tensor.type == input.type && tensor.format == input.format;
    DataType types[kInputCount] = {};
    for (int32_t i = 0; i < input_count && i < kInputCount; ++i)
      types[i] = i <= position ? tensors[i].desc.type : types[i == kMask ? kOffset : kInput];
    Problem problem;
    return check(attributes_.operation, inputs_of(types, input_count).data(), &problem).ok();
  });
}

int32_t Plugin::configurePlugin(const nvinfer1::DynamicPluginTensorDesc* inputs, int32_t input_count,
                                const nvinfer1::DynamicPluginTensorDesc*, int32_t) noexcept {
  return guarded(node_.c_str(), kFailure, [&] {
    trace("configurePlugin", text_of(inputs, input_count));
    checked(attributes_.operation, inputs_of(inputs, input_count));
    return kSuccess;
  });
}

size_t Plugin::getWorkspaceSize(const nvinfer1::DynamicPluginTensorDesc* inputs, int32_t input_count,
                                const nvinfer1::DynamicPluginTensorDesc*, int32_t) const noexcept {
  return guarded(node_.c_str(), size_t{0}, [&] {
    const size_t bytes = cuda::workspace_bytes(largest(attributes_.operation, inputs, input_count), {});
    trace("getWorkspaceSize", text_of(inputs, input_count), " = " + std::to_string(bytes));
    return bytes;
  });
}

int32_t Plugin::onShapeChange(const nvinfer1::PluginTensorDesc* inputs, int32_t input_count,
                              const nvinfer1::PluginTensorDesc*, int32_t) noexcept {
  return guarded(node_.c_str(), kFailure, [&] {
    problem_.reset();
    problem_ =
        std::make_unique<const Problem>(checked(attributes_.operation, inputs_of(inputs, input_count)));
    channels_last_ = inputs[kInput].format == TensorFormat::kHWC8;
    if (attributes_.constant_weight) {
      const Status status = packed_weight_.prepare(*problem_);
      if (!status.ok())
        log_verbose(about(node_.c_str()) + "packs its weight in each run: " + status.message);
    }
    return kSuccess;
  });
}

int32_t Plugin::enqueue(const nvinfer1::PluginTensorDesc*, const nvinfer1::PluginTensorDesc*,
                        const void* const* inputs, void* const* outputs, void* workspace,
                        cudaStream_t stream) noexcept {
  return guarded(node_.c_str(), kFailure, [&] {
    if (!problem_) throw Error("cannot run: TensorRT has not told it the shapes of its inputs");
    ForwardArgs args;
    args.input = inputs[kInput];
    args.weight = inputs[kWeight];
    const Status packed = packed_weight_.pack_once(*problem_, args.weight, stream, &args.packed_weight);
    if (!packed.ok()) throw Error(packed.message);
    args.offset = inputs[kOffset];
    if (problem_->has_bias) args.bias = inputs[kBias];
    if (problem_->has_mask) args.mask = inputs[kMask];
    args.output = outputs[0];
    args.channels_last = channels_last_;
    const Status status = cuda::forward(*problem_, args, {}, workspace, stream);
    if (!status.ok()) throw Error(status.message);
    return kSuccess;
  });
}

nvinfer1::IPluginV3* Plugin::attachToContext(nvinfer1::IPluginResourceContext*) noexcept {
  return clone();
}

const nvinfer1::PluginFieldCollection* Plugin::getFieldsToSerialize() noexcept {
  return guarded<const nvinfer1::PluginFieldCollection*>(node_.c_str(), nullptr, [&] {
    trace("getFieldsToSerialize", "");
    return fields_.collection();
  });
}

void Plugin::trace(const std::string& call, const std::string& arguments,
                   const std::string& result) const {
  log_verbose(about(node_.c_str()) + call + "(" + arguments + ")" + result);
}

}  // namespace dcn::trt
