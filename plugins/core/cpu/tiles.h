// The tiles that the output pixels of an image are cut into.
#pragma once

#include "kernels.h"

namespace dcn::cpu {

// Where `images` of them do not go round among `threads` threads, an image is cut into equal shares, as
// many as make it come out even, and each share into as few tiles as can be: every tile reads all the
// weights. Tiles are whole blocks of the products' rows, but for a share's last one. Results do not
// depend on any of it.
class Tiles {
 public:
  Tiles(const Problem& problem, const Kernels& kernels, int64_t images, int threads);

  int64_t count() const { return shares_ * per_share_; }
  int64_t begin(int64_t tile) const;
  int64_t end(int64_t tile) const { return begin(tile + 1); }

 private:
  const int64_t pixels_, row_block_;
  int64_t shares_, per_share_;
};

}  // namespace dcn::cpu
