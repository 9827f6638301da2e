// The operation and its gradients by plain loops in double: what the kernels are judged against,
// sharing nothing with them but the description of the problem.
#pragma once

#include <cmath>
#include <vector>

#include "deform_conv.h"

namespace reference {

using Values = std::vector<double>;

struct Tensors {
  Values input, weight, offset, bias, mask;  // bias, mask: empty if there is none
};

struct Gradients {
  Values input, weight, offset, bias, mask;
};

// A sample's value, and by how much it changes with the position.
struct Sample {
  double value = 0, by_y = 0, by_x = 0;
  int64_t at[4] = {-1, -1, -1, -1};  // pixels of the four corners; -1: none
  double share[4] = {};

  Sample(const dcn::Problem& p, const double* plane, double y, double x) {
    if (!(y > -1 && x > -1 && y < double(p.in_h) && x < double(p.in_w))) return;
    const double top = std::floor(y), left = std::floor(x), down = y - top, right = x - left;
    for (int i = 0; i < 4; ++i) {
      const auto row = int64_t(top) + i / 2, column = int64_t(left) + i % 2;
      if (row < 0 || column < 0 || row >= p.in_h || column >= p.in_w) continue;
      at[i] = row * p.in_w + column;
      const double share_y = i / 2 ? down : 1 - down, share_x = i % 2 ? right : 1 - right;
      share[i] = share_y * share_x;
      value += share[i] * plane[at[i]];
      by_y += (i / 2 ? 1 : -1) * share_x * plane[at[i]];
      by_x += (i % 2 ? 1 : -1) * share_y * plane[at[i]];
    }
  }
};

// One sample's place in every tensor.
struct Place {
  int64_t row, column;    // of the matrix of columns [C*kH*kW, oH*oW]
  int64_t plane;          // first element of the sample's plane in input
  int64_t y, x, mask;     // elements of offset and mask
  double base_y, base_x;  // position before the offset
};

// Calls f(place) for every sample of one image.
template <class F>
void for_each_sample(const dcn::Problem& p, int64_t image, F f) {
  const int64_t pixels = p.out_pixels(), taps = p.taps();
  for (int64_t c = 0; c < p.in_channels; ++c)
    for (int64_t tap = 0; tap < taps; ++tap)
      for (int64_t pixel = 0; pixel < pixels; ++pixel) {
        const int64_t group = c / (p.in_channels / p.offset_group);
        const int64_t row = (image * p.offset_group + group) * taps + tap;
        f(Place{c * taps + tap, pixel, (image * p.in_channels + c) * p.in_pixels(),
                2 * row * pixels + pixel, (2 * row + 1) * pixels + pixel, row * pixels + pixel,
                double(pixel / p.out_w * p.stride_h - p.pad_top + tap / p.kernel_w * p.dilation_h),
                double(pixel % p.out_w * p.stride_w - p.pad_left + tap % p.kernel_w * p.dilation_w)});
      }
}

inline Sample sample(const dcn::Problem& p, const Tensors& t, const Place& at) {
  return Sample(p, &t.input[at.plane], at.base_y + t.offset[at.y], at.base_x + t.offset[at.x]);
}

// [C*kH*kW, oH*oW] of one image.
inline Values columns_of(const dcn::Problem& p, const Tensors& t, int64_t image) {
  Values columns(p.in_channels * p.taps() * p.out_pixels());
  for_each_sample(p, image, [&](const Place& at) {
    columns[at.row * p.out_pixels() + at.column] =
        sample(p, t, at).value * (t.mask.empty() ? 1 : t.mask[at.mask]);
  });
  return columns;
}

// Calls f(weight, row of the columns, channel of the output) for every weight.
template <class F>
void for_each_weight(const dcn::Problem& p, F f) {
  const int64_t depth = p.group_in_channels() * p.taps();
  for (int64_t out = 0; out < p.out_channels; ++out)
    for (int64_t k = 0; k < depth; ++k)
      f(out * depth + k, out / p.group_out_channels() * depth + k, out);
}

inline Values forward(const dcn::Problem& p, const Tensors& t) {
  const int64_t pixels = p.out_pixels();
  Values output(p.batch * p.out_channels * pixels);
  for (int64_t n = 0; n < p.batch; ++n) {
    const Values columns = columns_of(p, t, n);
    double* own = &output[n * p.out_channels * pixels];
    for (int64_t i = 0; i < p.out_channels * pixels; ++i)
      own[i] = t.bias.empty() ? 0 : t.bias[i / pixels];
    for_each_weight(p, [&](int64_t at, int64_t row, int64_t out) {
      for (int64_t i = 0; i < pixels; ++i)
        own[out * pixels + i] += t.weight[at] * columns[row * pixels + i];
    });
  }
  return output;
}

inline Gradients backward(const dcn::Problem& p, const Tensors& t, const Values& grad_output) {
  const int64_t pixels = p.out_pixels();
  Gradients grad{Values(t.input.size()), Values(t.weight.size()), Values(t.offset.size()),
                 Values(p.out_channels), Values(t.mask.size())};
  for (int64_t n = 0; n < p.batch; ++n) {
    const Values columns = columns_of(p, t, n);
    Values grad_columns(columns.size());
    const double* own = &grad_output[n * p.out_channels * pixels];
    for (int64_t i = 0; i < p.out_channels * pixels; ++i) grad.bias[i / pixels] += own[i];
    for_each_weight(p, [&](int64_t at, int64_t row, int64_t out) {
      double sum = 0;
      for (int64_t i = 0; i < pixels; ++i) {
        sum += own[out * pixels + i] * columns[row * pixels + i];
        grad_columns[row * pixels + i] += own[out * pixels + i] * t.weight[at];
      }
      grad.weight[at] += sum;
    });
    for_each_sample(p, n, [&](const Place& at) {
      const Sample s = sample(p, t, at);
      const double g = grad_columns[at.row * pixels + at.column];
      const double mask = t.mask.empty() ? 1 : t.mask[at.mask];
      for (int i = 0; i < 4; ++i)
        if (s.at[i] >= 0) grad.input[at.plane + s.at[i]] += g * mask * s.share[i];
      grad.offset[at.y] += g * mask * s.by_y;
      grad.offset[at.x] += g * mask * s.by_x;
      if (!t.mask.empty()) grad.mask[at.mask] += g * s.value;
    });
  }
  return grad;
}

}  // namespace reference
