// A node on the CUDA provider: on the stream of the run, with memory of the session's own allocator.
//
// A run's scratch memory is given back as soon as its work is enqueued. The host notes the stream that
// it was lent for, and lends it to another stream only behind that work.
//
// float32 is computed as float32, never as TF32.
#include <string>

#include "device_memory.h"
#include "kernel.h"

namespace dcn::ort {
namespace {

constexpr cuda::Options kOptions;

void require_cuda(const Status& status) {
  if (!status.ok()) throw Error(ORT_RUNTIME_EXCEPTION, status.message);
}

// The provider's allocator of device memory.
class Allocator {
 public:
  Allocator(const OrtApi& api, const OrtKernelInfo* info) : api_(api) {
    require(api_, api_.KernelInfoGetAllocator(info, OrtMemTypeDefault, &allocator_));
  }
  ~Allocator() { api_.ReleaseAllocator(allocator_); }
  Allocator(const Allocator&) = delete;
  Allocator& operator=(const Allocator&) = delete;

  const OrtMemoryInfo* memory() const {
    const OrtMemoryInfo* memory = nullptr;
    require(api_, api_.AllocatorGetInfo(allocator_, &memory));
    return memory;
  }
  int device() const {
    int id = 0;
    require(api_, api_.MemoryInfoGetId(memory(), &id));
    return id;
  }
  void* allocate(size_t bytes) const {
    void* memory = nullptr;
    if (bytes) require(api_, api_.AllocatorAlloc(allocator_, bytes, &memory));
    return memory;
  }
  void release(void* memory) const noexcept {
    if (memory) succeeded(api_, api_.AllocatorFree(allocator_, memory));
  }

 private:
  const OrtApi& api_;
  OrtAllocator* allocator_ = nullptr;
};

// Aligned memory of the allocator.
class Buffer {
 public:
  Buffer(const Allocator& allocator, void* memory) : allocator_(allocator), memory_(memory) {}
  ~Buffer() { allocator_.release(memory_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  void* data() const { return cuda::aligned(memory_); }

 private:
  const Allocator& allocator_;
  void* memory_;
};

class CudaKernel final : public Kernel {
 public:
  // A constant weight is on the device by now: the host has waited for its copy. It is packed and
  // waited for, once: every stream of later runs may read it.
  CudaKernel(const OrtApi& api, const OrtKernelInfo* info, const Node& node)
      : Kernel(api, node),
        allocator_(api, info),
        packed_weight_(allocator_, allocator_.allocate(cuda::with_alignment(packed_bytes(node)))) {
    if (!packed_weight_.data()) return;
    const cuda::CurrentDevice device(allocator_.device());
    require_cuda(cuda::run_on_own_stream([&](CUstream_st* stream) {
      return cuda::pack_weight(node.problem, kOptions, node.weight, packed_weight_.data(), stream);
    }));
  }

 private:
  static size_t packed_bytes(const Node& node) {
    return node.weight ? cuda::packed_weight_bytes(node.problem, kOptions) : 0;
  }

  // On the default stream, where all work is in one order, and off CUDA, where tests run this, memory
  // need not be noted for a stream.
  void* scratch(OrtKernelContext* context, CUstream_st* stream, size_t bytes) const {
    if (!stream) return allocator_.allocate(bytes);
    void* memory = nullptr;
    require(api(), api().KernelContext_GetScratchBuffer(context, allocator_.memory(), bytes, &memory));
    return memory;
  }

  void run(OrtKernelContext* context, const Problem& problem, ForwardArgs args) const override {
    void* handle = nullptr;
    require(api(), api().KernelContext_GetGPUComputeStream(context, &handle));
    auto* stream = static_cast<CUstream_st*>(handle);
    const size_t bytes = cuda::with_alignment(cuda::workspace_bytes(problem, kOptions));
    const Buffer workspace(allocator_, scratch(context, stream, bytes));
    args.packed_weight = packed_weight_.data();
    require_cuda(cuda::forward(problem, args, kOptions, workspace.data(), stream));
  }

  const Allocator allocator_;
  const Buffer packed_weight_;  // null where the weight is not constant, or is read as it is
};

}  // namespace

std::unique_ptr<Kernel> make_cuda_kernel(const OrtApi& api, const OrtKernelInfo* info,
                                         const Node& node) {
  return std::make_unique<CudaKernel>(api, info, node);
}

}  // namespace dcn::ort
