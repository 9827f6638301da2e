// Forward on the CPU: stage some images (and pack the weight, if the host has not), then work through a
// flat list of (image, pixel tile, output blocks) on the host's pool. Scratch is bounded whatever the
// batch.
#include "layout.h"
#include "scratch.h"
#include "tiles.h"

namespace dcn::cpu {
namespace {

constexpr int64_t kRoundBytes = int64_t{16} << 20;  // staged images of one round, beyond the first

// The output channels in blocks; smaller ones where `wanted` blocks are needed to occupy threads.
std::vector<OutputBlock> output_blocks(const Problem& p, const Kernels& kernels, int64_t wanted,
                                       int64_t most) {
  const int64_t per_group = p.group_out_channels();
  const int64_t share = divide_up(per_group, divide_up(wanted, p.group));
  const int64_t size = std::min(round_up(share, kernels.panel_width), most);
  std::vector<OutputBlock> blocks;
  for (int64_t group = 0; group < p.group; ++group)
    for (int64_t first = 0; first < per_group; first += size)
      blocks.push_back({group, first, std::min(size, per_group - first)});
  return blocks;
}

// The pieces in which a weight is packed.
int64_t pack_tasks(const Problem& p, const Kernels& kernels) {
  return is_depthwise(p) ? 1 : p.group * panels_of_group(p, kernels);
}
void pack_task(const Problem& p, const Kernels& kernels, const Layout& layout, int64_t task,
               const void* weight, void* packed) {
  if (is_depthwise(p)) return kernels.pack_depthwise(p, weight, packed);
  const int64_t panels = panels_of_group(p, kernels);
  kernels.pack_panel(layout, weight, task / panels, task % panels, packed);
}

}  // namespace

size_t packed_weight_bytes(const Problem& problem) {
  const Kernels& kernels = kernels_for(problem.dtype);
  if (is_depthwise(problem))
    return (problem.in_channels * problem.taps() + kSlack) * kernels.arithmetic_bytes;
  const OwnedLayout layout(problem, kernels);
  return problem.group * layout.get().padded_out * layout.get().group_k * kernels.packed_bytes;
}

void pack_weight(const Problem& problem, const void* weight, void* packed, const Executor& executor) {
  const Kernels& kernels = kernels_for(problem.dtype);
  const OwnedLayout layout(problem, kernels);
  Step packing;
  packing.add(pack_tasks(problem, kernels),
              [&](int64_t i) { pack_task(problem, kernels, layout.get(), i, weight, packed); });
  run_steps(executor, {packing});
}

void forward(const Problem& p, const ForwardArgs& args, const Executor& executor) {
  if (p.batch == 0 || p.out_channels == 0 || p.out_pixels() == 0) return;
  const Kernels& kernels = kernels_for(p.dtype);
  const bool depthwise = is_depthwise(p);
  const OwnedLayout layout(p, kernels);
  const int64_t element = kernels.element_bytes;
  const int64_t coordinate = kernels_for(p.coordinate_dtype).element_bytes;
  const int64_t staged_bytes = layout.staged_elements() * kernels.arithmetic_bytes;
  const int64_t round_images = std::min(p.batch, std::max<int64_t>(1, kRoundBytes / staged_bytes));
  const Scratch staged(round_images * staged_bytes);
  const Scratch packed(args.packed_weight ? 0 : packed_weight_bytes(p));

  const Tiles pixel_tiles(p, kernels, round_images, executor.threads);
  const int64_t tiles = pixel_tiles.count();
  // Few tiles: share their output channels out too. Each share samples for itself.
  const int64_t wanted_parts = divide_up(executor.threads, tiles * round_images);
  const std::vector<OutputBlock> blocks = output_blocks(layout.get().problem, kernels, wanted_parts,
                                                        depthwise ? kDepthwiseBlock : kOutputBlock);
  const int64_t parts = std::min<int64_t>(wanted_parts, blocks.size());

  for (int64_t first = 0; first < p.batch; first += round_images) {
    const int64_t images = std::min(round_images, p.batch - first);
    const int64_t stagings = stage_tasks(layout.get()), segments = layout.segments().size();
    Step preparing, computing;
    if (!args.packed_weight && first == 0)
      preparing.add(pack_tasks(p, kernels), [&](int64_t i) {
        pack_task(p, kernels, layout.get(), i, args.weight, packed.data());
      });
    preparing.add(images * stagings * segments, [&](int64_t i) {
      const int64_t image = i / segments / stagings;
      const void* input = static_cast<const char*>(args.input) +
                          (first + image) * p.in_channels * p.in_pixels() * element;
      stage_segment(layout.get(), kernels, layout.segments()[i % segments], i / segments % stagings,
                    input, image_strides(args.channels_last, p.in_channels, p.in_pixels()),
                    staged.bytes() + image * staged_bytes);
    });
    computing.add(images * tiles * parts, [&](int64_t i) {
      const int64_t part = i % parts, tile_index = i / parts % tiles, image = i / parts / tiles;
      const int64_t n = first + image;
      const int64_t mask_elements = p.offset_group * p.taps() * p.out_pixels();
      const Scratch scratch(kernels.forward_scratch_bytes);
      ForwardTile job{};
      job.layout = &layout.get();
      job.source.staged = staged.bytes() + image * staged_bytes;
      job.source.offset = static_cast<const char*>(args.offset) + n * 2 * mask_elements * coordinate;
      job.source.mask =
          args.mask ? static_cast<const char*>(args.mask) + n * mask_elements * coordinate : nullptr;
      job.packed_weight = args.packed_weight ? args.packed_weight : packed.data();
      job.bias = args.bias;
      job.output = static_cast<char*>(args.output) + n * p.out_channels * p.out_pixels() * element;
      job.output_strides = image_strides(args.channels_last, p.out_channels, p.out_pixels());
      job.first_pixel = pixel_tiles.begin(tile_index);
      job.pixels = pixel_tiles.end(tile_index) - job.first_pixel;
      const int64_t first_block = part * static_cast<int64_t>(blocks.size()) / parts;
      const int64_t last_block = (part + 1) * static_cast<int64_t>(blocks.size()) / parts;
      job.blocks = blocks.data() + first_block;
      job.block_count = last_block - first_block;
      job.scratch = scratch.data();
      depthwise ? kernels.depthwise_tile(job) : kernels.forward_tile(job);
    });
    run_steps(executor, {preparing, computing});
  }
}

}  // namespace dcn::cpu
