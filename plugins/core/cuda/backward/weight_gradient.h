// The fused gradient of the weight: grad_output, transposed, times the samples, a product over output
// pixels, without a matrix of samples in memory.
//
// A block owns a tile of output channels, one tap of a bundle of input channels, and a run of pixels,
// which it goes through in steps. At each step every thread asks for what later steps need: grad_output
// of the step after the next, which is copied to shared memory while it computes, the corners of the
// next step's samples, into registers, and offset and mask of the samples behind those. Then the warps
// multiply what lies in shared memory, and at last the corners, arrived by now, are added up and stored
// for the next step. So there are three buffers of grad_output, two of samples, two of sample
// positions, and one barrier a step. The sums of each run of pixels go to memory of their own, and
// gradient_layouts.cu adds them up in order.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "../coordinates.h"
#include "../products.h"
#include "../sampler.h"
#include "../warp.h"
#include "bundles.h"
#include "gradient_points.h"

namespace dcn::cuda {

template <class T>
struct WeightGradient {
  Bundles bundles;
  ImageLayout image;
  GradOutputLayout out;
  Coordinates<T> coordinates;
  const T* input;        // staged
  const T* grad_output;  // staged
  float* partial;        // [runs, tap, O, channels of a group, with padding]
  int32_t pixels;        // of all images
  int32_t run_pixels;    // of a run
  int32_t group_outs;
  int32_t outs;            // of all groups
  int32_t group_channels;  // of the input, with padding
};

// The operands as they lie in shared memory, pixel by pixel: what is summed over is the row.
template <class Products_, int kVector_, int kOuts_>
struct WeightTile {
  using Products = Products_;
  using T = typename Products::Element;
  static constexpr int kBytes = static_cast<int>(sizeof(T));
  static constexpr int kVector = kVector_, kWords = kVector * kBytes / 4;
  static constexpr int kOuts = kOuts_, kChannels = kBundleVectors * kVector, kPixels = 32;
  static constexpr int kOutWarps = 4, kChannelWarps = kGradientWarps / kOutWarps;
  static constexpr int kRows = kOuts / kOutWarps / 16, kColumns = kChannels / kChannelWarps / 8;
  static constexpr int kSlicePixels = 32 / kBytes;
  // More than needed in each row, so that what a warp reads at once lies in different banks: eight rows
  // of 16 bytes, or four of 32.
  static constexpr int kPad = kBytes == 2 ? 16 : 32;
  static constexpr int kOutPitch = kOuts * kBytes + kPad, kSamplePitch = kChannels * kBytes + kPad;
  static constexpr int kStages = 3;
  static constexpr int kBlocks = kOuts == 256 ? 1 : 2;  // that a processor shall run at a time
  static_assert(kPixels * kBundleVectors == kGradientBlock, "a thread owns a vector of a sample");

  struct Shared {
    unsigned char grad_output[kStages][kPixels * kOutPitch];
    unsigned char samples[2][kPixels * kSamplePitch];
    StagedPoint points[2][kBundleVectors][kPixels];  // by slot
    BundleMap map;
  };
  static_assert(sizeof(Shared) <= 99 << 10, "what a block may have on every GPU from sm_80 on");
};

// Fragments of a slice: a [16 * kRows outs, slice], b [slice, 8 * kColumns channels].
template <class Tile>
__device__ __forceinline__ void multiply_pixels(float (&sum)[Tile::kRows][Tile::kColumns][4],
                                                const unsigned char* grad_output,
                                                const unsigned char* samples) {
  constexpr int kRows = Tile::kRows, kColumns = Tile::kColumns, kBytes = Tile::kBytes;
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  grad_output += warp % Tile::kOutWarps * kRows * 16 * kBytes;
  samples += warp / Tile::kOutWarps * kColumns * 8 * kBytes;
  // Slices: more of float32 would need too many registers.
  [[maybe_unused]] constexpr int kAtOnce = kBytes == 2 ? 2 : 1;
#pragma unroll kAtOnce
  for (int pixel = 0; pixel < Tile::kPixels; pixel += Tile::kSlicePixels) {
    uint32_t a[kRows][4], b[kColumns][2];
    if constexpr (kBytes == 2) {
      // Lanes 8i to 8i+7 give the rows of matrix i. The matrices are two runs of channels of the first
      // eight pixels, then of the last; of the samples, the pixels change first.
      const unsigned char* left =
          grad_output + (pixel + lane / 16 * 8 + lane % 8) * Tile::kOutPitch + lane / 8 % 2 * 16;
      const unsigned char* right = samples + (pixel + lane % 16) * Tile::kSamplePitch + lane / 16 * 16;
#pragma unroll
      for (int i = 0; i < kRows; ++i) load_matrices_transposed(a[i], left + i * 32);
#pragma unroll
      for (int j = 0; j < kColumns; j += 2) {
        uint32_t two[4];
        load_matrices_transposed(two, right + j * 16);
        b[j][0] = two[0], b[j][1] = two[1], b[j + 1][0] = two[2], b[j + 1][1] = two[3];
      }
    } else {
      const auto word = [](const unsigned char* at) { return *reinterpret_cast<const uint32_t*>(at); };
      const unsigned char* left = grad_output + (pixel + lane % 4) * Tile::kOutPitch + lane / 4 * 4;
      const unsigned char* right = samples + (pixel + lane % 4) * Tile::kSamplePitch + lane / 4 * 4;
#pragma unroll
      for (int i = 0; i < kRows; ++i)
#pragma unroll
        for (int e = 0; e < 4; ++e)
          a[i][e] = word(left + e / 2 * 4 * Tile::kOutPitch + (i * 16 + e % 2 * 8) * 4);
#pragma unroll
      for (int j = 0; j < kColumns; ++j)
#pragma unroll
        for (int e = 0; e < 2; ++e) b[j][e] = word(right + e * 4 * Tile::kSamplePitch + j * 32);
    }
    multiply_fragments<typename Tile::Products>(sum, a, b);
  }
}

// Blocks: x, taps of bundles; y, tiles of the group's output channels; z, runs of pixels.
template <class Tile>
__global__ void __launch_bounds__(kGradientBlock, Tile::kBlocks)
    differentiate_weight(const WeightGradient<typename Tile::T> p) {
#if DCN_HAS_TENSOR_CORES
  using T = typename Tile::T;
  extern __shared__ __align__(16) unsigned char shared_memory[];
  auto& s = *reinterpret_cast<typename Tile::Shared*>(shared_memory);
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  const Coordinates<T>& c = p.coordinates;
  const int32_t tap = static_cast<int32_t>(blockIdx.x) % c.taps;
  const int32_t bundle = static_cast<int32_t>(blockIdx.x) / c.taps, group = p.bundles.group(bundle);
  const int32_t first_out = static_cast<int32_t>(blockIdx.y) * Tile::kOuts;
  const int32_t run = static_cast<int32_t>(blockIdx.z);
  const int32_t first_pixel = run * p.run_pixels;
  const int32_t end = p.bundles.segments.smaller(p.pixels, first_pixel + p.run_pixels);
  const int32_t steps = (end - first_pixel + Tile::kPixels - 1) / Tile::kPixels;

  const auto ask_grad_output = [&](int32_t step) {
    constexpr int kParts = Tile::kOuts * Tile::kBytes / 16;
    if (step < steps)
      for (int i = thread; i < Tile::kPixels * kParts; i += kGradientBlock) {
        const int row = i / kParts, part = i % kParts;
        const int32_t of_all = first_pixel + step * Tile::kPixels + row;
        const int32_t out = first_out + part * (16 / Tile::kBytes);
        const bool valid = of_all < end && out < p.out.outs;
        const PixelPlace at(valid ? of_all : 0, p.out.by_pixels);
        copy_async(s.grad_output[step % Tile::kStages] + row * Tile::kOutPitch + part * 16,
                   p.grad_output + (valid ? p.out.element(group, at.image, at.pixel) + out : 0), valid);
      }
    commit_copies();
  };
  // A thread owns a point of a step, too, where there are enough of them.
  const int point_slot = thread / Tile::kPixels, point_row = thread % Tile::kPixels;
  RawPoint raw = kNowhere;
  const auto base_of_point = [&](int32_t step) {
    return base_at(c, p.out.by_pixels, first_pixel + step * Tile::kPixels + point_row, end);
  };
  const auto ask_points = [&](int32_t step) {
    if (point_slot < s.map.slots)
      raw = ask_point(c, base_of_point(step), s.map.offset_group[point_slot], tap);
  };
  const auto store_points = [&](int32_t step) {
    if (point_slot < s.map.slots)
      s.points[step % 2][point_slot][point_row] = point_of(c, base_of_point(step), raw, tap);
  };

  const TileVector<Tile::kPixels> own(thread, p.bundles.segment_vectors == 1);
  const int v = own.vector, row = own.row;
  const int32_t pixel_bytes = p.bundles.segment_vectors * Tile::kVector * Tile::kBytes;
  Corners4<Tile::kWords> corners;
  const auto ask_corners = [&](int32_t step) {
    CornerPixels pixels;
    pixels.inside = 0, pixels.first = 0;
    const T* image = p.input;
    int64_t start = 0;
    if (v < s.map.vectors) {
      const StagedPoint& at = s.points[step % 2][s.map.slot[v]][row];
      pixels = CornerPixels(at.point.y.low, at.point.x.low, c.in_h, c.in_w);
      image += at.image * p.image.image_size;
      start = s.map.start[v] * Tile::kBytes;
    }
    corners.load(reinterpret_cast<const unsigned char*>(image), {start, pixel_bytes}, c.in_w, pixels);
  };
  const auto store_samples = [&](int32_t step) {
    CornerWeights weights(0, 0, 0);
    if (v < s.map.vectors) {
      const SamplePoint& point = s.points[step % 2][s.map.slot[v]][row].point;
      weights = CornerWeights(point.y.fraction, point.x.fraction, point.mask);
    }
    *reinterpret_cast<Words<Tile::kWords>*>(s.samples[step % 2] + row * Tile::kSamplePitch +
                                            v * Tile::kWords * 4) =
        corners.template sample<typename Tile::Products>(weights);
  };

  ask_grad_output(0);
  ask_grad_output(1);
  s.map.fill(p.bundles, p.image, bundle);
  __syncthreads();
  ask_points(0);
  store_points(0);
  ask_points(1);
  store_points(1);
  __syncthreads();
  ask_corners(0);
  store_samples(0);

  float sum[Tile::kRows][Tile::kColumns][4] = {};
  for (int32_t step = 0; step < steps; ++step) {
    wait_copies<1>();
    __syncthreads();
    ask_grad_output(step + 2);
    if (step + 1 < steps) ask_corners(step + 1);
    if (step + 2 < steps) ask_points(step + 2);
    multiply_pixels<Tile>(sum, s.grad_output[step % Tile::kStages], s.samples[step % 2]);
    if (step + 1 < steps) store_samples(step + 1);
    if (step + 2 < steps) store_points(step + 2);
  }

  const int32_t first_channel = p.bundles.vector_in_group(bundle) * Tile::kVector;
  const int32_t channels = s.map.vectors * Tile::kVector;
  float* to = p.partial + ((int64_t{run} * c.taps + tap) * p.outs + int64_t{group} * p.group_outs) *
                              p.group_channels;
#pragma unroll
  for (int i = 0; i < Tile::kRows; ++i)
#pragma unroll
    for (int j = 0; j < Tile::kColumns; ++j)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int32_t out =
            first_out + (warp % Tile::kOutWarps * Tile::kRows + i) * 16 + half * 8 + lane / 4;
        const int32_t channel = (warp / Tile::kOutWarps * Tile::kColumns + j) * 8 + lane % 4 * 2;
        if (out < p.group_outs && channel < channels)
          *reinterpret_cast<float2*>(to + int64_t{out} * p.group_channels + first_channel + channel) =
              make_float2(sum[i][j][half * 2], sum[i][j][half * 2 + 1]);
      }
#else
  __trap();  // where PTX of an older GPU than the products need came to run
#endif
}

}  // namespace dcn::cuda
