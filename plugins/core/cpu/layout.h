// The layout of a problem for a set of kernels, with the storage that kernels.h's Layout points to.
#pragma once

#include <vector>

#include "kernels.h"
#include "parallel.h"

namespace dcn::cpu {

// Every channel a group of its own.
bool is_depthwise(const Problem& problem);

class OwnedLayout {
 public:
  // `block_channels`: segments have at least as many where there are, and less than twice that. A
  // depthwise problem is laid out as if it had one group.
  OwnedLayout(const Problem& problem, const Kernels& kernels, int64_t block_channels = kBlockChannels);
  OwnedLayout(const OwnedLayout&) = delete;
  OwnedLayout& operator=(const OwnedLayout&) = delete;

  const Layout& get() const { return layout_; }
  const std::vector<Segment>& segments() const { return segments_; }

  // Elements of one staged image, with the slack that vectors may overrun.
  int64_t staged_elements() const { return staged_elements_; }

 private:
  int64_t staged_elements_;
  std::vector<Segment> segments_;
  std::vector<int64_t> group_segments_;
  Layout layout_;
};

// Rows that one staging task takes: enough work to be worth a task, enough tasks to share.
inline constexpr int64_t kStageRows = 8;

// One task of staging an image: some rows of one segment. Tasks are [0, stage_tasks()).
int64_t stage_tasks(const Layout& layout);
void stage_segment(const Layout& layout, const Kernels& kernels, const Segment& segment, int64_t task,
                   const void* image, ImageStrides strides, void* staged);

// Panels of the output channels of a group.
inline int64_t panels_of_group(const Problem& problem, const Kernels& kernels) {
  return divide_up(problem.group_out_channels(), kernels.panel_width);
}

// Strides of the images of a tensor of `channels` channels and `pixels` pixels.
inline ImageStrides image_strides(bool channels_last, int64_t channels, int64_t pixels) {
  return channels_last ? ImageStrides{1, channels} : ImageStrides{pixels, 1};
}

}  // namespace dcn::cpu
