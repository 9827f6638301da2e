// Plays TensorRT for a plugin library: loads it and takes its nodes through everything that happens to
// them, from the model to the stream. What a build on a machine without a GPU never calls (creation
// from an engine, contexts, shapes, enqueue) is called here, in TensorRT's order, on memory of the
// caller's.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "nvinfer.h"

namespace fake {

using Shape = std::vector<int64_t>;

// An attribute, and a copy of it as an engine keeps it.
struct Field {
  std::string name;
  nvinfer1::PluginFieldType type;
  std::vector<unsigned char> bytes;
  int32_t length = 0;
};

Field integers(const std::string& name, const std::vector<int32_t>& values);

// Fields in the form that a plugin reads.
class Collection {
 public:
  explicit Collection(const std::vector<Field>& fields);
  const nvinfer1::PluginFieldCollection* get() const { return &collection_; }

 private:
  std::vector<nvinfer1::PluginField> fields_;
  nvinfer1::PluginFieldCollection collection_;
};

std::vector<Field> copy_of(const nvinfer1::PluginFieldCollection* fields);

// A tensor of the network: its shape throughout the profile.
struct Tensor {
  nvinfer1::DataType type;
  Shape least, most;
  nvinfer1::TensorFormat format = nvinfer1::TensorFormat::kLINEAR;
};

// A library, loaded for a TensorRT of this version (10000 * major + 100 * minor + patch): the layout of
// the logger that it is given follows from it. Version 0 is a host that does not say.
class Library {
 public:
  Library(const std::string& path, int32_t version);
  ~Library();

  const std::vector<nvinfer1::IPluginCreatorV3One*>& creators() const { return creators_; }
  nvinfer1::IPluginCreatorV3One* creator(const std::string& name, const std::string& space) const;
  void* symbol(const char* name) const;

 private:
  void* handle_;
  std::vector<nvinfer1::IPluginCreatorV3One*> creators_;
};

// What plugins have logged since the last call, a line each, but for what is verbose.
std::string take_log();

// A node while TensorRT builds. Throws std::runtime_error with the name of the function that refused.
class Network {
 public:
  Network(nvinfer1::IPluginCreatorV3One* creator, const std::string& node,
          const std::vector<Field>& fields, const std::vector<Tensor>& inputs);

  nvinfer1::DataType output_type() const { return output_type_; }
  const Shape& output_shape() const { return output_shape_; }  // -1: known when it runs
  size_t workspace_bytes() const { return workspace_bytes_; }
  const std::vector<Field>& serialized() const { return serialized_; }

 private:
  nvinfer1::DataType output_type_;
  Shape output_shape_;
  size_t workspace_bytes_;
  std::vector<Field> serialized_;
};

// A node of an engine that was loaded.
class Engine {
 public:
  Engine(nvinfer1::IPluginCreatorV3One* creator, const std::string& node,
         const std::vector<Field>& serialized);
  nvinfer1::IPluginV3* plugin() const { return plugin_.get(); }

 private:
  std::unique_ptr<nvinfer1::IPluginV3> plugin_;
};

// A node in an execution context.
class Context {
 public:
  explicit Context(const Engine& engine);

  // Both return what the plugin returns.
  int32_t set_shapes(const std::vector<nvinfer1::PluginTensorDesc>& inputs,
                     const nvinfer1::PluginTensorDesc& output);
  int32_t enqueue(const std::vector<const void*>& inputs, void* output, void* workspace,
                  cudaStream_t stream);

 private:
  std::unique_ptr<nvinfer1::IPluginV3> plugin_;
  nvinfer1::IPluginV3OneRuntime* runtime_;
  std::vector<nvinfer1::PluginTensorDesc> inputs_;
  nvinfer1::PluginTensorDesc output_;
};

nvinfer1::PluginTensorDesc description(nvinfer1::DataType type, const Shape& shape,
                                       nvinfer1::TensorFormat format = nvinfer1::TensorFormat::kLINEAR);

}  // namespace fake
