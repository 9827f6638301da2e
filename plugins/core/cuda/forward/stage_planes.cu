// Writes the bordered planes. A block takes some places of all planes and some of the planes, and turns
// them around in shared memory where channels come last, so that neighbouring threads read what lies
// together and write what lies together.
#include <cuda_runtime.h>

#include "../bordered_planes.h"
#include "../divider.h"
#include "../sampler.h"
#include "stage_planes.h"

namespace dcn::cuda {
namespace {

constexpr int kStageThreads = 256;
constexpr int kStagePlaces = 128;
constexpr int kStagePlanes = 8;
constexpr int kOfThread = kStagePlaces * kStagePlanes / kStageThreads;

struct Staging {
  BorderedPlanes planes;
  Divider by_pitch;
  int32_t vectors, segment_channels;
  int32_t channels, height, width;
  int32_t place_tiles, plane_tiles;
  bool channels_last, whole;  // whole: channels come last, and a vector is read at once
};

}  // namespace

// Element: an integer as wide as the data.
template <class Element, int kVector>
__global__ void __launch_bounds__(kStageThreads)
    write_planes(const Staging s, const Element* __restrict__ input, Element* __restrict__ staged) {
  struct alignas(sizeof(Element) * kVector) Vector {
    Element channel[kVector];
  };
  // A vector more than there are planes: neighbouring places lie in different banks.
  using Row = Vector[kStagePlanes + 1];
  extern __shared__ __align__(16) unsigned char shared_memory[];
  Row* const tile = reinterpret_cast<Row*>(shared_memory);
  const int thread = static_cast<int>(threadIdx.x);
  const auto block = static_cast<int32_t>(blockIdx.x);
  const int32_t first_place = block % s.place_tiles * kStagePlaces;
  const int32_t first_plane = block / s.place_tiles % s.plane_tiles * kStagePlanes;
  const int64_t image = block / s.place_tiles / s.plane_tiles;
  const int64_t pixels = int64_t{s.height} * s.width;
  const Element* const from = input + image * s.channels * pixels;

  Vector own[kOfThread];
#pragma unroll
  for (int k = 0; k < kOfThread; ++k) {
    const int i = k * kStageThreads + thread;
    const int32_t plane = first_plane + (s.channels_last ? i % kStagePlanes : i / kStagePlaces);
    const int32_t place = first_place + (s.channels_last ? i / kStagePlanes : i % kStagePlaces);
    const int32_t row = s.by_pitch.quotient(place), y = row - 2, x = s.by_pitch.rest(place, row) - 1;
    own[k] = {};
    if (plane >= s.vectors || static_cast<uint32_t>(y) >= static_cast<uint32_t>(s.height) || x < 0)
      continue;
    const int64_t pixel = int64_t{y} * s.width + x, channel = int64_t{plane} * s.segment_channels;
    if (s.whole) {
      own[k] = *reinterpret_cast<const Vector*>(from + pixel * s.channels + channel);
    } else {
#pragma unroll
      for (int c = 0; c < kVector; ++c)
        if (c < s.segment_channels)
          own[k].channel[c] =
              from[s.channels_last ? pixel * s.channels + channel + c : (channel + c) * pixels + pixel];
    }
  }
#pragma unroll
  for (int k = 0; k < kOfThread; ++k) {
    const int i = k * kStageThreads + thread;
    if (s.channels_last)
      tile[i / kStagePlanes][i % kStagePlanes] = own[k];
    else
      tile[i % kStagePlaces][i / kStagePlaces] = own[k];
  }
  __syncthreads();

  Vector* const to = reinterpret_cast<Vector*>(staged) + image * s.planes.image;
#pragma unroll
  for (int k = 0; k < kOfThread; ++k) {
    const int i = k * kStageThreads + thread;
    const int32_t plane = first_plane + i / kStagePlaces, place = first_place + i % kStagePlaces;
    // What lies behind a plane is the beginning of the next.
    const int64_t at = plane * s.planes.plane + place;
    if (plane < s.vectors && (place < s.planes.plane || plane == s.vectors - 1) && at < s.planes.image)
      to[at] = tile[i % kStagePlaces][i / kStagePlaces];
  }
}

namespace {

template <class Element, int kVector>
cudaError_t run(const Problem& p, const Staging& s, const void* input, void* staged,
                cudaStream_t stream) {
  const int64_t blocks = int64_t{s.place_tiles} * s.plane_tiles * p.batch;
  if (blocks > INT32_MAX) return cudaErrorInvalidConfiguration;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(blocks));
  config.blockDim = dim3(kStageThreads);
  config.dynamicSmemBytes = kStagePlaces * (kStagePlanes + 1) * sizeof(Element) * kVector;
  config.stream = stream;
  return cudaLaunchKernelEx(&config, write_planes<Element, kVector>, s,
                            static_cast<const Element*>(input), static_cast<Element*>(staged));
}

}  // namespace

size_t bordered_planes_bytes(const Problem& p, const Segments& segments) {
  const BorderedPlanes planes(p.in_h, p.in_w, segments.vectors);
  const int64_t element = p.dtype == DType::kFloat32 ? 4 : 2;
  return static_cast<size_t>(p.batch * planes.image * segments.vector * element);
}

cudaError_t stage_planes(const Problem& p, const Segments& segments, const void* input,
                         bool channels_last, void* staged, cudaStream_t stream) {
  const auto blocks = [](int64_t count, int64_t of) {
    return static_cast<int32_t>((count + of - 1) / of);
  };
  Staging s;
  s.planes = BorderedPlanes(p.in_h, p.in_w, segments.vectors);
  s.by_pitch = Divider(s.planes.pitch);
  s.vectors = segments.vectors;
  s.segment_channels = segments.channels / segments.vectors;
  s.channels = segments.channels;
  s.height = static_cast<int32_t>(p.in_h), s.width = static_cast<int32_t>(p.in_w);
  s.place_tiles = blocks(s.planes.plane + s.planes.pitch + 1, kStagePlaces);
  s.plane_tiles = blocks(s.vectors, kStagePlanes);
  s.channels_last = channels_last;
  const size_t vector_bytes = segments.vector * (p.dtype == DType::kFloat32 ? 4 : 2);
  s.whole = channels_last && s.segment_channels == segments.vector &&
            reinterpret_cast<uintptr_t>(input) % vector_bytes == 0;
  if (p.dtype == DType::kFloat32) return run<uint32_t, 4>(p, s, input, staged, stream);
  return segments.vector == 8 ? run<uint16_t, 8>(p, s, input, staged, stream)
                              : run<uint16_t, 4>(p, s, input, staged, stream);
}

}  // namespace dcn::cuda
