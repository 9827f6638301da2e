// The plain CUDA backward, kernel by kernel, for one chunk of output pixels. plain_backward.cu puts
// them together.
//
// Nothing is atomic: every sum has one thread, which adds in a fixed order. T: dtype of the data; C: of
// offset and mask; A: what sums are kept in.
#pragma once

#include <cuda_runtime.h>

#include "deform_conv.h"
#include "dtype.h"
#include "plain_position.h"
#include "plain_product.h"
#include "plain_sample.h"

namespace dcn::cuda {

inline constexpr int kGradientThreads = 128;

// Elements of grad_output by the pixel's place in a chunk.
template <class T>
struct GradOutput {
  const Problem& p;
  const T* values;  // [N, O, oH, oW]
  int64_t first_pixel;

  DCN_INLINE GradOutput(const Problem& p, const BackwardArgs& args, const Chunk& chunk)
      : p(p), values(static_cast<const T*>(args.grad_output)), first_pixel(chunk.first) {}
  DCN_INLINE Arithmetic<T> operator()(int64_t channel, int64_t in_chunk) const {
    const int64_t image = (first_pixel + in_chunk) / p.out_pixels();
    const int64_t pixel = (first_pixel + in_chunk) % p.out_pixels();
    return load(values[(image * p.out_channels + channel) * p.out_pixels() + pixel]);
  }
};

DCN_INLINE ProductSize grad_columns_product(const Problem& p, const Chunk& chunk) {
  return {p.group_in_channels() * p.taps(), chunk.pixels, p.group_out_channels()};
}

DCN_INLINE ProductSize grad_weight_product(const Problem& p, const Chunk& chunk) {
  return {p.group_out_channels(), p.group_in_channels() * p.taps(), chunk.pixels};
}

// Gradient of the columns: the weight, transposed, times grad_output.
template <class T>
__global__ void multiply_grad_output(const Problem p, const BackwardArgs args, const Chunk chunk,
                                     Arithmetic<T>* grad_columns) {  // [C*kH*kW, chunk.pixels]
  using A = Arithmetic<T>;
  extern __shared__ __align__(16) unsigned char shared_memory[];
  auto& tiles = *reinterpret_cast<ProductTiles<A>*>(shared_memory);
  const ProductSize size = grad_columns_product(p, chunk);
  const TileGrid grid(size, p.group);
  const GradOutput<T> grad_output(p, args, chunk);
  for (int64_t tile = blockIdx.x; tile < grid.count; tile += gridDim.x) {
    const int64_t group = grid.group(tile), first_out = group * p.group_out_channels();
    const T* weight = static_cast<const T*>(args.weight) + first_out * size.rows;  // [outs, rows]
    A* to = grad_columns + group * size.rows * chunk.pixels;
    multiply_tile<A, Along::kSide, Along::kSide>(
        tiles, size, grid.first_row(tile), grid.first_column(tile),
        [&](int64_t row, int64_t out) { return A(load(weight[out * size.rows + row])); },
        [&](int64_t out, int64_t pixel) { return grad_output(first_out + out, pixel); },
        [&](int64_t row, int64_t pixel, A sum) { to[row * chunk.pixels + pixel] = sum; });
  }
}

// Adds grad_output times the columns, transposed.
template <class T>
__global__ void add_grad_weight(const Problem p, const BackwardArgs args, const Chunk chunk,
                                const Arithmetic<T>* columns,  // [C*kH*kW, chunk.pixels]
                                Arithmetic<T>* grad_weight) {  // [O, C/group, kH, kW]
  using A = Arithmetic<T>;
  extern __shared__ __align__(16) unsigned char shared_memory[];
  auto& tiles = *reinterpret_cast<ProductTiles<A>*>(shared_memory);
  const ProductSize size = grad_weight_product(p, chunk);
  const TileGrid grid(size, p.group);
  const GradOutput<T> grad_output(p, args, chunk);
  for (int64_t tile = blockIdx.x; tile < grid.count; tile += gridDim.x) {
    const int64_t group = grid.group(tile), first_out = group * p.group_out_channels();
    const A* sampled = columns + group * size.columns * chunk.pixels;
    A* to = grad_weight + first_out * size.columns;
    multiply_tile<A, Along::kDepth, Along::kDepth>(
        tiles, size, grid.first_row(tile), grid.first_column(tile),
        [&](int64_t out, int64_t pixel) { return grad_output(first_out + out, pixel); },
        [&](int64_t pixel, int64_t column) { return sampled[column * chunk.pixels + pixel]; },
        [&](int64_t out, int64_t column, A sum) { to[out * size.columns + column] += sum; });
  }
}

// Gradients of offset and mask. A thread owns a pixel and one tap of one offset group, and walks
// through the group's channels.
template <class T, class C>
__global__ void differentiate_coordinates(
    const Problem p, const BackwardArgs args, const Chunk chunk,
    const Arithmetic<T>* grad_columns) {  // [C*kH*kW, chunk.pixels]
  using A = Arithmetic<T>;
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= chunk.pixels) return;
  const int64_t image = (chunk.first + i) / p.out_pixels();
  const int32_t pixel = static_cast<int32_t>((chunk.first + i) % p.out_pixels());
  const int64_t group_channels = p.in_channels / p.offset_group;
  const int64_t rows = p.offset_group * p.taps();
  for (int64_t row = blockIdx.y; row < rows; row += gridDim.y) {
    const TapPositions<A, C> positions(p, args.offset, args.mask, image, row);
    const AxisSample<A> y = positions.y(pixel), x = positions.x(pixel);
    const A mask = positions.mask_at(pixel);
    const Corners<A> corners(y, x, positions.height, positions.width, A(1));
    // Scalar products over channels with the upper left corner and with the differences between
    // corners: nothing is lost to cancellation where the image is smooth.
    A corner = 0, left = 0, top = 0, bottom = 0;
    for (int64_t c = 0; c < group_channels; ++c) {
      const int64_t channel = row / p.taps() * group_channels + c;
      const T* plane =
          static_cast<const T*>(args.input) + (image * p.in_channels + channel) * p.in_pixels();
      A value[4];
      for (int k = 0; k < 4; ++k) value[k] = corners.at[k] < 0 ? A(0) : A(load(plane[corners.at[k]]));
      const A grad = grad_columns[(channel * p.taps() + row % p.taps()) * chunk.pixels + i];
      corner += grad * value[0];
      left += grad * (value[2] - value[0]);
      top += grad * (value[1] - value[0]);
      bottom += grad * (value[3] - value[2]);
    }
    const A by_y = left + x.fraction * (bottom - top), by_x = top + y.fraction * (bottom - top);
    const int64_t index = image * rows + row;
    if (args.grad_offset) {
      C* to = static_cast<C*>(args.grad_offset) + 2 * index * p.out_pixels() + pixel;
      to[0] = Store<C>::from(mask * by_y);
      to[p.out_pixels()] = Store<C>::from(mask * by_x);
    }
    if (args.grad_mask)
      static_cast<C*>(args.grad_mask)[index * p.out_pixels() + pixel] =
          Store<C>::from(corner + x.fraction * top + y.fraction * by_y);
  }
}

// Adds the gradient of the input. A thread owns a row of one channel of one image, and looks at all
// samples of the chunk for those that touch it.
template <class T, class C>
__global__ void add_grad_input(const Problem p, const BackwardArgs args, const Chunk chunk,
                               const Arithmetic<T>* grad_columns,  // [C*kH*kW, chunk.pixels]
                               Arithmetic<T>* grad_input) {        // [N, C, H, W]
  using A = Arithmetic<T>;
  const int64_t first_image = chunk.first / p.out_pixels();
  const int64_t images = (chunk.first + chunk.pixels - 1) / p.out_pixels() - first_image + 1;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < images * p.in_h * p.in_channels;
       i += int64_t{gridDim.x} * blockDim.x) {
    const int64_t channel = i % p.in_channels, image = first_image + i / p.in_channels / p.in_h;
    const int32_t own = static_cast<int32_t>(i / p.in_channels % p.in_h);
    A* to = grad_input + ((image * p.in_channels + channel) * p.in_h + own) * p.in_w;
    // The image's pixels in this chunk.
    const int64_t origin = image * p.out_pixels() - chunk.first;
    const int64_t begin = origin < 0 ? 0 : origin;
    const int64_t end = origin + p.out_pixels() < chunk.pixels ? origin + p.out_pixels() : chunk.pixels;
    const int64_t group = channel / (p.in_channels / p.offset_group);
    for (int64_t tap = 0; tap < p.taps(); ++tap) {
      const TapPositions<A, C> positions(p, args.offset, args.mask, image, group * p.taps() + tap);
      const A* grads = grad_columns + (channel * p.taps() + tap) * chunk.pixels;
      for (int64_t in_chunk = begin; in_chunk < end; ++in_chunk) {
        const int32_t pixel = static_cast<int32_t>(in_chunk - origin);
        const AxisSample<A> y = positions.y(pixel);
        if (y.low != own && y.low + 1 != own) continue;
        const AxisSample<A> x = positions.x(pixel);
        const A weight_y = (y.low == own ? 1 - y.fraction : y.fraction) * positions.mask_at(pixel);
        const A weight[2] = {weight_y * (1 - x.fraction), weight_y * x.fraction};
        for (int k = 0; k < 2; ++k)
          if (x.low + k >= 0 && x.low + k < positions.width)
            to[x.low + k] += weight[k] * grads[in_chunk];
      }
    }
  }
}

}  // namespace dcn::cuda
