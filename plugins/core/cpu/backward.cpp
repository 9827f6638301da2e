// Backward on the CPU, one image at a time. A task owns a segment of channels, over all output
// pixels or a part of them, with all that is added up over pixels for it: the gradients of its channels
// of the image and of the weight. So no two tasks add to the same number and every sum has one order,
// whatever the number of threads. No column matrix is ever whole.
#include <cstring>

#include "layout.h"
#include "sampling.h"
#include "scratch.h"

namespace dcn::cpu {
namespace {

constexpr int64_t kSumBytes = int64_t{8} << 20;  // sums for offset and mask held at a time
constexpr int64_t kPiecesOfMemset = 64;

// Owners enough to occupy threads: channels in segments and, where those are few, the output pixels in
// two parts. Every segment looks up where all its samples lie; every part has gradients of image and
// weight of its own, which are added up in the end. How many there are depends on the problem and the
// kernels alone, never on the number of threads.
struct Owners {
  int64_t most_parts;
  int64_t block_channels;

  Owners(const Problem& p, const Kernels& kernels, int64_t tiles) {
    // With a larger image, what is kept from one call to the next (scratch.cpp) would not hold it all.
    constexpr int64_t kMostCopiedBytes = int64_t{12} << 20;
    const int64_t image_bytes = p.in_channels * p.in_pixels() * kernels.arithmetic_bytes;
    most_parts = tiles > 1 && image_bytes <= kMostCopiedBytes ? kMostParts : 1;
    // Whole vectors, at least.
    block_channels = std::clamp(round_up(p.in_channels * most_parts / kWantedOwners, 8), 8 * most_parts,
                                kBlockChannels);
  }

  int64_t parts(const OwnedLayout& layout) const {
    const int64_t segments = layout.segments().size();
    return std::min(divide_up(kWantedOwners, segments), most_parts);
  }

 private:
  static constexpr int64_t kWantedOwners = 8;
  static constexpr int64_t kMostParts = 2;  // as many as UnstageJob adds up
};

// The segments' slices.
struct Slices {
  std::vector<Slice> all;
  std::vector<int64_t> first_slice;    // [segment + 1]
  std::vector<int64_t> first_segment;  // [offset_group + 1]: where each offset group's segments begin
  int64_t padded_columns = 0;          // of all slices

  Slices(const OwnedLayout& layout, const Kernels& kernels) {
    const Problem& p = layout.get().problem;
    for (int64_t group = 0; group < p.group; ++group)
      for (int64_t s = layout.get().group_segments[group]; s < layout.get().group_segments[group + 1];
           ++s)
        add_segment(p, kernels, group, s, layout.segments()[s]);
    first_slice.push_back(static_cast<int64_t>(all.size()));
    first_segment.push_back(static_cast<int64_t>(layout.segments().size()));
  }

 private:
  void add_segment(const Problem& p, const Kernels& kernels, int64_t group, int64_t index,
                   const Segment& segment) {
    const int64_t room = round_up(segment.channels, kernels.lanes);
    const int64_t run = std::min(kPlannedTaps, kColumnChunk / room);
    // Channels come in order, so offset groups do too.
    if (static_cast<int64_t>(first_segment.size()) == segment.offset_group)
      first_segment.push_back(index);
    first_slice.push_back(static_cast<int64_t>(all.size()));
    for (int64_t tap = 0; tap < p.taps(); tap += run) {
      const int64_t taps = std::min(run, p.taps() - tap);
      all.push_back({index, segment.channels, group, tap, taps, room,
                     round_up(taps * segment.channels, kernels.lanes), padded_columns});
      padded_columns += taps * room;
    }
  }
};

// One backward pass; the members are what its steps share.
class Backward {
 public:
  Backward(const Problem& problem, const BackwardArgs& args, const Executor& executor)
      : p_(problem),
        args_(args),
        executor_(executor),
        kernels_(kernels_for(problem.dtype)),
        depthwise_(is_depthwise(problem)),
        tile_(kBackwardPixels / kernels_.row_block * kernels_.row_block),
        owners_(problem, kernels_, divide_up(problem.out_pixels(), tile_)),
        layout_(problem, kernels_, owners_.block_channels),
        slices_(layout_, kernels_),
        parts_(owners_.parts(layout_)),
        element_(kernels_.element_bytes),
        arithmetic_(kernels_.arithmetic_bytes),
        coordinate_(kernels_for(problem.coordinate_dtype).element_bytes),
        column_outs_(depthwise_ ? 1 : layout_.get().padded_out),
        wants_data_(args.grad_input || args.grad_offset || args.grad_mask),
        wants_samples_(wants_data_ || args.grad_weight),
        reads_weight_(wants_data_ || (depthwise_ && args.grad_weight)),
        staged_input_(wants_samples_ ? layout_.staged_elements() * arithmetic_ : 0),
        staged_grad_output_(wants_samples_ ? staged_grad_output_elements() * arithmetic_ : 0),
        staged_grad_input_(args.grad_input ? parts_ * layout_.staged_elements() * arithmetic_ : 0),
        packed_weight_(reads_weight_ ? packed_elements() * arithmetic_ : 0),
        grad_columns_(args.grad_weight ? parts_ * grad_columns_elements() * arithmetic_ : 0) {}

  void run() {
    for (int64_t n = 0; n < p_.batch; ++n) {
      Step preparing, finishing;
      if (n == 0) add_beginning(&preparing);
      if (n + 1 == p_.batch) add_end(&finishing);
      if (!wants_samples_) {
        run_steps(executor_, {preparing, finishing});
        continue;
      }
      add_staging(n, &preparing);
      if (args_.grad_input) add_unstaging(n, &finishing);
      differentiate(n, preparing, finishing);
    }
  }

 private:
  static const void* at(const void* base, int64_t bytes) {
    return static_cast<const char*>(base) + bytes;
  }
  static void* at(void* base, int64_t bytes) { return static_cast<char*>(base) + bytes; }

  int64_t mask_elements() const { return p_.offset_group * p_.taps() * p_.out_pixels(); }
  int64_t staged_grad_output_elements() const {
    const int64_t per_pixel = depthwise_
                                  ? layout_.staged_elements() / layout_.get().staged_pixels
                                  : p_.group * panels_of_group(p_, kernels_) * kernels_.panel_width;
    return per_pixel * p_.out_pixels() + kSlack;
  }
  int64_t packed_elements() const {
    return depthwise_ ? p_.in_channels * p_.taps() + kSlack
                      : slices_.padded_columns * p_.group_out_channels();
  }
  int64_t grad_columns_elements() const { return slices_.padded_columns * column_outs_; }
  void* packed_weight(const Slice& slice) const {
    const int64_t first = depthwise_ ? 0 : slice.packed_begin * p_.group_out_channels();
    return packed_weight_.bytes() + first * arithmetic_;
  }
  char* staged_grad_input(int64_t part) const {
    return staged_grad_input_.bytes() + part * layout_.staged_elements() * arithmetic_;
  }
  char* grad_columns(int64_t part, const Slice& slice) const {
    return grad_columns_.bytes() +
           (part * grad_columns_elements() + slice.packed_begin * column_outs_) * arithmetic_;
  }

  void add_clearing(const Scratch& scratch, int64_t elements, Step* step) const {
    const int64_t bytes = elements * arithmetic_;
    const int64_t piece = std::max<int64_t>(divide_up(bytes, kPiecesOfMemset), 1);
    step->add(divide_up(bytes, piece), [to = scratch.bytes(), bytes, piece](int64_t i) {
      std::memset(to + i * piece, 0, std::min(piece, bytes - i * piece));
    });
  }

  // For all images.
  void add_beginning(Step* step) const {
    if (reads_weight_ && depthwise_)
      step->add(1,
                [this](int64_t) { kernels_.pack_depthwise(p_, args_.weight, packed_weight_.data()); });
    if (reads_weight_ && !depthwise_)
      step->add(slices_.all.size(), [this](int64_t i) {
        const Slice& slice = slices_.all[i];
        kernels_.pack_transposed(layout_.get(), slice, args_.weight, packed_weight(slice));
      });
    if (args_.grad_weight) add_clearing(grad_columns_, parts_ * grad_columns_elements(), step);
  }
  void add_end(Step* step) const {
    if (args_.grad_weight)
      step->add(slices_.all.size(), [this](int64_t i) {
        const Slice& slice = slices_.all[i];
        const auto unpack =
            depthwise_ ? kernels_.unpack_depthwise_gradient : kernels_.unpack_weight_gradient;
        sum_parts(slice);
        unpack(layout_.get(), slice, grad_columns(0, slice), args_.grad_weight);
      });
    if (args_.grad_bias)
      step->add(p_.out_channels, [this](int64_t o) {
        kernels_.sum_channel(at(args_.grad_output, o * p_.out_pixels() * element_), p_.batch,
                             p_.out_channels * p_.out_pixels(), p_.out_pixels(),
                             at(args_.grad_bias, o * element_));
      });
  }

  // Adds the other parts' gradient of a slice's weight to the first's.
  void sum_parts(const Slice& slice) const {
    if (parts_ == 1) return;
    std::vector<const void*> rows;
    for (int64_t part = 0; part < parts_; ++part) rows.push_back(grad_columns(part, slice));
    SumRow job{};
    job.parts = rows.data();
    job.count = parts_;
    job.elements = slice.taps * slice.tap_room * column_outs_;
    job.to = grad_columns(0, slice);
    job.dtype = arithmetic_ == 8 ? DType::kFloat64 : DType::kFloat32;
    kernels_.sum_rows(job);
  }

  // For one image.
  void add_staging(int64_t n, Step* step) const {
    // Segment by segment: for the core that will own it, unless the pixels have two owners.
    const int64_t stagings = stage_tasks(layout_.get()), segments = layout_.segments().size();
    step->add(segments * stagings, [this, n, stagings](int64_t i) {
      const void* input = at(args_.input, n * p_.in_channels * p_.in_pixels() * element_);
      stage_segment(layout_.get(), kernels_, layout_.segments()[i / stagings], i % stagings, input,
                    image_strides(false, p_.in_channels, p_.in_pixels()), staged_input_.data());
    });
    step->add(divide_up(p_.out_h, kStageRows), [this, n](int64_t i) { stage_grad_output(n, i); });
    if (args_.grad_input) add_clearing(staged_grad_input_, parts_ * layout_.staged_elements(), step);
  }
  void add_unstaging(int64_t n, Step* step) const {
    const int64_t chunks = divide_up(p_.in_h, kStageRows), segments = layout_.segments().size();
    step->add(segments * chunks, [this, n, chunks](int64_t i) {
      unstage_grad_input(n, layout_.segments()[i / chunks], i % chunks);
    });
  }

  void stage_grad_output(int64_t n, int64_t chunk) const {
    const auto stage_channels = [&](int64_t first, int64_t channels, int64_t begin, int64_t stride,
                                    int64_t room) {
      StageJob job{};
      job.image = at(args_.grad_output, (n * p_.out_channels + first) * p_.out_pixels() * element_);
      job.staged = staged_grad_output_.bytes() + begin * p_.out_pixels() * arithmetic_;
      job.strides = image_strides(false, p_.out_channels, p_.out_pixels());
      job.channels = channels;
      job.height = p_.out_h;
      job.width = p_.out_w;
      job.pixel_stride = stride;
      job.room = room;
      job.first_row = chunk * kStageRows;
      job.rows = std::min(kStageRows, p_.out_h - job.first_row);
      kernels_.stage(job);
    };
    if (depthwise_) {
      for (const Segment& s : layout_.segments())
        stage_channels(s.first_channel, s.channels, s.staged_begin / layout_.get().staged_pixels,
                       s.pixel_stride, s.pixel_stride);
      return;
    }
    const int64_t outs = p_.group_out_channels(), width = kernels_.panel_width;
    const int64_t room = panels_of_group(p_, kernels_) * width;  // of a group
    for (int64_t group = 0; group < p_.group; ++group)
      for (int64_t o = 0; o < outs; o += width)
        stage_channels(group * outs + o, std::min(outs - o, width), group * room + o, width,
                       std::min(layout_.get().padded_out - o, width));
  }

  // All gradients that samples take part in, band by band of output pixels. Sums for offset and mask
  // are the gradients themselves where an offset group has one segment; elsewhere the segments' sums
  // are held for a band and added up. The bands are the same for whichever gradients are wanted, and so
  // are they.
  void differentiate(int64_t n, const Step& preparing, const Step& finishing) const {
    const int64_t segments = layout_.segments().size(), pixels = p_.out_pixels();
    const int64_t pixel_bytes = segments * p_.taps() * 3 * arithmetic_;
    const int64_t band =
        std::min(std::max<int64_t>(1, kSumBytes / pixel_bytes / tile_) * tile_, pixels);
    const bool held = (args_.grad_offset || args_.grad_mask) && !sums_are_gradients();
    // Not a multiple of a page: a sample's sums lie in different sets of the cache.
    const int64_t stride = round_up(band, 32) + 16;
    const Scratch sums(held ? stride * pixel_bytes : 0);
    const int64_t bands_at_once = held ? band : pixels;
    for (int64_t first = 0; first < pixels; first += bands_at_once) {
      const int64_t end = std::min(first + bands_at_once, pixels);
      std::vector<Step> steps;
      if (first == 0) steps.push_back(preparing);
      Step computing, summing;
      // Part by part: a thread gets neighbours, and segments may differ in size.
      computing.add(segments * parts_, [&](int64_t i) {
        for (int64_t pixel = first; pixel < end; pixel += band)
          differentiate_band(n, i % segments, i / segments, pixel, std::min(pixel + band, end),
                             held ? &sums : nullptr, stride);
      });
      steps.push_back(computing);
      if (held) {
        summing.add(p_.offset_group * p_.taps(),
                    [&](int64_t i) { sum_segments(n, sums, stride, first, end, i); });
        steps.push_back(summing);
      }
      if (end == pixels) steps.push_back(finishing);
      run_steps(executor_, steps);
    }
  }

  // One part of the pixels [first, end), for one segment. `sums`: [segment][tap][3][stride]; or null.
  void differentiate_band(int64_t n, int64_t segment, int64_t part, int64_t first, int64_t end,
                          const Scratch* sums, int64_t stride) const {
    const Scratch scratch(kernels_.backward_scratch_bytes);
    const int64_t tiles = divide_up(end - first, tile_);
    const int64_t part_first = first + part * tiles / parts_ * tile_;
    const int64_t part_end = std::min(first + (part + 1) * tiles / parts_ * tile_, end);
    for (int64_t s = slices_.first_slice[segment]; s < slices_.first_slice[segment + 1]; ++s)
      for (int64_t pixel = part_first; pixel < part_end; pixel += tile_) {
        const Slice& slice = slices_.all[s];
        BackwardTile tile = this->tile(n, slice, part);
        tile.first_pixel = pixel;
        tile.pixels = std::min(tile_, part_end - pixel);
        if (sums) {
          const int64_t row = (segment * p_.taps() + slice.first_tap) * 3;
          for (int64_t kind = 0; kind < 3; ++kind)
            tile.sums[kind] = {sums->bytes() + ((row + kind) * stride + pixel - first) * arithmetic_,
                               3 * stride};
        } else {
          sum_into_gradients(n, pixel, &tile);
        }
        tile.scratch = scratch.data();
        depthwise_ ? kernels_.backward_depthwise_tile(tile) : kernels_.backward_tile(tile);
      }
  }

  BackwardTile tile(int64_t n, const Slice& slice, int64_t part) const {
    BackwardTile tile{};
    tile.layout = &layout_.get();
    tile.source.staged = staged_input_.data();
    tile.source.offset = at(args_.offset, n * 2 * mask_elements() * coordinate_);
    tile.source.mask = args_.mask ? at(args_.mask, n * mask_elements() * coordinate_) : nullptr;
    tile.slice = &slice;
    tile.staged_grad_output = staged_grad_output_.data();
    tile.weight = reads_weight_ ? packed_weight(slice) : nullptr;
    tile.staged_grad_input = args_.grad_input ? staged_grad_input(part) : nullptr;
    tile.grad_columns = args_.grad_weight ? grad_columns(part, slice) : nullptr;
    return tile;
  }

  bool sums_are_gradients() const {
    return p_.offset_group == static_cast<int64_t>(layout_.segments().size()) &&
           coordinate_ == arithmetic_;
  }
  void sum_into_gradients(int64_t n, int64_t pixel, BackwardTile* tile) const {
    const int64_t offset_group = layout_.get().segments[tile->slice->segment].offset_group;
    const int64_t row = offset_group * p_.taps() + tile->slice->first_tap, pixels = p_.out_pixels();
    const auto element = [&](void* tensor, int64_t index) -> void* {
      return tensor ? at(tensor, (index + pixel) * coordinate_) : nullptr;
    };
    const int64_t y = 2 * n * mask_elements() + 2 * row * pixels;
    tile->sums[0] = {element(args_.grad_offset, y), 2 * pixels};
    tile->sums[1] = {element(args_.grad_offset, y + pixels), 2 * pixels};
    tile->sums[2] = {element(args_.grad_mask, n * mask_elements() + row * pixels), pixels};
  }

  // Adds the segments' sums of one tap of an offset group (`row`), and writes them to the gradients of
  // offset and mask.
  void sum_segments(int64_t n, const Scratch& sums, int64_t stride, int64_t first, int64_t end,
                    int64_t row) const {
    const int64_t taps = p_.taps(), offset_group = row / taps, tap = row % taps;
    std::vector<const void*> parts;
    for (int64_t kind = 0; kind < 3; ++kind) {  // offset y, offset x, mask
      const bool is_mask = kind == 2;
      void* gradient = is_mask ? args_.grad_mask : args_.grad_offset;
      if (!gradient) continue;
      parts.clear();
      for (int64_t segment = slices_.first_segment[offset_group];
           segment < slices_.first_segment[offset_group + 1]; ++segment)
        parts.push_back(sums.bytes() + ((segment * taps + tap) * 3 + kind) * stride * arithmetic_);
      const int64_t image = n * (is_mask ? 1 : 2) * mask_elements();
      const int64_t gradient_row = is_mask ? row : 2 * row + kind;
      SumRow job{};
      job.parts = parts.data();
      job.count = static_cast<int64_t>(parts.size());
      job.elements = end - first;
      job.to = at(gradient, (image + gradient_row * p_.out_pixels() + first) * coordinate_);
      job.dtype = p_.coordinate_dtype;
      kernels_.sum_rows(job);
    }
  }

  void unstage_grad_input(int64_t n, const Segment& segment, int64_t chunk) const {
    UnstageJob job{};
    job.staged = staged_grad_input(0) + segment.staged_begin * arithmetic_;
    job.also = parts_ > 1 ? staged_grad_input(1) + segment.staged_begin * arithmetic_ : nullptr;
    job.planar =
        at(args_.grad_input, (n * p_.in_channels + segment.first_channel) * p_.in_pixels() * element_);
    job.channels = segment.channels;
    job.height = p_.in_h;
    job.width = p_.in_w;
    job.border = kBorder;
    job.pixel_stride = segment.pixel_stride;
    job.first_row = chunk * kStageRows;
    job.rows = std::min(kStageRows, p_.in_h - job.first_row);
    kernels_.unstage(job);
  }

  const Problem& p_;
  const BackwardArgs& args_;
  const Executor& executor_;
  const Kernels& kernels_;
  const bool depthwise_;
  const int64_t tile_;
  const Owners owners_;
  const OwnedLayout layout_;
  const Slices slices_;
  const int64_t parts_;  // of the output pixels
  const int64_t element_, arithmetic_, coordinate_;
  const int64_t column_outs_;  // numbers of a weight gradient's column
  const bool wants_data_, wants_samples_;
  const bool reads_weight_;  // the kernel of depthwise layers always does
  const Scratch staged_input_, staged_grad_output_, staged_grad_input_, packed_weight_, grad_columns_;
};

// No output depends on anything: gradients are zero.
void clear_gradients(const Problem& p, const BackwardArgs& args) {
  const int64_t element = kernels_for(p.dtype).element_bytes;
  const int64_t coordinate = kernels_for(p.coordinate_dtype).element_bytes;
  const int64_t mask = p.batch * p.offset_group * p.taps() * p.out_pixels();
  const auto clear = [](void* gradient, int64_t bytes) {
    if (gradient) std::memset(gradient, 0, bytes);
  };
  clear(args.grad_input, p.batch * p.in_channels * p.in_pixels() * element);
  clear(args.grad_weight, p.out_channels * p.group_in_channels() * p.taps() * element);
  clear(args.grad_offset, 2 * mask * coordinate);
  clear(args.grad_bias, p.out_channels * element);
  clear(args.grad_mask, mask * coordinate);
}

}  // namespace

void backward(const Problem& problem, const BackwardArgs& args, const Executor& executor) {
  if (problem.batch == 0 || problem.out_channels == 0 || problem.out_pixels() == 0)
    return clear_gradients(problem, args);
  Backward(problem, args, executor).run();
}

}  // namespace dcn::cpu
