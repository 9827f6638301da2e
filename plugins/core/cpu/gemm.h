// C (+)= left * right on blocks held in registers: kRowBlock rows by two vectors.
//
// The right matrix comes in panels of two vectors (the last one may be a single vector). Rows of the
// left one are a fixed distance apart, so that each row's address is the same pointer plus a constant.
#pragma once

#include "kernels.h"
#include "vec.h"

namespace dcn::cpu::DCN_ISA {

inline constexpr int kPanelVectors = 2;
template <class A>
inline constexpr int64_t kPanelWidth = kPanelVectors * kLanes<A>;

// Width of the panel that begins at column `first` of `columns`.
template <class A>
DCN_INLINE int64_t panel_width(int64_t columns, int64_t first) {
  return columns - first < kPanelWidth<A> ? columns - first : kPanelWidth<A>;
}

// Row length of a left matrix: not a power of two, so that rows do not share cache sets; the excess
// takes what the last vector of a row overruns.
inline constexpr int64_t kLeftStride = kColumnChunk + 16;

static_assert(kLeftStride - kColumnChunk >= kLanes<float>, "room for what a vector overruns");
static_assert(kOutputBlock % kPanelWidth<float> == 0, "blocks begin where panels do");

// Where element (row m, k) of the left matrix lies.
enum class Left {
  kRows,     // left[m * kLeftStride + k]
  kColumns,  // left[k * kLeftStride + m]
  kPanels,   // left[k / kPanelWidth * left_panel_stride + m * kPanelWidth + k % kPanelWidth]
};

// From one row to the next, and from one k.
template <class E, Left kLeft>
inline constexpr int64_t kNextRow = kLeft == Left::kColumns  ? 1
                                    : kLeft == Left::kPanels ? kPanelWidth<E>
                                                             : kLeftStride;
template <Left kLeft>
inline constexpr int64_t kNextK = kLeft == Left::kColumns ? kLeftStride : 1;

// E: what is multiplied, numbers or pairs of them.
template <class E>
struct Product {
  int64_t depth;  // length of the sums
  const E* left;
  const E* right;  // [depth][right_stride]
  int64_t right_stride;
  Sum<E>* result;  // [rows][result_stride]
  int64_t result_stride;
  bool accumulate;                // add to the result instead of overwriting it
  int64_t left_panel_stride = 0;  // of kPanels
};

// Adds the products of one k.
template <class E, Left kLeft, int kRows, int kVectors>
DCN_INLINE void multiply_step(Vec<Sum<E>> (&sums)[kRows][kVectors], const E* left, const E* right) {
  Vec<E> b[kVectors];
#pragma GCC unroll 2
  for (int j = 0; j < kVectors; ++j) b[j] = load_vec<Vec<E>>(right + j * kLanes<E>);
#pragma GCC unroll 32
  for (int m = 0; m < kRows; ++m) {
    const E a = left[m * kNextRow<E, kLeft>];
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j) sums[m][j] = add_product(sums[m][j], a, b[j]);
  }
}

// Adds the products of `depth` values of k that follow each other in the left matrix; returns the right
// one's next row.
//
// Some values of k at a time: on a core that is shared with others, instructions are what is scarce,
// and so the loop's own are fewer.
template <class E, Left kLeft, int kRows, int kVectors>
DCN_INLINE const E* multiply_steps(Vec<Sum<E>> (&sums)[kRows][kVectors], const E* left, const E* right,
                                   int64_t right_stride, int64_t depth) {
  for (; depth >= kDepthBlock; depth -= kDepthBlock) {
#pragma GCC unroll 2
    for (int i = 0; i < kDepthBlock; ++i, left += kNextK<kLeft>, right += right_stride)
      multiply_step<E, kLeft>(sums, left, right);
  }
  for (; kDepthBlock > 1 && depth > 0; --depth, left += kNextK<kLeft>, right += right_stride)
    multiply_step<E, kLeft>(sums, left, right);
  return right;
}

// Sums start from zero and are added to the result at the end: shorter chains, smaller error.
template <class E, Left kLeft, int kRows, int kVectors>
void multiply_block(const Product<E>& given) {
  using V = Vec<Sum<E>>;
  const Product<E> product = given;  // not reloaded after every store
  V sums[kRows][kVectors] = {};
  if constexpr (kLeft == Left::kPanels) {
    const E* left = product.left;
    const E* right = product.right;
    for (int64_t k = 0; k < product.depth; k += kPanelWidth<E>, left += product.left_panel_stride)
      right = multiply_steps<E, kLeft>(sums, left, right, product.right_stride,
                                       panel_width<E>(product.depth, k));
  } else {
    multiply_steps<E, kLeft>(sums, product.left, product.right, product.right_stride, product.depth);
  }
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

// Memory that comes next, asked for a little beside each block.
template <class E>
struct Coming {
  const E* first = nullptr;
  int64_t elements = 0;
};

// `vectors`: the panel's width, 1 or kPanelVectors. `product` points at the first row.
template <class E, Left kLeft>
void multiply_panel(Product<E> product, int64_t rows, int64_t vectors, Coming<E> coming = {}) {
  const int64_t coming_of_row = (coming.elements + rows - 1) / rows;
  for (int64_t m = 0; m < rows;) {
    const bool narrow = vectors == 1 && rows - m >= kNarrowRowBlock;
    const int64_t most = narrow ? kNarrowRowBlock : kRowBlock;
    const int64_t block = rows - m < most ? rows - m : most;
    if (coming.elements > 0) {
      prefetch_row(coming.first, block * coming_of_row);
      coming.first += block * coming_of_row;
    }
    const auto index = std::make_index_sequence<kRowBlock>{};
    (narrow                     ? multiply_block<E, kLeft, kNarrowRowBlock, 1>
     : vectors == kPanelVectors ? block_function<E, kLeft, kPanelVectors>(block, index)
                                : block_function<E, kLeft, 1>(block, index))(product);
    product.left += block * kNextRow<E, kLeft>;
    product.result += block * product.result_stride;
    m += block;
  }
}

}  // namespace dcn::cpu::DCN_ISA
