// The host's logger and its finder are objects of the host, and their layout depends on the version of
// the host, not on the headers of this build: from TensorRT 11 and TensorRT-RTX 1.5 on they derive from
// IVersionedInterface, whose virtual functions (two, and two entries for the destructor) come before
// theirs. A call by the wrong layout ends the process, so the host is asked for its version first, and
// the functions are taken from their places in the vtables: a class declared for that purpose, from
// which nothing derives here, would let the compiler conclude that nothing ever does.
#include "messages.h"

#include <dlfcn.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <optional>

namespace dcn::trt {
namespace {

constexpr int32_t kSeverityError = 1, kSeverityVerbose = 4;
using FindLogger = void* (*)(void* finder);
using Log = void (*)(void* logger, int32_t severity, const char* message);

// In the C++ ABI of Linux an object begins with the address of its vtable, and a member function takes
// the object as its first argument.
template <class Function>
Function function_at(int slot, void* object) {
  return reinterpret_cast<Function>((*static_cast<void***>(object))[slot]);
}

// The only function of its own that a logger has, and a finder: where in the vtable. `version` is
// 10000 * major + 100 * minor + patch.
std::optional<int> slot_in(int32_t version) {
  constexpr int kFirst = 0, kAfterVersionedInterface = 4;
  const int32_t major = version / 10000, minor = version / 100 % 100;
  if (major >= 11 || (major == 1 && minor >= 5)) return kAfterVersionedInterface;
  if (major == 10 || major == 1) return kFirst;
  return {};
}

// The host is the library that the finder's vtable lies in.
std::optional<int> slot_of(void* finder) {
  Dl_info info{};
  if (!dladdr(*static_cast<void**>(finder), &info) || !info.dli_fname) return {};
  void* library = dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
  if (!library) return {};
  const auto version = reinterpret_cast<int32_t (*)()>(dlsym(library, "getInferLibVersion"));
  const std::optional<int> slot = version ? slot_in(version()) : std::nullopt;
  dlclose(library);
  return slot;
}

std::atomic<void*> logger_finder{nullptr};

bool log_to_host(int32_t severity, const char* message) {
  void* finder = logger_finder;
  if (!finder) return false;
  const std::optional<int> slot = slot_of(finder);
  if (!slot) return false;
  void* logger = function_at<FindLogger>(*slot, finder)(finder);
  if (!logger) return false;
  function_at<Log>(*slot, logger)(logger, severity, message);
  return true;
}

}  // namespace

void set_logger_finder(void* finder) {
  logger_finder = finder;
}

void log_error(const std::string& message) {
  if (!log_to_host(kSeverityError, message.c_str()))
    std::fprintf(stderr, "[dcn_deploy] %s\n", message.c_str());
}

void log_verbose(const std::string& message) {
  log_to_host(kSeverityVerbose, message.c_str());
}

std::string about(const char* node) {
  return *node ? std::string("deformable convolution '") + node + "': " : "deformable convolution: ";
}

}  // namespace dcn::trt
