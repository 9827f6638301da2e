// All steps are one call of the host's pool, which runs as many workers as it has threads. Exceptions
// are carried back to the caller: a pool written in C must not see one.
//
// Each task's items are dealt out in runs of neighbours, one for each worker: neighbours share cache
// lines, and what one leaves in a core's caches, the next one finds there, and so does the next step.
// Who is done with its own run takes of the others', so that no thread is idle while there is work.
#include "parallel.h"

#include <atomic>
#include <chrono>
#include <deque>
#include <exception>
#include <thread>

namespace dcn::cpu {
namespace {

class DealtTask {
 public:
  DealtTask(const Task& task, int64_t workers) : task_(task), shares_(workers) {
    for (int64_t i = 0; i < workers; ++i) {
      shares_[i].next = shares_[i].first = task.count * i / workers;
      shares_[i].end = task.count * (i + 1) / workers;
    }
  }

  bool is_begun(int64_t share) const {
    return shares_[share].next.load(std::memory_order_relaxed) != shares_[share].first;
  }

  // Calls f(run, item) for what is left of a share.
  template <class F>
  void take(int64_t share, const F& f) {
    Share& from = shares_[share];
    for (int64_t i; (i = from.next.fetch_add(1, std::memory_order_relaxed)) < from.end;)
      f(task_.run, i);
  }

 private:
  struct alignas(64) Share {  // a cache line of its own
    std::atomic<int64_t> next;
    int64_t first, end;
  };
  const Task& task_;
  std::vector<Share> shares_;
};

class DealtStep {
 public:
  DealtStep(const Step& step, int64_t workers) : workers_(workers) {
    tasks_.reserve(step.tasks.size());
    for (const Task& task : step.tasks) {
      tasks_.emplace_back(task, workers);
      count_ += task.count;
    }
  }

  // Its own share; then those of workers that the host has no thread for, whole; then what is left.
  template <class F>
  void work(int64_t worker, const F& f) {
    const auto done = [&](const std::function<void(int64_t)>& run, int64_t item) {
      f(run, item);
      done_.fetch_add(1, std::memory_order_release);
    };
    for (DealtTask& task : tasks_) task.take(worker, done);
    for (const bool begun : {false, true})
      for (int64_t i = 1; i < workers_; ++i)
        for (DealtTask& task : tasks_) {
          const int64_t share = (worker + i) % workers_;
          if (begun || !task.is_begun(share)) task.take(share, done);
        }
  }

  // When every item has been taken; whoever took one works on it, so that nobody waits for a thread
  // that the host does not lend. Nobody gives his core away at once: whoever yields to threads of
  // another session gets it back milliseconds later. In a long wait, though, the thread that is waited
  // for may itself need this core.
  void wait() const {
    if (is_done()) return;
    const auto begin = std::chrono::steady_clock::now();
    while (!is_done())
      if (std::chrono::steady_clock::now() - begin > kPatience) std::this_thread::yield();
  }

 private:
  static constexpr std::chrono::microseconds kPatience{200};  // about a tile's time

  bool is_done() const { return done_.load(std::memory_order_acquire) >= count_; }

  const int64_t workers_;
  std::vector<DealtTask> tasks_;
  int64_t count_ = 0;
  std::atomic<int64_t> done_{0};
};

class Run {
 public:
  Run(const std::vector<Step>& steps, int64_t workers) {
    for (const Step& step : steps) steps_.emplace_back(step, workers);
  }

  // The last step's end is the host's to wait for.
  void work(int64_t worker) {
    for (DealtStep& step : steps_) {
      step.work(worker, [this](const auto& run, int64_t item) { guarded(run, item); });
      if (&step != &steps_.back()) step.wait();
    }
  }

  void rethrow() const {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  void guarded(const std::function<void(int64_t)>& run, int64_t item) {
    if (failed_) return;
    try {
      run(item);
    } catch (...) {
      if (!failed_.exchange(true)) error_ = std::current_exception();
    }
  }

  std::deque<DealtStep> steps_;
  std::atomic<bool> failed_{false};
  std::exception_ptr error_;
};

int64_t most_items(const std::vector<Step>& steps) {
  int64_t most = 1;
  for (const Step& step : steps) {
    int64_t items = 0;
    for (const Task& task : step.tasks) items += task.count;
    most = std::max(most, items);
  }
  return most;
}

}  // namespace

void run_steps(const Executor& executor, const std::vector<Step>& steps) {
  const int64_t workers =
      executor.parallel_for ? std::min<int64_t>(executor.threads, most_items(steps)) : 1;
  Run run(steps, workers);
  if (workers > 1)
    executor.parallel_for(
        executor.host, workers,
        [](void* self, int64_t worker) { static_cast<Run*>(self)->work(worker); }, &run);
  else
    run.work(0);
  run.rethrow();
}

}  // namespace dcn::cpu
