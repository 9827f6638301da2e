// One deformable node of a TensorRT network or engine.
#pragma once

#include <memory>
#include <string>

#include "attributes.h"
#include "deform_conv.h"
#include "face.h"
#include "nvinfer.h"
#include "packed_weight.h"

namespace dcn::trt {

// One object has all three capabilities. A network has one for each node, an execution context a clone
// of it, which knows the sizes that the context runs with.
//
// Data is dense, float32, float16 or bfloat16; offset and mask may be float32 beside halves. It is in
// the order of its dimensions (kLINEAR), or input and output both have their channels last (kHWC8,
// halves with a multiple of eight channels), which saves the kernels a copy. There is one tactic.
// float32 is computed as float32, never as TF32, whatever the builder allows: this interface does not
// tell a plugin what that is.
class Plugin final : public nvinfer1::IPluginV3,
                     public nvinfer1::IPluginV3OneCore,
                     public nvinfer1::IPluginV3OneBuild,
                     public nvinfer1::IPluginV3OneRuntime {
 public:
  // `attributes` have been checked; `node` names it in messages.
  Plugin(const Face& face, std::string node, NodeAttributes attributes);

  nvinfer1::IPluginCapability* getCapabilityInterface(
      nvinfer1::PluginCapabilityType type) noexcept override;
  nvinfer1::IPluginV3* clone() noexcept override;

  // ---- core
  const char* getPluginName() const noexcept override;
  const char* getPluginVersion() const noexcept override;
  const char* getPluginNamespace() const noexcept override;

  // ---- build
  int32_t getNbOutputs() const noexcept override;
  int32_t getOutputDataTypes(nvinfer1::DataType* outputs, int32_t output_count,
                             const nvinfer1::DataType* inputs,
                             int32_t input_count) const noexcept override;
  int32_t getOutputShapes(const nvinfer1::DimsExprs* inputs, int32_t input_count,
                          const nvinfer1::DimsExprs* shape_inputs, int32_t shape_input_count,
                          nvinfer1::DimsExprs* outputs, int32_t output_count,
                          nvinfer1::IExprBuilder& builder) noexcept override;
  bool supportsFormatCombination(int32_t position, const nvinfer1::DynamicPluginTensorDesc* tensors,
                                 int32_t input_count, int32_t output_count) noexcept override;
  int32_t configurePlugin(const nvinfer1::DynamicPluginTensorDesc* inputs, int32_t input_count,
                          const nvinfer1::DynamicPluginTensorDesc* outputs,
                          int32_t output_count) noexcept override;
  size_t getWorkspaceSize(const nvinfer1::DynamicPluginTensorDesc* inputs, int32_t input_count,
                          const nvinfer1::DynamicPluginTensorDesc* outputs,
                          int32_t output_count) const noexcept override;

  // ---- runtime
  int32_t onShapeChange(const nvinfer1::PluginTensorDesc* inputs, int32_t input_count,
                        const nvinfer1::PluginTensorDesc* outputs,
                        int32_t output_count) noexcept override;
  int32_t enqueue(const nvinfer1::PluginTensorDesc* input_descriptions,
                  const nvinfer1::PluginTensorDesc* output_descriptions, const void* const* inputs,
                  void* const* outputs, void* workspace, cudaStream_t stream) noexcept override;
  nvinfer1::IPluginV3* attachToContext(nvinfer1::IPluginResourceContext* context) noexcept override;
  const nvinfer1::PluginFieldCollection* getFieldsToSerialize() noexcept override;

 private:
  // Notes a call in the host's log, for those who look for a fault in a build.
  void trace(const std::string& call, const std::string& arguments,
             const std::string& result = "") const;

  const Face& face_;
  const std::string node_;
  const NodeAttributes attributes_;
  const Fields fields_;
  // What onShapeChange() found, for enqueue(); null before.
  std::unique_ptr<const Problem> problem_;
  bool channels_last_ = false;
  PackedWeight packed_weight_;  // empty unless the weight is constant
};

}  // namespace dcn::trt
