// usage: misuse NAME
//
// Runs a kernel that does what none may. The emulator, or AddressSanitizer, ends the program.
#include <cuda_runtime.h>

#include <cstdio>
#include <cstring>

#include "run_kernel.h"
#include "warp.h"

extern "C" void emulator_set_device(int major, int minor, int processors);

namespace dcn::cuda {

alignas(16) float global_memory[64];

// The block has shared memory for 32 of them.
#define SHARED_FLOATS                                                      \
  extern __shared__ __align__(16) unsigned char shared_memory[];           \
  [[maybe_unused]] auto* values = reinterpret_cast<float*>(shared_memory); \
  [[maybe_unused]] const int thread = static_cast<int>(threadIdx.x)

__global__ void stray(float* out) {
  SHARED_FLOATS;
  values[thread + 1] = 1;
  __syncthreads();
  out[thread] = values[thread];
}

__global__ void different_barriers(float*) {
  if (threadIdx.x % 2) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}

__global__ void early_end(float*) {
  if (threadIdx.x == 5) return;
  __syncthreads();
}

__global__ void missing_lane(float* out) {
  if (threadIdx.x == 31) return;
  out[threadIdx.x] = shuffle_xor(out[threadIdx.x], 1);
}

__global__ void lane_elsewhere(float*) {
  if (threadIdx.x < 16) {
    sync_warp();
  } else {
    sync_warp();
  }
}

__global__ void lane_at_barrier(float*) {
  if (threadIdx.x < 16) sync_warp();
  __syncthreads();
}

__global__ void short_warp(float*) {
  sync_warp();
}

__global__ void copy_to_misaligned(float* in) {
  SHARED_FLOATS;
  copy_async(values + 1, in, true);
}

__global__ void copy_from_misaligned(float* in) {
  SHARED_FLOATS;
  copy_async(values, in + 1, true);
}

__global__ void copy_beyond(float* in) {
  SHARED_FLOATS;
  copy_async(values + 32, in, true);
}

__global__ void copy_to_elsewhere(float* in) {
  copy_async(in + 32, in, true);
}

__global__ void copy_from_beyond(float* in) {
  SHARED_FLOATS;
  copy_async(values, in + 64, true);
}

__global__ void end_before_copy(float* in) {
  SHARED_FLOATS;
  copy_async(values, in, true);
  commit_copies();
}

__global__ void load_misaligned(float*) {
  SHARED_FLOATS;
  uint32_t d[4];
  load_matrices(d, values + 1);
}

__global__ void load_beyond(float*) {
  SHARED_FLOATS;
  uint32_t d[4];
  load_matrices_transposed(d, values + thread * 4);
}

__global__ void add_misaligned(float* out) {
  add4(out + 1, make_float4(1, 2, 3, 4));
}

__global__ void multiply(float* out) {
  const uint32_t a[4] = {}, b[2] = {};
  float d[4] = {};
  multiply_add<BFloat16>(d, a, b);
  out[threadIdx.x] = d[0];
}

__global__ void deep(float* out) {
  volatile char frame[1 << 20];
  for (int i = (1 << 20) - 1; i >= 0; i -= 1024) frame[i] = 1;
  out[threadIdx.x] = frame[0];
}

struct Misuse {
  const char* name;
  void (*kernel)(float*);
  int threads, major;
};

constexpr Misuse kMisuses[] = {
    {"stray", stray, 32, 9},
    {"different_barriers", different_barriers, 32, 9},
    {"early_end", early_end, 64, 9},
    {"missing_lane", missing_lane, 32, 9},
    {"lane_elsewhere", lane_elsewhere, 32, 9},
    {"lane_at_barrier", lane_at_barrier, 32, 9},
    {"short_warp", short_warp, 48, 9},
    {"copy_to_misaligned", copy_to_misaligned, 1, 9},
    {"copy_from_misaligned", copy_from_misaligned, 1, 9},
    {"copy_beyond", copy_beyond, 1, 9},
    {"copy_to_elsewhere", copy_to_elsewhere, 1, 9},
    {"copy_from_beyond", copy_from_beyond, 1, 9},
    {"end_before_copy", end_before_copy, 1, 9},
    {"load_misaligned", load_misaligned, 32, 9},
    {"load_beyond", load_beyond, 32, 9},
    {"add_misaligned", add_misaligned, 1, 9},
    {"multiply", multiply, 32, 7},
    {"deep", deep, 1, 9},
};

}  // namespace dcn::cuda

int main(int argc, char** argv) {
  using namespace dcn::cuda;
  for (const Misuse& misuse : kMisuses) {
    if (argc < 2 || std::strcmp(argv[1], misuse.name) != 0) continue;
    emulator_set_device(misuse.major, 0, 4);
    run_kernel(misuse.kernel, 1, misuse.threads, 32 * sizeof(float), global_memory);
    std::puts("nothing happened");
    return 0;
  }
  std::puts("no such misuse");
  return 2;
}
