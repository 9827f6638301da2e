#include "tiles.h"

#include <algorithm>
#include <numeric>

#include "parallel.h"

namespace dcn::cpu {

Tiles::Tiles(const Problem& problem, const Kernels& kernels, int64_t images, int threads)
    : pixels_(problem.out_pixels()), row_block_(kernels.row_block) {
  // For fewer pixels than that it does not pay to read the weights.
  constexpr int64_t kLeastPixels = 48;
  const int64_t wanted = threads / std::gcd<int64_t, int64_t>(images, threads);
  shares_ = std::clamp<int64_t>(pixels_ / kLeastPixels, 1, wanted);
  per_share_ = divide_up(divide_up(pixels_, shares_), kTilePixels / row_block_ * row_block_);
}

int64_t Tiles::begin(int64_t tile) const {
  const int64_t share = tile / per_share_, within = tile % per_share_;
  const int64_t first = pixels_ * share / shares_, last = pixels_ * (share + 1) / shares_;
  const int64_t blocks = divide_up(last - first, row_block_);
  return first + blocks * within / per_share_ * row_block_;
}

}  // namespace dcn::cpu
