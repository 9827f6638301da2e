#include "shared_memory.h"

#include <cstdint>
#include <cstring>

#include "fail.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace dcn::cuda {
constexpr size_t kSharedBytes = 227 << 10;  // what the largest GPUs have
alignas(1024) unsigned char shared_memory[kSharedBytes];
}  // namespace dcn::cuda

namespace emulator {
namespace {

using dcn::cuda::kSharedBytes;
using dcn::cuda::shared_memory;

constexpr size_t kVector = 16;

size_t block_bytes = 0;

}  // namespace

void begin_shared_memory(size_t bytes) {
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(shared_memory, kSharedBytes);
#endif
  // Beyond the block's own bytes too, for programs that nothing watches.
  std::memset(shared_memory, 0xff, kSharedBytes);
#if defined(__SANITIZE_ADDRESS__)
  __asan_poison_memory_region(shared_memory + bytes, kSharedBytes - bytes);
#endif
  block_bytes = bytes;
}

void check_shared_vector(const void* at, const char* what, Site site) {
  const auto address = reinterpret_cast<uintptr_t>(at);
  const auto first = reinterpret_cast<uintptr_t>(shared_memory);
  if (address % kVector != 0) fail_at(site, "%s: the shared address is not aligned to 16 bytes", what);
  if (address < first || address + kVector > first + block_bytes)
    fail_at(site, "%s: the address is not in the %zu bytes of the block's shared memory", what,
            block_bytes);
}

}  // namespace emulator
