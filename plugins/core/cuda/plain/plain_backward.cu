// The plain backward pass, a chunk of output pixels after another:
//
//   gradient of the columns = weight * grad_output      a product over output channels
//   gradients of offset and mask                        its scalar products with the corners
//   gradient of the input += it, spread to the corners
//   the columns, as in the forward pass
//   gradient of the weight += grad_output * columns     a product over pixels
//
// Slow and simple on purpose: it takes every shape and every dtype, the fast kernels are judged against
// it, and no sum depends on the order in which blocks run. What is added up over chunks is kept in
// float32 beside halves and rounded once, at the end.
#include <cuda_runtime.h>

#include <algorithm>
#include <type_traits>

#include "../device.h"
#include "../elementwise.h"
#include "../launch.h"
#include "../side_by_side.h"
#include "../sum_bias.h"
#include "deform_conv.h"
#include "plain.h"
#include "plain_chunks.h"
#include "plain_gradients.h"
#include "plain_types.h"

namespace dcn::cuda {
namespace {

int64_t aligned(int64_t bytes) {
  return divide_up(bytes, 256) * 256;
}

int64_t input_elements(const Problem& p) {
  return p.batch * p.in_channels * p.in_pixels();
}

int64_t weight_elements(const Problem& p) {
  return p.out_channels * p.group_in_channels() * p.taps();
}

bool is_half(const Problem& p) {
  return p.dtype == DType::kFloat16 || p.dtype == DType::kBFloat16;
}

// Where sums are kept: in the gradient itself where its dtype is that of the sums.
template <class T>
Arithmetic<T>* sums_of(void* gradient, char* own) {
  if (!gradient) return nullptr;
  return static_cast<Arithmetic<T>*>(std::is_same_v<T, Arithmetic<T>> ? gradient : own);
}

template <class T>
void add_round(Launches& launches, const Arithmetic<T>* sums, void* gradient, int64_t count) {
  if constexpr (!std::is_same_v<T, Arithmetic<T>>)
    launches.add(round_to<T>, grid_of(divide_up(count, kElementThreads)), kElementThreads, 0, sums,
                 static_cast<T*>(gradient), count);
}

template <class T, class C>
cudaError_t run(const Problem& p, const BackwardArgs& args, void* workspace, cudaStream_t stream) {
  using A = Arithmetic<T>;
  char* free = static_cast<char*>(workspace);
  A* columns = reinterpret_cast<A*>(free);
  free += aligned(chunk_bytes(p));
  A* bias_sums = reinterpret_cast<A*>(free);
  free += aligned(bias_pieces(p) * sizeof(A));
  A* input_sums = sums_of<T>(args.grad_input, free);
  free += aligned(input_elements(p) * sizeof(A));
  A* weight_sums = sums_of<T>(args.grad_weight, free);

  ForwardArgs samples;
  samples.input = args.input;
  samples.offset = args.offset;
  samples.mask = args.mask;

  Launches launches(stream);
  if (input_sums) add_fill_zero<A>(launches, input_sums, input_elements(p));
  if (weight_sums) add_fill_zero<A>(launches, weight_sums, weight_elements(p));
  const bool wants_coordinates = args.grad_offset || args.grad_mask;
  const int64_t total = output_pixels(p), step = chunk_pixels(p);
  for (int64_t first = 0; first < total; first += step) {
    const Chunk chunk{first, std::min(step, total - first)};
    if (wants_coordinates || input_sums)
      launches.add(multiply_grad_output<T>,
                   grid_of(TileGrid(grad_columns_product(p, chunk), p.group).count), kMultiplyThreads,
                   sizeof(ProductTiles<A>), p, args, chunk, columns);
    if (wants_coordinates)
      launches.add(differentiate_coordinates<T, C>,
                   grid_of(divide_up(chunk.pixels, kGradientThreads), p.offset_group * p.taps()),
                   kGradientThreads, 0, p, args, chunk, columns);
    if (input_sums) {
      const int64_t images = (first + chunk.pixels - 1) / p.out_pixels() - first / p.out_pixels() + 1;
      launches.add(add_grad_input<T, C>,
                   grid_of(divide_up(images * p.in_channels * p.in_h, kGradientThreads)),
                   kGradientThreads, 0, p, args, chunk, columns, input_sums);
    }
    if (weight_sums) {
      launches.add(sample_columns<T, C>, sample_grid(p, chunk), kSampleThreads, 0, p, samples, chunk,
                   columns);
      launches.add(add_grad_weight<T>, grid_of(TileGrid(grad_weight_product(p, chunk), p.group).count),
                   kMultiplyThreads, sizeof(ProductTiles<A>), p, args, chunk, columns, weight_sums);
    }
  }
  if (input_sums) add_round<T>(launches, input_sums, args.grad_input, input_elements(p));
  if (weight_sums) add_round<T>(launches, weight_sums, args.grad_weight, weight_elements(p));
  if (args.grad_bias) {
    add_side_by_side(launches, SumPieces<T>(p, args.grad_output, bias_sums));
    add_side_by_side(launches, SumChannels<T>(p, bias_sums, args.grad_bias));
  }
  return launches.error();
}

}  // namespace

size_t plain_backward_workspace_bytes(const Problem& p) {
  int64_t bytes = aligned(chunk_bytes(p)) + aligned(bias_pieces(p) * arithmetic_bytes(p));
  if (is_half(p))
    bytes +=
        aligned(input_elements(p) * arithmetic_bytes(p)) + weight_elements(p) * arithmetic_bytes(p);
  return static_cast<size_t>(bytes);
}

Status plain_backward(const Problem& problem, const BackwardArgs& args, void* workspace,
                      cudaStream_t stream) {
  return with_plain_types(problem, [&](auto types) {
    using Types = decltype(types);
    return run<typename Types::Data, typename Types::Coordinate>(problem, args, workspace, stream);
  });
}

}  // namespace dcn::cuda
