// A thread computes, at one output pixel, some outputs of a bundle of groups, whose channels mostly
// share their offsets: it finds out once where a tap samples, and takes a sample of each channel of the
// bundle. Neighbouring threads take neighbouring pixels, or in channels-last neighbouring bundles:
// whatever lies together. Each output is one thread's sum, in a fixed order.
#include <cuda_runtime.h>

#include <cstdint>

#include "../coordinates.h"
#include "../device.h"
#include "../divider.h"
#include "../warp.h"
#include "dtype.h"
#include "small_groups.h"

namespace dcn::cuda {

constexpr int kGroupThreads = 128;

template <class T>
struct SmallGroups {
  Coordinates<T> coordinates;
  const T* input;   // [N, C, H, W], or [N, H, W, C] if channels_last
  const T* weight;  // [O, C/group, kH*kW]
  const T* bias;    // [O] or null
  T* output;        // [N, O, oH, oW], or [N, oH, oW, O]
  bool channels_last;
  Divider by_offset_group_channels;
  int32_t channels, outs, groups, group_channels, group_outs;
  int64_t in_pixels, pixels;    // pixels: of the outputs of all images
  int64_t bundles, out_pieces;  // out_pieces: of each group's outputs
};

// kGroups groups of at most kChannels channels, kOuts outputs of each; kBlocks that a processor shall
// run at a time, as many as there are registers for.
template <int kGroups_, int kChannels_, int kOuts_, int kBlocks_>
struct Bundle {
  static constexpr int kGroups = kGroups_, kChannels = kChannels_, kOuts = kOuts_, kBlocks = kBlocks_;
};

template <class T>
__device__ __forceinline__ float number(T value) {
  if constexpr (sizeof(T) == 2)
    return load_pair<T>(value.bits).x;
  else
    return value;
}

template <class T, class Bundle>
__global__ void __launch_bounds__(kGroupThreads, Bundle::kBlocks) small_groups(const SmallGroups<T> p) {
  const Coordinates<T>& c = p.coordinates;
  const int64_t units = p.bundles * p.out_pieces;
  const int64_t thread = int64_t{blockIdx.x} * kGroupThreads + threadIdx.x;
  if (thread >= units * p.pixels) return;
  const int64_t unit = p.channels_last ? thread % units : thread / p.pixels;
  const int64_t at = p.channels_last ? thread / units : thread % p.pixels;
  const auto first_group = static_cast<int32_t>(unit / p.out_pieces) * Bundle::kGroups;
  const auto first_out = static_cast<int32_t>(unit % p.out_pieces) * Bundle::kOuts;  // of each group
  const int32_t left = p.groups - first_group;
  const int32_t groups = left < Bundle::kGroups ? left : Bundle::kGroups;
  const int32_t first_channel = first_group * p.group_channels;
  const int32_t last_channel = first_channel + groups * p.group_channels - 1;

  const auto image = static_cast<int32_t>(at / c.out_pixels);
  const auto pixel = static_cast<int32_t>(at % c.out_pixels);
  const int32_t base_y = c.base_y(pixel), base_x = c.base_x(pixel);
  const T* const input = p.input + int64_t{image} * p.channels * p.in_pixels;
  const int64_t channel_stride = p.channels_last ? 1 : p.in_pixels;
  const int64_t pixel_stride = p.channels_last ? p.channels : 1;
  const int32_t first_offsets = p.by_offset_group_channels.quotient(first_channel);
  const bool share = first_offsets == p.by_offset_group_channels.quotient(last_channel);

  float sum[Bundle::kGroups][Bundle::kOuts] = {};
#pragma unroll 1
  for (int32_t tap = 0; tap < c.taps; ++tap) {
    const int32_t y = base_y + c.tap_y(tap), x = base_x + c.tap_x(tap);
    const auto corners_of = [&](int32_t offset_group) {
      const RawPoint raw = c.ask(image, offset_group * c.taps + tap, pixel);
      return SampleCorners(c.point(raw, y, x), c.in_h, c.in_w);
    };
    SampleCorners corners = corners_of(first_offsets);
#pragma unroll
    for (int g = 0; g < Bundle::kGroups; ++g) {
#pragma unroll
      for (int i = 0; i < Bundle::kChannels; ++i) {
        if (g >= groups || i >= p.group_channels) continue;
        const int32_t channel = first_channel + g * p.group_channels + i;
        if (!share) corners = corners_of(p.by_offset_group_channels.quotient(channel));
        const T* const plane = input + channel * channel_stride;
        float sample = 0;
#pragma unroll
        for (int corner = 0; corner < 4; ++corner) {
          float value = 0;
          if (corners.inside >> corner & 1)
            value = number(plane[(corners.first + corner / 2 * c.in_w + corner % 2) * pixel_stride]);
          sample += corners.weight[corner] * value;
        }
        const int64_t first_row = int64_t{first_group + g} * p.group_outs + first_out;
#pragma unroll
        for (int o = 0; o < Bundle::kOuts; ++o)
          if (first_out + o < p.group_outs)
            sum[g][o] +=
                sample * number(p.weight[((first_row + o) * p.group_channels + i) * c.taps + tap]);
      }
    }
  }

#pragma unroll
  for (int g = 0; g < Bundle::kGroups; ++g) {
#pragma unroll
    for (int o = 0; o < Bundle::kOuts; ++o) {
      if (g >= groups || first_out + o >= p.group_outs) continue;
      const int64_t out = int64_t{first_group + g} * p.group_outs + first_out + o;
      const float bias = p.bias ? number(p.bias[out]) : 0.0f;
      p.output[p.channels_last ? at * p.outs + out
                               : (int64_t{image} * p.outs + out) * c.out_pixels + pixel] =
          Store<T>::from(sum[g][o] + bias);
    }
  }
}

namespace {

template <class T, class Bundle>
cudaError_t launch(SmallGroups<T> p, cudaStream_t stream) {
  p.bundles = (p.groups + Bundle::kGroups - 1) / Bundle::kGroups;
  p.out_pieces = (p.group_outs + Bundle::kOuts - 1) / Bundle::kOuts;
  const int64_t blocks = (p.bundles * p.out_pieces * p.pixels + kGroupThreads - 1) / kGroupThreads;
  if (blocks > INT32_MAX) return cudaErrorInvalidConfiguration;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(blocks));
  config.blockDim = dim3(kGroupThreads);
  config.stream = stream;
  return cudaLaunchKernelEx(&config, small_groups<T, Bundle>, p);
}

template <class T>
Status run(const Problem& p, const ForwardArgs& args, cudaStream_t stream) {
  SmallGroups<T> job;
  job.coordinates = Coordinates<T>(p, args.offset, args.mask);
  job.input = static_cast<const T*>(args.input);
  job.weight = static_cast<const T*>(args.weight);
  job.bias = static_cast<const T*>(args.bias);
  job.output = static_cast<T*>(args.output);
  job.channels_last = args.channels_last;
  job.by_offset_group_channels = Divider(p.in_channels / p.offset_group);
  job.channels = static_cast<int32_t>(p.in_channels);
  job.outs = static_cast<int32_t>(p.out_channels);
  job.groups = static_cast<int32_t>(p.group);
  job.group_channels = static_cast<int32_t>(p.group_in_channels());
  job.group_outs = static_cast<int32_t>(p.group_out_channels());
  job.in_pixels = p.in_pixels();
  job.pixels = p.batch * p.out_pixels();
  if (job.group_channels == 1 && job.group_outs == 1)
    return status_of(launch<T, Bundle<8, 1, 1, 4>>(job, stream));
  if (job.group_channels == 1) return status_of(launch<T, Bundle<2, 1, 4, 4>>(job, stream));
  if (job.group_channels <= 4) return status_of(launch<T, Bundle<1, 4, 4, 3>>(job, stream));
  return status_of(launch<T, Bundle<1, 7, 4, 2>>(job, stream));
}

}  // namespace

Status small_groups_forward(const Problem& problem, const ForwardArgs& args, cudaStream_t stream) {
  switch (problem.dtype) {
    case DType::kFloat32: return run<float>(problem, args, stream);
    case DType::kFloat16: return run<Float16>(problem, args, stream);
    case DType::kBFloat16: return run<BFloat16>(problem, args, stream);
    case DType::kFloat64:
    case DType::kUnknown: break;
  }
  return {"the problem was not checked: its dtype is not one of the small groups' kernels"};
}

}  // namespace dcn::cuda
