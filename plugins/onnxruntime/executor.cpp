#include "executor.h"

#include <algorithm>
#include <thread>

namespace dcn::ort {

Executor SessionThreads::executor() {
  // No host tells the size of its pool; by default that is the number of cores.
  return {this, parallel_for, std::max(1, static_cast<int>(std::thread::hardware_concurrency()))};
}

void SessionThreads::parallel_for(void* self, int64_t count, void (*f)(void*, int64_t), void* arg) {
  struct Task {
    void (*f)(void*, int64_t);
    void* arg;
  } task{f, arg};
  const auto step = [](void* data, size_t i) {
    const Task& task = *static_cast<Task*>(data);
    task.f(task.arg, static_cast<int64_t>(i));
  };
  const SessionThreads& threads = *static_cast<SessionThreads*>(self);
  // 0: the host hands out single items, to whichever thread is free.
  require(threads.api_, threads.api_.KernelContext_ParallelFor(threads.context_, step,
                                                               static_cast<size_t>(count), 0, &task));
}

}  // namespace dcn::ort
