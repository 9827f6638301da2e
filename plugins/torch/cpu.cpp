// The op on the CPU, in torch's intra-op pool.
#include <torch/csrc/stable/library.h>

#include "op.h"

namespace dcn::torch_op {
namespace {

// torch::stable::parallel_for hands out ranges; the core counts tasks.
Executor torch_executor() {
  Executor executor;
  executor.threads = static_cast<int>(torch::stable::get_num_threads());
  executor.parallel_for = [](void*, int64_t count, void (*f)(void*, int64_t), void* arg) {
    torch::stable::parallel_for(0, count, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) f(arg, i);
    });
  };
  return executor;
}

struct Cpu {
  static std::string elsewhere(const Tensor& tensor, const Tensor&) {
    return tensor.is_cpu() ? "" : "not on the CPU, where the other tensors are";
  }
  static void forward(const Problem& problem, const ForwardArgs& args, const Tensor&) {
    cpu::forward(problem, args, torch_executor());
  }
  static void backward(const Problem& problem, const BackwardArgs& args, const Tensor&) {
    cpu::backward(problem, args, torch_executor());
  }
};

}  // namespace
}  // namespace dcn::torch_op

STABLE_TORCH_LIBRARY_IMPL(dcn_deploy, CPU, library) {
  using namespace dcn::torch_op;
  library.impl("deform_conv2d", TORCH_BOX(&deform_conv2d<Cpu>));
  library.impl("deform_conv2d_backward", TORCH_BOX(&deform_conv2d_backward<Cpu>));
}
