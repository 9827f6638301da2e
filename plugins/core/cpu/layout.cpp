#include "layout.h"

#include "sampling.h"

namespace dcn::cpu {

namespace {

// A tile of a smaller image finds most of what it samples where the tile before it left it; so does one
// of the forward pass where the rows that it reaches take less. There, asking ahead costs more than it
// brings.
constexpr int64_t kFarImage = int64_t{3} << 20;
constexpr int64_t kFarRows = int64_t{384} << 10;
// Every tile reads all of it, panel by panel.
constexpr int64_t kFarWeight = int64_t{512} << 10;

// Rows of the image that a tile of the forward pass reaches, roughly: offsets lead some rows further.
int64_t rows_of_tile(const Problem& p) {
  constexpr int64_t kDrift = 2;
  const int64_t out_rows = divide_up(kTilePixels, std::max<int64_t>(p.out_w, 1));
  return out_rows * p.stride_h + (p.kernel_h - 1) * p.dilation_h + 2 * kDrift;
}

// Loads of whole vectors from it neither straddle cache lines nor leave the pixel.
int64_t staged_stride(int64_t channels) {
  return channels <= 4 ? 4 : round_up(channels, 8);
}

}  // namespace

bool is_depthwise(const Problem& p) {
  return p.group > 1 && p.group_in_channels() == 1 && p.group_out_channels() == 1;
}

OwnedLayout::OwnedLayout(const Problem& given, const Kernels& kernels, int64_t block_channels) {
  layout_.problem = given;
  if (is_depthwise(given)) layout_.problem.group = 1;
  const Problem& problem = layout_.problem;
  layout_.staged_w = problem.in_w + 2 * kBorder;
  layout_.staged_pixels = (problem.in_h + 2 * kBorder) * layout_.staged_w;
  const int64_t per_group = problem.group_in_channels();
  const int64_t per_offset_group = problem.in_channels / problem.offset_group;
  staged_elements_ = 0;
  group_segments_.push_back(0);
  layout_.group_k = 0;
  int64_t group_k = 0;
  for (int64_t channel = 0; channel < problem.in_channels;) {
    const int64_t group = channel / per_group, offset_group = channel / per_offset_group;
    const int64_t run_end = std::min((group + 1) * per_group, (offset_group + 1) * per_offset_group);
    const int64_t cuts = std::max<int64_t>(1, (run_end - channel) / block_channels);
    const int64_t size = round_up(divide_up(run_end - channel, cuts), 8);
    for (; channel < run_end; channel += segments_.back().channels) {
      const int64_t channels = std::min(size, run_end - channel);
      const int64_t columns = round_up(channels, kernels.k_step);
      segments_.push_back({channel, channels, offset_group, columns, group_k, staged_elements_,
                           staged_stride(channels)});
      group_k += problem.taps() * columns;
      staged_elements_ += layout_.staged_pixels * staged_stride(channels);
    }
    if (channel == (group + 1) * per_group) {
      group_segments_.push_back(static_cast<int64_t>(segments_.size()));
      layout_.group_k = std::max(layout_.group_k, group_k);
      group_k = 0;
    }
  }
  const int64_t row_bytes =
      staged_elements_ / layout_.staged_pixels * layout_.staged_w * kernels.arithmetic_bytes;
  layout_.image_is_far = staged_elements_ * kernels.arithmetic_bytes >= kFarImage;
  layout_.rows_are_far = layout_.image_is_far && rows_of_tile(problem) * row_bytes >= kFarRows;
  staged_elements_ += kSlack;
  layout_.padded_out = round_up(problem.group_out_channels(), kernels.lanes);
  layout_.weight_is_far = layout_.padded_out * layout_.group_k * kernels.packed_bytes >= kFarWeight;
  layout_.segments = segments_.data();
  layout_.group_segments = group_segments_.data();
}

int64_t stage_tasks(const Layout& layout) {
  return divide_up(layout.staged_pixels / layout.staged_w, kStageRows);
}

void stage_segment(const Layout& layout, const Kernels& kernels, const Segment& segment, int64_t task,
                   const void* image, ImageStrides strides, void* staged) {
  const Problem& p = layout.problem;
  StageJob job{};
  job.image = static_cast<const char*>(image) +
              segment.first_channel * strides.channel * static_cast<int64_t>(kernels.element_bytes);
  job.staged = static_cast<char*>(staged) +
               segment.staged_begin * static_cast<int64_t>(kernels.arithmetic_bytes);
  job.strides = strides;
  job.channels = segment.channels;
  job.height = p.in_h;
  job.width = p.in_w;
  job.border = kBorder;
  job.pixel_stride = job.room = segment.pixel_stride;
  job.first_row = task * kStageRows;
  job.rows = std::min(kStageRows, p.in_h + 2 * kBorder - job.first_row);
  kernels.stage(job);
}

}  // namespace dcn::cpu
