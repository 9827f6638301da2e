#include "layout.h"

#include "sampling.h"

namespace dcn::cpu {

OwnedLayout::OwnedLayout(const Problem& problem, const Kernels& kernels) {
  const int64_t per_group = problem.group_in_channels();
  const int64_t per_offset_group = problem.in_channels / problem.offset_group;
  group_segments_.push_back(0);
  for (int64_t group = 0; group < problem.group; ++group) {
    const int64_t end = (group + 1) * per_group;
    for (int64_t channel = group * per_group; channel < end;) {
      const int64_t offset_group = channel / per_offset_group;
      const int64_t segment_end = std::min(end, (offset_group + 1) * per_offset_group);
      const int64_t k_begin = (channel - group * per_group) * problem.taps();
      segments_.push_back({channel, segment_end - channel, offset_group, k_begin});
      channel = segment_end;
    }
    group_segments_.push_back(static_cast<int64_t>(segments_.size()));
  }
  layout_.problem = problem;
  layout_.staged_w = problem.in_w + 2 * kBorder;
  layout_.staged_pixels = (problem.in_h + 2 * kBorder) * layout_.staged_w;
  layout_.group_k = per_group * problem.taps();
  layout_.padded_out = round_up(problem.group_out_channels(), kernels.lanes);
  layout_.segments = segments_.data();
  layout_.group_segments = group_segments_.data();
}

int64_t stage_tasks(const Layout& layout) {
  return divide_up(layout.staged_pixels / layout.staged_w, kStageRows);
}

void stage_image(const OwnedLayout& layout, const Kernels& kernels, int64_t task, const void* image,
                 void* staged) {
  const Problem& p = layout.get().problem;
  for (const Segment& segment : layout.segments()) {
    StageJob job{};
    job.planar = static_cast<const char*>(image) +
                 segment.first_channel * p.in_pixels() * static_cast<int64_t>(kernels.element_bytes);
    job.staged = static_cast<char*>(staged) + segment.first_channel * layout.get().staged_pixels *
                                                  static_cast<int64_t>(kernels.arithmetic_bytes);
    job.channels = segment.channels;
    job.height = p.in_h;
    job.width = p.in_w;
    job.border = kBorder;
    job.pixel_stride = segment.channels;
    job.first_row = task * kStageRows;
    job.rows = std::min(kStageRows, p.in_h + 2 * kBorder - job.first_row);
    kernels.stage(job);
  }
}

int64_t tile_pixels(const Problem& problem, const Kernels& kernels, int64_t images, int threads) {
  // Reading the weights costs a tile as much as this many of its pixels: measured, roughly.
  constexpr int64_t kCostOfWeights = 16;
  constexpr int64_t kLeastPixels = 48;
  int64_t best = 0, best_cost = INT64_MAX;
  for (int64_t pixels = round_up(kLeastPixels, kernels.row_block); pixels <= kTilePixels;
       pixels += kernels.row_block) {
    const int64_t tiles = divide_up(problem.out_pixels(), pixels) * images;
    const int64_t cost = divide_up(tiles, threads) * (pixels + kCostOfWeights);
    if (cost <= best_cost) {
      best = pixels;
      best_cost = cost;
    }
  }
  return best;
}

}  // namespace dcn::cpu
