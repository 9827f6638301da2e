#include "device.h"

namespace dcn::cuda {
namespace {

constexpr char kArchitectures[] = DCN_CUDA_ARCHITECTURES;  // "sm_80, sm_90"

std::string device_text() {
  int device = 0;
  cudaDeviceProp properties;
  if (const cudaError_t error = cudaGetDevice(&device); error != cudaSuccess)
    return std::string("there is no CUDA device to run on: ") + cudaGetErrorString(error);
  if (const cudaError_t error = cudaGetDeviceProperties(&properties, device); error != cudaSuccess)
    return "CUDA device " + std::to_string(device) + " does not answer: " + cudaGetErrorString(error);
  return std::string("the device is ") + properties.name + " (sm_" + std::to_string(properties.major) +
         std::to_string(properties.minor) + ")";
}

}  // namespace

const char* architectures() {
  return kArchitectures;
}

Status status_of(cudaError_t error) {
  if (error == cudaSuccess) return {};
  return {std::string("CUDA could not run the kernel: ") + cudaGetErrorString(error) + "; " +
          device_text() + "; this build has kernels for " + kArchitectures};
}

cudaError_t has_tensor_cores(bool* answer) {
  int device = 0, major = 0;
  cudaError_t error = cudaGetDevice(&device);
  if (error == cudaSuccess)
    error = cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
  *answer = major >= 8;
  return error;
}

}  // namespace dcn::cuda
