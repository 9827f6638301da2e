// The PyTorch op dcn_deploy::deform_conv2d and its backward, on torch's stable ABI.
//
// Every function here reads: describe the tensors, check, allocate, run. What the op computes and
// what it refuses is in plugins/core.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <initializer_list>
#include <iterator>
#include <optional>
#include <stdexcept>
#include <tuple>
#include <vector>

#include "deform_conv.h"

namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;
using OptionalTensor = std::optional<Tensor>;
using Ints = std::vector<int64_t>;

dcn::DType dtype_of(const Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case ScalarType::Float: return dcn::DType::kFloat32;
    case ScalarType::Half: return dcn::DType::kFloat16;
    case ScalarType::BFloat16: return dcn::DType::kBFloat16;
    case ScalarType::Double: return dcn::DType::kFloat64;
    default: return dcn::DType::kUnknown;
  }
}

dcn::TensorInfo describe(const OptionalTensor& tensor) {
  if (!tensor || !tensor->defined()) return {};  // None where the schema wants a tensor is undefined
  const auto sizes = tensor->sizes();
  return {true, dtype_of(*tensor), true, Ints(sizes.begin(), sizes.end()),
          torch::headeronly::toString(tensor->scalar_type())};
}

// Not STD_TORCH_CHECK, which would put a line of this file before the message.
[[noreturn]] void refuse(const std::string& message) {
  throw std::runtime_error("deform_conv2d: " + message);
}

dcn::Problem checked_problem(const OptionalTensor (&inputs)[dcn::kInputCount], const Ints& stride,
                             const Ints& padding, const Ints& dilation, int64_t groups,
                             int64_t offset_groups) {
  dcn::Attributes attributes;
  attributes.strides = stride;
  attributes.pads = padding;
  attributes.dilations = dilation;
  attributes.group = groups;
  attributes.offset_group = offset_groups;
  dcn::TensorInfo infos[dcn::kInputCount];
  for (int i = 0; i < dcn::kInputCount; ++i) {
    infos[i] = describe(inputs[i]);
    if (infos[i].present && !inputs[i]->is_cpu())
      refuse(std::string(dcn::kInputNames[i]) + " is not on the CPU, where the other tensors are");
  }
  dcn::Problem problem;
  const dcn::Status status = dcn::check(attributes, infos, &problem);
  if (!status.ok()) refuse(status.message);
  return problem;
}

// Torch's intra-op pool. torch::stable::parallel_for hands out ranges; the core counts tasks.
dcn::Executor torch_executor() {
  dcn::Executor executor;
  executor.threads = static_cast<int>(torch::stable::get_num_threads());
  executor.parallel_for = [](void*, int64_t count, void (*f)(void*, int64_t), void* arg) {
    torch::stable::parallel_for(0, count, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) f(arg, i);
    });
  };
  return executor;
}

// Whether the elements lie side by side with the dimensions in this order, the last one innermost.
bool lies_as(const Tensor& tensor, std::initializer_list<int64_t> order) {
  int64_t expected = 1;
  for (auto dim = std::rbegin(order); dim != std::rend(order); ++dim) {
    if (tensor.size(*dim) != 1 && tensor.stride(*dim) != expected) return false;
    expected *= tensor.size(*dim);
  }
  return true;
}

// torch.channels_last, and not both layouts at once: torch_op.py says the same while torch traces.
bool is_channels_last(const Tensor& image) {
  return lies_as(image, {0, 2, 3, 1}) && !lies_as(image, {0, 1, 2, 3});
}

// [N, C, H, W], in the memory layout of torch.channels_last or in the plain one.
Tensor new_image(const Tensor& like, const Ints& shape, bool channels_last) {
  if (!channels_last) return torch::stable::new_empty(like, shape);
  const Tensor image = torch::stable::new_empty(like, Ints{shape[0], shape[2], shape[3], shape[1]});
  return torch::stable::transpose(torch::stable::transpose(image, 1, 3), 2, 3);
}

OptionalTensor dense(const OptionalTensor& tensor) {
  return tensor ? OptionalTensor(torch::stable::contiguous(*tensor)) : std::nullopt;
}

const void* data(const OptionalTensor& tensor) {
  return tensor ? tensor->const_data_ptr() : nullptr;
}

Tensor deform_conv2d(Tensor input, Tensor weight, Tensor offset, OptionalTensor bias,
                     OptionalTensor mask, Ints stride, Ints padding, Ints dilation, int64_t groups,
                     int64_t offset_groups) {
  const dcn::Problem problem = checked_problem({input, weight, offset, bias, mask}, stride, padding,
                                               dilation, groups, offset_groups);
  const bool channels_last = is_channels_last(input);
  const OptionalTensor x = channels_last ? input : dense(input);
  const OptionalTensor w = dense(weight), o = dense(offset), b = dense(bias), m = dense(mask);
  Tensor output = new_image(input, {problem.batch, problem.out_channels, problem.out_h, problem.out_w},
                            channels_last);

  dcn::ForwardArgs args;
  args.channels_last = channels_last;
  args.input = data(x);
  args.weight = data(w);
  args.offset = data(o);
  args.bias = data(b);
  args.mask = data(m);
  args.output = output.mutable_data_ptr();
  dcn::cpu::forward(problem, args, torch_executor());
  return output;
}

// Gradients of (input, weight, offset, bias, mask). One that `wanted` does not ask for is empty.
std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> deform_conv2d_backward(
    Tensor grad_output, Tensor input, Tensor weight, Tensor offset, OptionalTensor mask, Ints stride,
    Ints padding, Ints dilation, int64_t groups, int64_t offset_groups, std::vector<bool> wanted) {
  const OptionalTensor inputs[dcn::kInputCount] = {input, weight, offset, std::nullopt, mask};
  const dcn::Problem problem =
      checked_problem(inputs, stride, padding, dilation, groups, offset_groups);
  const dcn::Status status = dcn::check_grad_output(problem, describe(grad_output));
  if (!status.ok()) refuse(status.message);
  if (!grad_output.is_cpu()) refuse("grad_output is not on the CPU, where the other tensors are");
  if (wanted.size() != dcn::kInputCount)
    refuse("wanted has " + std::to_string(wanted.size()) + " values, expected one for each input");
  const OptionalTensor g = dense(grad_output), x = dense(input), w = dense(weight), o = dense(offset),
                       m = dense(mask);

  std::vector<Tensor> gradients;
  void* pointers[dcn::kInputCount];
  for (int i = 0; i < dcn::kInputCount; ++i) {
    const bool want = wanted[i] && (i == dcn::kBias || inputs[i]);
    const Ints shape = i == dcn::kBias ? Ints{problem.out_channels} : describe(inputs[i]).shape;
    const Tensor& like = inputs[i] ? *inputs[i] : input;
    gradients.push_back(torch::stable::new_empty(like, want ? shape : Ints{0}));
    pointers[i] = want ? gradients.back().mutable_data_ptr() : nullptr;
  }
  dcn::BackwardArgs args;
  args.grad_output = data(g);
  args.input = data(x);
  args.weight = data(w);
  args.offset = data(o);
  args.mask = data(m);
  args.grad_input = pointers[dcn::kInput];
  args.grad_weight = pointers[dcn::kWeight];
  args.grad_offset = pointers[dcn::kOffset];
  args.grad_bias = pointers[dcn::kBias];
  args.grad_mask = pointers[dcn::kMask];
  dcn::cpu::backward(problem, args, torch_executor());
  return {gradients[0], gradients[1], gradients[2], gradients[3], gradients[4]};
}

}  // namespace

STABLE_TORCH_LIBRARY(dcn_deploy, library) {
  library.def(
      "deform_conv2d(Tensor input, Tensor weight, Tensor offset, Tensor? bias=None, "
      "Tensor? mask=None, int[2] stride=[1, 1], int[4] padding=[0, 0, 0, 0], "
      "int[2] dilation=[1, 1], int groups=1, int offset_groups=1) -> Tensor");
  library.def(
      "deform_conv2d_backward(Tensor grad_output, Tensor input, Tensor weight, Tensor offset, "
      "Tensor? mask, int[2] stride, int[4] padding, int[2] dilation, int groups, "
      "int offset_groups, bool[5] wanted) -> (Tensor, Tensor, Tensor, Tensor, Tensor)");
}

STABLE_TORCH_LIBRARY_IMPL(dcn_deploy, CPU, library) {
  library.impl("deform_conv2d", TORCH_BOX(&deform_conv2d));
  library.impl("deform_conv2d_backward", TORCH_BOX(&deform_conv2d_backward));
}
