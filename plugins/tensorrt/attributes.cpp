#include "attributes.h"

#include <cstring>

#include "messages.h"

namespace dcn::trt {
namespace {

using nvinfer1::PluginField;
using nvinfer1::PluginFieldType;

const char* kind_of(PluginFieldType type) {
  switch (type) {
    case PluginFieldType::kFLOAT16:
    case PluginFieldType::kFLOAT32:
    case PluginFieldType::kFLOAT64:
    case PluginFieldType::kBF16: return "a float";
    case PluginFieldType::kCHAR: return "a string";
    case PluginFieldType::kINT32:
    case PluginFieldType::kINT64: return "a list of integers";
    default: return "of an unexpected kind";
  }
}

template <class Integer>
void append(const PluginField& field, std::vector<int64_t>* values) {
  const auto* data = static_cast<const Integer*>(field.data);
  values->insert(values->end(), data, data + field.length);
}

std::vector<int64_t> integers_of(const PluginField& field, const char* expected) {
  std::vector<int64_t> values;
  if (field.length > 0 && !field.data)
    throw Error(std::string("attribute ") + field.name + " has no data");
  switch (field.type) {
    case PluginFieldType::kINT32: append<int32_t>(field, &values); break;
    case PluginFieldType::kINT64: append<int64_t>(field, &values); break;
    default:
      throw Error(std::string("attribute ") + field.name + " is " + kind_of(field.type) +
                  ", expected " + expected);
  }
  return values;
}

void read(const PluginField& field, int64_t& value) {
  const std::vector<int64_t> values = integers_of(field, "an integer");
  if (values.size() != 1)
    throw Error(std::string("attribute ") + field.name + " has " + std::to_string(values.size()) +
                " values, expected an integer");
  value = values[0];
}

void read(const PluginField& field, std::vector<int64_t>& values) {
  values = integers_of(field, "a list of integers");
}

int32_t count_of(int64_t) {
  return 1;
}

int32_t count_of(const std::vector<int64_t>& values) {
  return static_cast<int32_t>(values.size());
}

void append_to(std::vector<int32_t>* all, int64_t value) {
  all->push_back(static_cast<int32_t>(value));  // checked when the plugin was created
}

void append_to(std::vector<int32_t>* all, const std::vector<int64_t>& values) {
  for (int64_t value : values) append_to(all, value);
}

// The operation's attributes in their order, then the node's.
template <class NodeAttributesT, class F>
void for_each_field(NodeAttributesT& attributes, F&& f) {
  for_each_attribute(attributes.operation, f);
  f(kConstantWeight, attributes.constant_weight);
}

// Not kept in an engine: a kernel_shape that the weight says, and the one integer that may be 0.
bool says_nothing(const std::vector<int64_t>& values) {
  return values.empty();
}

bool says_nothing(int64_t value) {
  return value == 0;
}

}  // namespace

Fields Fields::names() {
  return Fields(nullptr);
}

Fields Fields::values(const NodeAttributes& attributes) {
  return Fields(&attributes);
}

Fields::Fields(const NodeAttributes* attributes) {
  const NodeAttributes defaults;
  for_each_field(attributes ? *attributes : defaults, [&](const char* name, const auto& value) {
    if (attributes && says_nothing(value)) return;
    fields_.emplace_back(name, nullptr, PluginFieldType::kINT32, attributes ? count_of(value) : 0);
    if (attributes) append_to(&values_, value);
  });
  const int32_t* next = values_.data();
  for (PluginField& field : fields_) {
    if (attributes) field.data = next;
    next += field.length;
  }
  collection_ = {static_cast<int32_t>(fields_.size()), fields_.data()};
}

NodeAttributes attributes_of(const nvinfer1::PluginFieldCollection* fields) {
  NodeAttributes attributes;
  for (int32_t i = 0; fields && i < fields->nbFields; ++i) {
    const PluginField& field = fields->fields[i];
    if (!field.name) throw Error("has a field without a name");
    bool known = false;
    std::string names;
    for_each_field(attributes, [&](const char* name, auto& value) {
      names += (names.empty() ? "" : ", ") + std::string(name);
      if (std::strcmp(field.name, name)) return;
      known = true;
      read(field, value);
    });
    if (!known) throw Error(std::string("unknown attribute ") + field.name + ", expected " + names);
  }
  if (attributes.constant_weight != 0 && attributes.constant_weight != 1)
    throw Error(std::string("attribute ") + kConstantWeight + " is " +
                std::to_string(attributes.constant_weight) + ", expected 0 or 1");
  return attributes;
}

}  // namespace dcn::trt
