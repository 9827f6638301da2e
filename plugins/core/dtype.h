// Storage types and the type that arithmetic on them uses. A new dtype is one row here, one in
// DType and one in cpu/kernels.cpp's table.
#pragma once

#include <cstdint>
#include <cstring>

#include "inline.h"

namespace dcn {

struct Float16 {
  uint16_t bits;
};
struct BFloat16 {
  uint16_t bits;
};

template <class T>
struct ArithmeticOf {
  using type = T;  // float and double compute in themselves
};
template <>
struct ArithmeticOf<Float16> {
  using type = float;
};
template <>
struct ArithmeticOf<BFloat16> {
  using type = float;
};
template <class T>
using Arithmetic = typename ArithmeticOf<T>::type;

template <class To, class From>
DCN_INLINE To bit_cast(From from) {
  static_assert(sizeof(To) == sizeof(From), "same size");
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}

DCN_INLINE float load(float value) {
  return value;
}
DCN_INLINE double load(double value) {
  return value;
}
DCN_INLINE float load(BFloat16 value) {
  return bit_cast<float>(uint32_t{value.bits} << 16);
}

// Without branches, so that loops over it vectorise. The scaling by 2^112 moves the exponent from
// half's bias to float's and makes subnormals exact; infinity and NaN need the float's exponent set.
DCN_INLINE float load(Float16 value) {
  const uint32_t magnitude = value.bits & 0x7fffu;
  const float scaled = bit_cast<float>(magnitude << 13) * bit_cast<float>(uint32_t{(127 + 112) << 23});
  const uint32_t special = magnitude >= 0x7c00u ? 0x7f800000u : 0u;
  return bit_cast<float>(bit_cast<uint32_t>(scaled) | special | (uint32_t{value.bits} & 0x8000u) << 16);
}

template <class T>
struct Store;
template <>
struct Store<float> {
  static DCN_INLINE float from(float value) { return value; }
};
template <>
struct Store<double> {
  static DCN_INLINE double from(double value) { return value; }
};
template <>
struct Store<BFloat16> {
  static DCN_INLINE BFloat16 from(float value) {  // round to nearest, ties to even
    const uint32_t bits = bit_cast<uint32_t>(value);
    const uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
    const uint32_t nan = bits >> 16 | 0x40u;
    return {static_cast<uint16_t>((bits & 0x7fffffffu) > 0x7f800000u ? nan : rounded)};
  }
};
template <>
struct Store<Float16> {
  static DCN_INLINE Float16 from(float value) {  // round to nearest, ties to even
    const uint32_t bits = bit_cast<uint32_t>(value);
    const uint32_t sign = bits >> 16 & 0x8000u;
    const uint32_t magnitude = bits & 0x7fffffffu;
    // Subnormal halves: adding 0.5 aligns the bits that remain, and rounds.
    const uint32_t subnormal =
        bit_cast<uint32_t>(bit_cast<float>(magnitude) + 0.5f) - bit_cast<uint32_t>(0.5f);
    const uint32_t normal = (magnitude - (112u << 23) + 0xfffu + (magnitude >> 13 & 1u)) >> 13;
    uint32_t half = magnitude < (113u << 23) ? subnormal : normal;
    half = magnitude >= 0x477ff000u ? 0x7c00u : half;  // 65520 and above round to infinity
    half = magnitude > 0x7f800000u ? 0x7e00u : half;
    return {static_cast<uint16_t>(half | sign)};
  }
};

}  // namespace dcn
