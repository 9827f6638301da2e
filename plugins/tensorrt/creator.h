// What TensorRT asks for a plugin when a model is parsed or an engine is loaded.
#pragma once

#include "attributes.h"
#include "face.h"
#include "nvinfer.h"

namespace dcn::trt {

class Creator final : public nvinfer1::IPluginCreatorV3One {
 public:
  explicit Creator(const Face& face);

  nvinfer1::IPluginV3* createPlugin(const char* name, const nvinfer1::PluginFieldCollection* fields,
                                    nvinfer1::TensorRTPhase phase) noexcept override;
  const nvinfer1::PluginFieldCollection* getFieldNames() noexcept override;
  const char* getPluginName() const noexcept override;
  const char* getPluginVersion() const noexcept override;
  const char* getPluginNamespace() const noexcept override;

 private:
  const Face& face_;
  const Fields names_;
};

}  // namespace dcn::trt
