// The fused forward: sampling and matrix product in one kernel, without a matrix of columns in memory.
//
// A block computes a tile of the output, some pixels (rows) by some channels (columns) of one group, as
// the product of sampled pixels [rows, K] and packed weight [columns, K]. It goes through K in steps of
// 64 bytes (k_order.h), each in two halves. At each step every thread first asks for the weights of the
// step after the next, which are copied to shared memory while it computes. Then, in each half, it asks
// for the corners of a sample of the next step, into registers; the warps multiply half of what lies in
// shared memory; and the corners, arrived by now, are added up and stored for the next step. So there
// are three buffers of weights, two of samples, and one barrier a step. Small images have fewer tiles
// than the GPU has processors: then several blocks share a tile, each with its part of K, and
// split_sum.h adds up their partial sums in a fixed order.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "../products.h"
#include "../sampler.h"
#include "../warp.h"
#include "output_tile.h"

namespace dcn::cuda {

template <class T>
struct FusedForward {
  SampledImage<T> in;
  const unsigned char* weight;  // [group, steps, O/group, 64 bytes]
  OutputTensor<T> out;
  int32_t steps_per_split;  // of a block
};

template <class Shape>
struct StepBuffers {
  static constexpr int kSampleBytes = Shape::kPixels * kStepBytes;
  static constexpr int kWeightBytes = Shape::kOuts * kStepBytes;
  static constexpr int kSamples = 2, kWeights = 3;
  static constexpr int kBytes = kSamples * kSampleBytes + kWeights * kWeightBytes;
};

// Copies this thread's part of the weights of a step to shared memory, zeros beyond the group's last
// output channel. `from`: the thread's first slot; `outs`: how many channels there are from its own on.
template <class Shape>
__device__ __forceinline__ void copy_weights(unsigned char* to, const unsigned char* from,
                                             int32_t outs) {
  constexpr int kDistance = Shape::kThreads / kStepSlots;  // in channels, from one copy to the next
  static_assert(kDistance % kSlotPattern == 0, "slots change places alike in both");
  to += slot_offset(static_cast<int>(threadIdx.x) / kStepSlots,
                    static_cast<int>(threadIdx.x) % kStepSlots);
#pragma unroll
  for (int i = 0; i < Shape::kOuts / kDistance; ++i)
    copy_async(to + i * kDistance * kStepBytes, from + i * kDistance * kStepBytes,
               i * kDistance < outs);
}

// The buffer that follows in a ring of them, in bytes from the first.
template <int kBuffers, int kBytes>
__device__ __forceinline__ int next_buffer(int buffer) {
  return buffer == (kBuffers - 1) * kBytes ? 0 : buffer + kBytes;
}

// Half a step of a warp's tile. Lanes 8i to 8i+7 give the rows of matrix i: of the samples, sixteen
// pixels by two slots; of the weights, two slots by sixteen channels.
template <class Products, class Shape, int kRows, int kColumns>
__device__ __forceinline__ void multiply_half(float (&sum)[kRows][kColumns][4],
                                              const unsigned char* samples,
                                              const unsigned char* weights, int half) {
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int row = warp % Shape::kWarpsP * Shape::kWarpPixels + lane % 16;
  const int column = warp / Shape::kWarpsP * Shape::kWarpOuts + lane / 16 * 8 + lane % 8;
  // Sixteen rows on, slots lie in the same places; of the second half, two places from the first.
  static_assert(16 % kSlotPattern == 0, "see slot_offset()");
  samples += slot_offset(row, lane / 16) ^ half * 2 * kSlotBytes;
  weights += slot_offset(column, lane / 8 % 2) ^ half * 2 * kSlotBytes;
  typename Products::Samples a[kRows];
#pragma unroll
  for (int i = 0; i < kRows; ++i) {
    uint32_t four[4];
    load_matrices(four, samples + i * 16 * kStepBytes);
    a[i] = typename Products::Samples(four);
  }
#pragma unroll
  for (int j = 0; j < kColumns; j += 2) {
    uint32_t four[4];
    load_matrices(four, weights + j * 8 * kStepBytes);
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      const typename Products::Weights b({four[e * 2], four[e * 2 + 1]});
#pragma unroll
      for (int i = 0; i < kRows; ++i) Products::multiply(sum[i][j + e], a[i], b);
    }
  }
}

template <class Products, class Shape, template <class, class, int...> class Sampler, int... kSampling>
__global__ void __launch_bounds__(Shape::kThreads, Shape::kBlocks)
    fused_forward(const FusedForward<typename Products::Element> p) {
#if DCN_HAS_TENSOR_CORES
  using T = typename Products::Element;
  using Buffers = StepBuffers<Shape>;
  extern __shared__ __align__(16) unsigned char shared_memory[];
  unsigned char* const samples = shared_memory;
  unsigned char* const weights = shared_memory + Buffers::kSamples * Buffers::kSampleBytes;

  const OutputTile<Shape> tile(p.out, blockIdx.x);
  const int32_t split = static_cast<int32_t>(blockIdx.y);
  const int32_t first_step = split * p.steps_per_split;
  const int32_t steps = p.in.order.segments.smaller(p.steps_per_split, p.in.order.steps - first_step);

  const int64_t weight_step = int64_t{p.out.group_outs} * kStepBytes;
  const unsigned char* weight =
      p.weight + (int64_t{tile.group} * p.in.order.steps + first_step) * weight_step +
      int64_t{tile.first_out} * kStepBytes + static_cast<int>(threadIdx.x) * kSlotBytes;
  const int32_t outs_left =
      p.out.group_outs - tile.first_out - static_cast<int>(threadIdx.x) / kStepSlots;
  const auto ask_weights = [&](int32_t step, int buffer) {
    if (step < steps) copy_weights<Shape>(weights + buffer, weight, outs_left);
    weight += weight_step;
    commit_copies();
  };
  ask_weights(0, 0);
  ask_weights(1, Buffers::kWeightBytes);

  const TilePixels pixels(p.out.out_pixels, p.out.pixels, tile.first_pixel);
  Sampler<Products, Shape, kSampling...> sampler(p.in, pixels, tile.group, first_step,
                                                 shared_memory + Buffers::kBytes);
  constexpr int kSampled = decltype(sampler)::kRows;
  static_assert(kSampled <= 2, "a row for each half of a step");
  sampler.advance();
#pragma unroll
  for (int i = 0; i < kSampled; ++i) {
    sampler.load(i);
    sampler.store(i, samples);
  }

  float sum[Shape::kRows][Shape::kColumns][4] = {};
  // The buffers of a step, and that of the weights of the step after the next.
  int sampled = 0, weighed = 0, asked = 2 * Buffers::kWeightBytes;
  for (int32_t step = 0; step < steps; ++step) {
    wait_copies<1>();
    __syncthreads();
    ask_weights(step + 2, asked);
    const bool more = step + 1 < steps;
    if (more) sampler.advance();
    const unsigned char* a = samples + sampled;
    const unsigned char* b = weights + weighed;
    sampled = next_buffer<Buffers::kSamples, Buffers::kSampleBytes>(sampled);
    asked = weighed;
    weighed = next_buffer<Buffers::kWeights, Buffers::kWeightBytes>(weighed);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      if (more && half < kSampled) sampler.load(half);
      multiply_half<Products, Shape>(sum, a, b, half);
      if (more && kSampled == 2) sampler.store(half, samples + sampled);
      if (more && kSampled == 1 && half == 1) sampler.store(0, samples + sampled);
    }
  }

  // Through all steps, it would have taken registers.
  const OutputTile<Shape> same_tile(p.out, block_index());
  const int warp = static_cast<int>(threadIdx.x) / 32;
  if (p.out.partial) {
    float4* const to =
        partial_sums<Shape>(p.out, blockIdx.x, gridDim.x, static_cast<int>(blockIdx.y)) + threadIdx.x;
#pragma unroll
    for (int i = 0; i < Shape::kRows; ++i)
#pragma unroll
      for (int j = 0; j < Shape::kColumns; ++j) {
        const float (&four)[4] = sum[i][j];
        to[(i * Shape::kColumns + j) * Shape::kThreads] =
            make_float4(four[0], four[1], four[2], four[3]);
      }
    return;
  }
  using Output = WarpOutput<T, Shape>;
  using Slice = typename Output::Slice;
  static_assert(sizeof(Slice) * Shape::kThreads / 32 <= Buffers::kBytes, "fits where samples were");
  __syncthreads();  // the buffers become the output's
  const Output output(p.out, same_tile, warp, reinterpret_cast<Slice*>(shared_memory)[warp]);
#pragma unroll
  for (int s = 0; s < Output::kSlices; ++s) output.store(sum, s * (kSliceOuts / 8), s);
#else
  __trap();  // where PTX of an older GPU than the products need came to run
#endif
}

}  // namespace dcn::cuda
