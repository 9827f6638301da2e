// C (+)= left * right on blocks held in registers: kRowBlock rows by two vectors.
//
// The right matrix comes in panels of two vectors (the last one may be a single vector). The left
// one has a fixed row length, so that each row's address is the same pointer plus a constant.
#pragma once

#include "kernels.h"
#include "vec.h"

namespace dcn::cpu::DCN_ISA {

inline constexpr int kPanelVectors = 2;
template <class A>
inline constexpr int64_t kPanelWidth = kPanelVectors * kLanes<A>;

// Width of the panel that begins at column `first` of `columns`, which are whole vectors.
template <class A>
DCN_INLINE int64_t panel_width(int64_t columns, int64_t first) {
  return columns - first < kPanelWidth<A> ? columns - first : kPanelWidth<A>;
}

// Row length of a left matrix: not a power of two, so that rows do not share cache sets; the excess
// takes what the last vector of a row overruns.
inline constexpr int64_t kLeftStride = kColumnChunk + 16;

static_assert(kLeftStride - kColumnChunk >= kLanes<float>, "room for what a vector overruns");
static_assert(kOutputBlock % kPanelWidth<float> == 0, "blocks begin where panels do");

enum class Left {
  kRows,     // element (row m, k) at left[m * kLeftStride + k]
  kColumns,  // element (row m, k) at left[k * kLeftStride + m]
};

// E: what is multiplied, numbers or pairs of them.
template <class E>
struct Product {
  int64_t depth;  // length of the sums
  const E* left;
  const E* right;  // [depth][right_stride]
  int64_t right_stride;
  Sum<E>* result;  // [rows][result_stride]
  int64_t result_stride;
  bool accumulate;  // add to the result instead of overwriting it
};

// Adds the products of one k.
template <class E, Left kLeft, int kRows, int kVectors>
DCN_INLINE void multiply_step(Vec<Sum<E>> (&sums)[kRows][kVectors], const E* left, const E* right) {
  Vec<E> b[kVectors];
#pragma GCC unroll 2
  for (int j = 0; j < kVectors; ++j) b[j] = load_vec<Vec<E>>(right + j * kLanes<E>);
#pragma GCC unroll 32
  for (int m = 0; m < kRows; ++m) {
    const E a = kLeft == Left::kRows ? left[m * kLeftStride] : left[m];
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j) sums[m][j] = add_product(sums[m][j], a, b[j]);
  }
}

// Sums start from zero and are added to the result at the end: shorter chains, smaller error.
//
// Some values of k at a time: on a core that is shared with others, instructions are what is scarce,
// and so the loop's own are fewer.
template <class E, Left kLeft, int kRows, int kVectors>
void multiply_block(const Product<E>& given) {
  using V = Vec<Sum<E>>;
  constexpr int64_t kNext = kLeft == Left::kRows ? 1 : kLeftStride;
  const Product<E> product = given;  // not reloaded after every store
  V sums[kRows][kVectors] = {};
  const E* left = product.left;
  const E* right = product.right;
  int64_t rest = product.depth;
  for (; rest >= kDepthBlock; rest -= kDepthBlock) {
#pragma GCC unroll 2
    for (int i = 0; i < kDepthBlock; ++i, left += kNext, right += product.right_stride)
      multiply_step<E, kLeft>(sums, left, right);
  }
  for (; kDepthBlock > 1 && rest > 0; --rest, left += kNext, right += product.right_stride)
    multiply_step<E, kLeft>(sums, left, right);
#pragma GCC unroll 32
  for (int m = 0; m < kRows; ++m)
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j) {
      Sum<E>* to = product.result + m * product.result_stride + j * kLanes<E>;
      store_vec(to, product.accumulate ? load_vec<V>(to) + sums[m][j] : sums[m][j]);
    }
}

template <class E>
using BlockFunction = void (*)(const Product<E>&);

// One function for each number of rows below a full block, and the full block.
template <class E, Left kLeft, int kVectors, size_t... kRowsMinusOne>
BlockFunction<E> block_function(int64_t rows, std::index_sequence<kRowsMinusOne...>) {
  static constexpr BlockFunction<E> kFunctions[] = {
      multiply_block<E, kLeft, kRowsMinusOne + 1, kVectors>...};
  return kFunctions[rows - 1];
}

// Rows beside a panel of a single vector, which needs as many sums at a time to keep the multipliers
// busy.
inline constexpr int kNarrowRowBlock = kPanelVectors * kRowBlock;

// `vectors`: the panel's width, 1 or kPanelVectors. `product` points at the first row. `coming`: the
// panel that comes next, where it is to be asked for ahead, a little beside each block.
template <class E, Left kLeft>
void multiply_panel(Product<E> product, int64_t rows, int64_t vectors, const E* coming = nullptr) {
  const int64_t coming_of_row = (product.depth * vectors * kLanes<E> + rows - 1) / rows;
  for (int64_t m = 0; m < rows;) {
    const bool narrow = vectors == 1 && rows - m >= kNarrowRowBlock;
    const int64_t most = narrow ? kNarrowRowBlock : kRowBlock;
    const int64_t block = rows - m < most ? rows - m : most;
    if (coming) {
      prefetch_row(coming, block * coming_of_row);
      coming += block * coming_of_row;
    }
    const auto index = std::make_index_sequence<kRowBlock>{};
    (narrow                     ? multiply_block<E, kLeft, kNarrowRowBlock, 1>
     : vectors == kPanelVectors ? block_function<E, kLeft, kPanelVectors>(block, index)
                                : block_function<E, kLeft, 1>(block, index))(product);
    product.left += block * (kLeft == Left::kRows ? kLeftStride : 1);
    product.result += block * product.result_stride;
    m += block;
  }
}

}  // namespace dcn::cpu::DCN_ISA
