// The fused backward pass. In this order:
//
//   stage input and grad_output            channels last, in vectors
//   preparations                           the weight is transposed, sums for the input begin at zero;
//                                          pieces of the gradient of the bias
//   gradients of offset, mask and input    data_gradient.h
//   gradient of the weight                 weight_gradient.h
//   results                                partial sums are added up, and laid out as the tensors
//
// No matrix of columns is ever in memory. A gradient that is not wanted costs nothing.
#include "../channels_last.h"
#include "../launch.h"
#include "../sum_bias.h"
#include "fused_backward.h"
#include "gradient_kernels.h"
#include "gradient_layouts.h"
#include "weight_plan.h"

namespace dcn::cuda {
namespace {

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
  return p.batch * WindowTiles(p).of_image() * bundles.count * p.taps();
}

// Sizes of the parts of the workspace, in the order in which they lie; never less for larger problems.
struct Parts {
  int64_t input, grad_output, weight, grad_input, coordinates, weight_runs, bias;

  explicit Parts(const Problem& p) {
    const Problem out = grad_output_image(p);
    const Bundles bundles(p);
    const int64_t pixels = pixels_of(p);
    input = static_cast<int64_t>(staged_image_bytes(p, bundles.segments));
    grad_output = static_cast<int64_t>(staged_image_bytes(out, Segments(out)));
    weight = bundles.count * kBundleVectors * bundles.segments.vector * p.taps() * depth_stages(p) *
             kDepthBytes;
    grad_input = input / element_bytes(p) * int64_t{sizeof(float)};
    coordinates = bundles.parts() == 1 ? 0
                                       : bundles.parts() * p.offset_group * p.taps() * 3 * pixels *
                                             int64_t{sizeof(float)};
    weight_runs = WeightPlan(p).workspace_bytes(pixels);
    bias = bias_pieces(p) * int64_t{sizeof(float)};
  }

  int64_t total() const {
    int64_t sum = 0;
    for (int64_t bytes : {input, grad_output, weight, grad_input, coordinates, weight_runs, bias})
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
  const Problem out = grad_output_image(p);
  const Segments out_segments(out);
  const Parts parts(p);
  Workspace workspace(memory);
  T* input = workspace.take<T>(parts.input);
  T* grad_output = workspace.take<T>(parts.grad_output);
  T* packed = workspace.take<T>(parts.weight);
  float* grad_input = workspace.take<float>(parts.grad_input);
  float* coordinates = workspace.take<float>(parts.coordinates);
  auto* weight_sums = workspace.take<float4>(parts.weight_runs);
  float* bias_sums = workspace.take<float>(parts.bias);

  const Bundles bundles(p);
  const ImageLayout image(p, bundles.segments, true);
  const GradOutputLayout out_layout{ImageLayout(out, out_segments, true), Divider(p.out_pixels()),
                                    out_segments.period_vectors * out_segments.vector};

  Launches launches(stream);
  if (wants_data || args.grad_weight) {
    launches.add(
        [&](cudaStream_t s) { return stage_image(p, bundles.segments, args.input, false, input, s); });
    launches.add([&](cudaStream_t s) {
      return stage_image(out, out_segments, args.grad_output, false, grad_output, s);
    });
  }
  add_preparations(
      launches,
      wants_data ? PackColumns<T>(p, bundles, depth_stages(p), args.weight, packed) : PackColumns<T>{},
      args.grad_input ? FillZero(grad_input, parts.grad_input / 4) : FillZero{},
      args.grad_bias ? SumPieces<T>(p, args.grad_output, bias_sums) : SumPieces<T>{});

  DataGradient<T> data{};
  if (wants_data) {
    data.bundles = bundles;
    data.tiles = WindowTiles(p);
    data.image = image;
    data.out = out_layout;
    data.coordinates = Coordinates<T>(p, args.offset, args.mask);
    data.gradients = {args.grad_offset, args.grad_mask, p.coordinate_dtype == DType::kFloat32,
                      bundles.parts() > 1 ? coordinates : nullptr};
    data.input = input;
    data.grad_output = grad_output;
    data.weight = packed;
    data.grad_input = args.grad_input ? grad_input : nullptr;
    data.pixels = static_cast<int32_t>(pixels_of(p));
    data.depth_stages = static_cast<int32_t>(depth_stages(p));
    data.units = static_cast<int32_t>(data_units(p, bundles));
    add_data_gradient<Products>(launches, data);
  }

  SumWeight<T> sum_weight{};
  if (args.grad_weight) {
    const WeightPlan plan(p);
    WeightGradient<T> job;
    job.columns = plan.columns;
    job.image = image;
    job.out = out_layout;
    job.coordinates = Coordinates<T>(p, args.offset, args.mask);
    job.input = input;
    job.grad_output = grad_output;
    job.grad_output_gap = out_layout.layout.image_size - p.out_pixels() * out_layout.outs;
    job.partial = {weight_sums, static_cast<int32_t>(p.group),
                   static_cast<int32_t>(plan.out_tiles * plan.tile_outs / 16),
                   static_cast<int32_t>(plan.columns.tiles() * plan.tile_columns / 8)};
    job.pixels = static_cast<int32_t>(pixels_of(p));
    job.run_pixels = static_cast<int32_t>(plan.run_pixels(job.pixels));
    job.pixel_vectors = bundles.segment_vectors;
    job.image_vectors = static_cast<int32_t>(image.image_size / bundles.segments.vector);
    const auto runs = static_cast<int32_t>(divide_up(job.pixels, job.run_pixels));
    add_weight_gradient<Products>(launches, job, static_cast<int32_t>(plan.tile_outs), runs);
    sum_weight = SumWeight<T>(p, job, runs, args.grad_weight);
  }

  const bool sums_coordinates = data.gradients.partial && (args.grad_offset || args.grad_mask);
  add_results(launches, sum_weight,
              args.grad_input
                  ? Unstage<T>(bundles.segments, image, p.batch, grad_input, args.grad_input)
                  : Unstage<T>{},
              sums_coordinates ? SumCoordinates<T>(data) : SumCoordinates<T>{},
              args.grad_bias ? SumChannels<T>(p, bias_sums, args.grad_bias) : SumChannels<T>{});
  return launches.error();
}

}  // namespace

bool fused_backward_takes(const Problem& p, const Options& options) {
  if (options.plain || p.dtype == DType::kFloat64) return false;
  if (p.group > 1 && p.group_in_channels() < kMinGroupChannels) return false;
  if (!segments_are_alike(Segments(p))) return false;
  // A pixel's outputs are copied 16 bytes at a time.
  if (p.dtype != DType::kFloat32 && p.group_out_channels() <= 4) return false;
  // Indices of 32 bits, with room for what lies a step behind the last, and a grid's limits.
  const Bundles bundles(p);
  return p.batch * p.out_pixels() * bundles.count <= kMaxInt32 / 2 &&
         p.out_channels / 64 / p.group < 65535 &&
         (pixels_of(p) / WeightPlan::kMostRunPixels + 1) * p.group <= 65535 &&
         p.batch * p.in_pixels() * bundles.segments.vectors <= kMaxInt32 / 2 &&
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
