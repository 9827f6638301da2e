// Images in the user's order (NCHW or NHWC) to channels-last ones with a zero border, and back, in
// small blocks, transposed where the order asks for it. Conversion to and from the arithmetic type
// happens on the way.
#pragma once

#include <cstring>

#include "convert.h"
#include "kernels.h"
#include "phases.h"
#include "shuffle.h"

namespace dcn::cpu::DCN_ISA {

// One block of N pixels by N channels. kWhole: all of them exist, on both sides.
template <class T, int N, bool kWhole>
void stage_block(const T* from, ImageStrides strides, int64_t channels, int64_t pixels,
                 Arithmetic<T>* to, int64_t pixel_stride, int64_t room) {
  using A = Arithmetic<T>;
  Vec<A, N> block[N] = {};
  if (strides.channel == 1) {
    for (int i = 0; i < N; ++i)
      if (kWhole || i < pixels)
        block[i] = load_lanes<T, N>(from + i * strides.pixel, kWhole ? N : channels);
  } else {
    for (int i = 0; i < N; ++i)
      if (kWhole || i < channels)
        block[i] = load_lanes<T, N>(from + i * strides.channel, kWhole ? N : pixels);
    transpose<A, N>(block);
  }
  for (int i = 0; i < N; ++i)
    if (kWhole || i < pixels) store_lanes<A, N>(to + i * pixel_stride, block[i], kWhole ? N : room);
}

// Asks for the next row of N planes, from channel `c` and column `x` on, and for the pixels that are
// about to be written, if their first channels are: a row is too short for the hardware to foresee the
// end of it, and a store that waits for its line holds up those behind it.
template <int N, class T, class A>
DCN_INLINE void ask_ahead(const StageJob& job, int64_t c, int64_t x, const T* from, const A* to) {
  if (job.strides.channel != 1 && x % kLine<T> == 0)
    for (int i = 0; i < N && c + i < job.channels; ++i)
      prefetch_near(from + job.width + i * job.strides.channel);
  constexpr int64_t kPixelsAhead = 16;
  if (c == 0)
    for (int i = 0; i < N; ++i) prefetch_near(to + (kPixelsAhead + i) * job.pixel_stride);
}

// Channels `c` to `c` + N of all rows of a job: whole runs of planes, which the hardware foresees,
// while what is written stays in the second-level cache until the other channels of its pixels have
// come.
template <class T, int N>
void stage_channels(const StageJob& job, int64_t c) {
  const int64_t channels = job.channels > c ? job.channels - c : 0, room = job.room - c;
  for (int64_t row = job.first_row; row < job.first_row + job.rows; ++row) {
    const int64_t y = row - job.border;
    if (y < 0 || y >= job.height) continue;
    const T* from =
        static_cast<const T*>(job.image) + y * job.width * job.strides.pixel + c * job.strides.channel;
    auto* to = static_cast<Arithmetic<T>*>(job.staged) +
               (row * (job.width + 2 * job.border) + job.border) * job.pixel_stride + c;
    for (int64_t x = 0; x < job.width; x += N) {
      ask_ahead<N>(job, c, x, from + x * job.strides.pixel, to + x * job.pixel_stride);
      const bool whole = channels >= N && room >= N && x + N <= job.width;
      const auto block = whole ? stage_block<T, N, true> : stage_block<T, N, false>;
      block(from + x * job.strides.pixel, job.strides, channels, job.width - x,
            to + x * job.pixel_stride, job.pixel_stride, room);
    }
  }
}

// Zeros around the rows of a job.
template <class T>
void stage_border(const StageJob& job) {
  using A = Arithmetic<T>;
  const int64_t border = job.border * job.pixel_stride, inner = job.width * job.pixel_stride;
  for (int64_t row = job.first_row; row < job.first_row + job.rows; ++row) {
    A* to = static_cast<A*>(job.staged) + row * (inner + 2 * border);
    if (row < job.border || row >= job.border + job.height) {
      std::memset(to, 0, (inner + 2 * border) * sizeof(A));
    } else {
      std::memset(to, 0, border * sizeof(A));
      std::memset(to + border + inner, 0, border * sizeof(A));
    }
  }
}

template <class T>
void stage(const StageJob& job) {
  const PhaseTimer timer(kStage);
  stage_border<T>(job);
  constexpr int kWide = kTransposed<Arithmetic<T>>, kNarrow = kWide < 4 ? kWide : 4;
  const bool narrow = job.room < 8;
  const auto stage_some = narrow ? stage_channels<T, kNarrow> : stage_channels<T, kWide>;
  for (int64_t c = 0; c < job.room; c += narrow ? kNarrow : kWide) stage_some(job, c);
}

// Asks for where the next N channels of a row go, or the first ones of the next row: a store that waits
// for its line holds up those behind it.
template <int N, class T>
DCN_INLINE void ask_for_next_channels(const UnstageJob& job, int64_t c, int64_t x, T* row) {
  if (x % kLine<T> != 0) return;
  const bool more = c + N < job.channels;
  const int64_t first = more ? c + N : 0;
  const T* const next = (more ? row : row + job.width) + x;
  for (int64_t i = first; i < first + N && i < job.channels; ++i)
    prefetch_near(next + i * job.height * job.width);
}

// Some rows of the first staged image, and of the second, where there is one.
template <class T, bool kSum>
void unstage_rows(const UnstageJob& job) {
  using A = Arithmetic<T>;
  constexpr int N = kTransposed<A>;
  const int64_t plane = job.height * job.width;
  const int64_t row_elements = (job.width + 2 * job.border) * job.pixel_stride;
  for (int64_t y = job.first_row; y < job.first_row + job.rows; ++y) {
    const int64_t first = (y + job.border) * row_elements + job.border * job.pixel_stride;
    const A* from = static_cast<const A*>(job.staged) + first;
    const A* also = kSum ? static_cast<const A*>(job.also) + first : nullptr;
    T* to = static_cast<T*>(job.planar) + y * job.width;
    for (int64_t c = 0; c < job.channels; c += N) {
      for (int64_t x = 0; x < job.width; x += N) {
        ask_for_next_channels<N>(job, c, x, to);
        const int64_t pixels = job.width - x < N ? job.width - x : N;
        Vec<A, N> block[N] = {};
        for (int i = 0; i < N; ++i)
          if (i < pixels) {
            block[i] = load_vec<Vec<A, N>>(from + (x + i) * job.pixel_stride + c);
            if (kSum) block[i] += load_vec<Vec<A, N>>(also + (x + i) * job.pixel_stride + c);
          }
        transpose<A, N>(block);
        for (int i = 0; i < N; ++i)
          if (c + i < job.channels) store_lanes<T, N>(to + (c + i) * plane + x, block[i], pixels);
      }
    }
  }
}

template <class T>
void unstage(const UnstageJob& job) {
  const PhaseTimer timer(kStore);
  job.also ? unstage_rows<T, true>(job) : unstage_rows<T, false>(job);
}

}  // namespace dcn::cpu::DCN_ISA
