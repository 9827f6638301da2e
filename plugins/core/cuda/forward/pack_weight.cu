#include <cuda_runtime.h>

#include <cstdint>

#include "../sampler.h"
#include "pack_weight.h"

namespace dcn::cuda {

constexpr int kPackThreads = 128;

// A thread fills a slot. Element: an integer as wide as the data.
template <class Element>
__global__ void pack_slots(const KOrder order, int64_t slots, int32_t group_outs,
                           const Element* weight,            // [O, C/group, kH*kW]
                           Words<kSlotBytes / 4>* packed) {  // [group, step, O/group, slot]
  const int64_t i = int64_t{blockIdx.x} * kPackThreads + threadIdx.x;
  if (i >= slots) return;
  const auto slot = static_cast<int32_t>(i % kStepSlots);
  const int64_t out = i / kStepSlots % group_outs, at_step = i / kStepSlots / group_outs;
  const auto step = static_cast<int32_t>(at_step % order.steps);
  const auto group = static_cast<int32_t>(at_step / order.steps);
  const int32_t group_channels = order.segments.group_channels;
  const Element* row =
      weight + (group * int64_t{group_outs} + out) * group_channels * int64_t{order.taps};

  KCursor<> at(order, group);
  at.advance(order, (step * kStepSlots + slot) * order.slot_vectors);
  union {
    Words<kSlotBytes / 4> words;
    Element elements[kSlotBytes / sizeof(Element)];
  } filled = {};
  for (int32_t v = 0; v < order.slot_vectors; ++v) {
    if (at.valid(order)) {
      const KPlace place = at.place(order);
      for (int32_t c = 0; c < order.segments.vector; ++c) {
        const int32_t in_segment = place.vector() * order.segments.vector + c;
        const int64_t channel = place.segment.first - group * group_channels + in_segment;
        if (in_segment < place.segment.channels)
          filled.elements[v * order.segments.vector + c] = row[channel * order.taps + place.tap];
      }
    }
    at.advance(order, 1);
  }
  packed[i] = filled.words;
}

namespace {

template <class Element>
cudaError_t run(const Problem& p, const KOrder& order, const void* weight, void* packed,
                cudaStream_t stream) {
  const auto slots = static_cast<int64_t>(fused_weight_bytes(p, order) / kSlotBytes);
  const int64_t blocks = (slots + kPackThreads - 1) / kPackThreads;
  if (blocks > INT32_MAX) return cudaErrorInvalidConfiguration;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(blocks));
  config.blockDim = dim3(kPackThreads);
  config.stream = stream;
  return cudaLaunchKernelEx(
      &config, pack_slots<Element>, order, slots, static_cast<int32_t>(p.group_out_channels()),
      static_cast<const Element*>(weight), static_cast<Words<kSlotBytes / 4>*>(packed));
}

}  // namespace

size_t fused_weight_bytes(const Problem& p, const KOrder& order) {
  return static_cast<size_t>(p.out_channels * order.steps * kStepBytes);
}

cudaError_t pack_fused_weight(const Problem& p, const KOrder& order, const void* weight, void* packed,
                              cudaStream_t stream) {
  return p.dtype == DType::kFloat32 ? run<uint32_t>(p, order, weight, packed, stream)
                                    : run<uint16_t>(p, order, weight, packed, stream);
}

}  // namespace dcn::cuda
