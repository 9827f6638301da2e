// The contract as Python reads it (through ctypes): the same names and the same checks that the
// native frontends use, so that the exporter and the fake kernel repeat neither.
#include <cstring>
#include <exception>
#include <sstream>

#include "cpu/phases.h"
#include "deform_conv.h"

#if defined(_WIN32)
#define DCN_EXPORT extern "C" __declspec(dllexport)
#else
#define DCN_EXPORT extern "C" __attribute__((visibility("default")))
#endif

namespace {

void write_value(std::ostream& out, int64_t value) {
  out << value;
}

void write_value(std::ostream& out, const std::vector<int64_t>& values) {
  out << '[';
  for (size_t i = 0; i < values.size(); ++i) out << (i ? "," : "") << values[i];
  out << ']';
}

// Reads a flat list of integers from front to back; contract.py writes it.
struct Reader {
  const int64_t* next;
  int64_t scalar() { return *next++; }
  std::vector<int64_t> list() {
    const int64_t count = scalar();
    std::vector<int64_t> values(next, next + count);
    next += count;
    return values;
  }
  void into(int64_t& value) { value = scalar(); }
  void into(std::vector<int64_t>& values) { values = list(); }
};

// What the core makes of them.
dcn::Status check(const int64_t* attributes, const int64_t* tensors, const char* const* dtype_names,
                  dcn::Problem* problem) {
  dcn::Attributes given;
  Reader attribute_reader{attributes};
  dcn::for_each_attribute(given, [&](const char*, auto& value) { attribute_reader.into(value); });

  dcn::TensorInfo inputs[dcn::kInputCount];
  Reader reader{tensors};
  for (dcn::TensorInfo& tensor : inputs) {
    tensor.dtype_name = *dtype_names++;
    tensor.present = reader.scalar() != 0;
    if (!tensor.present) continue;
    tensor.dtype = static_cast<dcn::DType>(reader.scalar());
    tensor.rank_known = reader.scalar() != 0;
    tensor.shape = reader.list();
  }
  return dcn::check(given, inputs, problem);
}

// Calls `f`, which returns a status, and writes its message, or that of an exception. 0: no message.
template <class F>
int reporting(char* message, size_t capacity, F&& f) {
  const std::string refusal = [&] {
    try {
      return f().message;
    } catch (const std::exception& e) {
      return std::string(e.what());
    }
  }();
  if (refusal.empty()) return 0;
  if (capacity > 0) {
    std::strncpy(message, refusal.c_str(), capacity - 1);
    message[capacity - 1] = '\0';
  }
  return 1;
}

}  // namespace

// JSON: domain, op, version, attributes {name: default} in order, inputs, dtypes, output_shape
// ([tensor, dim] pairs), instruction_set, cuda_architectures.
DCN_EXPORT const char* dcn_deploy_contract() {
  static const std::string text = [] {
    std::ostringstream out;
    out << "{\"domain\":\"" << dcn::kDomain << "\",\"op\":\"" << dcn::kOpName
        << "\",\"version\":" << dcn::kOpVersion << ",\"attributes\":{";
    const char* comma = "";
    const dcn::Attributes defaults;
    dcn::for_each_attribute(defaults, [&](const char* name, const auto& value) {
      out << comma << '"' << name << "\":";
      write_value(out, value);
      comma = ",";
    });
    out << "},\"inputs\":[";
    for (int i = 0; i < dcn::kInputCount; ++i)
      out << (i ? "," : "") << '"' << dcn::kInputNames[i] << '"';
    out << "],\"dtypes\":[";
    for (int i = 1; i <= static_cast<int>(dcn::DType::kFloat64); ++i)
      out << (i > 1 ? "," : "") << '"' << dcn::name_of(static_cast<dcn::DType>(i)) << '"';
    out << "],\"output_shape\":[";
    for (int i = 0; i < 4; ++i)
      out << (i ? "," : "") << '[' << dcn::kOutputShape[i].tensor << ',' << dcn::kOutputShape[i].dim
          << ']';
    out << "],\"instruction_set\":\"" << dcn::cpu::instruction_set() << "\",\"cuda_architectures\":\""
        << dcn::cuda::architectures() << "\"}";
    return out.str();
  }();
  return text.c_str();
}

// `attributes`: for each, in contract order, its value, or its count and its values.
// `tensors`: for each input, 0 if absent, else 1, dtype (0 unknown, 1.. as listed in the contract),
// rank known (0/1), count of dims and dims (-1 unknown).
// `dtype_names`: for each input, what the message shall call its dtype.
// Returns 0 and leaves `message` alone, or 1 and writes a message of at most `capacity` bytes.
DCN_EXPORT int dcn_deploy_check(const int64_t* attributes, const int64_t* tensors,
                                const char* const* dtype_names, char* message, size_t capacity) {
  return reporting(message, capacity, [&] {
    dcn::Problem problem;
    return check(attributes, tensors, dtype_names, &problem);
  });
}

// Which CUDA kernels the problem takes, for a host that computes float32 exactly: cuda::path(). Takes
// what dcn_deploy_check() takes. Empty if that depends on a size that is not known; null, with a message,
// if the problem is refused.
DCN_EXPORT const char* dcn_deploy_cuda_path(const int64_t* attributes, const int64_t* tensors,
                                            const char* const* dtype_names, char* message,
                                            size_t capacity) {
  dcn::Problem problem;
  const int refused =
      reporting(message, capacity, [&] { return check(attributes, tensors, dtype_names, &problem); });
  if (refused) return nullptr;
  for (int64_t size : {problem.in_channels, problem.out_channels, problem.kernel_h, problem.kernel_w})
    if (size == dcn::kUnknownDim) return "";
  return dcn::cuda::path(problem, {});
}

// Nanoseconds that all threads together have spent in each phase of the CPU kernels since the library
// was loaded. Fills at most `capacity` elements of both arrays and returns how many phases there are:
// none unless the environment variable DCN_DEPLOY_PHASES was set when the kernels first ran.
DCN_EXPORT int dcn_deploy_phases(const char** names, int64_t* nanoseconds, int capacity) {
  using namespace dcn::cpu;
  if (!counts_phases()) return 0;
  for (int i = 0; i < kPhaseCount && i < capacity; ++i) {
    names[i] = kPhaseNames[i];
    nanoseconds[i] = nanoseconds_in(static_cast<Phase>(i));
  }
  return kPhaseCount;
}
