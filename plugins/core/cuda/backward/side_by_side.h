// Small kernels that do not depend on each other, in one launch: a chain of them would wait for each
// one's start and end.
//
// A task is a struct with the number of its blocks, none if there is nothing to do, and what one of
// them does:
//
//   int64_t blocks() const;
//   __device__ void run(int32_t block, unsigned char* shared_memory) const;
//   static constexpr int kSharedBytes;
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>

#include "../elementwise.h"
#include "../launch.h"

namespace dcn::cuda {

template <class... Tasks>
__global__ void __launch_bounds__(kElementThreads, 4) side_by_side(Tasks... tasks) {
  extern __shared__ __align__(16) unsigned char shared_memory[];
  int64_t block = blockIdx.x;  // of the tasks that are left
  bool done = false;
  const auto run = [&](const auto& task) {
    if (done) return;
    done = block < task.blocks();
    if (done) task.run(static_cast<int32_t>(block), shared_memory);
    block -= task.blocks();
  };
  (run(tasks), ...);
}

// Blocks of kElementThreads, of which a grid holds 2^31: more than any memory needs.
template <class... Tasks>
void add_side_by_side(Launches& launches, const Tasks&... tasks) {
  void (*kernel)(Tasks...) = side_by_side<Tasks...>;
  launches.add(kernel, grid_of((int64_t{0} + ... + tasks.blocks())), kElementThreads,
               std::max({Tasks::kSharedBytes...}), tasks...);
}

}  // namespace dcn::cuda
