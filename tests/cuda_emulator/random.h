// The chance by which the emulator picks what runs next; the same in every run of a program.
#pragma once

#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

namespace emulator {

inline uint64_t random_state = 1;

// xorshift64*, by Marsaglia and Vigna.
inline uint32_t random_bits() {
  random_state ^= random_state >> 12;
  random_state ^= random_state << 25;
  random_state ^= random_state >> 27;
  return static_cast<uint32_t>(random_state * 0x2545f4914f6cdd1du >> 32);
}

inline uint64_t random_below(uint64_t count) {
  return (uint64_t{random_bits()} << 32 | random_bits()) % count;
}

template <class T>
void shuffle(std::vector<T>* order) {
  for (size_t i = order->size(); i > 1; --i) std::swap((*order)[i - 1], (*order)[random_below(i)]);
}

template <class T>
std::vector<T> shuffled_numbers(T count) {
  std::vector<T> order(count);
  std::iota(order.begin(), order.end(), T(0));
  shuffle(&order);
  return order;
}

}  // namespace emulator
