// Runs the blocks of a kernel one after the other, in random order, before the launch returns. The
// limits of a launch are those of the device.
#include <cuda_runtime.h>

#include <map>
#include <utility>

#include "capture.h"
#include "device.h"
#include "random.h"
#include "scheduler.h"
#include "shared_memory.h"

namespace emulator {
namespace {

constexpr unsigned kMaxThreads = 1024, kMaxGridYZ = 65535;
constexpr int kUnaskedSharedBytes = 48 << 10;

std::map<const void*, int> allowed_shared_bytes;

bool fits(const cudaLaunchConfig_t& config) {
  const dim3 &grid = config.gridDim, &block = config.blockDim;
  const uint64_t threads = uint64_t{block.x} * block.y * block.z;
  return grid.x > 0 && grid.y > 0 && grid.z > 0 && grid.x <= INT32_MAX && grid.y <= kMaxGridYZ &&
         grid.z <= kMaxGridYZ && threads > 0 && threads <= kMaxThreads;
}

cudaError_t last_error = cudaSuccess;

cudaError_t checked_launch(const cudaLaunchConfig_t& config, const void* kernel,
                           const std::function<void()>& thread) {
  if (!fits(config)) return cudaErrorInvalidConfiguration;
  const auto allowed = allowed_shared_bytes.find(kernel);
  const int bytes = allowed == allowed_shared_bytes.end() ? kUnaskedSharedBytes : allowed->second;
  if (config.dynamicSmemBytes > static_cast<size_t>(bytes)) return cudaErrorInvalidValue;
  const cudaError_t error = enqueue(config.stream);
  if (error != cudaSuccess) return error;
  const dim3& grid = config.gridDim;
  gridDim = grid;
  blockDim = config.blockDim;
  for (uint64_t i : shuffled_numbers(uint64_t{grid.x} * grid.y * grid.z)) {
    blockIdx = dim3(static_cast<unsigned>(i % grid.x), static_cast<unsigned>(i / grid.x % grid.y),
                    static_cast<unsigned>(i / grid.x / grid.y));
    begin_shared_memory(config.dynamicSmemBytes);
    run_block(config, thread);
  }
  return cudaSuccess;
}

}  // namespace

cudaError_t launch(const cudaLaunchConfig_t& config, const void* kernel,
                   const std::function<void()>& thread) {
  if (captured([=] { launch(config, kernel, thread); })) return cudaSuccess;
  const std::lock_guard<std::mutex> lock(one_at_a_time);
  const cudaError_t error = checked_launch(config, kernel, thread);
  if (error != cudaSuccess) last_error = error;
  return error;
}

}  // namespace emulator

cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute, int value) {
  const std::lock_guard<std::mutex> lock(emulator::one_at_a_time);
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 ||
      value > emulator::max_shared_bytes())
    return emulator::last_error = cudaErrorInvalidValue;
  emulator::allowed_shared_bytes[kernel] = value;
  return cudaSuccess;
}

cudaError_t cudaPeekAtLastError() {
  return emulator::last_error;
}

cudaError_t cudaGetLastError() {
  return std::exchange(emulator::last_error, cudaSuccess);
}
