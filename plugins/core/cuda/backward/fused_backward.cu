// The fused backward pass. In this order:
//
//   stage input and grad_output                 channels last, in vectors
//   gradients of offset, mask and input         data_gradient.h; the weight is transposed for it, sums
//                                               for the input begin at zero and are laid out at last
//   gradient of the weight                      weight_gradient.h; sums of runs of pixels are added up
//
// No matrix of columns is ever in memory. A gradient that is not wanted costs nothing.
#include <algorithm>

#include "../channels_last.h"
#include "../elementwise.h"
#include "../launch.h"
#include "fused_backward.h"
#include "gradient_kernels.h"
#include "gradient_layouts.h"

namespace dcn::cuda {
namespace {

// Work is cut into so many blocks, where there is enough of it, as keep the largest GPUs in use busy.
#if !defined(DCN_CUDA_PROCESSORS)
#define DCN_CUDA_PROCESSORS 132
#endif
constexpr int64_t kWantedBlocks = 2 * DCN_CUDA_PROCESSORS;
// Tensor cores truncate, which longer sums in float32 would show. Fewer are not worth a sum of their
// own.
constexpr int64_t kMostRunPixels = 16384, kLeastRunPixels = 128;
constexpr int64_t kLargestWeightTile = 256 * 64;
constexpr int64_t kMaxInt32 = INT32_MAX;
constexpr int64_t kMinGroupChannels = 8;

int64_t element_bytes(const Problem& p) {
  return p.dtype == DType::kFloat32 ? 4 : 2;
}

int64_t pixels_of(const Problem& p) {
  return p.batch * p.out_pixels();
}

// grad_output, as an image.
Problem grad_output_image(const Problem& p) {
  Problem image = p;
  image.in_channels = p.out_channels;
  image.in_h = p.out_h;
  image.in_w = p.out_w;
  image.offset_group = p.group;
  return image;
}

int64_t depth_stages(const Problem& p) {
  return divide_up(p.group_out_channels() * element_bytes(p), kDepthBytes);
}

// Of the work that data_gradient.h cuts into runs.
int64_t data_units(const Problem& p, const Bundles& bundles) {
  return p.batch * PixelTiles(p).of_image() * bundles.count * p.taps();
}

// Elements of the gradient of the weight, with padding.
int64_t padded_weight(const Problem& p, const Bundles& bundles) {
  return p.taps() * p.out_channels * bundles.group_vectors * bundles.segments.vector;
}

// Runs of pixels that are summed up by themselves.
int64_t weight_runs(const Problem& p, int64_t blocks_of_run) {
  const int64_t wanted = std::min(kWantedBlocks / blocks_of_run, pixels_of(p) / kLeastRunPixels);
  return std::max({divide_up(pixels_of(p), kMostRunPixels), wanted, int64_t{1}});
}

// Sizes of the parts of the workspace, in the order in which they lie; never less for larger problems.
struct Parts {
  int64_t input, grad_output, weight, grad_input, coordinates, weight_runs;

  explicit Parts(const Problem& p) {
    const Problem out = grad_output_image(p);
    const Bundles bundles(p);
    const int64_t pixels = pixels_of(p), elements = padded_weight(p, bundles);
    input = static_cast<int64_t>(staged_image_bytes(p, bundles.segments));
    grad_output = static_cast<int64_t>(staged_image_bytes(out, Segments(out)));
    weight = bundles.count * kBundleVectors * bundles.segments.vector * p.taps() * depth_stages(p) *
             kDepthBytes;
    grad_input = input / element_bytes(p) * int64_t{sizeof(float)};
    coordinates = bundles.parts() == 1 ? 0
                                       : bundles.parts() * p.offset_group * p.taps() * 3 * pixels *
                                             int64_t{sizeof(float)};
    weight_runs =
        std::min(elements * std::max<int64_t>(pixels / kLeastRunPixels, 1),
                 elements * divide_up(pixels, kMostRunPixels) + kWantedBlocks * kLargestWeightTile) *
        int64_t{sizeof(float)};
  }

  int64_t total() const {
    int64_t sum = 0;
    for (int64_t bytes : {input, grad_output, weight, grad_input, coordinates, weight_runs})
      sum += aligned(bytes);
    return sum;
  }
  static int64_t aligned(int64_t bytes) { return divide_up(bytes, 256) * 256; }
};

class Workspace {
 public:
  explicit Workspace(void* memory) : free_(static_cast<char*>(memory)) {}
  template <class T>
  T* take(int64_t bytes) {
    char* own = free_;
    free_ += Parts::aligned(bytes);
    return reinterpret_cast<T*>(own);
  }

 private:
  char* free_;
};

template <class Products>
cudaError_t run(const Problem& p, const BackwardArgs& args, void* memory, cudaStream_t stream) {
  using T = typename Products::Element;
  const bool wants_data = args.grad_input || args.grad_offset || args.grad_mask;
  if (!wants_data && !args.grad_weight) return cudaSuccess;
  const Problem out = grad_output_image(p);
  const Segments out_segments(out);
  const Parts parts(p);
  Workspace workspace(memory);
  T* input = workspace.take<T>(parts.input);
  T* grad_output = workspace.take<T>(parts.grad_output);
  T* packed = workspace.take<T>(parts.weight);
  float* grad_input = workspace.take<float>(parts.grad_input);
  float* coordinates = workspace.take<float>(parts.coordinates);
  float* weight_sums = workspace.take<float>(parts.weight_runs);

  const Bundles bundles(p);
  const ImageLayout image(p, bundles.segments, true);
  const GradOutputLayout out_layout{ImageLayout(out, out_segments, true), Divider(p.out_pixels()),
                                    out_segments.period_vectors * out_segments.vector};

  Launches launches(stream);
  launches.add(
      [&](cudaStream_t s) { return stage_image(p, bundles.segments, args.input, false, input, s); });
  launches.add([&](cudaStream_t s) {
    return stage_image(out, out_segments, args.grad_output, false, grad_output, s);
  });

  if (wants_data) {
    DataGradient<T> job;
    job.bundles = bundles;
    job.tiles = PixelTiles(p);
    job.image = image;
    job.out = out_layout;
    job.coordinates = Coordinates<T>(p, args.offset, args.mask);
    job.gradients = {args.grad_offset, args.grad_mask, p.coordinate_dtype == DType::kFloat32,
                     bundles.parts() > 1 ? coordinates : nullptr};
    job.input = input;
    job.grad_output = grad_output;
    job.weight = packed;
    job.grad_input = args.grad_input ? grad_input : nullptr;
    job.pixels = static_cast<int32_t>(pixels_of(p));
    job.depth_stages = static_cast<int32_t>(depth_stages(p));
    job.units = static_cast<int32_t>(data_units(p, bundles));
    add_pack_columns(launches, p, job, args.weight, packed);
    if (args.grad_input) add_fill_zero<float4>(launches, grad_input, parts.grad_input / 16);
    add_data_gradient<Products>(launches, job);
    if (job.gradients.partial && (args.grad_offset || args.grad_mask))
      add_sum_coordinates(launches, job);
    if (args.grad_input) add_unstage(launches, p, job, args.grad_input);
  }

  if (args.grad_weight) {
    WeightGradient<T> job;
    job.bundles = bundles;
    job.image = image;
    job.out = out_layout;
    job.coordinates = Coordinates<T>(p, args.offset, args.mask);
    job.input = input;
    job.grad_output = grad_output;
    job.partial = weight_sums;
    job.pixels = static_cast<int32_t>(pixels_of(p));
    job.group_outs = static_cast<int32_t>(p.group_out_channels());
    job.outs = static_cast<int32_t>(p.out_channels);
    job.group_channels = bundles.group_vectors * bundles.segments.vector;
    const int64_t blocks = bundles.count * p.taps() * divide_up(job.group_outs, weight_tile_outs(job));
    job.run_pixels = static_cast<int32_t>(divide_up(job.pixels, weight_runs(p, blocks)));
    const auto runs = static_cast<int32_t>(divide_up(job.pixels, job.run_pixels));
    add_weight_gradient<Products>(launches, job, runs);
    add_sum_weight(launches, p, job, runs, args.grad_weight);
  }
  return launches.error();
}

}  // namespace

bool fused_backward_takes(const Problem& p, const Options& options) {
  if (options.plain || p.dtype == DType::kFloat64) return false;
  if (p.group > 1 && p.group_in_channels() < kMinGroupChannels) return false;
  if (!segments_are_alike(Segments(p))) return false;
  // A pixel's outputs are copied 16 bytes at a time.
  if (p.dtype != DType::kFloat32 && p.group_out_channels() <= 4) return false;
  // Indices of 32 bits, and a grid's limits.
  const Bundles bundles(p);
  return p.batch * p.out_pixels() * bundles.count <= kMaxInt32 &&
         p.out_channels / 64 / p.group < 65535 && pixels_of(p) / kMostRunPixels < 65535 &&
         int64_t{bundles.count} * kBundleVectors * 8 * p.taps() <= kMaxInt32 &&
         data_units(p, bundles) <= kMaxInt32;
}

size_t fused_backward_workspace_bytes(const Problem& p) {
  return static_cast<size_t>(Parts(p).total());
}

cudaError_t fused_backward(const Problem& p, const BackwardArgs& args, const Options& options,
                           void* workspace, cudaStream_t stream) {
  switch (p.dtype) {
    case DType::kFloat16: return run<HalfProducts<Float16>>(p, args, workspace, stream);
    case DType::kBFloat16: return run<HalfProducts<BFloat16>>(p, args, workspace, stream);
    default:
      return options.allow_tf32 ? run<Tf32Products>(p, args, workspace, stream)
                                : run<ExactFloatProducts>(p, args, workspace, stream);
  }
}

}  // namespace dcn::cuda
