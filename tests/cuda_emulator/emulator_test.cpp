// usage: emulator_test [stray | diverge]
//
// One small forward pass whose exact result is known, to try the kernels with something deleted in
// them: exit status 1 if the result is wrong. Or a kernel that does what none may: the emulator ends
// the program.
#include <cuda_runtime.h>

#include <cstdio>
#include <cstring>
#include <vector>

#include "deform_conv.h"

namespace dcn::cuda {

// Writes one element too far; the block has memory for 32.
__global__ void stray(float* out) {
  extern __shared__ __align__(16) unsigned char shared_memory[];
  auto* values = reinterpret_cast<float*>(shared_memory);
  values[threadIdx.x + 1] = 1;
  __syncthreads();
  out[threadIdx.x] = values[threadIdx.x];
}

__global__ void diverge(float* out) {
  if (threadIdx.x % 2) {
    __syncthreads();
  } else {
    __syncthreads();
  }
  out[threadIdx.x] = 0;
}

}  // namespace dcn::cuda

namespace {

void run_forbidden(void (*kernel)(float*)) {
  std::vector<float> out(32);
  cudaLaunchConfig_t config{};
  config.blockDim = dim3(32);
  config.dynamicSmemBytes = 32 * sizeof(float);
  cudaLaunchKernelEx(&config, kernel, out.data());
}

// Every pixel of channel c is c + 1 and every weight 1: each output is the sum of that over the window.
int run_forward() {
  dcn::Problem p;
  p.dtype = p.coordinate_dtype = dcn::DType::kFloat32;
  p.batch = 2, p.in_channels = 10, p.in_h = 9, p.in_w = 8;
  p.out_channels = 70, p.kernel_h = 3, p.kernel_w = 2, p.out_h = 7, p.out_w = 7;
  std::vector<float> input, weight(p.out_channels * p.in_channels * p.taps(), 1);
  for (int64_t i = 0; i < p.batch * p.in_channels * p.in_pixels(); ++i)
    input.push_back(static_cast<float>(i / p.in_pixels() % p.in_channels + 1));
  std::vector<float> offset(p.batch * 2 * p.taps() * p.out_pixels());
  std::vector<float> output(p.batch * p.out_channels * p.out_pixels(), -1);
  std::vector<unsigned char> workspace(dcn::cuda::workspace_bytes(p, {}), 0xff);
  dcn::ForwardArgs args;
  args.input = input.data();
  args.weight = weight.data();
  args.offset = offset.data();
  args.output = output.data();
  const dcn::Status status = dcn::cuda::forward(p, args, {}, workspace.data(), nullptr);
  if (!status.ok()) return std::puts(status.message.c_str()), 1;
  const auto expected = static_cast<float>(p.taps() * p.in_channels * (p.in_channels + 1) / 2);
  int wrong = 0;
  for (float value : output) wrong += value != expected;
  std::printf("%d of %zu outputs are wrong\n", wrong, output.size());
  return wrong ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return run_forward();
  run_forbidden(std::strcmp(argv[1], "stray") ? dcn::cuda::diverge : dcn::cuda::stray);
  return 0;
}
