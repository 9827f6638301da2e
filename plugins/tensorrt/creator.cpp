#include "creator.h"

#include <utility>

#include "messages.h"
#include "plugin.h"

namespace dcn::trt {

Creator::Creator(const Face& face) : face_(face), names_(Fields::names()) {}

nvinfer1::IPluginV3* Creator::createPlugin(const char* name,
                                           const nvinfer1::PluginFieldCollection* fields,
                                           nvinfer1::TensorRTPhase phase) noexcept {
  const char* node = name ? name : "";
  return guarded<nvinfer1::IPluginV3*>(node, nullptr, [&] {
    NodeAttributes attributes = attributes_of(fields);
    const Status status = check_attributes(attributes.operation);
    if (!status.ok()) throw Error(status.message);
    log_verbose(about(node) + face_.name + " created to " +
                (phase == nvinfer1::TensorRTPhase::kBUILD ? "build" : "run") +
                (attributes.constant_weight ? ", its weight constant" : ""));
    return new Plugin(face_, node, std::move(attributes));
  });
}

const nvinfer1::PluginFieldCollection* Creator::getFieldNames() noexcept {
  return names_.collection();
}

const char* Creator::getPluginName() const noexcept {
  return face_.name;
}

const char* Creator::getPluginVersion() const noexcept {
  return kPluginVersion;
}

const char* Creator::getPluginNamespace() const noexcept {
  return face_.plugin_namespace;
}

}  // namespace dcn::trt
