#include <cuda_runtime.h>

#include "device.h"
#include "device_memory.h"

namespace dcn::cuda {
namespace {

// While a thread captures a CUDA graph in the usual mode, any thread's allocation spoils the capture,
// unless it declares, as this does, that it has nothing to do with it.
class NoPartOfCaptures {
 public:
  NoPartOfCaptures() { cudaThreadExchangeStreamCaptureMode(&mode_); }
  ~NoPartOfCaptures() { cudaThreadExchangeStreamCaptureMode(&mode_); }

 private:
  cudaStreamCaptureMode mode_ = cudaStreamCaptureModeRelaxed;
};

}  // namespace

Status allocate(size_t bytes, void** memory) {
  const NoPartOfCaptures scope;
  *memory = nullptr;
  return bytes ? status_of(cudaMalloc(memory, bytes)) : Status{};
}

void release(void* memory) noexcept {
  if (!memory) return;
  const NoPartOfCaptures scope;
  cudaFree(memory);  // an error is an earlier one's, or the process ends
}

Status run_on_own_stream(const std::function<Status(CUstream_st* stream)>& work) {
  const NoPartOfCaptures scope;
  cudaStream_t stream = nullptr;
  if (const cudaError_t error = cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking))
    return status_of(error);
  Status status = work(stream);
  const cudaError_t finished = cudaStreamSynchronize(stream);
  if (status.ok()) status = status_of(finished);
  cudaStreamDestroy(stream);
  return status;
}

bool is_capturing(CUstream_st* stream) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  return cudaStreamIsCapturing(stream, &status) != cudaSuccess || status != cudaStreamCaptureStatusNone;
}

CurrentDevice::CurrentDevice(int device) {
  int before = -1;
  if (cudaGetDevice(&before) != cudaSuccess || before == device) return;
  if (cudaSetDevice(device) == cudaSuccess) before_ = before;
}

CurrentDevice::~CurrentDevice() {
  if (before_ >= 0) cudaSetDevice(before_);
}

}  // namespace dcn::cuda
