#include "capture.h"

#include <cuda_runtime.h>

#include <atomic>
#include <utility>
#include <vector>

#include "fail.h"

namespace emulator {
namespace {

std::atomic<bool> capturing{false};
std::vector<std::function<void()>> graph;
thread_local cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;

}  // namespace

bool captured(std::function<void()> work) {
  if (capturing) graph.push_back(std::move(work));
  return capturing;
}

void forbid_in_capture(const char* function) {
  if (capturing && mode != cudaStreamCaptureModeRelaxed)
    fail("%s while a CUDA graph is being captured", function);
}

}  // namespace emulator

// One thing runs after the other here: there is nothing to wait for, and no other device.
cudaError_t cudaSetDevice(int device) {
  return device == 0 ? cudaSuccess : cudaErrorInvalidDevice;
}

// An address that nothing else has.
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = reinterpret_cast<cudaStream_t>(new char);
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete reinterpret_cast<char*>(stream);
  return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t, cudaStreamCaptureStatus* status) {
  *status = emulator::capturing ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
  return cudaSuccess;
}

cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  std::swap(*mode, emulator::mode);
  return cudaSuccess;
}

#define EMULATOR_EXPORT extern "C" __attribute__((visibility("default")))

// From now on, on every stream; the graph before is forgotten.
EMULATOR_EXPORT void emulator_begin_capture() {
  emulator::graph.clear();
  emulator::capturing = true;
}

EMULATOR_EXPORT void emulator_end_capture() {
  emulator::capturing = false;
}

EMULATOR_EXPORT void emulator_replay() {
  for (const auto& work : emulator::graph) work();
}
