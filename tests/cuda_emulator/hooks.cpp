// What tests change about the emulated device, and ask of it; found by name in the library under test.
#include "device.h"
#include "random.h"

#define EMULATOR_EXPORT extern "C" __attribute__((visibility("default")))

// Whatever is enqueued from now on answers `error` and does nothing; 0: runs again.
EMULATOR_EXPORT void emulator_fail(int error) {
  emulator::device.next_error = static_cast<cudaError_t>(error);
}

// The device from now on, e.g. 7, 5 for sm_75.
EMULATOR_EXPORT void emulator_set_device(int major, int minor, int processors) {
  emulator::device.major = major;
  emulator::device.minor = minor;
  emulator::device.processors = processors;
}

// Another order of blocks, warps and lanes; 0 is taken as 1.
EMULATOR_EXPORT void emulator_seed(uint64_t seed) {
  emulator::random_state = seed ? seed : 1;
}

EMULATOR_EXPORT void* emulator_last_stream() {
  return emulator::device.last_stream;
}

// Kernels, copies and fills so far.
EMULATOR_EXPORT int64_t emulator_launches() {
  int64_t count = 0;
  for (const auto& [stream, enqueued] : emulator::device.enqueued) count += enqueued;
  return count;
}

// Those of one stream.
EMULATOR_EXPORT int64_t emulator_launches_on(void* stream) {
  const auto found = emulator::device.enqueued.find(static_cast<cudaStream_t>(stream));
  return found == emulator::device.enqueued.end() ? 0 : found->second;
}

// Calls so far that no CUDA graph could hold, because they allocate or wait.
EMULATOR_EXPORT int64_t emulator_stalls() {
  return emulator::device.stalls;
}
