// The PyTorch op dcn_deploy::deform_conv2d and its backward, on torch's stable ABI: what they are
// called and take. cpu.cpp and cuda.cpp say what runs them.
#include <torch/csrc/stable/library.h>

STABLE_TORCH_LIBRARY(dcn_deploy, library) {
  library.def(
      "deform_conv2d(Tensor input, Tensor weight, Tensor offset, Tensor? bias=None, "
      "Tensor? mask=None, int[2] stride=[1, 1], int[4] padding=[0, 0, 0, 0], "
      "int[2] dilation=[1, 1], int groups=1, int offset_groups=1) -> Tensor");
  library.def(
      "deform_conv2d_backward(Tensor grad_output, Tensor input, Tensor weight, Tensor offset, "
      "Tensor? mask, int[2] stride, int[4] padding, int[2] dilation, int groups, "
      "int offset_groups, bool[5] wanted) -> (Tensor, Tensor, Tensor, Tensor, Tensor)");
  library.def("_cuda_options() -> int");  // options.cpp
}
