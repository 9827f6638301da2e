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

// What the arithmetic below needs of a number, or of a vector of numbers: the CPU's vector layer
// gives the same for whole vectors (cpu/vec.h).
template <class T>
struct Number {
  using Int = int32_t;
  static DCN_INLINE T splat(T value) { return value; }
  static DCN_INLINE Int splat_int(int32_t value) { return value; }
  // Of the two; the bound where the value is NaN.
  static DCN_INLINE T at_least(T value, T bound) { return value > bound ? value : bound; }
  static DCN_INLINE T at_most(T value, T bound) { return value < bound ? value : bound; }
  static DCN_INLINE T floor(T value) { return std::floor(value); }
  static DCN_INLINE Int to_int(T whole) { return static_cast<Int>(whole); }
  static DCN_INLINE Int one_if_positive(T value) { return value > 0; }
};

template <class T>
struct AxisSample {
  typename Number<T>::Int
      low;     // the corner before the sample, in [-kBorder, extent]; the other: low + 1
  T fraction;  // weight of the corner after, in [0, 1]; always finite
};

// `base`: the integer part of the coordinate; `extent`: the image's size along this axis. Offsets
// that are NaN, infinite or far outside come back as a sample that touches only the border. check()
// bounds base and extent by 2^19, so 2^20 is far outside from any base.
template <class T>
DCN_INLINE AxisSample<T> sample_axis(T offset, typename Number<T>::Int base, int32_t extent) {
  using N = Number<T>;
  using Int = typename N::Int;
  const T far = N::splat(1 << 20);
  // NaN becomes -far. Both bounds come before the conversion to an integer, which has no value for
  // what it cannot hold.
  const T bounded = N::at_most(N::at_least(offset, -far), far);
  const T whole = N::floor(bounded);
  const T fraction = bounded - whole;
  const Int low = base + N::to_int(whole);
  // Inside begins above -1, so at -1 exactly the sample must not touch pixel 0, not even with weight
  // zero: what decides is the coordinate rounded up.
  const Int up = low + N::one_if_positive(fraction);
  const Int last = N::splat_int(extent);
  const Int bounded_low = low < last ? low : last;
  return {up < 0 ? N::splat_int(-kBorder) : bounded_low, fraction};
}

}  // namespace dcn
