// Small kernels that do not depend on each other, in one launch: a chain of them would wait for each
// one's start and end.
//
// A task has a number of blocks of kElementThreads, none if there is nothing to do, and says what one
// of them does:
//
//   int64_t blocks() const;
//   __device__ void run(int64_t block, unsigned char* shared_memory) const;
//   static constexpr int kSharedBytes;
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>

#include "elementwise.h"
#include "launch.h"

namespace dcn::cuda {

template <class... Tasks>
__global__ void __launch_bounds__(kElementThreads, 4) side_by_side(Tasks... tasks) {
  extern __shared__ __align__(16) unsigned char shared_memory[];
  int64_t block = int64_t{blockIdx.y} * gridDim.x + blockIdx.x;  // of the tasks that are left
  bool done = false;
  const auto run = [&](const auto& task) {
    if (done) return;
    done = block < task.blocks();
    if (done) task.run(block, shared_memory);
    block -= task.blocks();
  };
  (run(tasks), ...);
}

template <class... Tasks>
void add_side_by_side(Launches& launches, const Tasks&... tasks) {
  constexpr int64_t kMostX = 1 << 30;
  const int64_t blocks = (int64_t{0} + ... + tasks.blocks()), x = std::min(blocks, kMostX);
  if (blocks == 0) return;
  void (*kernel)(Tasks...) = side_by_side<Tasks...>;
  launches.add(kernel, grid_of(x, divide_up(blocks, x)), kElementThreads,
               std::max({Tasks::kSharedBytes...}), tasks...);
}

}  // namespace dcn::cuda
