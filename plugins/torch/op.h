// The operation and its gradients on torch's tensors, for any device.
//
// Both functions read: describe the tensors, check, allocate, run. What the op computes and what it
// refuses is in plugins/core. A Device says in static functions where its tensors are and runs:
//
//   std::string elsewhere(tensor, input)   why the tensor is not where the op runs, or nothing
//   void forward(problem, args, input)
//   void backward(problem, args, input)
#pragma once

#include <tuple>

#include "tensors.h"

namespace dcn::torch_op {

template <class Device>
void require_here(const char* name, const OptionalTensor& tensor, const Tensor& input) {
  if (!is_there(tensor)) return;
  const std::string place = Device::elsewhere(*tensor, input);
  if (!place.empty()) refuse(std::string(name) + " is " + place);
}

template <class Device>
Problem checked_problem(const OptionalTensor (&inputs)[kInputCount], const Ints& stride,
                        const Ints& padding, const Ints& dilation, int64_t groups,
                        int64_t offset_groups) {
  Attributes attributes;
  attributes.strides = stride;
  attributes.pads = padding;
  attributes.dilations = dilation;
  attributes.group = groups;
  attributes.offset_group = offset_groups;
  TensorInfo infos[kInputCount];
  for (int i = 0; i < kInputCount; ++i) {
    infos[i] = describe(inputs[i]);
    require_here<Device>(kInputNames[i], inputs[i], *inputs[kInput]);
  }
  Problem problem;
  const Status status = check(attributes, infos, &problem);
  if (!status.ok()) refuse(status.message);
  return problem;
}

template <class Device>
Tensor deform_conv2d(Tensor input, Tensor weight, Tensor offset, OptionalTensor bias,
                     OptionalTensor mask, Ints stride, Ints padding, Ints dilation, int64_t groups,
                     int64_t offset_groups) {
  const Problem problem = checked_problem<Device>({input, weight, offset, bias, mask}, stride, padding,
                                                  dilation, groups, offset_groups);
  const bool channels_last = is_channels_last(input);
  const OptionalTensor x = channels_last ? input : dense(input);
  const OptionalTensor w = dense(weight), o = dense(offset), b = dense(bias), m = dense(mask);
  Tensor output = new_image(input, {problem.batch, problem.out_channels, problem.out_h, problem.out_w},
                            channels_last);

  ForwardArgs args;
  args.channels_last = channels_last;
  args.input = data(x);
  args.weight = data(w);
  args.offset = data(o);
  args.bias = data(b);
  args.mask = data(m);
  args.output = output.mutable_data_ptr();
  Device::forward(problem, args, input);
  return output;
}

// Gradients of (input, weight, offset, bias, mask). One that `wanted` does not ask for is empty.
template <class Device>
std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> deform_conv2d_backward(
    Tensor grad_output, Tensor input, Tensor weight, Tensor offset, OptionalTensor mask, Ints stride,
    Ints padding, Ints dilation, int64_t groups, int64_t offset_groups, std::vector<bool> wanted) {
  const OptionalTensor inputs[kInputCount] = {input, weight, offset, std::nullopt, mask};
  const Problem problem =
      checked_problem<Device>(inputs, stride, padding, dilation, groups, offset_groups);
  const Status status = check_grad_output(problem, describe(grad_output));
  if (!status.ok()) refuse(status.message);
  require_here<Device>("grad_output", grad_output, input);
  if (wanted.size() != kInputCount)
    refuse("wanted has " + std::to_string(wanted.size()) + " values, expected one for each input");
  const OptionalTensor g = dense(grad_output), x = dense(input), w = dense(weight), o = dense(offset),
                       m = dense(mask);

  std::vector<Tensor> gradients;
  void* pointers[kInputCount];
  for (int i = 0; i < kInputCount; ++i) {
    const bool want = wanted[i] && (i == kBias || inputs[i]);
    const Ints shape = i == kBias ? Ints{problem.out_channels} : describe(inputs[i]).shape;
    const Tensor& like = inputs[i] ? *inputs[i] : input;
    gradients.push_back(new_result(like, want ? shape : Ints{0}));
    pointers[i] = want ? gradients.back().mutable_data_ptr() : nullptr;
  }
  BackwardArgs args;
  args.grad_output = data(g);
  args.input = data(x);
  args.weight = data(w);
  args.offset = data(o);
  args.mask = data(m);
  args.grad_input = pointers[kInput];
  args.grad_weight = pointers[kWeight];
  args.grad_offset = pointers[kOffset];
  args.grad_bias = pointers[kBias];
  args.grad_mask = pointers[kMask];
  Device::backward(problem, args, input);
  return {gradients[0], gradients[1], gradients[2], gradients[3], gradients[4]};
}

}  // namespace dcn::torch_op
