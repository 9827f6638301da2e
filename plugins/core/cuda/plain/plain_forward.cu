// The plain forward pass: samples into a matrix of columns, multiplies it by the weight, a chunk of
// output pixels after another. Slow and simple on purpose: it takes every shape and every dtype, and
// the fast kernels are judged against it.
#include <cuda_runtime.h>

#include <algorithm>

#include "../device.h"
#include "../launch.h"
#include "deform_conv.h"
#include "plain.h"
#include "plain_chunks.h"
#include "plain_multiply.h"
#include "plain_sample.h"
#include "plain_types.h"

namespace dcn::cuda {
namespace {

template <class T, class C>
cudaError_t run(const Problem& p, const ForwardArgs& args, void* workspace, cudaStream_t stream) {
  using A = Arithmetic<T>;
  A* columns = static_cast<A*>(workspace);
  const int64_t total = output_pixels(p), step = chunk_pixels(p);
  Launches launches(stream);
  for (int64_t first = 0; first < total; first += step) {
    const Chunk chunk{first, std::min(step, total - first)};
    launches.add(sample_columns<T, C>, sample_grid(p, chunk), kSampleThreads, 0, p, args, chunk,
                 columns);
    launches.add(multiply_columns<T>, grid_of(TileGrid(forward_product(p, chunk), p.group).count),
                 kMultiplyThreads, sizeof(ProductTiles<A>), p, args, chunk, columns);
  }
  return launches.error();
}

}  // namespace

size_t plain_forward_workspace_bytes(const Problem& problem) {
  return static_cast<size_t>(chunk_bytes(problem));
}

Status plain_forward(const Problem& problem, const ForwardArgs& args, void* workspace,
                     cudaStream_t stream) {
  return with_plain_types(problem, [&](auto types) {
    using Types = decltype(types);
    return run<typename Types::Data, typename Types::Coordinate>(problem, args, workspace, stream);
  });
}

}  // namespace dcn::cuda
