// How work is shared out among a host's threads (cpu/parallel.h): every item once, a step only after
// the one before, whatever the host says of its threads and however many it lends; and what a task
// throws. Prints one line per failure; exit status 1 if there was one.
#include <atomic>
#include <chrono>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "cpu/parallel.h"

namespace {

using dcn::cpu::Step;

int failures = 0;

void require(bool right, const std::string& what) {
  if (right) return;
  std::printf("%s\n", what.c_str());
  ++failures;
}

// Says that it has `said` threads, and lends `lent`.
struct Host {
  int said, lent;
  std::atomic<int>* returned = nullptr;  // counts calls that have come back

  dcn::Executor executor() {
    dcn::Executor executor;
    executor.host = this;
    executor.threads = said;
    executor.parallel_for = [](void* self, int64_t count, void (*f)(void*, int64_t), void* arg) {
      const Host& host = *static_cast<Host*>(self);
      std::atomic<int64_t> next{0};
      const auto work = [&] {
        for (int64_t i; (i = next++) < count;) {
          f(arg, i);
          if (host.returned) ++*host.returned;
        }
      };
      std::vector<std::thread> others;
      for (int i = 1; i < host.lent; ++i) others.emplace_back(work);
      work();
      for (std::thread& other : others) other.join();
    };
    return executor;
  }
  std::string name() const {
    return std::to_string(said) + " threads said, " + std::to_string(lent) + " lent";
  }
};

constexpr int64_t kCounts[][2] = {{0, 0}, {1, 0}, {7, 40}, {0, 3}, {100, 1}};

void every_item_once_and_in_order(Host host) {
  std::vector<std::vector<std::atomic<int>>> runs;
  for (const auto& counts : kCounts) runs.emplace_back(counts[0] + counts[1]);
  std::atomic<int64_t> done{0}, early{0};
  std::vector<Step> steps;
  int64_t before = 0;
  for (size_t s = 0; s < runs.size(); ++s) {
    steps.emplace_back();
    for (int task = 0; task < 2; ++task)
      steps.back().add(kCounts[s][task], [&, s, task, before](int64_t i) {
        early += done < before;
        ++runs[s][task * kCounts[s][0] + i];
        ++done;
      });
    before += kCounts[s][0] + kCounts[s][1];
  }
  dcn::cpu::run_steps(host.executor(), steps);
  for (const auto& step : runs)
    for (const std::atomic<int>& count : step)
      require(count == 1, host.name() + ": an item ran " + std::to_string(count) + " times");
  require(early == 0, host.name() + ": a step began before its turn");
}

void what_is_thrown_comes_out(Host host) {
  std::atomic<int> later{0};
  Step failing, next;
  failing.add(20, [](int64_t i) {
    if (i == 13) throw std::runtime_error("thirteen");
  });
  next.add(20, [&](int64_t) { ++later; });
  std::string said;
  try {
    dcn::cpu::run_steps(host.executor(), {failing, next});
  } catch (const std::runtime_error& error) {
    said = error.what();
  }
  require(said == "thirteen", host.name() + ": the exception was lost");
  require(later == 0, host.name() + ": the step after a failure ran");
}

bool within_seconds(const std::atomic<int>& value) {
  for (int i = 0; i < 5000 && value == 0; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  return value != 0;
}

// Whoever finds nothing more in the last step goes back to the host, which knows how its threads wait.
void nobody_stays_for_the_last_item() {
  std::atomic<int> begun{0}, returned{0};
  Step last;
  last.add(2, [&](int64_t i) {
    if (i == 0) {
      require(within_seconds(begun), "the other thread took no item");
    } else {
      ++begun;
      require(within_seconds(returned), "a thread without work stayed for the last item");
    }
  });
  dcn::cpu::run_steps(Host{2, 2, &returned}.executor(), {last});
}

}  // namespace

int main() {
  int hosts = 0;
  for (int said = 1; said <= 5; ++said)
    for (int lent = 1; lent <= 4; ++lent, ++hosts)
      for (int round = 0; round < 50; ++round) {
        every_item_once_and_in_order({said, lent});
        what_is_thrown_comes_out({said, lent});
      }
  nobody_stays_for_the_last_item();
  std::printf("%d hosts, %d failures\n", hosts, failures);
  return failures != 0;
}
