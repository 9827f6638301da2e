// The shared memory of the block that runs.
#pragma once

#include <cstddef>

#include "site.h"

namespace emulator {

// NaN everywhere; AddressSanitizer watches what lies beyond `bytes`.
void begin_shared_memory(size_t bytes);

// Ends the program unless 16 bytes at `at`, aligned to 16, are the block's.
void check_shared_vector(const void* at, const char* what, Site site);

}  // namespace emulator
