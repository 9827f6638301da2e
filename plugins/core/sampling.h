// Where a sample lies: the coordinate arithmetic of the operation, one axis at a time, shared by
// every kernel on every device.
//
// A coordinate is an integer base (output position, stride, pad, dilation) plus a learned offset.
// Adding the two in floating point would round the fraction away as images grow; here the offset
// alone is split into floor and fraction, and the integers are added as integers.
#pragma once

#include <cmath>
#include <cstdint>

#include "inline.h"

namespace dcn {

// Images are staged with this many zero pixels before and after each row and column, so that every
// sample, clamped, finds its four corners there and one that is outside finds zeros.
inline constexpr int kBorder = 2;

template <class T>
struct AxisSample {
  int32_t low;  // the corner before the sample, in [-kBorder, extent]; the other is low + 1
  T fraction;   // weight of the corner after, in [0, 1]; always finite
};

// `base`: the integer part of the coordinate; `extent`: the image's size along this axis. Offsets
// that are NaN, infinite or far outside come back as a sample that touches only the border. check()
// bounds base and extent by 2^19, so 2^20 is far outside from any base.
template <class T>
DCN_INLINE AxisSample<T> sample_axis(T offset, int32_t base, int32_t extent) {
  constexpr T kFar = T(1 << 20);
  // The comparison fails for NaN, which thus becomes -kFar; both bounds come before the conversion
  // to an integer, which has no value for what it cannot hold.
  T bounded = offset > -kFar ? offset : -kFar;
  bounded = bounded < kFar ? bounded : kFar;
  const T whole = std::floor(bounded);
  const T fraction = bounded - whole;
  int32_t low = base + static_cast<int32_t>(whole);
  low = low < extent ? low : extent;
  // Inside begins above -1, so at -1 exactly the sample must not touch pixel 0, not even with weight
  // zero: what decides is the coordinate rounded up.
  const int32_t up = base + static_cast<int32_t>(std::ceil(bounded));
  low = up < 0 ? -kBorder : low;
  return {low, fraction};
}

}  // namespace dcn
