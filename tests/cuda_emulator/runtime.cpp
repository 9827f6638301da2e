// The runtime's functions, except those about launches. Device memory is ordinary memory, which begins
// as NaN.
#include <cuda_runtime.h>

#include <cstdlib>
#include <cstring>

#include "capture.h"
#include "device.h"

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess: return "no error";
    case cudaErrorInvalidValue: return "invalid argument";
    case cudaErrorMemoryAllocation: return "out of memory";
    case cudaErrorInvalidConfiguration: return "invalid configuration argument";
    case cudaErrorNoDevice: return "no CUDA-capable device is detected";
    case cudaErrorInvalidDevice: return "invalid device ordinal";
    case cudaErrorNoKernelImageForDevice:
      return "no kernel image is available for execution on the device";
  }
  return "unknown error";
}

cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return emulator::device.next_error == cudaErrorNoDevice ? cudaErrorNoDevice : cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (device != 0) return cudaErrorInvalidDevice;
  *properties = {"Emulated GPU", emulator::device.major, emulator::device.minor,
                 emulator::device.processors};
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  if (device != 0) return cudaErrorInvalidDevice;
  switch (attribute) {
    case cudaDevAttrMultiProcessorCount: *value = emulator::device.processors; break;
    case cudaDevAttrComputeCapabilityMajor: *value = emulator::device.major; break;
    case cudaDevAttrComputeCapabilityMinor: *value = emulator::device.minor; break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = emulator::max_shared_bytes(); break;
    default: return cudaErrorInvalidValue;
  }
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** memory, size_t bytes) {
  constexpr size_t kAlignment = 256;
  emulator::forbid_in_capture("cudaMalloc");
  ++emulator::device.stalls;
  *memory = nullptr;
  if (bytes == 0) return cudaSuccess;
  if (posix_memalign(memory, kAlignment, bytes) != 0) return cudaErrorMemoryAllocation;
  std::memset(*memory, 0xff, bytes);
  return cudaSuccess;
}

cudaError_t cudaFree(void* memory) {
  emulator::forbid_in_capture("cudaFree");
  ++emulator::device.stalls;
  std::free(memory);
  return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void* memory, int value, size_t bytes, cudaStream_t stream) {
  if (emulator::captured([=] { cudaMemsetAsync(memory, value, bytes, stream); })) return cudaSuccess;
  const std::lock_guard<std::mutex> lock(emulator::one_at_a_time);
  const cudaError_t error = emulator::enqueue(stream);
  if (error == cudaSuccess) std::memset(memory, value, bytes);
  return error;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  if (emulator::captured([=] { cudaMemcpyAsync(to, from, bytes, kind, stream); })) return cudaSuccess;
  const std::lock_guard<std::mutex> lock(emulator::one_at_a_time);
  const cudaError_t error = emulator::enqueue(stream);
  if (error == cudaSuccess) std::memcpy(to, from, bytes);
  return error;
}

cudaError_t cudaStreamSynchronize(cudaStream_t) {
  ++emulator::device.stalls;
  return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize() {
  ++emulator::device.stalls;
  return cudaSuccess;
}
