// Planar images (NCHW) to channels-last ones with a zero border, and back, in small transposed
// blocks. Conversion to and from the arithmetic type happens on the way.
#pragma once

#include <cstring>

#include "convert.h"
#include "kernels.h"

namespace dcn::cpu::DCN_ISA {

// One block of at most N channels by the whole width of a row.
template <class T, int N>
void stage_channels(const T* from, int64_t plane, int64_t channels, int64_t width, Arithmetic<T>* to,
                    int64_t pixel_stride) {
  using A = Arithmetic<T>;
  for (int64_t x = 0; x < width; x += N) {
    const int64_t pixels = width - x < N ? width - x : N;
    Vec<A, N> block[N] = {};
    for (int c = 0; c < N; ++c)
      if (c < channels) block[c] = load_lanes<T, N>(from + c * plane + x, pixels);
    transpose<A, N>(block);
    for (int i = 0; i < N; ++i)
      if (i < pixels) store_lanes<A, N>(to + (x + i) * pixel_stride, block[i], channels);
  }
}

template <class T>
void stage(const StageJob& job) {
  using A = Arithmetic<T>;
  const int64_t plane = job.height * job.width;
  const int64_t row_elements = (job.width + 2 * job.border) * job.pixel_stride;
  for (int64_t row = job.first_row; row < job.first_row + job.rows; ++row) {
    A* to = static_cast<A*>(job.staged) + row * row_elements;
    const int64_t y = row - job.border;
    if (y < 0 || y >= job.height) {
      std::memset(to, 0, row_elements * sizeof(A));
      continue;
    }
    const int64_t border_elements = job.border * job.pixel_stride;
    std::memset(to, 0, border_elements * sizeof(A));
    std::memset(to + row_elements - border_elements, 0, border_elements * sizeof(A));
    to += border_elements;
    const T* from = static_cast<const T*>(job.planar) + y * job.width;
    int64_t c = 0;
    for (; c + 8 <= job.channels; c += 8)
      stage_channels<T, 8>(from + c * plane, plane, 8, job.width, to + c, job.pixel_stride);
    for (; c < job.channels; c += 4) {
      const int64_t channels = job.channels - c < 4 ? job.channels - c : 4;
      stage_channels<T, 4>(from + c * plane, plane, channels, job.width, to + c, job.pixel_stride);
    }
    if (job.pixel_stride > job.channels)
      for (int64_t x = 0; x < job.width; ++x)
        std::memset(to + x * job.pixel_stride + job.channels, 0,
                    (job.pixel_stride - job.channels) * sizeof(A));
  }
}

template <class T>
void unstage(const UnstageJob& job) {
  using A = Arithmetic<T>;
  constexpr int N = 8;
  const int64_t plane = job.height * job.width;
  const int64_t row_elements = (job.width + 2 * job.border) * job.pixel_stride;
  for (int64_t y = job.first_row; y < job.first_row + job.rows; ++y) {
    const A* from = static_cast<const A*>(job.staged) + (y + job.border) * row_elements +
                    job.border * job.pixel_stride;
    T* to = static_cast<T*>(job.planar) + y * job.width;
    for (int64_t c = 0; c < job.channels; c += N) {
      for (int64_t x = 0; x < job.width; x += N) {
        const int64_t pixels = job.width - x < N ? job.width - x : N;
        Vec<A, N> block[N] = {};
        for (int i = 0; i < N; ++i)
          if (i < pixels) block[i] = load_vec<Vec<A, N>>(from + (x + i) * job.pixel_stride + c);
        transpose<A, N>(block);
        for (int i = 0; i < N; ++i)
          if (c + i < job.channels) store_lanes<T, N>(to + (c + i) * plane + x, block[i], pixels);
      }
    }
  }
}

}  // namespace dcn::cpu::DCN_ISA
