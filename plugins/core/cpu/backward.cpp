// Backward on the CPU, one image at a time. Channels are cut into slices; a task owns a slice for
// the whole image (data) or for the whole batch (weight), so no two tasks add to the same number and
// every sum has one order, whatever the number of threads. No column matrix is ever whole.
#include "layout.h"
#include "sampling.h"
#include "scratch.h"

namespace dcn::cpu {
namespace {

constexpr int64_t kSumBytes = int64_t{8} << 20;  // sums for offset and mask held at a time
constexpr int64_t kPiecesOfMemset = 64;

// The slices, one for each run of taps, of the same channels: what one task owns.
struct Owner {
  int64_t first_slice, slices;
};

struct Slices {
  std::vector<Slice> all;
  std::vector<Owner> owners;
  std::vector<int64_t> first_owner;  // [offset_group + 1]: where each offset group's owners begin
  int64_t padded_columns = 0;        // of all slices

  // Depends on the problem and the kernels alone, never on the number of threads.
  Slices(const OwnedLayout& layout, const Kernels& kernels) {
    const Problem& p = layout.get().problem;
    constexpr int64_t kWantedOwners = 8, kMostChannels = 64;
    const int64_t size = std::clamp(round_up(divide_up(p.in_channels, kWantedOwners), kernels.lanes),
                                    kernels.lanes, kMostChannels);
    for (int64_t group = 0; group < p.group; ++group)
      for (int64_t s = layout.get().group_segments[group]; s < layout.get().group_segments[group + 1];
           ++s)
        for (int64_t first = 0; first < layout.segments()[s].channels; first += size)
          add_owner(p, kernels, group, s, layout.segments()[s], first,
                    std::min(size, layout.segments()[s].channels - first));
    first_owner.push_back(static_cast<int64_t>(owners.size()));
  }

 private:
  void add_owner(const Problem& p, const Kernels& kernels, int64_t group, int64_t index,
                 const Segment& segment, int64_t first_channel, int64_t channels) {
    const int64_t run = std::max<int64_t>(1, kColumnChunk / channels);
    // Channels come in order, so offset groups do too.
    if (static_cast<int64_t>(first_owner.size()) == segment.offset_group)
      first_owner.push_back(static_cast<int64_t>(owners.size()));
    Owner owner{static_cast<int64_t>(all.size()), 0};
    for (int64_t tap = 0; tap < p.taps(); tap += run) {
      Slice slice{index, first_channel, channels, group, tap, std::min(run, p.taps() - tap), 0, 0};
      slice.padded_columns = round_up(slice.taps * channels, kernels.lanes);
      slice.packed_begin = padded_columns;
      padded_columns += slice.padded_columns;
      all.push_back(slice);
      ++owner.slices;
    }
    owners.push_back(owner);
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
        layout_(problem, kernels_),
        slices_(layout_, kernels_),
        element_(kernels_.element_bytes),
        arithmetic_(kernels_.arithmetic_bytes),
        coordinate_(kernels_for(problem.coordinate_dtype).element_bytes),
        tile_(tile_pixels(problem, kernels_, 1, 1)),
        wants_data_(args.grad_input || args.grad_offset || args.grad_mask),
        wants_stage_(wants_data_ || args.grad_weight),
        staged_input_(wants_stage_ ? layout_.staged_elements() * arithmetic_ : 0),
        staged_grad_output_(wants_stage_
                                ? (p_.group * p_.out_pixels() * layout_.get().padded_out + kSlack) *
                                      arithmetic_
                                : 0),
        staged_grad_input_(args.grad_input ? layout_.staged_elements() * arithmetic_ : 0),
        packed_transposed_(wants_data_ ? slices_.padded_columns * p_.group_out_channels() * arithmetic_
                                       : 0),
        grad_columns_(args.grad_weight ? slices_.padded_columns * layout_.get().padded_out * arithmetic_
                                       : 0) {}

  void run() {
    if (wants_data_)
      parallel_for(executor_, slices_.all.size(), [&](int64_t i) {
        const Slice& slice = slices_.all[i];
        kernels_.pack_transposed(layout_.get(), slice, args_.weight, packed_transposed(slice));
      });
    if (args_.grad_weight) clear(grad_columns_, slices_.padded_columns * layout_.get().padded_out);
    for (int64_t n = 0; n < p_.batch; ++n) {
      if (wants_stage_) stage(n);
      if (wants_data_) data(n);
      if (args_.grad_weight) weight(n);
    }
    if (args_.grad_weight)
      parallel_for(executor_, slices_.all.size(), [&](int64_t i) {
        const Slice& slice = slices_.all[i];
        kernels_.unpack_weight_gradient(layout_.get(), slice, grad_columns(slice), args_.grad_weight);
      });
    if (args_.grad_bias)
      parallel_for(executor_, p_.out_channels, [&](int64_t o) {
        kernels_.sum_channel(at(args_.grad_output, o * p_.out_pixels() * element_), p_.batch,
                             p_.out_channels * p_.out_pixels(), p_.out_pixels(),
                             at(args_.grad_bias, o * element_));
      });
  }

 private:
  static const void* at(const void* base, int64_t bytes) {
    return static_cast<const char*>(base) + bytes;
  }
  static void* at(void* base, int64_t bytes) { return static_cast<char*>(base) + bytes; }

  void* packed_transposed(const Slice& slice) const {
    return packed_transposed_.bytes() + slice.packed_begin * p_.group_out_channels() * arithmetic_;
  }
  void* grad_columns(const Slice& slice) const {
    return grad_columns_.bytes() + slice.packed_begin * layout_.get().padded_out * arithmetic_;
  }
  int64_t mask_elements() const { return p_.offset_group * p_.taps() * p_.out_pixels(); }

  void clear(const Scratch& scratch, int64_t elements) const {
    const int64_t bytes = elements * arithmetic_, piece = divide_up(bytes, kPiecesOfMemset);
    parallel_for(executor_, divide_up(bytes, std::max<int64_t>(piece, 1)), [&](int64_t i) {
      std::memset(scratch.bytes() + i * piece, 0, std::min(piece, bytes - i * piece));
    });
  }

  void stage(int64_t n) const {
    parallel_for(executor_, stage_tasks(layout_.get()), [&](int64_t i) {
      stage_image(layout_, kernels_, i, at(args_.input, n * p_.in_channels * p_.in_pixels() * element_),
                  image_strides(false, p_.in_channels, p_.in_pixels()), staged_input_.data());
    });
    const int64_t chunks = divide_up(p_.out_h, kStageRows);
    parallel_for(executor_, p_.group * chunks, [&](int64_t i) {
      const int64_t group = i / chunks, outs = p_.group_out_channels();
      StageJob job{};
      job.image =
          at(args_.grad_output, (n * p_.out_channels + group * outs) * p_.out_pixels() * element_);
      job.strides = image_strides(false, p_.out_channels, p_.out_pixels());
      job.staged = staged_grad_output_.bytes() +
                   group * p_.out_pixels() * layout_.get().padded_out * arithmetic_;
      job.channels = outs;
      job.height = p_.out_h;
      job.width = p_.out_w;
      job.pixel_stride = layout_.get().padded_out;
      job.first_row = i % chunks * kStageRows;
      job.rows = std::min(kStageRows, p_.out_h - job.first_row);
      kernels_.stage(job);
    });
  }

  BackwardTile tile(int64_t n, const Slice& slice, int64_t first, int64_t end,
                    const Scratch& scratch) const {
    BackwardTile tile{};
    tile.layout = &layout_.get();
    tile.source.staged = staged_input_.data();
    tile.source.offset = at(args_.offset, n * 2 * mask_elements() * coordinate_);
    tile.source.mask = args_.mask ? at(args_.mask, n * mask_elements() * coordinate_) : nullptr;
    tile.slice = &slice;
    tile.staged_grad_output = staged_grad_output_.data();
    tile.first_pixel = first;
    tile.pixels = std::min(tile_, end - first);
    tile.scratch = scratch.data();
    return tile;
  }

  // Gradients of input, offset and mask, band by band of pixels, so that the owners' sums for offset
  // and mask need not all be held.
  void data(int64_t n) const {
    const int64_t owners = slices_.owners.size(), taps = p_.taps();
    const bool wants_sums = args_.grad_offset || args_.grad_mask;
    const int64_t pixel_bytes = owners * taps * 3 * arithmetic_;
    const int64_t band = std::max<int64_t>(1, kSumBytes / pixel_bytes / tile_) * tile_;
    const int64_t stride = std::min(band, p_.out_pixels());
    const Scratch sums(wants_sums ? stride * pixel_bytes : 0);
    if (args_.grad_input) clear(staged_grad_input_, layout_.staged_elements());
    for (int64_t first = 0; first < p_.out_pixels(); first += band) {
      const int64_t end = std::min(first + band, p_.out_pixels());
      parallel_for(executor_, owners, [&](int64_t i) {
        const Scratch scratch(kernels_.backward_scratch_bytes);
        for (int64_t s = 0; s < slices_.owners[i].slices; ++s) {
          const Slice& slice = slices_.all[slices_.owners[i].first_slice + s];
          for (int64_t pixel = first; pixel < end; pixel += tile_) {
            BackwardDataTile job{};
            job.tile = tile(n, slice, pixel, end, scratch);
            job.packed_transposed = packed_transposed(slice);
            job.staged_grad_input = args_.grad_input ? staged_grad_input_.data() : nullptr;
            job.sums = wants_sums
                           ? sums.bytes() + (i * taps + slice.first_tap) * 3 * stride * arithmetic_
                           : nullptr;
            job.sums_stride = stride;
            job.sums_first_pixel = first;
            kernels_.backward_data_tile(job);
          }
        }
      });
      if (wants_sums) reduce_sums(n, sums, stride, first, end);
    }
    if (args_.grad_input) unstage_grad_input(n);
  }

  // Adds the owners' sums of each offset group and writes them to the gradients of offset and mask.
  void reduce_sums(int64_t n, const Scratch& sums, int64_t stride, int64_t first, int64_t end) const {
    const int64_t taps = p_.taps();
    parallel_for(executor_, p_.offset_group * taps, [&](int64_t i) {
      const int64_t offset_group = i / taps, tap = i % taps;
      std::vector<const void*> parts;
      for (int64_t kind = 0; kind < 3; ++kind) {  // offset y, offset x, mask
        const bool is_mask = kind == 2;
        void* gradient = is_mask ? args_.grad_mask : args_.grad_offset;
        if (!gradient) continue;
        parts.clear();
        for (int64_t owner = slices_.first_owner[offset_group];
             owner < slices_.first_owner[offset_group + 1]; ++owner)
          parts.push_back(sums.bytes() + ((owner * taps + tap) * 3 + kind) * stride * arithmetic_);
        const int64_t row = is_mask ? i : 2 * i + kind;
        const int64_t image = n * (is_mask ? 1 : 2) * mask_elements();
        SumRow job{};
        job.parts = parts.data();
        job.count = static_cast<int64_t>(parts.size());
        job.pixels = end - first;
        job.to = at(gradient, (image + row * p_.out_pixels() + first) * coordinate_);
        job.coordinate_dtype = p_.coordinate_dtype;
        kernels_.sum_rows(job);
      }
    });
  }

  void unstage_grad_input(int64_t n) const {
    const int64_t chunks = divide_up(p_.in_h, kStageRows);
    parallel_for(executor_, chunks, [&](int64_t i) {
      for (const Segment& segment : layout_.segments()) {
        UnstageJob job{};
        job.staged = staged_grad_input_.bytes() + segment.staged_begin * arithmetic_;
        job.planar = at(args_.grad_input,
                        (n * p_.in_channels + segment.first_channel) * p_.in_pixels() * element_);
        job.channels = segment.channels;
        job.height = p_.in_h;
        job.width = p_.in_w;
        job.border = kBorder;
        job.pixel_stride = segment.pixel_stride;
        job.first_row = i * kStageRows;
        job.rows = std::min(kStageRows, p_.in_h - job.first_row);
        kernels_.unstage(job);
      }
    });
  }

  void weight(int64_t n) const {
    parallel_for(executor_, slices_.owners.size(), [&](int64_t i) {
      const Scratch scratch(kernels_.backward_scratch_bytes);
      for (int64_t s = 0; s < slices_.owners[i].slices; ++s) {
        const Slice& slice = slices_.all[slices_.owners[i].first_slice + s];
        for (int64_t pixel = 0; pixel < p_.out_pixels(); pixel += tile_)
          kernels_.backward_weight_tile(
              {tile(n, slice, pixel, p_.out_pixels(), scratch), grad_columns(slice)});
      }
    });
  }

  const Problem& p_;
  const BackwardArgs& args_;
  const Executor& executor_;
  const Kernels& kernels_;
  const OwnedLayout layout_;
  const Slices slices_;
  const int64_t element_, arithmetic_, coordinate_;
  const int64_t tile_;
  const bool wants_data_, wants_stage_;
  const Scratch staged_input_, staged_grad_output_, staged_grad_input_, packed_transposed_,
      grad_columns_;
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
