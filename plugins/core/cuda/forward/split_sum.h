// Adds up the partial sums of blocks that shared a tile, in a fixed order, and the bias; rounds once.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "dtype.h"
#include "output_tile.h"

namespace dcn::cuda {

inline constexpr int kSumThreads = 256;

// A thread takes kWidth elements that lie beside each other in the output.
template <class T, int kWidth>
__global__ void sum_splits(const OutputTensor<T> out, int32_t splits) {
  struct alignas(sizeof(float) * kWidth) Sums {
    float value[kWidth];
  };
  struct alignas(sizeof(T) * kWidth) Rounded {
    T value[kWidth];
  };
  const int64_t count = out.outs * out.pixels;
  const int64_t i = (int64_t{blockIdx.x} * kSumThreads + threadIdx.x) * kWidth;
  if (i >= count) return;
  const int64_t channel = out.channels_last ? i % out.outs : i / out.pixels;
  Sums sum = {};
#pragma unroll 4
  for (int32_t split = 0; split < splits; ++split) {
    const Sums part = *reinterpret_cast<const Sums*>(out.partial + split * count + i);
#pragma unroll
    for (int e = 0; e < kWidth; ++e) sum.value[e] += part.value[e];
  }
  Rounded rounded;
#pragma unroll
  for (int e = 0; e < kWidth; ++e) {
    const int64_t own = channel + (out.channels_last ? e : 0);
    rounded.value[e] = Store<T>::from(sum.value[e] + (out.bias ? load(out.bias[own]) : 0.0f));
  }
  int64_t at = i;
  if (!out.channels_last) {
    const int64_t pixel = i % out.pixels;
    const int64_t image = pixel / out.out_pixels;
    at = (image * out.outs + channel) * out.out_pixels + pixel % out.out_pixels;
  }
  *reinterpret_cast<Rounded*>(out.data + at) = rounded;
}

template <class T>
cudaError_t launch_sum_splits(const OutputTensor<T>& out, int32_t splits, cudaStream_t stream) {
  constexpr int kWide = 4;
  const bool wide = (out.channels_last ? out.outs : out.out_pixels) % kWide == 0 &&
                    reinterpret_cast<uintptr_t>(out.data) % (sizeof(T) * kWide) == 0;
  const int64_t threads = out.outs * out.pixels / (wide ? kWide : 1);
  const int64_t blocks = (threads + kSumThreads - 1) / kSumThreads;
  if (blocks > INT32_MAX) return cudaErrorInvalidConfiguration;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(blocks));
  config.blockDim = dim3(kSumThreads);
  config.stream = stream;
  return wide ? cudaLaunchKernelEx(&config, sum_splits<T, kWide>, out, splits)
              : cudaLaunchKernelEx(&config, sum_splits<T, 1>, out, splits);
}

}  // namespace dcn::cuda
