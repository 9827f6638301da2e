#include "executor.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <thread>

namespace dcn::ort {
namespace {

// The host's threads must not see an exception: the first one is kept for the caller.
struct Loop {
  void (*f)(void* arg, int64_t i);
  void* arg;
  std::atomic_flag failed = ATOMIC_FLAG_INIT;
  std::exception_ptr error{};

  static void step(void* self, size_t i) {
    Loop& loop = *static_cast<Loop*>(self);
    try {
      loop.f(loop.arg, static_cast<int64_t>(i));
    } catch (...) {
      if (!loop.failed.test_and_set()) loop.error = std::current_exception();
    }
  }
};

}  // namespace

Executor SessionThreads::executor() {
  // No host tells the size of its pool; by default that is the number of cores.
  return {this, parallel_for, std::max(1, static_cast<int>(std::thread::hardware_concurrency()))};
}

void SessionThreads::parallel_for(void* self, int64_t count, void (*f)(void*, int64_t), void* arg) {
  const SessionThreads& threads = *static_cast<SessionThreads*>(self);
  Loop loop{f, arg};
  // 0: the host hands out single items, to whichever thread is free.
  require(threads.api_, threads.api_.KernelContext_ParallelFor(threads.context_, Loop::step,
                                                               static_cast<size_t>(count), 0, &loop));
  if (loop.error) std::rethrow_exception(loop.error);
}

Executor calling_thread() {
  return {nullptr,
          [](void*, int64_t count, void (*f)(void*, int64_t), void* arg) {
            for (int64_t i = 0; i < count; ++i) f(arg, i);
          },
          1};
}

}  // namespace dcn::ort
