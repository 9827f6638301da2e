#include "scheduler.h"

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "device.h"
#include "emulated_warp.h"
#include "fail.h"
#include "fibre.h"
#include "random.h"

namespace emulator {
namespace {

enum class State { kReady, kWithWarp, kWithBlock, kDone };

struct Thread {
  Fibre fibre;
  dim3 index;
  int number = 0;  // in its block
  State state = State::kDone;
  AsyncCopies copies;
  // Where it waits, and with what.
  const char* what = nullptr;
  Site site{};
  Operation operation = nullptr;
  void* brought = nullptr;
};

Thread* running = nullptr;
Fibre host;  // whoever launched the kernel
const std::function<void()>* body = nullptr;

// Ends the program with where two threads are that should be at the same place.
[[noreturn]] void fail_apart(const char* rule, const Thread& a, const Thread& b) {
  const auto where = [](const Thread& thread) -> std::string {
    if (thread.state == State::kDone) return "has ended";
    return std::string("waits at ") + thread.what + " (" + file_name(thread.site) + ":" +
           std::to_string(thread.site.line) + ")";
  };
  fail("%s: thread %d of block %u, %u, %u %s, thread %d %s", rule, a.number, blockIdx.x, blockIdx.y,
       blockIdx.z, where(a).c_str(), b.number, where(b).c_str());
}

class Warp {
 public:
  // What is beyond the block's last thread is null.
  explicit Warp(Thread* const* lanes) { std::copy_n(lanes, kWarp, lanes_); }

  // The next lane to run; null when all have ended or wait for the block.
  Thread* next() {
    do {
      while (turn_ < kWarp) {
        // An odd stride visits every lane.
        Thread* lane = lanes_[(first_ + turn_++ * stride_) % kWarp];
        if (lane && lane->state == State::kReady) return lane;
      }
      begin_turns();
    } while (do_together());
    return nullptr;
  }

 private:
  void begin_turns() {
    const uint32_t bits = random_bits();
    first_ = bits % kWarp;
    stride_ = bits / kWarp % kWarp | 1;
    turn_ = 0;
  }

  // Once no lane can run: what all of them wait for. False: nothing.
  bool do_together() {
    const Thread* waiting = nullptr;
    for (const Thread* lane : lanes_)
      if (lane && lane->state == State::kWithWarp) waiting = lane;
    if (!waiting) return false;
    void* brought[kWarp];
    for (int i = 0; i < kWarp; ++i) {
      const Thread* lane = lanes_[i];
      if (!lane)
        fail_at(waiting->site, "%s: the last warp of the block has less than 32 lanes", waiting->what);
      if (lane->state != State::kWithWarp || !(lane->site == waiting->site))
        fail_apart("lanes of a warp are apart", *waiting, *lane);
      brought[i] = lane->brought;
    }
    if (waiting->operation) waiting->operation(brought);
    for (Thread* lane : lanes_) lane->state = State::kReady;
    return true;
  }

  Thread* lanes_[kWarp];
  int first_ = 0, stride_ = 1, turn_ = 0;
};

// The block that runs. Threads are kept from block to block, for their stacks.
std::vector<std::unique_ptr<Thread>> threads;
int thread_count = 0;
std::vector<Warp> warps;
size_t warp_turn = 0;

// Once no warp can run: all threads are at the same __syncthreads(), or all have ended.
bool meet_block() {
  const Thread& first = *threads[0];
  for (int i = 1; i < thread_count; ++i) {
    const Thread& other = *threads[i];
    if (other.state != first.state)
      fail_apart("some threads wait at a barrier that others never reach", first, other);
    if (first.state == State::kWithBlock && !(other.site == first.site))
      fail_apart("threads of a block wait at different barriers", first, other);
  }
  if (first.state == State::kDone) return false;
  for (int i = 0; i < thread_count; ++i) threads[i]->state = State::kReady;
  return true;
}

// Null: all have ended.
Thread* next_thread() {
  for (;;) {
    for (; warp_turn < warps.size(); ++warp_turn)
      if (Thread* thread = warps[warp_turn].next()) return thread;
    if (!meet_block()) return nullptr;
    shuffle(&warps);
    warp_turn = 0;
  }
}

void run_next(Thread* from) {
  Thread* to = next_thread();
  if (to == from) return;
  running = to;
  if (to) threadIdx = to->index;
  switch_fibre(from ? &from->fibre : &host, to ? &to->fibre : &host,
               from && from->state == State::kDone);
}

void wait(State state, const char* what, Site site, Operation operation, void* brought) {
  Thread* self = running;
  self->state = state;
  self->what = what;
  self->site = site;
  self->operation = operation;
  self->brought = brought;
  run_next(self);
}

void run_thread() {
  arrived();
  (*body)();
  if (running->copies.under_way())
    fail("thread %d of block %u, %u, %u ends before its asynchronous copies have arrived",
         running->number, blockIdx.x, blockIdx.y, blockIdx.z);
  running->state = State::kDone;
  run_next(running);
}

}  // namespace

void run_block(const cudaLaunchConfig_t& config, const std::function<void()>& thread) {
  const dim3& block = config.blockDim;
  body = &thread;
  thread_count = static_cast<int>(block.x * block.y * block.z);
  for (int i = 0; i < thread_count; ++i) {
    if (static_cast<int>(threads.size()) == i) threads.push_back(std::make_unique<Thread>());
    Thread& thread = *threads[i];
    const auto number = static_cast<unsigned>(i);
    thread.index = dim3(number % block.x, number / block.x % block.y, number / block.x / block.y);
    thread.number = i;
    thread.state = State::kReady;
    thread.copies.forget();
    thread.fibre.begin(run_thread);
  }
  warps.clear();
  for (int first = 0; first < thread_count; first += kWarp) {
    Thread* lanes[kWarp] = {};
    for (int i = first; i < std::min(first + kWarp, thread_count); ++i)
      lanes[i - first] = threads[i].get();
    warps.emplace_back(lanes);
  }
  shuffle(&warps);
  warp_turn = 0;
  run_next(nullptr);
}

void together(const char* what, Site site, Operation operation, void* brought) {
  wait(State::kWithWarp, what, site, operation, brought);
}

void sync_block(Site site) {
  wait(State::kWithBlock, "__syncthreads()", site, nullptr, nullptr);
}

AsyncCopies& running_copies() {
  return running->copies;
}

int lane() {
  return running->number % kWarp;
}

void require_capability(int major, const char* what, Site site) {
  if (device.major < major)
    fail_at(site, "%s: the device is sm_%d%d, and needs to be sm_%d0 or newer", what, device.major,
            device.minor, major);
}

void check_aligned(const void* at, size_t bytes, const char* what, Site site) {
  if (reinterpret_cast<uintptr_t>(at) % bytes != 0)
    fail_at(site, "%s: the address is not aligned to %zu bytes", what, bytes);
}

}  // namespace emulator
