// Work on the host's thread pool, with exceptions carried back to the caller: a pool written in C
// must not see one.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <exception>

#include "deform_conv.h"

namespace dcn::cpu {

// Calls f(i) for every i in [0, count).
template <class F>
void parallel_for(const Executor& executor, int64_t count, const F& f) {
  struct Call {
    const F& f;
    std::atomic<bool> failed{false};
    std::exception_ptr error;
  } call{f, {}, {}};
  const auto one = [](void* arg, int64_t i) {
    Call& call = *static_cast<Call*>(arg);
    try {
      call.f(i);
    } catch (...) {
      if (!call.failed.exchange(true)) call.error = std::current_exception();
    }
  };
  if (count <= 0) return;
  if (executor.parallel_for && count > 1)
    executor.parallel_for(executor.host, count, one, &call);
  else
    for (int64_t i = 0; i < count; ++i) one(&call, i);
  if (call.failed) std::rethrow_exception(call.error);
}

inline int64_t divide_up(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}
inline int64_t round_up(int64_t a, int64_t b) {
  return divide_up(a, b) * b;
}

}  // namespace dcn::cpu
