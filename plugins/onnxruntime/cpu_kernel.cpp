// A node on the CPU, in the session's own threads.
#include <cstddef>
#include <new>

#include "executor.h"
#include "kernel.h"

namespace dcn::ort {
namespace {

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

// While the kernel is created, the host lends no threads yet.
AlignedBuffer pack(const Node& node) {
  if (!node.weight) return {};
  AlignedBuffer packed(cpu::packed_weight_bytes(node.problem));
  cpu::pack_weight(node.problem, node.weight, packed.data(), Executor{});
  return packed;
}

class CpuKernel final : public Kernel {
 public:
  CpuKernel(const OrtApi& api, const Node& node) : Kernel(api, node), packed_weight_(pack(node)) {}

 private:
  void run(OrtKernelContext* context, const Problem& problem, ForwardArgs args) const override {
    SessionThreads threads(api(), context);
    args.packed_weight = packed_weight_.data();
    cpu::forward(problem, args, threads.executor());
  }

  const AlignedBuffer packed_weight_;  // null where the weight is not a constant of the model
};

}  // namespace

std::unique_ptr<Kernel> make_cpu_kernel(const OrtApi& api, const OrtKernelInfo*, const Node& node) {
  return std::make_unique<CpuKernel>(api, node);
}

}  // namespace dcn::ort
