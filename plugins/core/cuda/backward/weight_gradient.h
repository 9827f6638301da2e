// The fused gradient of the weight: grad_output, transposed, times the samples, a product over output
// pixels, without a matrix of samples in memory.
//
// A block owns a tile of output channels by columns (weight_columns.h) and a run of pixels, which it
// goes through in steps. At each step it first asks for the grad_output of the next, which is copied to
// shared memory while it computes. Then, in each half of the step, every thread asks for the corners of
// a sample of the next step, into registers; the warps multiply half of what lies in shared memory; and
// the corners, arrived by now, are added up and stored for the next step. Every few steps the positions
// of as many steps' samples are computed, in the same way. So there are two buffers of everything, and
// one barrier a step. The sums of each run go to memory of their own, and sum_weight.h adds them up in
// order.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "weight_operands.h"
#include "weight_tile.h"

namespace dcn::cuda {

// Blocks: x, tiles of columns of a group; y, tiles of its output channels; z, runs of pixels times
// groups.
template <class Tile>
__global__ void __launch_bounds__(kGradientBlock, Tile::kBlocks)
    differentiate_weight(const WeightGradient<typename Tile::T> p) {
#if DCN_HAS_TENSOR_CORES
  extern __shared__ __align__(16) unsigned char shared_memory[];
  auto& s = *reinterpret_cast<typename Tile::Shared*>(shared_memory);
  const auto tile = static_cast<int32_t>(blockIdx.x);
  const int32_t first_out = static_cast<int32_t>(blockIdx.y) * Tile::kOuts;
  const auto of_runs = static_cast<int32_t>(blockIdx.z);
  const int32_t group = of_runs % p.partial.groups;
  const int32_t first_pixel = of_runs / p.partial.groups * p.run_pixels;
  const PixelRun run{first_pixel,
                     p.columns.segments.smaller(p.pixels - first_pixel, p.run_pixels) + first_pixel};
  const int32_t steps = (run.end - run.first + Tile::kPixels - 1) / Tile::kPixels;

  GradOutputCopies<Tile> grad_output(p, run, group, first_out);
  grad_output.copy(s.grad_output[0]);
  commit_copies();
  s.columns.fill(p.columns, p.image, group, tile);
  __syncthreads();
  SamplePositions<Tile> positions(p, s, run);
  for (int32_t step = 0; step < 2; step += positions.steps()) {
    positions.ask(step);
    positions.store(step);
  }
  Samples<Tile> samples(p, s);
  __syncthreads();
#pragma unroll
  for (int k = 0; k < samples.kOwn; ++k) {
    samples.ask(k, 0);
    samples.store(k, 0, s.samples[0]);
  }

  float sum[Tile::kRows][Tile::kColumns][4] = {};
  for (int32_t step = 0; step < steps; ++step) {
    wait_copies<0>();
    __syncthreads();
    const bool more = step + 1 < steps, round = step + 2 < steps && positions.begins_round(step + 2);
    if (more) grad_output.copy(s.grad_output[(step + 1) % 2]);
    commit_copies();
    if (round) positions.ask(step + 2);
    const int next = positions.line_of(step + 1);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      static_assert(samples.kOwn == 2, "a sample for each half of a step");
      if (more) samples.ask(half, next);
      multiply_half<Tile>(sum, s.grad_output[step % 2], s.samples[step % 2], half);
      if (more) samples.store(half, next, s.samples[(step + 1) % 2]);
    }
    if (round) positions.store(step + 2);
  }

  store_sums<Tile>(sum, p.partial,
                   p.partial.fragment(of_runs, first_out / 16, tile * (Tile::kChannels / 8)));
#else
  __trap();  // where PTX of an older GPU than the products need came to run
#endif
}

}  // namespace dcn::cuda
