// The library's entry: what onnxruntime calls in register_custom_ops_library().
#include <cstdio>
#include <deque>
#include <map>
#include <mutex>
#include <vector>

#include "custom_op.h"

namespace dcn::ort {
namespace {

constexpr Face kOwn{kDomain, kOpName, kOpVersion};
// Registered on request only: it replaces the host's own operator in the whole session.
constexpr Face kStandard{"", "DeformConv", 19};
#if defined(DCN_EMULATED)  // tests take the CPU for a GPU
constexpr Provider kCpu{nullptr, kCudaApiVersion, make_cuda_kernel};
#else
constexpr Provider kCpu{nullptr, kApiVersion, make_cpu_kernel};
#endif
constexpr Provider kCuda{"CUDAExecutionProvider", kCudaApiVersion, make_cuda_kernel};
constexpr char kOverrideKey[] = "dcn_deploy.override";

bool is_at_least(const OrtApiBase& host, int wanted_major, uint32_t wanted_minor) {
  int major = 0;
  unsigned minor = 0;
  std::sscanf(host.GetVersionString(), "%d.%u", &major, &minor);
  return major > wanted_major || (major == wanted_major && minor >= wanted_minor);
}

// Before 1.24 the host reads the type of every input for the shape callback's sake, and crashes at an
// absent one that is not the last.
bool infers_shapes(const OrtApiBase& host) {
  return is_at_least(host, 1, 24);
}

// On CUDA only where there is something to run: in a build without kernels, and on a host that lends no
// scratch memory in the order of its streams (host.h), nodes stay on the CPU, whatever the session's
// providers. That a host has no such provider is no matter: no node ever comes to it.
std::vector<const Provider*> providers(const OrtApiBase& host) {
  // An API that the host lacks is not asked for: it would complain on standard error.
  if (*cuda::architectures() && is_at_least(host, 1, kCudaApiVersion)) return {&kCpu, &kCuda};
  return {&kCpu};
}

// A face with all its dtypes on all its providers, as one host knows it.
class Domain {
 public:
  Domain(const OrtApiBase& host, const OrtApi& api, const Face& face) {
    require(api, api.CreateCustomOpDomain(face.domain, &domain_));
    for (const Provider* provider : providers(host))
      for (const auto& entry : kDTypes)
        require(api,
                api.CustomOpDomain_Add(
                    domain_, &ops_.emplace_back(*host.GetApi(provider->api_version), face, *provider,
                                                entry.element_type, infers_shapes(host))));
  }
  OrtCustomOpDomain* get() const { return domain_; }

 private:
  OrtCustomOpDomain* domain_ = nullptr;
  std::deque<CustomOp> ops_;  // the domain keeps their addresses
};

struct Registration {
  Registration(const OrtApiBase& host, const OrtApi& api)
      : own(host, api, kOwn), standard(host, api, kStandard) {}
  Domain own, standard;
};

// Made once for each copy of onnxruntime in the process. Sessions refer to it for as long as they
// live, some beyond the end of main: it is never destroyed.
const Registration& registration(const OrtApiBase& host, const OrtApi& api) {
  static std::mutex mutex;
  static auto& all = *new std::map<const OrtApi*, Registration>;
  const std::lock_guard<std::mutex> lock(mutex);
  return all.try_emplace(&api, host, api).first->second;
}

bool override_wanted(const OrtApi& api, const OrtSessionOptions* options) {
  int exists = 0;
  require(api, api.HasSessionConfigEntry(options, kOverrideKey, &exists));
  if (!exists) return false;
  char value[2] = {};
  size_t size = sizeof value;
  if (succeeded(api, api.GetSessionConfigEntry(options, kOverrideKey, value, &size))) {
    if (value[0] == '1') return true;
    if (value[0] == '0') return false;
  }
  throw Error(ORT_INVALID_ARGUMENT,
              std::string("session config entry ") + kOverrideKey + " must be \"0\" or \"1\"");
}

}  // namespace
}  // namespace dcn::ort

extern "C" __attribute__((visibility("default"))) OrtStatus* ORT_API_CALL
RegisterCustomOps(OrtSessionOptions* options, const OrtApiBase* host) {
  using namespace dcn::ort;
  const OrtApi* api = host->GetApi(kApiVersion);
  if (!api)
    return host->GetApi(1)->CreateStatus(ORT_NOT_IMPLEMENTED,
                                         (std::string("dcn_deploy needs onnxruntime ") + kOldestHost +
                                          " or newer, this is " + host->GetVersionString())
                                             .c_str());
  return guarded(*api, [&] {
    const Registration& all = registration(*host, *api);
    require(*api, api->AddCustomOpDomain(options, all.own.get()));
    if (override_wanted(*api, options))
      require(*api, api->AddCustomOpDomain(options, all.standard.get()));
  });
}
