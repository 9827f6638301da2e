// The products of the tensor cores.
//
// A tensor core adds exact products in an order of its own and cuts off what float32 cannot hold,
// instead of rounding it, at points that differ from GPU to GPU. Here every single addition is cut off,
// toward zero: no GPU is less exact, so what is exact enough here is so there.
#include <cfenv>
#include <cmath>
#include <cstring>

#include "emulated_warp.h"
#include "scheduler.h"

namespace emulator {
namespace {

constexpr int kRows = 16, kColumns = 8;

struct Product {
  float d[4];
  const uint32_t* a;  // [4]
  const uint32_t* b;  // [2]
};

// A row of the result at a time.
using Row = float __attribute__((vector_size(kColumns * sizeof(float))));

// Not inlined: the compiler does not know that the direction of rounding is part of a sum.
template <int depth>
__attribute__((noinline)) void accumulate(Row (&d)[kRows], const float (&a)[kRows][depth],
                                          const Row (&b)[depth]) {
  for (int row = 0; row < kRows; ++row)
    for (int k = 0; k < depth; ++k) d[row] += a[row][k] * b[k];
}

// `a_at(product, row, k)` and `b_at(product, k, column)` take an element from the lane that holds it.
template <int depth, class AAt, class BAt>
void multiply(void* const* brought, AAt a_at, BAt b_at) {
  float a[kRows][depth];
  Row b[depth], d[kRows];
  const auto lane = [&](int row, int quarter) -> Product& {
    return *static_cast<Product*>(brought[row % 8 * 4 + quarter]);
  };
  for (int row = 0; row < kRows; ++row) {
    for (int k = 0; k < depth; ++k) a[row][k] = a_at(lane, row, k);
    for (int column = 0; column < kColumns; ++column)
      d[row][column] = lane(row, column / 2).d[row / 8 * 2 + column % 2];
  }
  for (int k = 0; k < depth; ++k)
    for (int column = 0; column < kColumns; ++column) b[k][column] = b_at(lane, k, column);

  const int rounding = std::fegetround();
  std::fesetround(FE_TOWARDZERO);
  accumulate<depth>(d, a, b);
  std::fesetround(rounding);

  for (int row = 0; row < kRows; ++row)
    for (int column = 0; column < kColumns; ++column)
      lane(row, column / 2).d[row / 8 * 2 + column % 2] = d[row][column];
}

template <class T>
float half_of(uint32_t pair, int i) {
  return dcn::load(T{static_cast<uint16_t>(pair >> 16 * i)});
}

template <class T>
void do_multiply(void* const* brought) {
  multiply<16>(
      brought,
      [](auto& lane, int row, int k) {
        return half_of<T>(lane(row, k % 8 / 2).a[row / 8 + k / 8 * 2], k % 2);
      },
      [](auto& lane, int k, int column) {
        return half_of<T>(lane(column, k % 8 / 2).b[k / 8], k % 2);
      });
}

// What a tensor core does with the bits that TF32 has no room for is not told: here they spoil the
// result, because who leaves them there forgot to_tf32().
float tf32_of(uint32_t bits) {
  return bits & 0x1fffu ? std::nanf("") : dcn::bit_cast<float>(bits);
}

void do_multiply_tf32(void* const* brought) {
  multiply<8>(
      brought,
      [](auto& lane, int row, int k) { return tf32_of(lane(row, k % 4).a[row / 8 + k / 4 * 2]); },
      [](auto& lane, int k, int column) { return tf32_of(lane(column, k % 4).b[k / 4]); });
}

void multiply_together(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                       Operation operation, const char* what, Site site) {
  require_capability(8, what, site);
  Product product{{d[0], d[1], d[2], d[3]}, a, b};
  together(what, site, operation, &product);
  std::memcpy(d, product.d, sizeof product.d);
}

}  // namespace

void multiply_add_float16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Site site) {
  multiply_together(d, a, b, do_multiply<dcn::Float16>, "multiply_add()", site);
}

void multiply_add_bfloat16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Site site) {
  multiply_together(d, a, b, do_multiply<dcn::BFloat16>, "multiply_add()", site);
}

void multiply_add_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Site site) {
  multiply_together(d, a, b, do_multiply_tf32, "multiply_add_tf32()", site);
}

uint32_t to_tf32(float value) {
  const uint32_t bits = dcn::bit_cast<uint32_t>(value);
  if (std::isnan(value)) return 0x7fffe000u;
  if (std::isinf(value)) return bits;
  return (bits + 0x1000u) & ~0x1fffu;
}

}  // namespace emulator
