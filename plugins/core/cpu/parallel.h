// Work on the host's thread pool, with exceptions carried back to the caller: a pool written in C
// must not see one.
//
// The host runs as many workers as it has threads, and each takes the next item when it is done with
// its last: hosts that would deal out items beforehand leave threads idle. What comes in two steps is
// one call: the second begins, without another call of the pool, when the last item of the first is
// done. Nobody waits for an item that no thread works on, however few threads there are.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <exception>
#include <functional>
#include <thread>
#include <utility>
#include <vector>

#include "deform_conv.h"

namespace dcn::cpu {

template <class First, class Second>
class Steps {
 public:
  Steps(int64_t firsts, const First& first, int64_t seconds, const Second& second)
      : firsts_(firsts), all_(firsts + seconds), first_(first), second_(second) {}

  void run(const Executor& executor) {
    const int64_t workers = std::min<int64_t>(all_, executor.threads);
    if (executor.parallel_for && workers > 1)
      executor.parallel_for(
          executor.host, workers, [](void* self, int64_t) { static_cast<Steps*>(self)->work(); }, this);
    else
      work();
    if (error_) std::rethrow_exception(error_);
  }

 private:
  void work() {
    for (int64_t i; (i = next_.fetch_add(1, std::memory_order_relaxed)) < all_;) {
      if (i >= firsts_) wait_for_firsts();
      if (failed_) return;
      try {
        i < firsts_ ? first_(i) : second_(i - firsts_);
      } catch (...) {
        if (!failed_.exchange(true)) error_ = std::current_exception();
      }
      if (i < firsts_) done_.fetch_add(1, std::memory_order_release);
    }
  }
  void wait_for_firsts() const {
    while (done_.load(std::memory_order_acquire) < firsts_ && !failed_) std::this_thread::yield();
  }

  const int64_t firsts_, all_;
  const First& first_;
  const Second& second_;
  std::atomic<int64_t> next_{0}, done_{0};
  std::atomic<bool> failed_{false};
  std::exception_ptr error_;
};

// Calls first(i) for every i in [0, firsts), and then second(i) for every i in [0, seconds).
template <class First, class Second>
void parallel_steps(const Executor& executor, int64_t firsts, const First& first, int64_t seconds,
                    const Second& second) {
  Steps<First, Second>(firsts, first, seconds, second).run(executor);
}

// Calls f(i) for every i in [0, count).
template <class F>
void parallel_for(const Executor& executor, int64_t count, const F& f) {
  parallel_steps(executor, count, f, 0, f);
}

// Kinds of work that do not need each other, as one row of items.
class Tasks {
 public:
  void add(int64_t count, std::function<void(int64_t)> task) {
    count_ += count;
    kinds_.push_back({count, std::move(task)});
  }
  int64_t count() const { return count_; }
  void operator()(int64_t i) const {
    for (const Kind& kind : kinds_) {
      if (i < kind.count) return kind.task(i);
      i -= kind.count;
    }
  }

 private:
  struct Kind {
    int64_t count;
    std::function<void(int64_t)> task;
  };
  std::vector<Kind> kinds_;
  int64_t count_ = 0;
};

inline int64_t divide_up(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}
inline int64_t round_up(int64_t a, int64_t b) {
  return divide_up(a, b) * b;
}

}  // namespace dcn::cpu
