#include "scratch.h"

#include <algorithm>
#include <mutex>
#include <new>
#include <vector>

namespace dcn::cpu {
namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr size_t kKeptBytes = 0;  // a block of exactly the size asked for shows every overrun
#else
constexpr size_t kKeptBytes = size_t{64} << 20;
#endif
constexpr std::align_val_t kAlignment{64};

struct Block {
  void* data;
  size_t capacity;
};

struct Store {
  std::mutex mutex;
  std::vector<Block> blocks;
  size_t bytes = 0;
};

// Never destroyed: a host's threads may still compute while the process exits.
Store& store() {
  static Store* const instance = new Store;
  return *instance;
}

}  // namespace

Scratch::Scratch(size_t bytes) : data_(nullptr), capacity_(bytes) {
  Store& kept = store();
  {
    std::lock_guard<std::mutex> lock(kept.mutex);
    // The smallest block that holds it, unless that wastes more than it serves.
    auto best = kept.blocks.end();
    for (auto block = kept.blocks.begin(); block != kept.blocks.end(); ++block)
      if (block->capacity >= bytes && block->capacity / 2 <= bytes &&
          (best == kept.blocks.end() || block->capacity < best->capacity))
        best = block;
    if (best != kept.blocks.end()) {
      data_ = best->data;
      capacity_ = best->capacity;
      kept.bytes -= capacity_;
      kept.blocks.erase(best);
      return;
    }
  }
  data_ = ::operator new(std::max<size_t>(bytes, 1), kAlignment);
}

Scratch::~Scratch() {
  Store& kept = store();
  std::lock_guard<std::mutex> lock(kept.mutex);
  if (capacity_ > kKeptBytes) {
    ::operator delete(data_, kAlignment);
    return;
  }
  // What has lain longest makes room.
  while (kept.bytes + capacity_ > kKeptBytes) {
    kept.bytes -= kept.blocks.front().capacity;
    ::operator delete(kept.blocks.front().data, kAlignment);
    kept.blocks.erase(kept.blocks.begin());
  }
  try {
    kept.blocks.push_back({data_, capacity_});
    kept.bytes += capacity_;
  } catch (const std::bad_alloc&) {
    ::operator delete(data_, kAlignment);
  }
}

}  // namespace dcn::cpu
