// Writes the staged image. A block transposes some vectors of some pixels through shared memory, so
// that neighbouring threads read neighbouring elements and write neighbouring vectors. All that a
// thread reads is under way before it stores the first of it: that is what the time goes to.
#include <cuda_runtime.h>

#include <cstdint>
#include <numeric>

#include "channels_last.h"

namespace dcn::cuda {
namespace {

constexpr int kStageThreads = 256;
constexpr int kStagePixels = 64;
constexpr int kStageVectors = 8;
// Below this many bytes of one segment at a pixel, reading in place wastes too much of each line.
constexpr int64_t kInPlaceBytes = 64;

int64_t element_bytes(const Problem& p) {
  return p.dtype == DType::kFloat32 ? 4 : 2;
}

// The tiles of all images. A grid holds 2^31 of them, which is more than any memory.
struct StageGrid {
  uint32_t pixel_tiles, vector_tiles;
  StageGrid(const Problem& p, const Segments& segments)
      : pixel_tiles(static_cast<uint32_t>((p.in_pixels() + kStagePixels - 1) / kStagePixels)),
        vector_tiles(static_cast<uint32_t>((segments.vectors + kStageVectors - 1) / kStageVectors)) {}
};

// Element: an integer as wide as the data.
template <class Element, int kVector>
struct StageTile {
  struct alignas(sizeof(Element) * kVector) Vector {
    Element channel[kVector];
  };
  Segment segments[kStageVectors];  // of each vector
  // A word more than needed in each row, so that the rows of a vector lie in different banks.
  Element rows[kStageVectors * kVector][kStagePixels + 4 / sizeof(Element)];
};

}  // namespace

// kWide: elements that a thread reads at once, neighbours in memory.
template <class Element, int kVector, bool kChannelsLast, int kWide>
__global__ void __launch_bounds__(kStageThreads)
    stage(const Segments segments, const ImageLayout layout, const StageGrid grid,
          const Element* input,  // [N, C, H*W], or [N, H*W, C] if kChannelsLast
          Element* staged) {
  using Tile = StageTile<Element, kVector>;
  using Vector = typename Tile::Vector;
  extern __shared__ __align__(16) unsigned char shared_memory[];
  Tile& tile = *reinterpret_cast<Tile*>(shared_memory);
  const int thread = static_cast<int>(threadIdx.x);
  const uint32_t block = blockIdx.x / grid.pixel_tiles;
  const int64_t pixel = int64_t{blockIdx.x % grid.pixel_tiles} * kStagePixels;
  const int64_t image = block / grid.vector_tiles;
  const int32_t first = static_cast<int32_t>(block % grid.vector_tiles) * kStageVectors;
  const int vectors = segments.smaller(segments.vectors - first, kStageVectors);
  const int64_t pixels_left = layout.pixels - pixel;
  const int pixels = pixels_left < kStagePixels ? static_cast<int>(pixels_left) : kStagePixels;

  if (thread < kStageVectors)
    tile.segments[thread] = thread < vectors ? segments.at_vector(first + thread) : Segment{};
  __syncthreads();

  constexpr int kRows = kStageVectors * kVector, kLoads = kRows * kStagePixels / kWide / kStageThreads;
  static_assert(kWide == 1 || !kChannelsLast, "channels of a segment may begin anywhere");
  struct alignas(sizeof(Element) * kWide) Wide {
    Element element[kWide];
  };
  const auto place = [&](int load, int* row, int* column) {
    const int i = (thread + load * kStageThreads) * kWide;
    *row = kChannelsLast ? i % kRows : i / kStagePixels;
    *column = kChannelsLast ? i / kRows : i % kStagePixels;
  };
  const Element* from = input + image * layout.pixels * segments.channels;
  Wide values[kLoads];
#pragma unroll
  for (int l = 0; l < kLoads; ++l) {
    int row, column;
    place(l, &row, &column);
    const Segment& s = tile.segments[row / kVector];
    const int32_t in_segment = (first + row / kVector - s.first_vector) * kVector + row % kVector;
    const int64_t channel = s.first + in_segment;
    const Element* at = from + (kChannelsLast ? (pixel + column) * segments.channels + channel
                                              : channel * layout.pixels + pixel + column);
    values[l] = {};
    if (in_segment < s.channels && column < pixels) values[l] = *reinterpret_cast<const Wide*>(at);
  }
#pragma unroll
  for (int l = 0; l < kLoads; ++l) {
    int row, column;
    place(l, &row, &column);
#pragma unroll
    for (int e = 0; e < kWide; ++e) tile.rows[row][column + e] = values[l].element[e];
  }
  __syncthreads();

  Element* to = staged + image * layout.image_size;
#pragma unroll
  for (int k = 0; k < kStageVectors * kStagePixels / kStageThreads; ++k) {
    const int i = thread + k * kStageThreads, vector = i % kStageVectors, column = i / kStageVectors;
    if (vector >= vectors || column >= pixels) continue;
    const Segment& s = tile.segments[vector];
    Vector out;
#pragma unroll
    for (int c = 0; c < kVector; ++c) out.channel[c] = tile.rows[vector * kVector + c][column];
    *reinterpret_cast<Vector*>(to + layout.start(s) + (pixel + column) * layout.pixel_stride(s) +
                               (first + vector - s.first_vector) * kVector) = out;
  }
}

namespace {

template <class Element, int kVector, bool kChannelsLast, int kWide>
cudaError_t launch(const Problem& p, const Segments& segments, const Element* input, Element* staged,
                   cudaStream_t stream) {
  const StageGrid grid(p, segments);
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(int64_t{grid.pixel_tiles} * grid.vector_tiles * p.batch));
  config.blockDim = dim3(kStageThreads);
  config.dynamicSmemBytes = sizeof(StageTile<Element, kVector>);
  config.stream = stream;
  return cudaLaunchKernelEx(&config, stage<Element, kVector, kChannelsLast, kWide>, segments,
                            ImageLayout(p, segments, true), grid, input, staged);
}

template <class Element, int kVector>
cudaError_t run(const Problem& p, const Segments& segments, const void* input, bool channels_last,
                void* staged, cudaStream_t stream) {
  const auto* from = static_cast<const Element*>(input);
  auto* to = static_cast<Element*>(staged);
  if (channels_last) return launch<Element, kVector, true, 1>(p, segments, from, to, stream);
  const auto aligned = [&](int64_t wide) {
    return p.in_pixels() % wide == 0 &&
           reinterpret_cast<uintptr_t>(input) % (static_cast<size_t>(wide) * sizeof(Element)) == 0;
  };
  if (aligned(4)) return launch<Element, kVector, false, 4>(p, segments, from, to, stream);
  if (aligned(2)) return launch<Element, kVector, false, 2>(p, segments, from, to, stream);
  return launch<Element, kVector, false, 1>(p, segments, from, to, stream);
}

}  // namespace

bool reads_in_place(const Problem& p, const Segments& segments) {
  const int32_t common = std::gcd(segments.group_channels, segments.offset_group_channels);
  return common % segments.vector == 0 &&
         (common == segments.channels || common * element_bytes(p) >= kInPlaceBytes);
}

size_t staged_image_bytes(const Problem& p, const Segments& segments) {
  return static_cast<size_t>(p.batch * ImageLayout(p, segments, true).image_size * element_bytes(p));
}

cudaError_t stage_image(const Problem& p, const Segments& segments, const void* input,
                        bool channels_last, void* staged, cudaStream_t stream) {
  if (p.dtype == DType::kFloat32)
    return run<uint32_t, 4>(p, segments, input, channels_last, staged, stream);
  return segments.vector == 8 ? run<uint16_t, 8>(p, segments, input, channels_last, staged, stream)
                              : run<uint16_t, 4>(p, segments, input, channels_last, staged, stream);
}

}  // namespace dcn::cuda
