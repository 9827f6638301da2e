// Memory in pages of 2 MiB instead of 4 KiB, where the system has them.
//
// A fresh block costs a page fault for every page when it is first written: for the gradients of a
// large layer, a fifth of the time of its backward pass. And the addresses of samples, which jump about
// in an image, need fewer translations.
#pragma once

#include <cstddef>

namespace dcn::cpu {

inline constexpr size_t kHugePage = size_t{2} << 20;

// Asks for huge pages wherever the block, which is about to be written whole, fills one. The block's
// contents stay as they are, and it does not grow.
void prefer_huge_pages(void* memory, size_t bytes);

}  // namespace dcn::cpu
