// The fused gradient of everything that a sample depends on: offset, mask and input.
//
// The work is a row of (tile of output pixels, bundle of channels, tap), tap changing first, of which
// each block takes an equal run. For each tap:
//   1. Tensor cores multiply the pixels' grad_output [pixels, O/group] by the tap's weight
//      [O/group, channels of the bundle]: the gradient of the samples, which goes to shared memory,
//      rounded to T, and never further (data_stream.h brings the operands).
//   2. A thread owns a vector of channels of a sample. It reads the four corners and adds up the
//      products of the gradient with them and their differences over its channels.
//   3. A warp owns rows of a window of the input about the tile, and adds to them what the samples'
//      corners there get (gradient_window.h). Corners beyond the window are rare. The owner of the
//      vector adds these to memory in step 2.
//   4. A thread owns a sample and adds up the products of its vectors, in order: gradients of offset
//      and mask. An offset group whose channels are in several bundles has as many partial sums, which
//      gradient_layouts.cu adds up.
// The gradient of the input is summed up in float32, laid out as the staged image. Additions to it in
// memory are atomic, and the only ones whose order is not fixed.
#pragma once

#include <cuda_runtime.h>

#include <cmath>
#include <cstdint>
#include <type_traits>

#include "../coordinates.h"
#include "../products.h"
#include "../sampler.h"
#include "../warp.h"
#include "data_stream.h"
#include "data_tile.h"
#include "gradient_points.h"
#include "gradient_window.h"

namespace dcn::cuda {

// One stage of the warp's part of the tile, in slices of 32 bytes. Lanes 8i to 8i+7 give the rows of
// matrix i: of the left operand, 16 pixels by two halves of the slice; of the right, two halves by 16
// channels.
template <class Tile>
__device__ __forceinline__ void multiply_stage(float (&sum)[Tile::kRows][Tile::kColumns][4],
                                               const unsigned char* left, int left_pitch,
                                               const unsigned char* right) {
  const int lane = static_cast<int>(threadIdx.x % 32), warp = static_cast<int>(threadIdx.x / 32);
  left += (warp % Tile::kRowWarps * Tile::kRows * 16 + lane % 16) * left_pitch + lane / 16 * 16;
  right += (warp / Tile::kRowWarps * 16 + lane / 16 * 8 + lane % 8) * Tile::kPitch + lane / 8 % 2 * 16;
#pragma unroll
  for (int slice = 0; slice < Tile::kStageBytes; slice += 32) {
    uint32_t a[Tile::kRows][4], b[Tile::kColumns][2], two[4];
#pragma unroll
    for (int i = 0; i < Tile::kRows; ++i) load_matrices(a[i], left + i * 16 * left_pitch + slice);
    load_matrices(two, right + slice);
    b[0][0] = two[0], b[0][1] = two[1], b[1][0] = two[2], b[1][1] = two[3];
    multiply_fragments<typename Tile::Products>(sum, a, b);
  }
}

// Whether the window can add it up. NaN does not fit.
template <class T>
__device__ __forceinline__ bool fits_window(float value) {
  return std::fabs(value) <= (std::is_same_v<T, Float16> ? 65504.0f : 1e38f);
}

// Leaves the warp's part in shared memory. Returns whether all of it fits the window. What is too large
// for a half becomes infinite, and small ones lose digits, as wherever columns are halves: training in
// float16 scales its loss, and takes the one as a sign to scale it less.
template <class Tile>
__device__ __forceinline__ bool store_grad_samples(typename Tile::Shared& s,
                                                   const float (&sum)[Tile::kRows][Tile::kColumns][4]) {
  const int lane = static_cast<int>(threadIdx.x % 32), warp = static_cast<int>(threadIdx.x / 32);
  bool fits = true;
#pragma unroll
  for (int i = 0; i < Tile::kRows; ++i)
#pragma unroll
    for (int j = 0; j < Tile::kColumns; ++j)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int row = (warp % Tile::kRowWarps * Tile::kRows + i) * 16 + half * 8 + lane / 4;
        const int channel = warp / Tile::kRowWarps * 16 + j * 8 + lane % 4 * 2;
        const float pair[2] = {sum[i][j][half * 2], sum[i][j][half * 2 + 1]};
        unsigned char* to = s.grad_samples + row * Tile::kSamplePitch + channel * Tile::kBytes;
        if constexpr (Tile::kBytes == 2)
          *reinterpret_cast<uint32_t*>(to) = Tile::Products::pack(pair);
        else
          *reinterpret_cast<float2*>(to) = make_float2(pair[0], pair[1]);
        fits &= fits_window<typename Tile::T>(pair[0]) && fits_window<typename Tile::T>(pair[1]);
      }
  return fits;
}

// Products of the samples' gradient over the channels of a vector, as plain_gradients.h has them. Where
// values lie close together, only differences of float32 have more digits than differences of sums.
template <class Tile>
__device__ __forceinline__ float4 products_of(const Words<Tile::kWords>& grad,
                                              const Corners4<Tile::kWords>& corners) {
  constexpr int kElements = Tile::Products::kWordElements;
  float4 sum = make_float4(0, 0, 0, 0);
#pragma unroll
  for (int w = 0; w < Tile::kWords; ++w) {
    float value[4][kElements], g[kElements];
    Tile::Products::unpack(grad.word[w], g);
#pragma unroll
    for (int i = 0; i < 4; ++i) Tile::Products::unpack(corners.at[i].word[w], value[i]);
#pragma unroll
    for (int e = 0; e < kElements; ++e) {
      if constexpr (Tile::kBytes == 2) {
        sum.x += g[e] * value[0][e];
        sum.y += g[e] * value[2][e];
        sum.z += g[e] * value[1][e];
        sum.w += g[e] * value[3][e];
      } else {
        sum.x += g[e] * value[0][e];
        sum.y += g[e] * (value[2][e] - value[0][e]);
        sum.z += g[e] * (value[1][e] - value[0][e]);
        sum.w += g[e] * (value[3][e] - value[2][e]);
      }
    }
  }
  if constexpr (Tile::kBytes == 2) return {sum.x, sum.y - sum.x, sum.z - sum.x, sum.w - sum.y};
  return sum;
}

// Adds a corner's part of a vector's gradient to memory.
template <class Tile>
__device__ __forceinline__ void add_corner(float* to, float weight, const Words<Tile::kWords>& grad) {
  constexpr int kElements = Tile::Products::kWordElements;
#pragma unroll
  for (int c = 0; c < Tile::kVector; c += 4) {
    float g[4];
#pragma unroll
    for (int e = 0; e < 4; e += kElements) {
      float unpacked[kElements];
      Tile::Products::unpack(grad.word[(c + e) / kElements], unpacked);
#pragma unroll
      for (int k = 0; k < kElements; ++k) g[e + k] = weight * unpacked[k];
    }
    add4(to + c, make_float4(g[0], g[1], g[2], g[3]));
  }
}

// Step 2: all vectors of all samples of the tile. `has_window`: whether step 3 follows.
template <class Tile>
__device__ __forceinline__ void differentiate_samples(const DataGradient<typename Tile::T>& p,
                                                      typename Tile::Shared& s, bool has_window) {
  using Vector = Words<Tile::kWords>;
  const int32_t width = p.coordinates.in_w;
  const int32_t right = p.bundles.segment_vectors * Tile::kVector;
  const int64_t below = int64_t{width} * right;
#pragma unroll 1
  for (int i = static_cast<int>(threadIdx.x); i < Tile::kPixels * kBundleVectors; i += kGradientBlock) {
    const TileVector<Tile::kPixels> own(i, p.bundles.segment_vectors == 1);
    if (own.vector >= s.map.vectors) continue;
    const DataSample& at = s.samples[s.map.slot[own.vector]][own.row];
    const int64_t first =
        s.run.image * p.image.image_size + s.map.start[own.vector] + int64_t{at.first} * right;
    const int64_t elements[4] = {first, first + right, first + below, first + below + right};
    const auto& grad = *reinterpret_cast<const Vector*>(s.grad_samples + own.row * Tile::kSamplePitch +
                                                        own.vector * Tile::kVector * Tile::kBytes);
    const uint32_t beyond = (has_window ? at.corners >> 4 : at.corners) & 15;
    if (p.grad_input && beyond) {
      const CornerWeights weights = at.weights();
#pragma unroll
      for (int k = 0; k < 4; ++k)
        if (beyond >> k & 1) add_corner<Tile>(p.grad_input + elements[k], weights.weight[k], grad);
    }
    if (p.gradients.wanted()) {
      Corners4<Tile::kWords> values;
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        values.at[k] = {};
        if (at.corners >> k & 1) values.at[k] = *reinterpret_cast<const Vector*>(p.input + elements[k]);
      }
      s.products[own.row][own.vector] = products_of<Tile>(grad, values);
    }
  }
}

// Step 4: all samples of the tile.
template <class Tile>
__device__ __forceinline__ void add_products(const DataGradient<typename Tile::T>& p,
                                             typename Tile::Shared& s, int32_t tap) {
  const Coordinates<typename Tile::T>& c = p.coordinates;
  for (int i = static_cast<int>(threadIdx.x); i < s.map.slots * Tile::kPixels; i += kGradientBlock) {
    const int slot = i / Tile::kPixels, row = i % Tile::kPixels;
    const PixelBase& base = s.bases[row];
    if (base.image < 0) continue;
    float corner = 0, left = 0, top = 0, bottom = 0;
    for (int v = s.map.begin[slot]; v < s.map.begin[slot + 1]; ++v) {
      const float4 own = s.products[row][v];
      corner += own.x, left += own.y, top += own.z, bottom += own.w;
    }
    const DataSample& at = s.samples[slot][row];
    const float by_y = left + at.fraction_x * (bottom - top);
    const float by_x = top + at.fraction_y * (bottom - top);
    const float yxm[3] = {at.mask * by_y, at.mask * by_x,
                          corner + at.fraction_x * top + at.fraction_y * by_y};
    const int32_t offset_group = s.map.offset_group[slot];
    const int32_t rows = c.offset_group * c.taps, of_rows = offset_group * c.taps + tap;
    if (p.gradients.partial) {
      float* to = p.gradients.partial + (int64_t{s.map.part[slot]} * rows + of_rows) * 3 * p.pixels +
                  int64_t{base.image} * c.out_pixels + base.pixel;
      for (int k = 0; k < 3; ++k) to[int64_t{k} * p.pixels] = yxm[k];
    } else {
      p.gradients.template write<typename Tile::T>(base.image, base.pixel, of_rows, rows, c.out_pixels,
                                                   yxm);
    }
  }
}

template <class Tile>
__device__ __forceinline__ void differentiate_run(const DataGradient<typename Tile::T>& p,
                                                  typename Tile::Shared& s, const DataRun& run) {
  const int thread = static_cast<int>(threadIdx.x);
  s.map.fill(p.bundles, p.image, run.bundle);
  if (thread < Tile::kPixels) {
    const PixelBase at = p.tiles.base(p.coordinates, run.tile, thread);
    s.bases[thread] = at;
    s.grad_starts[thread] =
        at.image < 0 ? -1 : p.out.element(p.bundles.group(run.bundle), at.image, at.pixel);
  }
  if (thread == 0) {
    s.run = run;
    s.window = Window(p, run);
    s.wide_tap = -1;
  }
  __syncthreads();

  DataStream<Tile> stream(p, s, run);
  stream.copy_resident();
  stream.copy(0);
  commit_copies();
  stream.copy(1);
  commit_copies();

  WindowSums<Tile> sums(p, s);
  const auto ask = [&](int i, int32_t tap) {
    return ask_point(p.coordinates, s.bases[i % Tile::kPixels], s.map.offset_group[i / Tile::kPixels],
                     tap);
  };
  int32_t stage = 0;
  for (int32_t tap = run.first_tap; tap < s.run.end_tap; ++tap) {
    // The first of a thread's points is under way while it multiplies. Few bundles have so many.
    RawPoint raw = kNowhere;
    if (thread < s.map.slots * Tile::kPixels) raw = ask(thread, tap);
    float sum[Tile::kRows][Tile::kColumns][4] = {};
    for (int32_t depth = 0; depth < p.depth_stages; ++depth, ++stage) {
      wait_copies<1>();
      __syncthreads();
      stream.copy(stage + 2);
      commit_copies();
      multiply_stage<Tile>(sum, stream.rows(stage, depth), stream.pitch(),
                           s.weight[stage % Tile::kStages]);
    }
    bool fits = store_grad_samples<Tile>(s, sum);
    for (int i = thread; i < s.map.slots * Tile::kPixels; i += kGradientBlock) {
      if (i != thread) raw = ask(i, tap);
      const PixelBase& base = s.bases[i % Tile::kPixels];
      const SamplePoint at = p.coordinates.point(raw, base.y + p.coordinates.tap_y(tap),
                                                 base.x + p.coordinates.tap_x(tap));
      s.samples[i / Tile::kPixels][i % Tile::kPixels] =
          DataSample(at, s.window, p.coordinates.in_h, p.coordinates.in_w);
      fits &= fits_window<typename Tile::T>(at.mask);
    }
    if (!fits) s.wide_tap = tap;
    __syncthreads();
    const bool passes_by = s.wide_tap == tap;
    differentiate_samples<Tile>(p, s, !passes_by);
    if (p.grad_input && !passes_by) sums.add_tap();
    __syncthreads();
    // Whoever reads a point here writes the next tap's.
    if (p.gradients.wanted()) add_products<Tile>(p, s, tap);
  }
  if (p.grad_input) sums.flush();
}

template <class Tile>
__global__ void __launch_bounds__(kGradientBlock, 2)
    differentiate_data(const DataGradient<typename Tile::T> p) {
#if DCN_HAS_TENSOR_CORES
  extern __shared__ __align__(16) unsigned char shared_memory[];
  auto& s = *reinterpret_cast<typename Tile::Shared*>(shared_memory);
  const int32_t block = static_cast<int32_t>(blockIdx.x), blocks = static_cast<int32_t>(gridDim.x);
  int32_t unit = p.first_unit(block, blocks), end = p.first_unit(block + 1, blocks);
  while (unit < end) {
    differentiate_run<Tile>(p, s, p.run(unit, end));
    // Read again, so that they need not be in registers meanwhile.
    unit = s.run.next_unit, end = s.run.end_unit;
    __syncthreads();
  }
#else
  __trap();  // where PTX of an older GPU than the products need came to run
#endif
}

}  // namespace dcn::cuda
