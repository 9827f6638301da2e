// onnxruntime answers a request for an attribute of another kind either like one for an absent
// attribute or with an empty list, depending on the kind: neither may pass for a default.
#include "attributes.h"

namespace dcn::ort {
namespace {

// How an attribute can be asked for.
struct Reader {
  const OrtApi& api;
  const OrtKernelInfo* info;
  const char* name;

  bool integer(int64_t* value) const {
    return succeeded(api, api.KernelInfoGetAttribute_int64(info, name, value));
  }
  // Succeeds, with no values, for some other kinds too.
  bool integers(std::vector<int64_t>* values) const {
    size_t count = 0;
    if (!succeeded(api, api.KernelInfoGetAttributeArray_int64(info, name, nullptr, &count)))
      return false;
    values->resize(count);
    if (count) require(api, api.KernelInfoGetAttributeArray_int64(info, name, values->data(), &count));
    return true;
  }
  bool is_float() const {
    float value;
    return succeeded(api, api.KernelInfoGetAttribute_float(info, name, &value));
  }
  bool is_floats() const {
    size_t count = 0;
    return succeeded(api, api.KernelInfoGetAttributeArray_float(info, name, nullptr, &count)) && count;
  }
  bool is_string() const {
    size_t size = 0;
    return succeeded(api, api.KernelInfoGetAttribute_string(info, name, nullptr, &size));
  }

  [[noreturn]] void refuse(const char* kind, const char* expected) const {
    throw Error(ORT_INVALID_ARGUMENT,
                std::string("attribute ") + name + " is " + kind + ", expected " + expected);
  }
  void refuse_other_kinds(const char* expected) const {
    if (is_float()) refuse("a float", expected);
    if (is_floats()) refuse("a list of floats", expected);
    if (is_string()) refuse("a string", expected);
  }
};

void read(const Reader& reader, int64_t& value) {
  constexpr char kExpected[] = "an integer";
  if (reader.integer(&value)) return;
  reader.refuse_other_kinds(kExpected);
  std::vector<int64_t> values;
  if (reader.integers(&values)) reader.refuse("not an integer", kExpected);
}

void read(const Reader& reader, std::vector<int64_t>& values) {
  constexpr char kExpected[] = "a list of integers";
  std::vector<int64_t> given;
  const bool present = reader.integers(&given);
  if (given.empty()) {
    int64_t value;
    if (reader.integer(&value)) reader.refuse("an integer", kExpected);
    reader.refuse_other_kinds(kExpected);
  }
  if (present) values = given;
}

}  // namespace

Attributes read_attributes(const OrtApi& api, const OrtKernelInfo* info) {
  Attributes attributes;
  for_each_attribute(attributes,
                     [&](const char* name, auto& value) { read(Reader{api, info, name}, value); });
  return attributes;
}

}  // namespace dcn::ort
