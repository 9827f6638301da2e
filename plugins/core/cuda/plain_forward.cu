// The plain forward pass: samples into a matrix of columns, multiplies it by the weight, a chunk of
// output pixels after another. Slow and simple on purpose: it takes every shape and every dtype, and
// the fast kernels are judged against it.
#include <cuda_runtime.h>

#include <algorithm>

#include "deform_conv.h"
#include "device.h"
#include "plain.h"
#include "plain_multiply.h"
#include "plain_sample.h"

namespace dcn::cuda {
namespace {

// The columns of a chunk are meant to stay in the second-level cache between the two kernels. Tests
// make chunks of small problems with less.
#if !defined(DCN_CUDA_COLUMN_BYTES)
#define DCN_CUDA_COLUMN_BYTES (16 << 20)
#endif
constexpr int64_t kColumnBytes = DCN_CUDA_COLUMN_BYTES;
// Limits of a grid; the kernels stride over what lies beyond.
constexpr int64_t kMaxGridX = INT32_MAX, kMaxGridYZ = 65535;

int64_t arithmetic_bytes(DType dtype) {
  return dtype == DType::kFloat64 ? sizeof(double) : sizeof(float);
}

int64_t output_pixels(const Problem& p) {
  return p.batch * p.out_pixels();
}

int64_t column_bytes(const Problem& p) {
  return p.in_channels * p.taps() * arithmetic_bytes(p.dtype);
}

int64_t chunk_pixels(const Problem& p) {
  return std::min(output_pixels(p), std::max<int64_t>(kTile, kColumnBytes / column_bytes(p)));
}

dim3 grid(int64_t x, int64_t y, int64_t z) {
  return dim3(static_cast<unsigned>(std::min(x, kMaxGridX)),
              static_cast<unsigned>(std::min(y, kMaxGridYZ)),
              static_cast<unsigned>(std::min(z, kMaxGridYZ)));
}

int64_t blocks(int64_t count, int64_t of) {
  return (count + of - 1) / of;
}

template <class T, class C>
cudaError_t run(const Problem& p, const ForwardArgs& args, void* workspace, cudaStream_t stream) {
  using A = Arithmetic<T>;
  A* columns = static_cast<A*>(workspace);
  const int64_t total = output_pixels(p), step = chunk_pixels(p);
  for (int64_t first = 0; first < total; first += step) {
    const Chunk chunk{first, std::min(step, total - first)};
    cudaLaunchConfig_t sampling{};
    sampling.gridDim = grid(blocks(chunk.pixels, kSampleThreads), p.offset_group * p.taps(),
                            blocks(p.in_channels / p.offset_group, kChannelsPerThread));
    sampling.blockDim = dim3(kSampleThreads);
    sampling.stream = stream;
    cudaError_t error = cudaLaunchKernelEx(&sampling, sample_columns<T, C>, p, args, chunk, columns);
    if (error != cudaSuccess) return error;

    cudaLaunchConfig_t multiplying{};
    multiplying.gridDim = grid(TileGrid(p, chunk).count, 1, 1);
    multiplying.blockDim = dim3(kMultiplyThreads);
    multiplying.dynamicSmemBytes = sizeof(MultiplyTiles<A>);
    multiplying.stream = stream;
    error = cudaLaunchKernelEx(&multiplying, multiply_columns<T>, p, args, chunk,
                               static_cast<const A*>(columns));
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

template <class Half>
cudaError_t run_half(const Problem& p, const ForwardArgs& args, void* workspace, cudaStream_t stream) {
  return p.coordinate_dtype == p.dtype ? run<Half, Half>(p, args, workspace, stream)
                                       : run<Half, float>(p, args, workspace, stream);
}

}  // namespace

size_t plain_forward_workspace_bytes(const Problem& problem) {
  const int64_t column = column_bytes(problem);
  return static_cast<size_t>(
      std::min(column * output_pixels(problem), std::max(column * kTile, kColumnBytes)));
}

Status plain_forward(const Problem& problem, const ForwardArgs& args, void* workspace,
                     cudaStream_t stream) {
  switch (problem.dtype) {
    case DType::kFloat32: return status_of(run<float, float>(problem, args, workspace, stream));
    case DType::kFloat64: return status_of(run<double, double>(problem, args, workspace, stream));
    case DType::kFloat16: return status_of(run_half<Float16>(problem, args, workspace, stream));
    case DType::kBFloat16: return status_of(run_half<BFloat16>(problem, args, workspace, stream));
    case DType::kUnknown: break;
  }
  return {"the problem was not checked: its dtype is unknown"};
}

}  // namespace dcn::cuda
