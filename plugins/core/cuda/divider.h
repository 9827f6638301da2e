// Division by a number that is known before the kernel runs: a multiplication and a shift, where the
// GPU would take twenty instructions.
#pragma once

#include <cstdint>

#include "inline.h"

namespace dcn::cuda {

// Exact for dividends in [0, 2^31): the multiplier exceeds 2^(31 + bits) / divisor by less than one,
// and so the quotient by less than dividend / 2^31 / divisor.
struct Divider {
  uint32_t divisor, multiplier;
  int32_t shift;

  Divider() = default;
  explicit Divider(int64_t by) : divisor(static_cast<uint32_t>(by)) {
    int bits = 0;
    while (int64_t{1} << bits < by) ++bits;
    shift = 31 + bits;
    multiplier = static_cast<uint32_t>(((uint64_t{1} << shift) + divisor - 1) / divisor);
  }

  DCN_INLINE int32_t quotient(int32_t of) const {
    return static_cast<int32_t>(uint64_t{static_cast<uint32_t>(of)} * multiplier >> shift);
  }
  DCN_INLINE int32_t rest(int32_t of, int32_t quotient) const {
    return of - quotient * static_cast<int32_t>(divisor);
  }
};

}  // namespace dcn::cuda
