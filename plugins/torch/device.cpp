// The library is built once for torch 2.10 and all that follow, with CUDA or without: functions that
// are newer, or that only a torch with CUDA has, are looked up when the first CUDA tensor arrives.
#include "device.h"

#include <dlfcn.h>

namespace dcn::torch_op {
namespace {

using DeviceIndex = torch::stable::accelerator::DeviceIndex;
using NativeHandle = AOTITorchError (*)(StreamHandle stream, void** handle);
using CurrentCudaStream = AOTITorchError (*)(int32_t device, void** stream);

template <class Function>
Function find(const char* library, const char* name) {
  void* handle = library ? dlopen(library, RTLD_LAZY | RTLD_NOLOAD) : RTLD_DEFAULT;
  return !library || handle ? reinterpret_cast<Function>(dlsym(handle, name)) : nullptr;
}

CUstream_st* current_stream(DeviceIndex device) {
  // From torch 2.13 on, for any accelerator; before, from the library of CUDA's half.
  static const auto native_handle = find<NativeHandle>(nullptr, "torch_stream_native_handle");
  static const auto current_cuda_stream =
      find<CurrentCudaStream>("libtorch_cuda.so", "aoti_torch_get_current_cuda_stream");
  void* stream = nullptr;
  if (native_handle) {
    StreamHandle handle = nullptr;
    TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_stream(device, &handle));
    const torch::stable::accelerator::Stream owner(handle);
    TORCH_ERROR_CODE_CHECK(native_handle(handle, &stream));
  } else if (current_cuda_stream) {
    TORCH_ERROR_CODE_CHECK(current_cuda_stream(device, &stream));
  } else {
    refuse(
        "this torch does not tell its current CUDA stream; expected a build of torch >= 2.10 with "
        "CUDA");
  }
  return static_cast<CUstream_st*>(stream);
}

}  // namespace

bool is_on_cuda(const Tensor& tensor) {
  return tensor.is_cuda();
}

CurrentStream::CurrentStream(const Tensor& tensor) {
  const DeviceIndex device = tensor.get_device_index();
  guard_.emplace(device);
  stream_ = current_stream(device);
}

}  // namespace dcn::torch_op
