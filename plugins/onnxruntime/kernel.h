// One deformable node of a session: what is the same on every device.
#pragma once

#include <memory>

#include "host.h"

namespace dcn::ort {

// What is known of a node when the session is created.
struct Node {
  Attributes attributes;
  Problem problem;  // with unknown sizes
  const void* weight =
      nullptr;  // in the memory of the provider; null unless it is a constant of the model
};

class Kernel {
 public:
  Kernel(const OrtApi& api, const Node& node) : api_(api), attributes_(node.attributes) {}
  virtual ~Kernel() = default;

  const OrtApi& api() const { return api_; }

  // Sessions may call it from several threads at once.
  void compute(OrtKernelContext* context) const;

 protected:
  virtual void run(OrtKernelContext* context, const Problem& problem, ForwardArgs args) const = 0;

 private:
  const OrtApi& api_;
  Attributes attributes_;
};

// Throw if what is known of the node is wrong: cpu_kernel.cpp, cuda_kernel.cpp.
std::unique_ptr<Kernel> make_cpu_kernel(const OrtApi& api, const OrtKernelInfo* info, const Node& node);
std::unique_ptr<Kernel> make_cuda_kernel(const OrtApi& api, const OrtKernelInfo* info,
                                         const Node& node);

// Where the nodes run.
struct Provider {
  const char* name;      // the host's word; null for the CPU
  uint32_t api_version;  // that it needs of the host
  decltype(&make_cpu_kernel) make_kernel;
};

std::unique_ptr<Kernel> make_kernel(const OrtApi& api, const OrtKernelInfo* info,
                                    const Provider& provider);

}  // namespace dcn::ort
