// The node's attributes as TensorRT carries them: the fields of a plugin.
#pragma once

#include <vector>

#include "deform_conv.h"
#include "nvinfer.h"

namespace dcn::trt {

// The attributes' names and types, and the values if there are some: what a parser asks for, and what
// an engine keeps. One type for all, kINT32, which is also how ONNX's integers arrive, so that a plugin
// is created from a model and from an engine in the same way.
class Fields {
 public:
  static Fields names();
  static Fields values(const Attributes& attributes);

  const nvinfer1::PluginFieldCollection* collection() const { return &collection_; }

  Fields(const Fields&) = delete;  // it points into itself
  Fields& operator=(const Fields&) = delete;

 private:
  explicit Fields(const Attributes* attributes);

  std::vector<int32_t> values_;
  std::vector<nvinfer1::PluginField> fields_;
  nvinfer1::PluginFieldCollection collection_;
};

// The attributes that fields say; those left out have their defaults. Throws Error if a field is not an
// attribute of the operation or not of its kind; whether the values make sense is for the core to
// check.
Attributes attributes_of(const nvinfer1::PluginFieldCollection* fields);

}  // namespace dcn::trt
