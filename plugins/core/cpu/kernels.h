// What the drivers (forward.cpp, backward.cpp) ask of the kernels, which are compiled once per
// instruction set. No standard container crosses this line: an inline function of one, compiled for
// AVX-512, must never be the copy that the linker keeps for everybody.
//
// Layouts used below, all of the arithmetic type A (float; double for float64 data):
//   staged image   [segment][H+4][W+4][pixel stride]        channels last, zero border
//   columns        [pixel][K chunk]                         sampled values, the GEMM's left matrix
//   packed weight  [group][panel][K of the group][panel width]; [tap][C] where group = C = O
//   K of a group   (segment, tap, channel of the segment)
//
// Where the products take pairs (PairKernels), columns and packed weight are of bfloat16, two values of
// K side by side: [K/2][panel width][2].
#pragma once

#include <cstdint>

#include "deform_conv.h"

namespace dcn::cpu {

// Pixels of one tile, at most: so few that its columns and results stay in the second-level cache.
inline constexpr int64_t kTilePixels = 168;
inline constexpr int64_t kBlockChannels = 32;    // channels of a segment, and less than twice that
inline constexpr int64_t kColumnChunk = 288;     // K values (pairs) sampled before each GEMM
inline constexpr int64_t kBackwardPixels = 112;  // pixels of a tile of the backward pass
inline constexpr int64_t kDepthwiseBlock = 256;  // likewise where each is a group of its own
inline constexpr int64_t kOutputBlock = 512;     // output channels of one tile's results
inline constexpr int64_t kPlannedTaps = 64;      // taps whose coordinates are kept for a tile
inline constexpr int64_t kSlack = 64;            // elements that a vector may overrun a buffer by

// A run of input channels with the same group and the same offset group. Longer runs are cut, so that
// all taps of a few channels are sampled together, while their pixels are in the first-level cache.
struct Segment {
  int64_t first_channel;
  int64_t channels;
  int64_t offset_group;
  int64_t columns;       // its share of K for each tap: its channels, and zeros up to whole pairs
  int64_t k_begin;       // its first row in the group's K
  int64_t staged_begin;  // its first element in the staged image
  int64_t
      pixel_stride;  // from one staged pixel to the next: its channels, and zeros up to whole vectors
};

struct Layout {
  Problem problem;
  int64_t staged_w;       // W + 4
  int64_t staged_pixels;  // (H + 4) * (W + 4)
  // More than the second-level cache keeps: what will be needed of it is asked for ahead.
  bool image_is_far;              // the staged image
  bool rows_are_far;              // of it, the rows that a tile of the forward pass reaches
  bool weight_is_far;             // the packed weight of a group
  int64_t group_k;                // K of one group; of the longest, where pairs make them differ
  int64_t padded_out;             // output channels of a group, rounded up to whole vectors
  const Segment* segments;        // in order of channels
  const int64_t* group_segments;  // [group + 1]: where each group's segments begin
};

// Where one channel of an image in the user's memory lies: NCHW, or NHWC.
struct ImageStrides {
  int64_t channel;  // elements from one channel to the next
  int64_t pixel;    // from one pixel of a row to the next
};

// Rows of an image in the user's order to channels-last order with a border.
struct StageJob {
  const void* image;  // [height * width pixels, channels] of T, by `strides`
  void* staged;       // [height + 2*border, width + 2*border, pixel_stride] of A
  ImageStrides strides;
  int64_t channels, height, width;
  int64_t border;
  int64_t pixel_stride;
  int64_t room;             // of a pixel stride, what is written: the channels, and zeros after them
  int64_t first_row, rows;  // of the staged image
};

// And back, to a planar image: one staged image, or the sum of two.
struct UnstageJob {
  const void* staged;
  const void* also;  // or null
  void* planar;
  int64_t channels, height, width;
  int64_t border;
  int64_t pixel_stride;
  int64_t first_row, rows;  // of the planar image
};

// Where the samples of one image come from.
struct SampleSource {
  const void* staged;  // the staged image, of A
  const void* offset;  // [offset_group*kH*kW*2, oH, oW] of the coordinate dtype
  const void* mask;    // [offset_group*kH*kW, oH, oW] of the coordinate dtype, or null
};

struct OutputBlock {
  int64_t group;
  int64_t first;  // within the group, a multiple of the panel width
  int64_t count;
};

struct ForwardTile {
  const Layout* layout;
  SampleSource source;
  const void* packed_weight;
  const void* bias;  // [O] of T, or null
  void* output;      // [O, oH, oW] of T, by `output_strides`
  ImageStrides output_strides;
  int64_t first_pixel, pixels;  // pixels <= kTilePixels
  const OutputBlock* blocks;
  int64_t block_count;
  void* scratch;  // forward_scratch_bytes
};

// A run of taps of one segment, which a task of the backward pass goes through at a time. Its columns
// are (tap, channel).
struct Slice {
  int64_t segment;
  int64_t channels;  // the segment's
  int64_t group;
  int64_t first_tap, taps;
  int64_t tap_room;  // channels, rounded up to whole vectors: what a tap has in the weight gradient
  int64_t padded_columns;  // taps * channels, rounded up to whole vectors
  int64_t packed_begin;    // where its packed transposed weight and its weight gradient begin
};

// Where sums over a slice's channels go, of one kind: those for offset y, offset x or mask.
struct SumsOfTaps {
  void* first;     // those of the first tap of the slice and the first pixel of the tile, of A; or null
  int64_t stride;  // elements from one tap to the next
};

// One slice over some pixels of one image.
struct BackwardTile {
  const Layout* layout;
  SampleSource source;
  const Slice* slice;
  const void* staged_grad_output;  // [group][panel][oH*oW][panel_width] of A; of depthwise layers, like
                                   // the staged image: [segment][oH*oW][pixel stride]
  int64_t first_pixel, pixels;     // pixels <= kBackwardPixels
  const void* weight;              // pack_transposed; null: only the weight's gradient is wanted.
                                   // pack_depthwise, of depthwise layers, always
  void* staged_grad_input;         // like the staged image, or null
  SumsOfTaps sums[3];              // for offset y, offset x, mask
  void* grad_columns;              // [panel of O][slice column][panel width] of A, added to; or null.
                                   // Of depthwise layers [tap][tap_room]
  void* scratch;                   // backward_scratch_bytes
};

// One row of a gradient, added up over what several owners have found, in fixed order.
struct SumRow {
  const void* const* parts;  // [count], each a row of A
  int64_t count;
  int64_t elements;
  void* to;     // may be the first part, where the dtype is A
  DType dtype;  // of `to`
};

struct Kernels {
  int64_t lanes;            // elements of A in a vector
  int64_t panel_width;      // output channels of one weight panel
  int64_t row_block;        // pixels of one GEMM block
  size_t element_bytes;     // of T
  size_t arithmetic_bytes;  // of A
  int64_t k_step;           // values of K that the products of the forward pass take at a time
  size_t packed_bytes;      // of a packed weight's element, except a depthwise one's
  size_t forward_scratch_bytes;
  size_t backward_scratch_bytes;

  void (*pack_panel)(const Layout&, const void* weight, int64_t group, int64_t panel, void* packed);
  void (*pack_depthwise)(const Problem&, const void* weight, void* packed);
  void (*pack_transposed)(const Layout&, const Slice&, const void* weight, void* packed);
  void (*stage)(const StageJob&);
  void (*unstage)(const UnstageJob&);
  void (*forward_tile)(const ForwardTile&);
  void (*depthwise_tile)(const ForwardTile&);
  void (*backward_tile)(const BackwardTile&);
  void (*unpack_weight_gradient)(const Layout&, const Slice&, const void* grad_columns,
                                 void* grad_weight);
  void (*backward_depthwise_tile)(const BackwardTile&);
  void (*unpack_depthwise_gradient)(const Layout&, const Slice&, const void* grad_columns,
                                    void* grad_weight);
  void (*sum_rows)(const SumRow&);
  void (*sum_channel)(const void* grad_output, int64_t batch, int64_t batch_stride, int64_t pixels,
                      void* grad_bias);
};

// What replaces the functions for bfloat16 where there is an instruction that multiplies pairs.
struct PairKernels {
  void (*pack_panel)(const Layout&, const void* weight, int64_t group, int64_t panel, void* packed);
  void (*forward_tile)(const ForwardTile&);
};

// The kernels of this machine's instruction set.
const Kernels& kernels_for(DType dtype);

}  // namespace dcn::cpu
