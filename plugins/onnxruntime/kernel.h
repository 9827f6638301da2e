// One deformable node of a session.
#pragma once

#include <cstddef>
#include <memory>
#include <new>

#include "host.h"

namespace dcn::ort {

// Memory aligned for the widest vector loads.
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(size_t bytes)
      : data_(::operator new(bytes, kAlignment), [](void* p) { ::operator delete(p, kAlignment); }) {}
  void* data() const { return data_.get(); }

 private:
  static constexpr std::align_val_t kAlignment{64};
  std::unique_ptr<void, void (*)(void*)> data_{nullptr, [](void*) {}};
};

class Kernel {
 public:
  // Throws if what is known of the node when the session is created is wrong.
  Kernel(const OrtApi& api, const OrtKernelInfo* info);

  const OrtApi& api() const { return api_; }

  // Sessions may call it from several threads at once.
  void compute(OrtKernelContext* context) const;

 private:
  const OrtApi& api_;
  Attributes attributes_;
  AlignedBuffer packed_weight_;  // null where the weight is not a constant of the model
};

}  // namespace dcn::ort
