#include "fake_host.h"

#include <dlfcn.h>

#include <cstring>
#include <deque>
#include <mutex>
#include <stdexcept>
#include <utility>

namespace nvinfer1 {
class IExprBuilder {};  // declared only: the plugin builds no expressions
}  // namespace nvinfer1

namespace fake {
namespace {

using namespace nvinfer1;

void require(bool ok, const char* function) {
  if (!ok) throw std::runtime_error(std::string(function) + " refused");
}

// ---- the logger, in both layouts ------------------------------------------------------------

std::mutex log_mutex;
std::string log_text;

constexpr int32_t kVerbose = 4;

void write_log(int32_t severity, const char* message) {
  if (severity >= kVerbose) return;
  const std::lock_guard<std::mutex> lock(log_mutex);
  log_text += std::to_string(severity) + " " + message + "\n";
}

struct OldLogger {
  virtual void log(int32_t severity, const char* message) noexcept { write_log(severity, message); }
  virtual ~OldLogger() = default;
};
struct OldFinder {
  virtual OldLogger* find_logger() {
    static OldLogger logger;
    return &logger;
  }
  virtual ~OldFinder() = default;
};
struct NewLogger : IVersionedInterface {
  InterfaceInfo getInterfaceInfo() const noexcept override { return {"ILogger", 1, 0}; }
  virtual void log(int32_t severity, const char* message) noexcept { write_log(severity, message); }
};
struct NewFinder : IVersionedInterface {
  InterfaceInfo getInterfaceInfo() const noexcept override { return {"ILoggerFinder", 1, 0}; }
  virtual NewLogger* find_logger() {
    static NewLogger logger;
    return &logger;
  }
};

OldFinder old_finder;
NewFinder new_finder;
int32_t host_version = 0;

void* finder_of(int32_t version) {
  const bool versioned = version >= 110000 || (version < 20000 && version >= 10500);
  return versioned ? static_cast<void*>(&new_finder) : static_cast<void*>(&old_finder);
}

// ---- what describes a tensor ----------------------------------------------------------------

Dims dims_of(const Shape& shape) {
  Dims dims{};
  dims.nbDims = static_cast<int32_t>(shape.size());
  for (size_t i = 0; i < shape.size(); ++i) dims.d[i] = shape[i];
  return dims;
}

// -1 where the sizes of the profile differ.
Shape common(const Tensor& tensor) {
  Shape shape = tensor.most;
  for (size_t i = 0; i < shape.size(); ++i)
    if (tensor.least[i] != shape[i]) shape[i] = -1;
  return shape;
}

DynamicPluginTensorDesc dynamic(const Tensor& tensor) {
  return {description(tensor.type, common(tensor), tensor.format), dims_of(tensor.least),
          dims_of(tensor.most), dims_of(tensor.most)};
}

struct Dimension final : IDimensionExpr {
  struct Value final : apiv::VDimensionExpr {
    int64_t value = 0;
    bool isConstant() const override { return value >= 0; }
    int64_t getConstantValue() const override { return value; }
  };
  Value value;
  explicit Dimension(int64_t size) {
    value.value = size;
    mImpl = &value;
  }
  ~Dimension() noexcept override = default;
};

DimsExprs expressions(const Shape& shape, std::deque<Dimension>* pool) {
  DimsExprs result{};
  result.nbDims = static_cast<int32_t>(shape.size());
  for (size_t i = 0; i < shape.size(); ++i) result.d[i] = &pool->emplace_back(shape[i]);
  return result;
}

template <class Capability>
Capability* capability(IPluginV3* plugin, PluginCapabilityType type) {
  auto* result = static_cast<Capability*>(plugin->getCapabilityInterface(type));
  require(result, "getCapabilityInterface");
  return result;
}

size_t size_of(PluginFieldType type) {
  switch (type) {
    case PluginFieldType::kINT64:
    case PluginFieldType::kFLOAT64: return 8;
    case PluginFieldType::kINT32:
    case PluginFieldType::kFLOAT32: return 4;
    default: return 1;
  }
}

}  // namespace

// TensorRT's libraries have this function, and a plugin asks the one that its logger lies in.
extern "C" __attribute__((visibility("default"))) int32_t getInferLibVersion() noexcept {
  return host_version;
}

PluginTensorDesc description(DataType type, const Shape& shape, TensorFormat format) {
  return {dims_of(shape), type, format, -1.0f};
}

Field integers(const std::string& name, const std::vector<int32_t>& values) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(values.data());
  return {name,
          PluginFieldType::kINT32,
          {bytes, bytes + values.size() * sizeof(int32_t)},
          static_cast<int32_t>(values.size())};
}

Collection::Collection(const std::vector<Field>& fields) {
  for (const Field& field : fields)
    fields_.emplace_back(field.name.c_str(), field.bytes.data(), field.type, field.length);
  collection_ = {static_cast<int32_t>(fields_.size()), fields_.data()};
}

std::vector<Field> copy_of(const PluginFieldCollection* fields) {
  std::vector<Field> copies;
  for (int32_t i = 0; i < fields->nbFields; ++i) {
    const PluginField& field = fields->fields[i];
    const auto* bytes = static_cast<const unsigned char*>(field.data);
    copies.push_back(
        {field.name, field.type, {bytes, bytes + field.length * size_of(field.type)}, field.length});
  }
  return copies;
}

std::string take_log() {
  const std::lock_guard<std::mutex> lock(log_mutex);
  return std::exchange(log_text, {});
}

Library::Library(const std::string& path, int32_t version)
    // Its creators live as long as the process, on purpose; so does the library here, or they would
    // leak.
    : handle_(dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE)) {
  if (!handle_) throw std::runtime_error(dlerror());
  host_version = version;
  reinterpret_cast<void (*)(void*)>(symbol("setLoggerFinder"))(finder_of(version));
  using GetCreators = IPluginCreatorInterface* const* (*)(int32_t&);
  int32_t count = 0;
  IPluginCreatorInterface* const* list = reinterpret_cast<GetCreators>(symbol("getCreators"))(count);
  for (int32_t i = 0; i < count; ++i) {
    require(!std::strcmp(list[i]->getInterfaceInfo().kind, "PLUGIN CREATOR_V3ONE"), "getInterfaceInfo");
    creators_.push_back(static_cast<IPluginCreatorV3One*>(list[i]));
  }
}

Library::~Library() {
  dlclose(handle_);
}

void* Library::symbol(const char* name) const {
  void* found = dlsym(handle_, name);
  if (!found) throw std::runtime_error(std::string("no symbol ") + name);
  return found;
}

IPluginCreatorV3One* Library::creator(const std::string& name, const std::string& space) const {
  for (IPluginCreatorV3One* creator : creators_)
    if (creator->getPluginName() == name && creator->getPluginNamespace() == space &&
        !std::strcmp(creator->getPluginVersion(), "1"))
      return creator;
  throw std::runtime_error("no creator of " + name);
}

Network::Network(IPluginCreatorV3One* creator, const std::string& node,
                 const std::vector<Field>& fields, const std::vector<Tensor>& inputs) {
  const Collection collection(fields);
  std::unique_ptr<IPluginV3> parsed(
      creator->createPlugin(node.c_str(), collection.get(), TensorRTPhase::kBUILD));
  require(parsed != nullptr, "createPlugin");
  // The network keeps a copy, the parser throws its own away.
  std::unique_ptr<IPluginV3> plugin(parsed->clone());
  require(plugin != nullptr, "clone");
  parsed.reset();
  auto* core = capability<IPluginV3OneCore>(plugin.get(), PluginCapabilityType::kCORE);
  require(!std::strcmp(core->getPluginName(), creator->getPluginName()), "getPluginName");
  require(!std::strcmp(core->getPluginVersion(), creator->getPluginVersion()), "getPluginVersion");
  require(!std::strcmp(core->getPluginNamespace(), creator->getPluginNamespace()),
          "getPluginNamespace");
  auto* build = capability<IPluginV3OneBuild>(plugin.get(), PluginCapabilityType::kBUILD);
  require(build->getNbOutputs() == 1, "getNbOutputs");

  const auto count = static_cast<int32_t>(inputs.size());
  std::vector<DataType> types;
  std::deque<Dimension> pool;
  std::vector<DimsExprs> shapes;
  std::vector<DynamicPluginTensorDesc> tensors;
  for (const Tensor& tensor : inputs) {
    types.push_back(tensor.type);
    shapes.push_back(expressions(common(tensor), &pool));
    tensors.push_back(dynamic(tensor));
  }
  require(!build->getOutputDataTypes(&output_type_, 1, types.data(), count), "getOutputDataTypes");
  DimsExprs output{};
  IExprBuilder builder;
  require(!build->getOutputShapes(shapes.data(), count, nullptr, 0, &output, 1, builder),
          "getOutputShapes");
  for (int32_t i = 0; i < output.nbDims; ++i)
    output_shape_.push_back(output.d[i]->isConstant() ? output.d[i]->getConstantValue() : -1);

  Tensor result{output_type_, output_shape_, output_shape_, inputs[0].format};
  for (size_t i = 0; i < output_shape_.size();
       ++i)  // known of a real host's, which has the expressions
    if (output_shape_[i] < 0) result.most[i] = 1;
  tensors.push_back(dynamic(result));
  for (int32_t i = 0; i <= count; ++i)
    require(build->supportsFormatCombination(i, tensors.data(), count, 1), "supportsFormatCombination");
  require(!build->configurePlugin(tensors.data(), count, tensors.data() + count, 1), "configurePlugin");
  workspace_bytes_ = build->getWorkspaceSize(tensors.data(), count, tensors.data() + count, 1);
  require(build->getNbTactics() == 0, "getNbTactics");
  auto* runtime = capability<IPluginV3OneRuntime>(plugin.get(), PluginCapabilityType::kRUNTIME);
  serialized_ = copy_of(runtime->getFieldsToSerialize());
}

Engine::Engine(IPluginCreatorV3One* creator, const std::string& node,
               const std::vector<Field>& serialized) {
  const Collection collection(serialized);
  plugin_.reset(creator->createPlugin(node.c_str(), collection.get(), TensorRTPhase::kRUNTIME));
  require(plugin_ != nullptr, "createPlugin");
}

Context::Context(const Engine& engine) {
  auto* runtime = capability<IPluginV3OneRuntime>(engine.plugin(), PluginCapabilityType::kRUNTIME);
  plugin_.reset(runtime->attachToContext(nullptr));
  require(plugin_ != nullptr, "attachToContext");
  runtime_ = capability<IPluginV3OneRuntime>(plugin_.get(), PluginCapabilityType::kRUNTIME);
  require(!runtime_->setTactic(0), "setTactic");
}

int32_t Context::set_shapes(const std::vector<PluginTensorDesc>& inputs,
                            const PluginTensorDesc& output) {
  inputs_ = inputs;
  output_ = output;
  return runtime_->onShapeChange(inputs_.data(), static_cast<int32_t>(inputs_.size()), &output_, 1);
}

int32_t Context::enqueue(const std::vector<const void*>& inputs, void* output, void* workspace,
                         cudaStream_t stream) {
  return runtime_->enqueue(inputs_.data(), &output_, inputs.data(), &output, workspace, stream);
}

}  // namespace fake
