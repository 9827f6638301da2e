// How the output pixels of an image are cut into tiles (cpu/tiles.h): every pixel once, no tile larger
// than its scratch, and as many pixels for each thread. Prints one line per failure; exit status 1 if
// there was one.
#include "cpu/tiles.h"

#include <algorithm>
#include <cstdio>
#include <numeric>
#include <vector>

namespace {

using dcn::cpu::kTilePixels;
using dcn::cpu::Tiles;

struct Case {
  int64_t pixels, row_block, images;
  int threads;
};

int failures = 0;

void require(bool right, const Case& c, const char* what) {
  if (right) return;
  std::printf("%lld pixels, blocks of %lld, %lld images, %d threads: %s\n",
              static_cast<long long>(c.pixels), static_cast<long long>(c.row_block),
              static_cast<long long>(c.images), c.threads, what);
  ++failures;
}

Tiles tiles_of(const Case& c) {
  dcn::Problem problem;
  problem.out_h = 1;
  problem.out_w = c.pixels;
  dcn::cpu::Kernels kernels{};
  kernels.row_block = c.row_block;
  return Tiles(problem, kernels, c.images, c.threads);
}

void every_pixel_once(const Case& c) {
  const Tiles tiles = tiles_of(c);
  int64_t next = 0;
  for (int64_t tile = 0; tile < tiles.count(); ++tile) {
    require(tiles.begin(tile) == next, c, "a tile does not begin where the one before ends");
    next = tiles.end(tile);
    require(next > tiles.begin(tile), c, "a tile is empty");
    require(next - tiles.begin(tile) <= kTilePixels, c, "a tile is larger than its scratch");
  }
  require(next == c.pixels, c, "the tiles do not end where the image does");
}

// Where the pixels suffice, with the tiles of all images dealt out as cpu/parallel.cpp does.
void as_many_for_each_thread(const Case& c) {
  constexpr int64_t kEnoughForAnyThread = 64;
  if (c.pixels < kEnoughForAnyThread * c.threads) return;
  const Tiles tiles = tiles_of(c);
  const int64_t items = c.images * tiles.count();
  std::vector<int64_t> pixels(c.threads);
  for (int thread = 0; thread < c.threads; ++thread)
    for (int64_t i = items * thread / c.threads; i < items * (thread + 1) / c.threads; ++i)
      pixels[thread] += tiles.end(i % tiles.count()) - tiles.begin(i % tiles.count());
  const auto [least, most] = std::minmax_element(pixels.begin(), pixels.end());
  // A share may be a pixel larger than another.
  const int64_t shares = c.images / std::gcd<int64_t, int64_t>(c.images, c.threads);
  require(*most - *least <= shares, c, "one thread has more pixels than another");
}

}  // namespace

int main() {
  std::vector<int64_t> sizes(700);
  std::iota(sizes.begin(), sizes.end(), 1);
  for (const int64_t size : {1024, 1050, 4200, 14400, 16800, 57600, 100003}) sizes.push_back(size);
  int64_t cases = 0;
  for (const int64_t pixels : sizes)
    for (const int64_t row_block : {6, 12, 14})
      for (const int64_t images : {1, 2, 3, 8})
        for (const int threads : {1, 2, 3, 4, 6, 16, 64}) {
          const Case c{pixels, row_block, images, threads};
          every_pixel_once(c);
          as_many_for_each_thread(c);
          ++cases;
        }
  std::printf("%lld cases, %d failures\n", static_cast<long long>(cases), failures);
  return failures == 0 ? 0 : 1;
}
