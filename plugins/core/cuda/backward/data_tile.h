// What a block of the fused gradient of offset, mask and input (data_gradient.h) works on at a time,
// and what lies in its shared memory: a rectangle of output pixels of one image, a bundle of channels
// and some taps.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>

#include "../coordinates.h"
#include "../products.h"
#include "bundles.h"
#include "gradient_points.h"

namespace dcn::cuda {

// The weight is read in stages of this many bytes of output channels.
inline constexpr int kDepthBytes = 128;

// A block's tile has at most so many output pixels.
inline constexpr int kDataPixels = 64;

// Height and width of the window of the input whose gradient a block adds up itself.
inline constexpr int kWindowSide = 16;

// Every image is cut into tiles of one shape, from the top left corner on.
struct WindowTiles {
  int32_t height, width;            // of a tile
  int32_t rows, columns;            // of tiles, in an image
  int32_t out_h, out_w;             // of an image
  int32_t base_height, base_width;  // of where a tile's samples lie for one tap, without offset

  WindowTiles() = default;
  explicit WindowTiles(const Problem& p)
      : out_h(static_cast<int32_t>(p.out_h)), out_w(static_cast<int32_t>(p.out_w)) {
    // As few tiles as possible; but samples that leave the window are dear, so that it shall leave room
    // for offsets in each direction. What is missing there counts as so much more work.
    constexpr int64_t kRoom = 4, kTileWork = 16;
    const auto missing = [](int32_t size, int64_t stride, int64_t kernel, int64_t dilation) {
      const int64_t room = kWindowSide - 1 - (size - 1) * stride - (kernel - 1) * dilation;
      return std::max<int64_t>(kRoom - room, 0);
    };
    int64_t least = INT64_MAX;
    for (int32_t h = 1; h <= kDataPixels; ++h)
      for (int32_t w = 1; h * w <= kDataPixels; ++w) {
        const int64_t tiles = int64_t{(out_h + h - 1) / h} * ((out_w + w - 1) / w);
        const int64_t work = tiles * (kTileWork + missing(h, p.stride_h, p.kernel_h, p.dilation_h) +
                                      missing(w, p.stride_w, p.kernel_w, p.dilation_w));
        if (work < least) least = work, height = h, width = w;
      }
    rows = (out_h + height - 1) / height;
    columns = (out_w + width - 1) / width;
    base_height = static_cast<int32_t>((height - 1) * p.stride_h);
    base_width = static_cast<int32_t>((width - 1) * p.stride_w);
  }

  DCN_INLINE int32_t of_image() const { return rows * columns; }
  DCN_INLINE int32_t first_y(int32_t tile) const { return tile % of_image() / columns * height; }
  DCN_INLINE int32_t first_x(int32_t tile) const { return tile % columns * width; }

  // Pixel number `row` of a tile. Tiles may hang over the image's edges, and have fewer pixels than
  // fit.
  template <class T>
  __device__ __forceinline__ PixelBase base(const Coordinates<T>& c, int32_t tile, int32_t row) const {
    const int32_t y = first_y(tile) + row / width, x = first_x(tile) + row % width;
    if (row >= height * width || y >= out_h || x >= out_w) return {-1, 0, 0, 0};
    return {tile / of_image(), y * out_w + x, y * c.stride_h - c.pad_top, x * c.stride_w - c.pad_left};
  }
};

// Where gradients of offset and mask go: to the tensors, or to partial sums.
struct CoordinateGradients {
  void* grad_offset;  // [N, offset_group*kH*kW*2, oH, oW] or null
  void* grad_mask;    // [N, offset_group*kH*kW, oH, oW] or null
  bool of_float32;
  float* partial;  // [parts, offset_group*kH*kW, 3 (y, x, mask), N*oH*oW] or null

  DCN_INLINE bool wanted() const { return grad_offset || grad_mask; }

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

// What a block does before it turns to another tile or bundle.
struct DataRun {
  int32_t image, tile, bundle, first_tap, end_tap;
  int32_t next_unit, end_unit;  // of the block
};

template <class T>
struct DataGradient {
  Bundles bundles;
  WindowTiles tiles;
  ImageLayout image;
  GradOutputLayout out;
  Coordinates<T> coordinates;
  CoordinateGradients gradients;
  const T* input;        // staged
  const T* grad_output;  // staged
  const T* weight;       // [bundle, tap, depth stage, channels of a bundle, kDepthBytes]
  float* grad_input;     // as staged, or null
  int32_t pixels;        // of all images
  int32_t depth_stages;  // of a tap: O/group in pieces of kDepthBytes
  int32_t units;         // of work: taps of bundles of tiles

  // What block `block` of `blocks` begins with.
  DCN_INLINE int32_t first_unit(int32_t block, int32_t blocks) const {
    return units / blocks * block + bundles.segments.smaller(units % blocks, block);
  }

  // The run that begins with a unit, of a block that ends before `end_unit`.
  DCN_INLINE DataRun run(int32_t unit, int32_t end_unit) const {
    const int32_t taps = coordinates.taps, of_tile = unit / taps, tile = of_tile / bundles.count;
    const int32_t first_tap = unit - of_tile * taps;
    const int32_t end_tap = bundles.segments.smaller(taps, first_tap + end_unit - unit);
    const int32_t bundle = of_tile - tile * bundles.count;
    return {tile / tiles.of_image(),    tile,    bundle, first_tap, end_tap,
            unit + end_tap - first_tap, end_unit};
  }
};

// Where the window lies in the input: its middle is that of where the run's samples lie without offset.
struct Window {
  int32_t top, left;

  template <class T>
  __device__ __forceinline__ Window(const DataGradient<T>& p, const DataRun& run) {
    const Coordinates<T>& c = p.coordinates;
    const int32_t first = run.first_tap, last = run.end_tap - 1;
    const bool one_row = c.tap_y(first) == c.tap_y(last);
    const int32_t first_x = one_row ? c.tap_x(first) : 0, last_x = c.tap_x(one_row ? last : c.taps - 1);
    const int32_t y = p.tiles.first_y(run.tile) * c.stride_h - c.pad_top;
    const int32_t x = p.tiles.first_x(run.tile) * c.stride_w - c.pad_left;
    top = y + (c.tap_y(first) + c.tap_y(last) + p.tiles.base_height - kWindowSide + 1) / 2;
    left = x + (first_x + last_x + p.tiles.base_width - kWindowSide + 1) / 2;
  }
};

// A sample of one tap, and where its corners lie.
struct DataSample {
  float fraction_y, fraction_x, mask;
  int32_t first;    // pixel of the top left corner, which may lie outside the image
  uint8_t corners;  // bits 0-3: those in the image; 4-7: those in the image, but not in the window
  // Of the top left corner, in the window, plus one: it may lie a row above or a column to the left.
  int8_t window_row, window_column;

  static constexpr int kNoRow = -1;  // none of its corners lies in the window

  __device__ __forceinline__ DataSample(const SamplePoint& at, const Window& window, int32_t height,
                                        int32_t width)
      : fraction_y(at.y.fraction), fraction_x(at.x.fraction), mask(at.mask) {
    const CornerPixels pixels(at.y.low, at.x.low, height, width);
    const int32_t y = at.y.low - window.top, x = at.x.low - window.left;
    const uint32_t in_window = CornerPixels(y, x, kWindowSide, kWindowSide).inside;
    first = pixels.first;
    corners = static_cast<uint8_t>(pixels.inside | (pixels.inside & ~in_window) << 4);
    window_row = static_cast<int8_t>(in_window ? y + 1 : kNoRow);
    window_column = static_cast<int8_t>(x + 1);
  }

  __device__ __forceinline__ CornerWeights weights() const {
    return CornerWeights(fraction_y, fraction_x, mask);
  }
};

// What a sample adds to a row of the window: at `column`, which may be -1, and right of it.
struct alignas(16) WindowItem {
  int32_t sample, column;
  float left, right;  // weights

  __device__ __forceinline__ float weight(int at) const {
    return at == column ? left : at == column + 1 ? right : 0;
  }
};

template <class Products_, int kVector_>
struct DataTile {
  using Products = Products_;
  using T = typename Products::Element;
  static constexpr int kVector = kVector_, kBytes = static_cast<int>(sizeof(T));
  static constexpr int kWords = kVector * kBytes / 4;
  static constexpr int kPixels = kDataPixels, kChannels = kBundleVectors * kVector;
  static constexpr int kColumnWarps = kChannels / 16, kRowWarps = kGradientWarps / kColumnWarps;
  static constexpr int kRows = kPixels / kRowWarps / 16, kColumns = 2;  // fragments of a warp
  // 16 bytes more than needed in each row, so that eight rows lie in different banks.
  static constexpr int kStageBytes = kDepthBytes, kStages = 3, kPitch = kStageBytes + 16;
  static constexpr int kResidentStages = 4, kResidentPitch = kResidentStages * kStageBytes + 16;
  static constexpr int kStageElements = kStageBytes / kBytes;
  static constexpr int kSamplePitch = kChannels * kBytes + 16;
  static constexpr int kStepItems = 32 / kBytes;  // that one product adds up

  struct Shared {
    unsigned char weight[kStages][kChannels * kPitch];
    unsigned char grad_output[kPixels * kResidentPitch];
    unsigned char grad_samples[kPixels * kSamplePitch];
    WindowItem items[kGradientWarps][kPixels + kStepItems];
    float4 products[kPixels][kBundleVectors];     // of each vector of a sample
    DataSample samples[kBundleVectors][kPixels];  // by slot
    PixelBase bases[kPixels];
    int64_t grad_starts[kPixels];  // of each pixel: its first element of grad_output; -1: none
    BundleMap map;
    DataRun run;
    Window window;
    int32_t wide_tap;  // the last tap of which a gradient or a mask was too large for the window
  };
  static_assert(sizeof(Shared) <= 99 << 10, "what a block may have on every GPU from sm_80 on");
  static_assert(kStages * kPixels * kPitch <= kPixels * kResidentPitch, "streams through it, too");
};

}  // namespace dcn::cuda
