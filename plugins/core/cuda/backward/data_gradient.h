// The fused gradient of everything that a sample depends on: offset, mask and input.
//
// A block owns a tile of output pixels and a bundle of channels, and goes through the taps. For each:
//   1. Tensor cores multiply the pixels' grad_output [pixels, O/group] by the tap's weight
//      [O/group, channels of the bundle]: the gradient of the samples, which goes to shared memory and
//      never further. grad_output stays in shared memory for all taps where it fits; weights stream
//      through three buffers.
//   2. A thread owns a vector of channels of a sample. It reads the four corners, adds up the products
//      of the gradient with them and their differences over its channels, and adds the gradient, times
//      the corner's weight, to the float32 sums of the input's gradient, which lie as the staged image
//      does. These additions are atomic and the only ones whose order is not fixed.
//   3. A thread owns a sample and adds up the products of its vectors, in order: gradients of offset
//   and
//      mask. An offset group whose channels are in several bundles has as many partial sums, which
//      gradient_layouts.cu adds up.
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

// The weight is read in stages of this many bytes of output channels.
inline constexpr int kDepthBytes = 128;

// A block's tile has so many output pixels.
inline constexpr int kDataPixels = 64;

// Where gradients of offset and mask go: to the tensors, or to partial sums.
struct CoordinateGradients {
  void* grad_offset;  // [N, offset_group*kH*kW*2, oH, oW] or null
  void* grad_mask;    // [N, offset_group*kH*kW, oH, oW] or null
  bool of_float32;
  float* partial;  // [parts, offset_group*kH*kW, 3 (y, x, mask), N*oH*oW] or null

  template <class T>
  __device__ __forceinline__ void store(void* tensor, int64_t at, float value) const {
    if (of_float32)
      static_cast<float*>(tensor)[at] = value;
    else
      static_cast<T*>(tensor)[at] = Store<T>::from(value);
  }

  // `row`: offset_group * taps + tap, of `rows`.
  template <class T>
  __device__ __forceinline__ void write(int32_t image, int32_t pixel, int32_t row, int32_t rows,
                                        int32_t out_pixels, const float (&yxm)[3]) const {
    const int64_t index = int64_t{image} * rows + row;
    if (grad_offset) {
      store<T>(grad_offset, 2 * index * out_pixels + pixel, yxm[0]);
      store<T>(grad_offset, (2 * index + 1) * out_pixels + pixel, yxm[1]);
    }
    if (grad_mask) store<T>(grad_mask, index * out_pixels + pixel, yxm[2]);
  }
};

template <class T>
struct DataGradient {
  Bundles bundles;
  ImageLayout image;
  GradOutputLayout out;
  Coordinates<T> coordinates;
  CoordinateGradients gradients;
  const T* input;        // staged
  const T* grad_output;  // staged
  const T* weight;       // [bundle, tap, channels of a bundle, depth]
  float* grad_input;     // as staged, or null
  int32_t pixels;        // of all images
  int32_t depth_stages;  // of a tap: O/group in pieces of kDepthBytes
};

template <class Products_, int kVector_>
struct DataTile {
  using Products = Products_;
  using T = typename Products::Element;
  static constexpr int kVector = kVector_, kWords = kVector * static_cast<int>(sizeof(T)) / 4;
  static constexpr int kPixels = kDataPixels, kChannels = kBundleVectors * kVector;
  static constexpr int kColumnWarps = kChannels / 16, kRowWarps = kGradientWarps / kColumnWarps;
  static constexpr int kRows = kPixels / kRowWarps / 16, kColumns = 2;  // fragments of a warp
  // 16 bytes more than needed in each row, so that eight rows lie in different banks.
  static constexpr int kStageBytes = kDepthBytes, kStages = 3, kPitch = kStageBytes + 16;
  static constexpr int kResidentStages = 4, kResidentPitch = kResidentStages * kStageBytes + 16;
  static constexpr int kStageElements = kStageBytes / static_cast<int>(sizeof(T));

  struct Shared {
    unsigned char weight[kStages][kChannels * kPitch];
    unsigned char grad_output[kPixels * kResidentPitch];
    float grad_samples[kPixels][kChannels + 4];
    StagedPoint points[kBundleVectors][kPixels];  // by slot
    PixelBase bases[kPixels];
    BundleMap map;

    // The gradients of a vector of a sample; the thread that has read them leaves its products there.
    __device__ __forceinline__ float4* grads(int row, int vector) {
      return reinterpret_cast<float4*>(&grad_samples[row][vector * kVector]);
    }
  };
  static_assert(sizeof(Shared) <= 99 << 10, "what a block may have on every GPU from sm_80 on");
  static_assert(kStages * kPixels * kPitch <= kPixels * kResidentPitch, "streams through it, too");
};

// The copies of a block, stage after stage: stage i is stage i % depth_stages of the block's tap number
// i / depth_stages.
template <class Tile>
struct DataStream {
  using T = typename Tile::T;
  const DataGradient<T>& p;
  typename Tile::Shared& s;
  int32_t bundle, first_tap, tap_step, stages;
  bool resident;

  __device__ __forceinline__ const unsigned char* rows(int32_t stage) const {
    return resident ? s.grad_output + stage % p.depth_stages * Tile::kStageBytes
                    : s.grad_output + stage % Tile::kStages * Tile::kPixels * Tile::kPitch;
  }
  __device__ __forceinline__ int pitch() const {
    return resident ? Tile::kResidentPitch : Tile::kPitch;
  }

  // Stage `depth` of grad_output's channels.
  __device__ __forceinline__ void copy_grad_output(unsigned char* to, int pitch, int32_t depth) const {
    constexpr int kParts = Tile::kStageBytes / 16;
    for (int i = static_cast<int>(threadIdx.x); i < Tile::kPixels * kParts; i += kGradientBlock) {
      const int row = i / kParts, part = i % kParts;
      const int32_t out = depth * Tile::kStageElements + part * (16 / static_cast<int>(sizeof(T)));
      const PixelBase& at = s.bases[row];
      const bool valid = at.image >= 0 && out < p.out.outs;
      const int64_t start =
          valid ? p.out.element(p.bundles.group(bundle), at.image, at.pixel) + out : 0;
      copy_async(to + row * pitch + part * 16, p.grad_output + start, valid);
    }
  }

  __device__ __forceinline__ void copy_resident() const {
    if (!resident) return;
    for (int32_t depth = 0; depth < p.depth_stages; ++depth)
      copy_grad_output(s.grad_output + depth * Tile::kStageBytes, Tile::kResidentPitch, depth);
  }

  __device__ __forceinline__ void copy(int32_t stage) const {
    if (stage >= stages) return;
    constexpr int kParts = Tile::kStageBytes / 16;
    const int32_t tap = first_tap + stage / p.depth_stages * tap_step;
    const int32_t depth = stage % p.depth_stages;
    const int64_t pitch = int64_t{p.depth_stages} * Tile::kStageElements;
    const T* from = p.weight + (int64_t{bundle} * p.coordinates.taps + tap) * Tile::kChannels * pitch +
                    depth * Tile::kStageElements;
    unsigned char* to = s.weight[stage % Tile::kStages];
    for (int i = static_cast<int>(threadIdx.x); i < Tile::kChannels * kParts; i += kGradientBlock)
      copy_async(to + i / kParts * Tile::kPitch + i % kParts * 16,
                 reinterpret_cast<const unsigned char*>(from + i / kParts * pitch) + i % kParts * 16,
                 true);
    if (!resident)
      copy_grad_output(s.grad_output + stage % Tile::kStages * Tile::kPixels * Tile::kPitch,
                       Tile::kPitch, depth);
  }
};

// One stage of the warp's part of the tile, in slices of 32 bytes. Lanes 8i to 8i+7 give the rows of
// matrix i: of the left operand, 16 pixels by two halves of the slice; of the right, two halves by 16
// channels.
template <class Tile>
__device__ __forceinline__ void multiply_stage(float (&sum)[Tile::kRows][Tile::kColumns][4],
                                               const unsigned char* left, int left_pitch,
                                               const unsigned char* right) {
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
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

// Products of the samples' gradient over the channels of a vector, as plain_gradients.h has them.
template <class Tile>
__device__ __forceinline__ float4 products_of(const float (&grad)[Tile::kVector],
                                              const Corners4<Tile::kWords>& corners) {
  constexpr int kElements = Tile::Products::kWordElements;
  float4 sum = make_float4(0, 0, 0, 0);
#pragma unroll
  for (int w = 0; w < Tile::kWords; ++w) {
    float value[4][kElements];
#pragma unroll
    for (int i = 0; i < 4; ++i) Tile::Products::unpack(corners.at[i].word[w], value[i]);
#pragma unroll
    for (int e = 0; e < kElements; ++e) {
      const float g = grad[w * kElements + e];
      sum.x += g * value[0][e];
      sum.y += g * (value[2][e] - value[0][e]);
      sum.z += g * (value[1][e] - value[0][e]);
      sum.w += g * (value[3][e] - value[2][e]);
    }
  }
  return sum;
}

// A vector of a sample, and where its corners lie in the staged image.
template <class Tile>
struct VectorSample {
  int vector, row;
  uint32_t inside = 0;           // bit i: corner i lies in the image
  int64_t first = 0;             // element of the top left corner
  int64_t right = 0, below = 0;  // elements from one corner to the next

  __device__ __forceinline__ VectorSample(const DataGradient<typename Tile::T>& p,
                                          const typename Tile::Shared& s, int i) {
    const TileVector<Tile::kPixels> own(i, p.bundles.segment_vectors == 1);
    vector = own.vector, row = own.row;
    if (vector >= s.map.vectors) return;
    const StagedPoint& at = s.points[s.map.slot[vector]][row];
    const int32_t width = p.coordinates.in_w;
    const CornerPixels corners(at.point.y.low, at.point.x.low, p.coordinates.in_h, width);
    right = p.bundles.segment_vectors * Tile::kVector;
    below = width * right;
    inside = corners.inside;
    first = at.image * p.image.image_size + s.map.start[vector] + corners.first * right;
  }
  __device__ __forceinline__ bool touches(int corner) const { return inside >> corner & 1; }
  __device__ __forceinline__ int64_t element(int corner) const {
    return first + (corner % 2 ? right : 0) + (corner / 2 ? below : 0);
  }
};

// Step 2: all vectors of all samples of the tile. The corners of all that a thread owns are under way
// before it needs the first.
template <class Tile>
__device__ __forceinline__ void differentiate_samples(const DataGradient<typename Tile::T>& p,
                                                      typename Tile::Shared& s) {
  constexpr int kOwn = Tile::kPixels * kBundleVectors / kGradientBlock;
  const int thread = static_cast<int>(threadIdx.x);
  const bool wants_products = p.gradients.grad_offset || p.gradients.grad_mask;
  Corners4<Tile::kWords> image[kOwn];
#pragma unroll
  for (int k = 0; k < kOwn; ++k) {
    const VectorSample<Tile> own(p, s, thread + k * kGradientBlock);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      image[k].at[i] = {};
      if (wants_products && own.touches(i))
        image[k].at[i] = *reinterpret_cast<const Words<Tile::kWords>*>(p.input + own.element(i));
    }
  }
#pragma unroll
  for (int k = 0; k < kOwn; ++k) {
    const VectorSample<Tile> own(p, s, thread + k * kGradientBlock);
    if (own.vector >= s.map.vectors) continue;
    float grad[Tile::kVector];
#pragma unroll
    for (int c = 0; c < Tile::kVector; c += 4) {
      const float4 four = s.grads(own.row, own.vector)[c / 4];
      grad[c] = four.x, grad[c + 1] = four.y, grad[c + 2] = four.z, grad[c + 3] = four.w;
    }
    if (wants_products) *s.grads(own.row, own.vector) = products_of<Tile>(grad, image[k]);
    if (p.grad_input) {
      const SamplePoint& at = s.points[s.map.slot[own.vector]][own.row].point;
      const CornerWeights weights(at.y.fraction, at.x.fraction, at.mask);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        if (!own.touches(i)) continue;
        float* to = p.grad_input + own.element(i);
        const float w = weights.weight[i];
#pragma unroll
        for (int c = 0; c < Tile::kVector; c += 4)
          add4(to + c, make_float4(w * grad[c], w * grad[c + 1], w * grad[c + 2], w * grad[c + 3]));
      }
    }
  }
}

// Step 3: all samples of the tile.
template <class Tile>
__device__ __forceinline__ void add_products(const DataGradient<typename Tile::T>& p,
                                             typename Tile::Shared& s, int32_t bundle,
                                             int32_t first_pixel, int32_t tap) {
  const Coordinates<typename Tile::T>& c = p.coordinates;
  for (int i = static_cast<int>(threadIdx.x); i < s.map.slots * Tile::kPixels; i += kGradientBlock) {
    const int slot = i / Tile::kPixels, row = i % Tile::kPixels;
    const PixelBase& base = s.bases[row];
    if (base.image < 0) continue;
    float corner = 0, left = 0, top = 0, bottom = 0;
    for (int v = s.map.begin[slot]; v < s.map.begin[slot + 1]; ++v) {
      const float4 own = *s.grads(row, v);
      corner += own.x, left += own.y, top += own.z, bottom += own.w;
    }
    const SamplePoint& at = s.points[slot][row].point;
    const float by_y = left + at.x.fraction * (bottom - top);
    const float by_x = top + at.y.fraction * (bottom - top);
    const float yxm[3] = {at.mask * by_y, at.mask * by_x,
                          corner + at.x.fraction * top + at.y.fraction * by_y};
    const int32_t offset_group = s.map.offset_group[slot];
    const int32_t rows = c.offset_group * c.taps, of_rows = offset_group * c.taps + tap;
    if (p.gradients.partial) {
      const int32_t part = bundle - p.bundles.first_of(offset_group);
      float* to =
          p.gradients.partial + (int64_t{part} * rows + of_rows) * 3 * p.pixels + first_pixel + row;
      for (int k = 0; k < 3; ++k) to[int64_t{k} * p.pixels] = yxm[k];
    } else {
      p.gradients.template write<typename Tile::T>(base.image, base.pixel, of_rows, rows, c.out_pixels,
                                                   yxm);
    }
  }
}

// Blocks: x, tiles of pixels times bundles; y, runs of taps.
template <class Tile>
__global__ void __launch_bounds__(kGradientBlock, 2)
    differentiate_data(const DataGradient<typename Tile::T> p) {
#if DCN_HAS_TENSOR_CORES
  extern __shared__ __align__(16) unsigned char shared_memory[];
  auto& s = *reinterpret_cast<typename Tile::Shared*>(shared_memory);
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  const int32_t bundle = static_cast<int32_t>(blockIdx.x) % p.bundles.count;
  const int32_t first_pixel = static_cast<int32_t>(blockIdx.x) / p.bundles.count * Tile::kPixels;
  const int32_t taps = p.coordinates.taps, first_tap = static_cast<int32_t>(blockIdx.y);
  const int32_t tap_step = static_cast<int32_t>(gridDim.y);

  s.map.fill(p.bundles, p.image, bundle);
  if (thread < Tile::kPixels)
    s.bases[thread] = base_at(p.coordinates, p.out.by_pixels, first_pixel + thread, p.pixels);
  __syncthreads();

  const int32_t stages = (taps - first_tap + tap_step - 1) / tap_step * p.depth_stages;
  const DataStream<Tile> stream{
      p, s, bundle, first_tap, tap_step, stages, p.depth_stages <= Tile::kResidentStages};
  stream.copy_resident();
  stream.copy(0);
  commit_copies();
  stream.copy(1);
  commit_copies();

  constexpr int kOwnPoints = kBundleVectors * Tile::kPixels / kGradientBlock;
  int32_t stage = 0;
  for (int32_t tap = first_tap; tap < taps; tap += tap_step) {
    RawPoint raw[kOwnPoints];
#pragma unroll
    for (int k = 0; k < kOwnPoints; ++k) {
      const int i = thread + k * kGradientBlock, slot = i / Tile::kPixels;
      if (slot < s.map.slots)
        raw[k] = ask_point(p.coordinates, s.bases[i % Tile::kPixels], s.map.offset_group[slot], tap);
    }
    float sum[Tile::kRows][Tile::kColumns][4] = {};
    for (int32_t depth = 0; depth < p.depth_stages; ++depth, ++stage) {
      wait_copies<1>();
      __syncthreads();
      stream.copy(stage + 2);
      commit_copies();
      multiply_stage<Tile>(sum, stream.rows(stage), stream.pitch(), s.weight[stage % Tile::kStages]);
    }
#pragma unroll
    for (int i = 0; i < Tile::kRows; ++i)
#pragma unroll
      for (int j = 0; j < Tile::kColumns; ++j)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const int row = (warp % Tile::kRowWarps * Tile::kRows + i) * 16 + half * 8 + lane / 4;
          const int column = warp / Tile::kRowWarps * 16 + j * 8 + lane % 4 * 2;
          *reinterpret_cast<float2*>(&s.grad_samples[row][column]) =
              make_float2(sum[i][j][half * 2], sum[i][j][half * 2 + 1]);
        }
#pragma unroll
    for (int k = 0; k < kOwnPoints; ++k) {
      const int i = thread + k * kGradientBlock, slot = i / Tile::kPixels, row = i % Tile::kPixels;
      if (slot < s.map.slots) s.points[slot][row] = point_of(p.coordinates, s.bases[row], raw[k], tap);
    }
    __syncthreads();
    differentiate_samples<Tile>(p, s);
    __syncthreads();
    // Whoever reads a point here writes the next tap's.
    if (p.gradients.grad_offset || p.gradients.grad_mask)
      add_products<Tile>(p, s, bundle, first_pixel, tap);
  }
#else
  __trap();  // where PTX of an older GPU than the products need came to run
#endif
}

}  // namespace dcn::cuda
