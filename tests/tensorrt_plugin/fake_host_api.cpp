// The fake host for Python: fake_host.py calls these through ctypes. A function that fails returns null
// or a negative number, and fake_error() says why.
#include <exception>

#include "fake_host.h"

#define API extern "C" __attribute__((visibility("default")))

namespace {

thread_local std::string error;
thread_local std::string log_lines;

template <class Result, class F>
Result reporting(Result failed, F&& f) {
  try {
    return f();
  } catch (const std::exception& e) {
    error = e.what();
    return failed;
  }
}

}  // namespace

extern "C" {
struct FakeField {
  const char* name;
  const void* data;
  int32_t type, length, bytes;
};
struct FakeTensor {
  int32_t type, rank;
  int64_t least[8], most[8];
  int32_t format;
};
}

API const char* fake_error() {
  return error.c_str();
}

API const char* fake_take_log() {
  log_lines = fake::take_log();
  return log_lines.c_str();
}

API void* fake_open(const char* path, int32_t version) {
  return reporting<void*>(nullptr, [&] { return new fake::Library(path, version); });
}

API void fake_close(void* library) {
  delete static_cast<fake::Library*>(library);
}

API int32_t fake_creator_count(void* library) {
  return static_cast<int32_t>(static_cast<fake::Library*>(library)->creators().size());
}

API const char* fake_creator_name(void* library, int32_t i) {
  return static_cast<fake::Library*>(library)->creators()[i]->getPluginName();
}

API const char* fake_creator_namespace(void* library, int32_t i) {
  return static_cast<fake::Library*>(library)->creators()[i]->getPluginNamespace();
}

// The names that a parser asks the model for.
API const char* fake_creator_field(void* library, int32_t i, int32_t field) {
  const auto* fields = static_cast<fake::Library*>(library)->creators()[i]->getFieldNames();
  return field < fields->nbFields ? fields->fields[field].name : nullptr;
}

API void* fake_build(void* library, int32_t creator, const char* node, const FakeField* fields,
                     int32_t field_count, const FakeTensor* inputs, int32_t input_count) {
  return reporting<void*>(nullptr, [&] {
    std::vector<fake::Field> copies;
    for (int32_t i = 0; i < field_count; ++i) {
      const auto* bytes = static_cast<const unsigned char*>(fields[i].data);
      copies.push_back({fields[i].name,
                        static_cast<nvinfer1::PluginFieldType>(fields[i].type),
                        {bytes, bytes + fields[i].bytes},
                        fields[i].length});
    }
    std::vector<fake::Tensor> tensors;
    for (int32_t i = 0; i < input_count; ++i)
      tensors.push_back({static_cast<nvinfer1::DataType>(inputs[i].type),
                         {inputs[i].least, inputs[i].least + inputs[i].rank},
                         {inputs[i].most, inputs[i].most + inputs[i].rank},
                         static_cast<nvinfer1::TensorFormat>(inputs[i].format)});
    return new fake::Network(static_cast<fake::Library*>(library)->creators().at(creator), node, copies,
                             tensors);
  });
}

API int64_t fake_workspace_bytes(void* network) {
  return static_cast<int64_t>(static_cast<fake::Network*>(network)->workspace_bytes());
}

// Writes the output's shape, -1 for sizes that are not known yet; returns its rank.
API int32_t fake_output_shape(void* network, int64_t* shape) {
  const fake::Shape& known = static_cast<fake::Network*>(network)->output_shape();
  for (size_t i = 0; i < known.size(); ++i) shape[i] = known[i];
  return static_cast<int32_t>(known.size());
}

API int32_t fake_output_type(void* network) {
  return static_cast<int32_t>(static_cast<fake::Network*>(network)->output_type());
}

API void fake_free_network(void* network) {
  delete static_cast<fake::Network*>(network);
}

API void* fake_deserialize(void* library, int32_t creator, const char* node, void* network) {
  return reporting<void*>(nullptr, [&] {
    return new fake::Engine(static_cast<fake::Library*>(library)->creators().at(creator), node,
                            static_cast<fake::Network*>(network)->serialized());
  });
}

API void fake_free_engine(void* engine) {
  delete static_cast<fake::Engine*>(engine);
}

API void* fake_context(void* engine) {
  return reporting<void*>(nullptr,
                          [&] { return new fake::Context(*static_cast<fake::Engine*>(engine)); });
}

API void fake_free_context(void* context) {
  delete static_cast<fake::Context*>(context);
}

// Sizes are those of `most`.
API int32_t fake_set_shapes(void* context, const FakeTensor* inputs, int32_t input_count,
                            const FakeTensor* output) {
  const auto describe = [](const FakeTensor& tensor) {
    return fake::description(static_cast<nvinfer1::DataType>(tensor.type),
                             {tensor.most, tensor.most + tensor.rank},
                             static_cast<nvinfer1::TensorFormat>(tensor.format));
  };
  std::vector<nvinfer1::PluginTensorDesc> tensors;
  for (int32_t i = 0; i < input_count; ++i) tensors.push_back(describe(inputs[i]));
  return static_cast<fake::Context*>(context)->set_shapes(tensors, describe(*output));
}

API int32_t fake_enqueue(void* context, const void* const* inputs, int32_t input_count, void* output,
                         void* workspace, void* stream) {
  const std::vector<const void*> pointers(inputs, inputs + input_count);
  return static_cast<fake::Context*>(context)->enqueue(pointers, output, workspace,
                                                       static_cast<cudaStream_t>(stream));
}
