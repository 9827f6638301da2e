#include "scratch.h"

#include <algorithm>
#include <mutex>
#include <new>
#include <vector>

#include "huge_pages.h"

namespace dcn::cpu {
namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr size_t kKeptBytes = 0;  // a block of exactly the size asked for shows every overrun
#else
constexpr size_t kKeptBytes = size_t{64} << 20;
#endif

// A block that fills huge pages begins with one.
std::align_val_t alignment(size_t bytes) {
  return std::align_val_t{bytes >= kHugePage ? kHugePage : 64};
}

void* allocate(size_t bytes) {
  void* const data = ::operator new(std::max<size_t>(bytes, 1), alignment(bytes));
  prefer_huge_pages(data, bytes);
  return data;
}
void release(void* data, size_t bytes) {
  ::operator delete(data, alignment(bytes));
}

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
  data_ = allocate(bytes);
}

Scratch::~Scratch() {
  Store& kept = store();
  std::lock_guard<std::mutex> lock(kept.mutex);
  if (capacity_ > kKeptBytes) {
    release(data_, capacity_);
    return;
  }
  // What has lain longest makes room.
  while (kept.bytes + capacity_ > kKeptBytes) {
    kept.bytes -= kept.blocks.front().capacity;
    release(kept.blocks.front().data, kept.blocks.front().capacity);
    kept.blocks.erase(kept.blocks.begin());
  }
  try {
    kept.blocks.push_back({data_, capacity_});
    kept.bytes += capacity_;
  } catch (const std::bad_alloc&) {
    release(data_, capacity_);
  }
}

}  // namespace dcn::cpu
