// Work on the host's thread pool.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "deform_conv.h"

namespace dcn::cpu {

// Tasks that do not need each other, each a number of items: run(i) for every i in [0, count).
struct Task {
  int64_t count;
  std::function<void(int64_t)> run;
};
struct Step {
  std::vector<Task> tasks;

  void add(int64_t count, std::function<void(int64_t)> run) {
    tasks.push_back({count, std::move(run)});
  }
};

// Does one step after another. What a task throws comes out of it, and what is left is not begun.
void run_steps(const Executor& executor, const std::vector<Step>& steps);

inline int64_t divide_up(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}
inline int64_t round_up(int64_t a, int64_t b) {
  return divide_up(a, b) * b;
}

}  // namespace dcn::cpu
