// The stable ABI does not tell torch's global switches (TF32, deterministic algorithms), and an
// argument of the op would freeze them into every exported program. So the kernel asks for them when it
// runs, through an op of its own that Python implements (torch_op.py). Its key, BackendSelect, goes
// before the one here, which answers in a process without Python: exact, and not deterministic.
#include "options.h"

#include <torch/csrc/stable/library.h>

namespace dcn::torch_op {
namespace {

constexpr int64_t kAllowTf32 = 1, kDeterministic = 2;

int64_t cuda_options() {
  return 0;
}

}  // namespace

cuda::Options current_options() {
  StableIValue result = 0;
  TORCH_ERROR_CODE_CHECK(
      torch_call_dispatcher("dcn_deploy::_cuda_options", "", &result, TORCH_ABI_VERSION));
  const auto bits = torch::stable::detail::to<int64_t>(result);
  cuda::Options options;
  options.allow_tf32 = bits & kAllowTf32;
  options.deterministic = bits & kDeterministic;
  return options;
}

}  // namespace dcn::torch_op

STABLE_TORCH_LIBRARY_IMPL(dcn_deploy, CompositeExplicitAutograd, library) {
  library.impl("_cuda_options", TORCH_BOX(&dcn::torch_op::cuda_options));
}
