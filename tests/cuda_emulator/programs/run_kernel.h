// How these programs run a kernel.
#pragma once

#include <cuda_runtime.h>

#include <cstdio>
#include <cstdlib>

// One block, unless `grid` says otherwise. Ends the program if the launch is refused.
template <class... Parameters, class... Arguments>
void run_kernel(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes,
                Arguments... arguments) {
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  const cudaError_t error = cudaLaunchKernelEx(&config, kernel, arguments...);
  if (error == cudaSuccess) return;
  std::printf("%s\n", cudaGetErrorString(error));
  std::exit(2);
}
