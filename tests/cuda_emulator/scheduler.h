// Runs the threads of a block, one at a time.
//
// A thread runs until it ends or waits: for its warp at a collective operation, or for its block at
// __syncthreads(). Of a warp one lane after another runs, in an order drawn anew after each operation.
// A warp runs until all its lanes have ended or wait for the block; then comes another warp, in an
// order drawn anew after each __syncthreads(). So each warp, and each lane, is sometimes as far ahead
// of the others and sometimes as far behind as the program lets it: a missing barrier shows as a wrong
// or unwritten result.
#pragma once

#include <cuda_runtime.h>

#include "async_copy.h"
#include "site.h"

namespace emulator {

inline constexpr int kWarp = 32;

// Runs `thread` in every thread of one block; blockIdx is set.
void run_block(const cudaLaunchConfig_t& config, const std::function<void()>& thread);

// Something that the 32 lanes of a warp do together. The last lane to come calls the operation with
// what each lane has brought; null: they only wait for each other.
using Operation = void (*)(void* const* brought);
void together(const char* what, Site site, Operation operation, void* brought);

AsyncCopies& running_copies();

// Ends the program if the device is older than this.
void require_capability(int major, const char* what, Site site);

}  // namespace emulator
