// Runs CUDA kernels on the CPU, to find what a GPU would show only sometimes.
//
// Blocks run one after the other, in random order. The threads of a block are fibres, of which one runs
// at a time: warps take turns in random order, and a thread runs until it ends or waits at a barrier,
// as far ahead of the others as the program lets it. Shared memory begins each block as NaN, and
// AddressSanitizer is told where it ends; device memory is ordinary memory, which it watches anyway. So
// a missing barrier shows as a wrong or unwritten result, and a stray access ends the program.
#include <cuda_runtime.h>
#include <ucontext.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <numeric>
#include <random>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace dcn::cuda {
constexpr size_t kSharedBytes = 227 << 10;  // what the largest GPUs have
alignas(1024) unsigned char shared_memory[kSharedBytes];
}  // namespace dcn::cuda

namespace emulator {
namespace {

constexpr size_t kStackBytes = 128 << 10;
constexpr unsigned kWarp = 32, kMaxThreads = 1024, kMaxGridYZ = 65535;
constexpr size_t kMaxSharedBytes = 48 << 10;  // more is to be asked for beforehand

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "CUDA emulator: %s\n", what);
  std::abort();
}

// A stack that runs, and the way to another one. AddressSanitizer must be told of each change.
struct Context {
  ucontext_t registers;
  void* bottom = nullptr;  // of the scheduler's stack: found out when it is left
  size_t size = 0;
#if defined(__SANITIZE_ADDRESS__)
  void* fake_stack = nullptr;
#endif
};

Context scheduler;

void arrived_from(Context* left) {
#if defined(__SANITIZE_ADDRESS__)
  const void* bottom = nullptr;
  size_t size = 0;
  __sanitizer_finish_switch_fiber(nullptr, &bottom, &size);
  if (left == &scheduler) {
    scheduler.bottom = const_cast<void*>(bottom);
    scheduler.size = size;
  }
#else
  (void)left;
#endif
}

void switch_to(Context* from, Context* to) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&from->fake_stack, to->bottom, to->size);
#endif
  swapcontext(&from->registers, &to->registers);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(from->fake_stack, nullptr, nullptr);
#endif
}

enum class State { kReady, kWaiting, kDone };

struct Thread {
  Context context;
  std::unique_ptr<char[]> stack{new char[kStackBytes]};
  dim3 index;
  State state = State::kDone;
  int line = 0;  // of the barrier where it waits
};

std::vector<std::unique_ptr<Thread>> threads;  // kept from block to block: a fibre runs many threads
Thread* running = nullptr;
const std::function<void()>* body = nullptr;

void pause(State state) {
  running->state = state;
  switch_to(&running->context, &scheduler);
}

void run_threads() {
  arrived_from(&scheduler);
  for (;;) {
    (*body)();
    pause(State::kDone);
  }
}

Thread* thread_at(size_t i) {
  while (threads.size() <= i) {
    auto thread = std::make_unique<Thread>();
    thread->context.bottom = thread->stack.get();
    thread->context.size = kStackBytes;
    getcontext(&thread->context.registers);
    thread->context.registers.uc_stack.ss_sp = thread->stack.get();
    thread->context.registers.uc_stack.ss_size = kStackBytes;
    makecontext(&thread->context.registers, run_threads, 0);
    threads.push_back(std::move(thread));
  }
  return threads[i].get();
}

void resume(Thread* thread) {
  running = thread;
  threadIdx = thread->index;
  switch_to(&scheduler, &thread->context);
}

std::mt19937 random(1);

template <class T>
std::vector<T> shuffled(T count) {
  std::vector<T> order(count);
  std::iota(order.begin(), order.end(), T(0));
  std::shuffle(order.begin(), order.end(), random);
  return order;
}

void begin_shared_memory(size_t bytes) {
  unsigned char* memory = dcn::cuda::shared_memory;
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(memory, dcn::cuda::kSharedBytes);
#endif
  std::memset(memory, 0xff, dcn::cuda::kSharedBytes);
#if defined(__SANITIZE_ADDRESS__)
  __asan_poison_memory_region(memory + bytes, dcn::cuda::kSharedBytes - bytes);
#else
  (void)bytes;
#endif
}

// Every thread as far as the next barrier; false when all have ended.
bool advance(unsigned count) {
  for (unsigned warp : shuffled((count + kWarp - 1) / kWarp))
    for (unsigned i = warp * kWarp; i < std::min(count, (warp + 1) * kWarp); ++i)
      if (threads[i]->state == State::kReady) resume(threads[i].get());
  const Thread& first = *threads[0];
  for (unsigned i = 0; i < count; ++i) {
    if (threads[i]->state != first.state)
      fail("some threads wait at a barrier that others never reach");
    if (first.state == State::kWaiting && threads[i]->line != first.line)
      fail("threads of a block wait at different barriers");
  }
  if (first.state == State::kDone) return false;
  for (unsigned i = 0; i < count; ++i) threads[i]->state = State::kReady;
  return true;
}

void run_block(const cudaLaunchConfig_t& config) {
  begin_shared_memory(config.dynamicSmemBytes);
  const dim3& block = config.blockDim;
  const unsigned count = block.x * block.y * block.z;
  for (unsigned i = 0; i < count; ++i) {
    Thread* thread = thread_at(i);
    thread->index = dim3(i % block.x, i / block.x % block.y, i / block.x / block.y);
    thread->state = State::kReady;
  }
  while (advance(count)) {
  }
}

// What the next launches shall answer, and what the last one was given.
cudaError_t next_error = cudaSuccess;
cudaStream_t last_stream = nullptr;
int64_t launches = 0;

}  // namespace

cudaError_t launch(const cudaLaunchConfig_t& config, const std::function<void()>& thread) {
  const dim3 &grid = config.gridDim, &block = config.blockDim;
  const uint64_t threads_of_block = uint64_t{block.x} * block.y * block.z;
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > INT32_MAX || grid.y > kMaxGridYZ ||
      grid.z > kMaxGridYZ || threads_of_block == 0 || threads_of_block > kMaxThreads)
    return cudaErrorInvalidConfiguration;
  if (config.dynamicSmemBytes > kMaxSharedBytes) return cudaErrorInvalidValue;
  if (next_error != cudaSuccess) return next_error;
  last_stream = config.stream;
  ++launches;
  body = &thread;
  gridDim = grid;
  blockDim = block;
  for (uint64_t i : shuffled(uint64_t{grid.x} * grid.y * grid.z)) {
    blockIdx = dim3(static_cast<unsigned>(i % grid.x), static_cast<unsigned>(i / grid.x % grid.y),
                    static_cast<unsigned>(i / grid.x / grid.y));
    run_block(config);
  }
  return cudaSuccess;
}

void barrier(int line) {
  running->line = line;
  pause(State::kWaiting);
}

}  // namespace emulator

// ---- the runtime's functions ----------------------------------------------------------------

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess: return "no error";
    case cudaErrorInvalidValue: return "invalid argument";
    case cudaErrorInvalidConfiguration: return "invalid configuration argument";
    case cudaErrorNoDevice: return "no CUDA-capable device is detected";
    case cudaErrorNoKernelImageForDevice:
      return "no kernel image is available for execution on the device";
  }
  return "unknown error";
}

cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return emulator::next_error == cudaErrorNoDevice ? cudaErrorNoDevice : cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  *properties = {"Emulated GPU", 6, 1};
  return cudaSuccess;
}

// ---- for tests ------------------------------------------------------------------------------

#define EMULATOR_EXPORT extern "C" __attribute__((visibility("default")))

// Every launch from now on answers `error` and runs nothing; 0: runs again.
EMULATOR_EXPORT void emulator_fail(int error) {
  emulator::next_error = static_cast<cudaError_t>(error);
}

EMULATOR_EXPORT void* emulator_last_stream() {
  return emulator::last_stream;
}

EMULATOR_EXPORT int64_t emulator_launches() {
  return emulator::launches;
}
