// Stands for the CUDA kernels in a build without them: every call is answered with what was missing and
// what to do about it.
#include "deform_conv.h"
#include "device_memory.h"

namespace dcn::cuda {
namespace {

Status absent() {
  return {"this build has no CUDA kernels: " DCN_CUDA_MISSING ", then install dcn_deploy again"};
}

}  // namespace

const char* architectures() {
  return "";
}

size_t packed_weight_bytes(const Problem&, const Options&) {
  return 0;
}

Status pack_weight(const Problem&, const Options&, const void*, void*, CUstream_st*) {
  return absent();
}

size_t workspace_bytes(const Problem&, const Options&) {
  return 0;
}

size_t backward_workspace_bytes(const Problem&, const Options&) {
  return 0;
}

Status forward(const Problem&, const ForwardArgs&, const Options&, void*, CUstream_st*) {
  return absent();
}

Status backward(const Problem&, const BackwardArgs&, const Options&, void*, CUstream_st*) {
  return absent();
}

Status allocate(size_t, void** memory) {
  *memory = nullptr;
  return absent();
}

void release(void*) noexcept {}

Status run_on_own_stream(const std::function<Status(CUstream_st*)>&) {
  return absent();
}

bool is_capturing(CUstream_st*) {
  return false;
}

CurrentDevice::CurrentDevice(int) {}

CurrentDevice::~CurrentDevice() = default;

}  // namespace dcn::cuda
