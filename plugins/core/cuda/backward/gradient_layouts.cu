#include <cuda_runtime.h>

#include "../elementwise.h"
#include "dtype.h"
#include "gradient_layouts.h"

namespace dcn::cuda {
namespace {

constexpr int kUnstagePixels = 64, kUnstageChannels = 32;

}  // namespace

template <class T>
__global__ void pack_columns(const Problem p, const Bundles bundles, const int32_t depth,
                             const T* weight,  // [O, C/group, kH, kW]
                             T* packed) {
  const int32_t vector = bundles.segments.vector, channels = kBundleVectors * vector;
  const int32_t taps = static_cast<int32_t>(p.taps());
  const int64_t outs = p.group_out_channels(), ins = p.group_in_channels();
  const int64_t rows = int64_t{bundles.count} * taps * channels;
  for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    const int32_t in_bundle = static_cast<int32_t>(row % channels);
    const int32_t tap = static_cast<int32_t>(row / channels % taps);
    const int32_t bundle = static_cast<int32_t>(row / channels / taps);
    const int32_t at = bundles.first_vector(bundle) + in_bundle / vector;
    bool valid = in_bundle / vector < bundles.vectors(bundle);
    int64_t channel = 0;
    if (valid) {
      const Segment s = bundles.segments.at_vector(at);
      const int32_t in_segment = (at - s.first_vector) * vector + in_bundle % vector;
      valid = in_segment < s.channels;
      channel = s.first + in_segment - bundles.group(bundle) * ins;
    }
    const T* from = weight + bundles.group(bundle) * outs * ins * taps + channel * taps + tap;
    constexpr int32_t kStage = kDepthBytes / static_cast<int32_t>(sizeof(T));
    T* to = packed + row / channels * channels * depth + in_bundle * kStage;
    for (int32_t out = static_cast<int32_t>(threadIdx.x); out < depth; out += blockDim.x)
      to[out / kStage * kStage * channels + out % kStage] =
          valid && out < outs ? from[out * ins * taps] : T{};
  }
}

template <class T>
__global__ void sum_coordinates(const DataGradient<T> job) {
  const Coordinates<T>& c = job.coordinates;
  const int32_t rows = c.offset_group * c.taps;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < int64_t{rows} * job.pixels;
       i += int64_t{gridDim.x} * blockDim.x) {
    const int32_t row = static_cast<int32_t>(i / job.pixels);
    const int32_t of_all = static_cast<int32_t>(i % job.pixels);
    const int32_t offset_group = row / c.taps;
    const int32_t parts = job.bundles.last_of(offset_group) - job.bundles.first_of(offset_group) + 1;
    float yxm[3] = {};
    for (int32_t part = 0; part < parts; ++part)
      for (int k = 0; k < 3; ++k)
        yxm[k] += job.gradients.partial[((int64_t{part} * rows + row) * 3 + k) * job.pixels + of_all];
    const PixelPlace at(of_all, job.out.by_pixels);
    job.gradients.template write<T>(at.image, at.pixel, row, rows, c.out_pixels, yxm);
  }
}

template <class T>
__global__ void sum_weight(const Problem p, const WeightGradient<T> job, const int32_t runs,
                           T* grad_weight) {  // [O, C/group, kH, kW]
  const int32_t taps = job.coordinates.taps, ins = static_cast<int32_t>(p.group_in_channels());
  const Segments& segments = job.bundles.segments;
  const int64_t run_size = int64_t{taps} * job.outs * job.group_channels;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < int64_t{taps} * job.outs * ins;
       i += int64_t{gridDim.x} * blockDim.x) {
    const int32_t in = static_cast<int32_t>(i % ins);
    const int64_t row = i / ins, out = row % job.outs, tap = row / job.outs;
    const int32_t first = static_cast<int32_t>(out / job.group_outs) * ins;
    const Segment s = segments.at_channel(first + in);
    const int32_t column = s.first_vector * segments.vector + first + in - s.first -
                           static_cast<int32_t>(out / job.group_outs) * job.group_channels;
    float sum = 0;
    for (int32_t run = 0; run < runs; ++run)
      sum += job.partial[run * run_size + row * job.group_channels + column];
    grad_weight[(out * ins + in) * taps + tap] = Store<T>::from(sum);
  }
}

struct UnstageTile {
  Segment segments[kUnstageChannels / 4];  // of each vector
  // A word more than needed in each row, so that a column lies in different banks.
  float rows[kUnstageChannels][kUnstagePixels + 1];
};

// A block transposes some vectors of some pixels through shared memory.
template <class T>
__global__ void unstage(const Segments segments, const ImageLayout layout, const int64_t images,
                        const float* staged, T* image) {  // [N, C, H, W]
  extern __shared__ __align__(16) unsigned char shared_memory[];
  auto& s = *reinterpret_cast<UnstageTile*>(shared_memory);
  const int thread = static_cast<int>(threadIdx.x);
  const int32_t vector = segments.vector, tile_vectors = kUnstageChannels / vector;
  const int64_t pixel_tiles = (layout.pixels + kUnstagePixels - 1) / kUnstagePixels;
  const int32_t vector_tiles = (segments.vectors + tile_vectors - 1) / tile_vectors;
  for (int64_t tile = blockIdx.x; tile < images * pixel_tiles * vector_tiles; tile += gridDim.x) {
    const int64_t pixel = tile % pixel_tiles * kUnstagePixels, n = tile / pixel_tiles / vector_tiles;
    const int32_t first = static_cast<int32_t>(tile / pixel_tiles % vector_tiles) * tile_vectors;
    const int32_t vectors = segments.smaller(segments.vectors - first, tile_vectors);
    if (thread < vectors) s.segments[thread] = segments.at_vector(first + thread);
    __syncthreads();
    for (int i = thread; i < kUnstageChannels * kUnstagePixels; i += kElementThreads) {
      const int row = i % kUnstageChannels, column = i / kUnstageChannels, v = row / vector;
      if (v >= vectors || pixel + column >= layout.pixels) continue;
      const Segment& segment = s.segments[v];
      s.rows[row][column] = staged[n * layout.image_size + layout.start(segment) +
                                   (pixel + column) * layout.pixel_stride(segment) +
                                   (first + v - segment.first_vector) * vector + row % vector];
    }
    __syncthreads();
    for (int i = thread; i < kUnstageChannels * kUnstagePixels; i += kElementThreads) {
      const int row = i / kUnstagePixels, column = i % kUnstagePixels, v = row / vector;
      if (v >= vectors || pixel + column >= layout.pixels) continue;
      const Segment& segment = s.segments[v];
      const int32_t in_segment = (first + v - segment.first_vector) * vector + row % vector;
      if (in_segment < segment.channels)
        image[(n * layout.channels + segment.first + in_segment) * layout.pixels + pixel + column] =
            Store<T>::from(s.rows[row][column]);
    }
    __syncthreads();
  }
}

template <class T>
void add_pack_columns(Launches& launches, const Problem& p, const DataGradient<T>& job,
                      const void* weight, void* packed) {
  const int32_t channels = kBundleVectors * job.bundles.segments.vector;
  const int32_t depth = job.depth_stages * kDepthBytes / static_cast<int32_t>(sizeof(T));
  launches.add(pack_columns<T>, grid_of(int64_t{job.bundles.count} * p.taps() * channels), 128, 0, p,
               job.bundles, depth, static_cast<const T*>(weight), static_cast<T*>(packed));
}

template <class T>
void add_sum_coordinates(Launches& launches, const DataGradient<T>& job) {
  const int64_t count = int64_t{job.coordinates.offset_group} * job.coordinates.taps * job.pixels;
  launches.add(sum_coordinates<T>, grid_of(divide_up(count, kElementThreads)), kElementThreads, 0, job);
}

template <class T>
void add_sum_weight(Launches& launches, const Problem& p, const WeightGradient<T>& job, int32_t runs,
                    void* grad_weight) {
  const int64_t count = p.out_channels * p.group_in_channels() * p.taps();
  launches.add(sum_weight<T>, grid_of(divide_up(count, kElementThreads)), kElementThreads, 0, p, job,
               runs, static_cast<T*>(grad_weight));
}

template <class T>
void add_unstage(Launches& launches, const Problem& p, const DataGradient<T>& job, void* grad_input) {
  const int64_t tiles =
      p.batch * divide_up(p.in_pixels(), kUnstagePixels) *
      divide_up(job.bundles.segments.vectors * job.bundles.segments.vector, kUnstageChannels);
  launches.add(unstage<T>, grid_of(tiles), kElementThreads, sizeof(UnstageTile), job.bundles.segments,
               job.image, p.batch, job.grad_input, static_cast<T*>(grad_input));
}

#define DCN_INSTANTIATE(T)                                                                          \
  template void add_pack_columns<T>(Launches&, const Problem&, const DataGradient<T>&, const void*, \
                                    void*);                                                         \
  template void add_sum_coordinates<T>(Launches&, const DataGradient<T>&);                          \
  template void add_sum_weight<T>(Launches&, const Problem&, const WeightGradient<T>&, int32_t,     \
                                  void*);                                                           \
  template void add_unstage<T>(Launches&, const Problem&, const DataGradient<T>&, void*);
DCN_INSTANTIATE(float)
DCN_INSTANTIATE(Float16)
DCN_INSTANTIATE(BFloat16)
#undef DCN_INSTANTIATE

}  // namespace dcn::cuda
