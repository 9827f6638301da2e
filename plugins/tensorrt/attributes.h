// The node's attributes as TensorRT carries them: the fields of a plugin.
#pragma once

#include <vector>

#include "deform_conv.h"
#include "nvinfer.h"

namespace dcn::trt {

// Of the model's node, and not of the operation: 1 where the weight is a constant of the model, so that
// an execution context may pack it once. TensorRT does not tell a plugin; dcn_deploy's exporter does,
// in a node attribute of this name.
inline constexpr char kConstantWeight[] = "constant_weight";

// Everything that a plugin is created from.
struct NodeAttributes {
  Attributes operation;
  int64_t constant_weight = 0;
};

// The fields' names and types, and the values if there are some: what a parser asks for, and what
// an engine keeps. One type for all, kINT32, which is also how ONNX's integers arrive, so that a plugin
// is created from a model and from an engine in the same way.
class Fields {
 public:
  static Fields names();
  static Fields values(const NodeAttributes& attributes);

  const nvinfer1::PluginFieldCollection* collection() const { return &collection_; }

  Fields(const Fields&) = delete;  // it points into itself
  Fields& operator=(const Fields&) = delete;

 private:
  explicit Fields(const NodeAttributes* attributes);

  std::vector<int32_t> values_;
  std::vector<nvinfer1::PluginField> fields_;
  nvinfer1::PluginFieldCollection collection_;
};

// The attributes that fields say; those left out have their defaults. Throws Error if a field is not
// one of them or not of its kind; whether the operation's values make sense is for the core to check.
NodeAttributes attributes_of(const nvinfer1::PluginFieldCollection* fields);

}  // namespace dcn::trt
