#include "async_copy.h"

#include <cstring>
#include <numeric>

#include "emulated_warp.h"
#include "fail.h"
#include "scheduler.h"
#include "shared_memory.h"

namespace emulator {

void AsyncCopies::copy(void* shared, const void* global) {
  Copy copy{shared, {}};
  if (global) std::memcpy(copy.bytes, global, sizeof copy.bytes);
  copies_.push_back(copy);
  std::memset(shared, 0xff, sizeof copy.bytes);
}

void AsyncCopies::commit() {
  group_sizes_.push_back(copies_.size() - committed_);
  committed_ = copies_.size();
}

void AsyncCopies::wait(size_t pending) {
  if (group_sizes_.size() <= pending) return;
  const auto last = group_sizes_.end() - static_cast<std::ptrdiff_t>(pending);
  const size_t count = std::accumulate(group_sizes_.begin(), last, size_t{0});
  for (size_t i = 0; i < count; ++i)
    std::memcpy(copies_[i].to, copies_[i].bytes, sizeof copies_[i].bytes);
  copies_.erase(copies_.begin(), copies_.begin() + static_cast<std::ptrdiff_t>(count));
  group_sizes_.erase(group_sizes_.begin(), last);
  committed_ -= count;
}

void AsyncCopies::forget() {
  copies_.clear();
  group_sizes_.clear();
  committed_ = 0;
}

void copy_async(void* shared, const void* global, bool valid, Site site) {
  require_capability(8, "copy_async", site);
  check_shared_vector(shared, "copy_async", site);
  if (valid) check_aligned(global, sizeof(uint4), "copy_async from global memory", site);
  running_copies().copy(shared, valid ? global : nullptr);
}

void commit_copies(Site site) {
  require_capability(8, "commit_copies", site);
  running_copies().commit();
}

void wait_copies(int pending, Site site) {
  require_capability(8, "wait_copies", site);
  running_copies().wait(static_cast<size_t>(pending));
}

}  // namespace emulator
