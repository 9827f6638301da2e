// The GPU that the emulator plays, and what tests may change about it and ask of it.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <map>
#include <mutex>

namespace emulator {

struct Device {
  int major = 9, minor = 0;
  int processors = 4;
  cudaError_t next_error = cudaSuccess;  // what whatever is enqueued shall answer instead of running

  std::map<cudaStream_t, int64_t> enqueued;  // kernels, copies and fills so far, by stream
  cudaStream_t last_stream = nullptr;
  int64_t stalls = 0;  // calls that allocate or wait: no CUDA graph could hold them
};
inline Device device;

// The most shared memory that a kernel may ask for.
inline int max_shared_bytes() {
  const int capability = device.major * 10 + device.minor;
  if (capability < 80) return 64 << 10;
  if (capability == 80 || capability == 87) return 163 << 10;
  return capability < 90 || device.major == 12 ? 99 << 10 : 227 << 10;
}

// Hosts may enqueue from several threads: held by whatever runs.
inline std::mutex one_at_a_time;

// Of what is enqueued now: whether it runs.
inline cudaError_t enqueue(cudaStream_t stream) {
  if (device.next_error != cudaSuccess) return device.next_error;
  ++device.enqueued[stream];
  device.last_stream = stream;
  return cudaSuccess;
}

}  // namespace emulator
