#include "packed_weight.h"

#include "device_memory.h"

namespace dcn::trt {

PackedWeight::~PackedWeight() {
  cuda::release(memory_);
}

Status PackedWeight::prepare(const Problem& problem) {
  packed_from_ = nullptr;
  const size_t bytes = cuda::packed_weight_bytes(problem, {});
  if (bytes == bytes_) return {};
  cuda::release(memory_);
  const Status status = cuda::allocate(bytes, &memory_);
  bytes_ = memory_ ? bytes : 0;
  return status;
}

Status PackedWeight::pack_once(const Problem& problem, const void* weight, CUstream_st* stream,
                               const void** packed) {
  *packed = nullptr;
  if (!memory_) return {};
  // Weights that TensorRT streams in lie elsewhere each time.
  if (!packed_from_ || packed_from_ != weight) {
    if (cuda::is_capturing(stream)) return {};
    packed_from_ = nullptr;
    const Status status = cuda::pack_weight(problem, {}, weight, memory_, stream);
    if (!status.ok()) return status;
    packed_from_ = weight;
  }
  *packed = memory_;
  return {};
}

}  // namespace dcn::trt
