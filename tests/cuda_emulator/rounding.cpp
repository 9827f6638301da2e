// Additions that round as they are told.
#include <cuda_runtime.h>

#include <cfenv>

namespace {

float sum(float a, float b, int rounding) {
  const int before = std::fegetround();
  std::fesetround(rounding);
  // The compiler must not add before, or after.
  volatile float first = a, second = b;
  volatile float result = first + second;
  std::fesetround(before);
  return result;
}

}  // namespace

float __fadd_rd(float a, float b) {
  return sum(a, b, FE_DOWNWARD);
}

float __fadd_rz(float a, float b) {
  return sum(a, b, FE_TOWARDZERO);
}
