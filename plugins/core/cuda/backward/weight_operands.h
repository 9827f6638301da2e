// The two operands of the weight's gradient on their way to shared memory, step by step, and the
// positions of the samples. A step is of Tile::kPixels output pixels of a run.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "../sampler.h"
#include "../warp.h"
#include "gradient_points.h"
#include "weight_tile.h"

namespace dcn::cuda {

// The output pixels of a block, which may belong to several images.
struct PixelRun {
  int32_t first, end;
};

// grad_output. Half of the warps copy, 16 bytes a thread at a time: the others are ahead of them, so
// that these use the tensor cores while those add up corners, and the other way round.
template <class Tile>
class GradOutputCopies {
 public:
  using T = typename Tile::T;

  __device__ __forceinline__ GradOutputCopies(const WeightGradient<T>& p, const PixelRun& run,
                                              int32_t group, int32_t first_out)
      : p_(p) {
    const int thread = static_cast<int>(threadIdx.x) - (kGradientBlock - kThreads);
    const int row = thread / kParts, part = thread % kParts;
    const int32_t out = first_out + part * (16 / Tile::kBytes);
    copies_ = thread >= 0;
    pixel_ = run.first + row;
    end_ = out < p.out.outs ? run.end : 0;
    from_ = p.grad_output + p.out.element(group, 0, 0) + int64_t{pixel_} * p.out.outs + out;
    to_ = row * Tile::kOutPitch + part * 16;
  }

  // The next step's.
  __device__ __forceinline__ void copy(unsigned char* to) {
    if (!copies_) return;
    if (p_.grad_output_gap == 0)
      copy_rows(to, [](int32_t) { return 0; });
    else
      copy_rows(to,
                [&](int32_t pixel) { return p_.out.by_pixels.quotient(pixel) * p_.grad_output_gap; });
    pixel_ += Tile::kPixels;
    from_ += int64_t{Tile::kPixels} * p_.out.outs;
  }

 private:
  static constexpr int kThreads = kGradientBlock / 2, kParts = Tile::kOuts * Tile::kBytes / 16;
  static constexpr int kRowDistance = kThreads / kParts;  // from one pixel of a thread to the next

  // `beyond`: elements to add for the images before a pixel's.
  template <class Beyond>
  __device__ __forceinline__ void copy_rows(unsigned char* to, const Beyond& beyond) const {
#pragma unroll
    for (int row = 0; row < Tile::kPixels; row += kRowDistance) {
      const bool valid = pixel_ + row < end_;
      copy_async(to + to_ + row * Tile::kOutPitch,
                 from_ + row * p_.out.outs + beyond(valid ? pixel_ + row : 0), valid);
    }
  }

  const WeightGradient<T>& p_;
  const T* from_;
  int32_t pixel_, end_, to_;
  bool copies_;
};

// Where samples lie. As few slots as a tile may have, offset and mask of several steps are asked for
// together, a round, so that every thread has something to do.
template <class Tile>
class SamplePositions {
 public:
  using T = typename Tile::T;

  __device__ __forceinline__ SamplePositions(const WeightGradient<T>& p, typename Tile::Shared& s,
                                             const PixelRun& run)
      : p_(p), s_(s), run_(run), slots_(s.columns.slots) {
    while (2 << round_bits_ <= Tile::kRoundLines / slots_) ++round_bits_;
  }

  // Steps of a round; a power of two.
  __device__ __forceinline__ int32_t steps() const { return 1 << round_bits_; }
  __device__ __forceinline__ bool begins_round(int32_t step) const {
    return (step & (steps() - 1)) == 0;
  }

  // Of the round that begins at `step`: asks for offset and mask; stores the positions.
  __device__ __forceinline__ void ask(int32_t step) {
#pragma unroll
    for (int k = 0; k < kOwn; ++k)
      if (slot(k) < slots_)
        raw_[k] = ask_point(p_.coordinates, base(k, step), s_.columns.offset_group[slot(k)],
                            s_.columns.tap[slot(k)]);
  }
  __device__ __forceinline__ void store(int32_t step) const {
    const Coordinates<T>& c = p_.coordinates;
#pragma unroll
    for (int k = 0; k < kOwn; ++k) {
      if (slot(k) >= slots_) continue;
      const StagedPoint at = point_of(c, base(k, step), raw_[k], s_.columns.tap[slot(k)]);
      const SampleCorners corners(at.point, c.in_h, c.in_w);
      const float (&w)[4] = corners.weight;
      const int line = line_of(step + of_round(k)) + slot(k);
      s_.weights[line][lane()] = make_float4(w[0], w[1], w[2], w[3]);
      s_.corners[line][lane()] =
          make_int2(at.image * p_.image_vectors + corners.first * p_.pixel_vectors,
                    static_cast<int>(corners.inside));
    }
  }

  // In shared memory: that of slot 0 of a step.
  __device__ __forceinline__ int line_of(int32_t step) const {
    const int32_t last_line = 2 * steps() - 1;
    return (step & last_line) * slots_;
  }

 private:
  static constexpr int kOwn = Tile::kRoundLines / kGradientWarps;
  static_assert(Tile::kPixels == 32, "a lane for each pixel of a step");

  // A warp owns lines of a round, that is a slot at a step.
  __device__ __forceinline__ static int lane() { return static_cast<int>(threadIdx.x) % 32; }
  __device__ __forceinline__ static int own_line(int k) {
    return static_cast<int>(threadIdx.x) / 32 + k * kGradientWarps;
  }
  __device__ __forceinline__ int slot(int k) const { return own_line(k) >> round_bits_; }
  __device__ __forceinline__ int of_round(int k) const { return own_line(k) & (steps() - 1); }
  __device__ __forceinline__ PixelBase base(int k, int32_t step) const {
    const int32_t pixel = run_.first + (step + of_round(k)) * Tile::kPixels + lane();
    return base_at(p_.coordinates, p_.out.by_pixels, pixel, run_.end);
  }

  const WeightGradient<T>& p_;
  typename Tile::Shared& s_;
  PixelRun run_;
  int32_t slots_, round_bits_ = 0;
  RawPoint raw_[kOwn];
};

// A thread owns some vectors of one pixel of each step. Neighbouring lanes own neighbours in memory.
template <class Tile>
class Samples {
 public:
  static constexpr int kOwn = kTileVectors * Tile::kPixels / kGradientBlock;

  __device__ __forceinline__ Samples(const WeightGradient<typename Tile::T>& p,
                                     typename Tile::Shared& s)
      : s_(s),
        own_(static_cast<int>(threadIdx.x), p.columns.segment_vectors == 1),
        pixel_(p.pixel_vectors),
        row_(p.coordinates.in_w * p.pixel_vectors) {
#pragma unroll
    for (int k = 0; k < kOwn; ++k) {
      // Behind the tile's last vector the last one again: nobody reads those columns.
      const int32_t v = p.columns.segments.smaller(vector(k), s.columns.vectors - 1);
      start_[k] = p.input + s.columns.start[v];
      slot_[k] = s.columns.slot[v];
    }
  }

  // The thread's vector k of a step whose positions begin at line `line`: asks for the corners; stores
  // the sample.
  __device__ __forceinline__ void ask(int k, int line) {
    const int2 at = s_.corners[line + slot_[k]][own_.row];
    const auto inside = static_cast<uint32_t>(at.y);
    const int32_t corner[4] = {at.x, at.x + pixel_, at.x + row_, at.x + row_ + pixel_};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      corners_.at[i] = {};
      if (inside >> i & 1)
        corners_.at[i] = reinterpret_cast<const Words<Tile::kWords>*>(start_[k])[corner[i]];
    }
  }
  __device__ __forceinline__ void store(int k, int line, unsigned char* to) const {
    const float4 w = s_.weights[line + slot_[k]][own_.row];
    CornerWeights weights;
    weights.weight[0] = w.x, weights.weight[1] = w.y, weights.weight[2] = w.z, weights.weight[3] = w.w;
    *reinterpret_cast<Words<Tile::kWords>*>(to + own_.row * Tile::kSamplePitch +
                                            vector(k) * Tile::kWords * 4) =
        corners_.template sample<typename Tile::Products>(weights);
  }

 private:
  __device__ __forceinline__ int vector(int k) const { return own_.vector + k * kBundleVectors; }

  const typename Tile::Shared& s_;
  TileVector<Tile::kPixels> own_;
  int32_t pixel_, row_;  // vectors from one corner to the next
  const typename Tile::T* start_[kOwn];
  int32_t slot_[kOwn];
  Corners4<Tile::kWords> corners_;
};

}  // namespace dcn::cuda
