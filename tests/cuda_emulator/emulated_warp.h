// The functions of plugins/core/cuda/warp.h, for the CPU; that file says what each does. Those in which
// the whole warp takes part wait until every lane is at the same line, and end the program if one of
// them never comes.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "dtype.h"
#include "site.h"
#include "vector_types.h"

namespace emulator {

void load_matrices(uint32_t (&d)[4], const void* row, bool transposed, Site site);
void multiply_add_float16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Site site);
void multiply_add_bfloat16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Site site);
void multiply_add_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Site site);
uint32_t to_tf32(float value);

void copy_async(void* shared, const void* global, bool valid, Site site);
void commit_copies(Site site);
void wait_copies(int pending, Site site);

// `value` becomes what lane `from` brought.
void exchange(uint64_t* value, int from, Site site);
int lane();
void sync_warp(Site site);

// An access of `bytes` at once, of whatever memory: ends the program if it is not aligned to them.
void check_aligned(const void* at, size_t bytes, const char* what, Site site);

template <class T>
T shuffled(T value, int from, Site site) {
  static_assert(std::is_arithmetic_v<T> && sizeof(T) <= sizeof(uint64_t), "a number");
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  exchange(&bits, from, site);
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

}  // namespace emulator

namespace dcn::cuda {

inline void load_matrices(uint32_t (&d)[4], const void* row, EMULATOR_CALLER) {
  emulator::load_matrices(d, row, false, {file, line});
}

inline void load_matrices_transposed(uint32_t (&d)[4], const void* row, EMULATOR_CALLER) {
  emulator::load_matrices(d, row, true, {file, line});
}

template <class T>
void multiply_add(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], EMULATOR_CALLER) {
  static_assert(std::is_same_v<T, Float16> || std::is_same_v<T, BFloat16>, "16 bits");
  if constexpr (std::is_same_v<T, Float16>) emulator::multiply_add_float16(d, a, b, {file, line});
  if constexpr (std::is_same_v<T, BFloat16>) emulator::multiply_add_bfloat16(d, a, b, {file, line});
}

inline void multiply_add_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                              EMULATOR_CALLER) {
  emulator::multiply_add_tf32(d, a, b, {file, line});
}

inline uint32_t to_tf32(float value) {
  return emulator::to_tf32(value);
}

template <class T>
uint32_t round_pair(float low, float high) {
  return uint32_t{Store<T>::from(low).bits} | uint32_t{Store<T>::from(high).bits} << 16;
}

template <class T>
float2 load_pair(uint32_t bits) {
  return {load(T{static_cast<uint16_t>(bits)}), load(T{static_cast<uint16_t>(bits >> 16)})};
}

inline const unsigned char* at_distance(const unsigned char* base, uint32_t count, uint32_t bytes) {
  return base + uint64_t{count} * bytes;
}

template <int kBytes>
uint32_t load_once(const unsigned char* at) {
  uint32_t bits = 0;
  std::memcpy(&bits, at, kBytes);
  return bits;
}

inline void copy_async(void* shared, const void* global, bool valid, EMULATOR_CALLER) {
  emulator::copy_async(shared, global, valid, {file, line});
}

inline void commit_copies(EMULATOR_CALLER) {
  emulator::commit_copies({file, line});
}

template <int pending>
void wait_copies(EMULATOR_CALLER) {
  emulator::wait_copies(pending, {file, line});
}

template <class T>
T shuffle_xor(T value, int lane_mask, EMULATOR_CALLER) {
  return emulator::shuffled(value, emulator::lane() ^ lane_mask, {file, line});
}

struct Votes {
  int before, all;
};
inline Votes vote(bool yes, EMULATOR_CALLER) {
  uint64_t lanes = uint64_t{yes} << emulator::lane();
  for (int lane_mask = 1; lane_mask < 32; lane_mask *= 2)
    lanes |= emulator::shuffled(lanes, emulator::lane() ^ lane_mask, {file, line});
  return {__builtin_popcountll(lanes & ((uint64_t{1} << emulator::lane()) - 1)),
          __builtin_popcountll(lanes)};
}

inline void sync_warp(EMULATOR_CALLER) {
  emulator::sync_warp({file, line});
}

// One thread runs at a time: what it adds is added at once.
inline void add(float* at, float value) {
  *at += value;
}

inline void add(double* at, double value) {
  *at += value;
}

inline void add4(float* at, float4 value, EMULATOR_CALLER) {
  emulator::check_aligned(at, sizeof value, "add4", {file, line});
  at[0] += value.x;
  at[1] += value.y;
  at[2] += value.z;
  at[3] += value.w;
}

}  // namespace dcn::cuda
