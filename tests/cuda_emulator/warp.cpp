// What the lanes of a warp do together, except the products.
#include <cstring>
#include <utility>

#include "emulated_warp.h"
#include "random.h"
#include "scheduler.h"
#include "shared_memory.h"

namespace emulator {
namespace {

struct Exchange {
  uint64_t mine, theirs;
  int from;
};

void do_exchange(void* const* brought) {
  for (int lane = 0; lane < kWarp; ++lane) {
    auto* exchange = static_cast<Exchange*>(brought[lane]);
    exchange->theirs = static_cast<const Exchange*>(brought[exchange->from % kWarp])->mine;
  }
}

constexpr int kMatrices = 4, kSide = 8;

// A load of matrices reads shared memory some time between the arrival of its lanes and their going on.
// At the earliest, each row as its lane arrives, when others may not have written theirs yet; at the
// latest, as the lane that wants the elements goes on, when others may have overwritten them. It is one
// or the other by chance, so that either missing barrier shows.
struct Load {
  const uint16_t* row;
  bool transposed;
  bool late;
  uint16_t row_on_arrival[kSide];
  const uint16_t* wanted[kMatrices][2];  // addresses of the lane's elements
  uint16_t elements[kMatrices][2];
};

void do_load(void* const* brought) {
  const bool late = random_bits() % 2 != 0;
  for (int lane = 0; lane < kWarp; ++lane) {
    auto* load = static_cast<Load*>(brought[lane]);
    load->late = late;
    for (int matrix = 0; matrix < kMatrices; ++matrix)
      for (int i = 0; i < 2; ++i) {
        int row = lane / 4, column = lane % 4 * 2 + i;
        if (load->transposed) std::swap(row, column);
        const auto* source = static_cast<const Load*>(brought[matrix * kSide + row]);
        load->wanted[matrix][i] = source->row + column;
        load->elements[matrix][i] = source->row_on_arrival[column];
      }
  }
}

}  // namespace

void sync_warp(Site site) {
  together("sync_warp()", site, nullptr, nullptr);
}

void exchange(uint64_t* value, int from, Site site) {
  Exchange exchange{*value, 0, from};
  together("a shuffle", site, do_exchange, &exchange);
  *value = exchange.theirs;
}

void load_matrices(uint32_t (&d)[4], const void* row, bool transposed, Site site) {
  check_shared_vector(row, "load_matrices()", site);
  Load load;
  load.row = static_cast<const uint16_t*>(row);
  load.transposed = transposed;
  std::memcpy(load.row_on_arrival, row, sizeof load.row_on_arrival);
  together("load_matrices()", site, do_load, &load);
  for (int matrix = 0; matrix < kMatrices; ++matrix) {
    if (load.late)
      for (int i = 0; i < 2; ++i) load.elements[matrix][i] = *load.wanted[matrix][i];
    d[matrix] = load.elements[matrix][0] | uint32_t{load.elements[matrix][1]} << 16;
  }
}

}  // namespace emulator
