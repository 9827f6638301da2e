// Torch's tensors as the core describes tensors.
#pragma once

#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <optional>
#include <string>
#include <vector>

#include "deform_conv.h"

namespace dcn::torch_op {

using torch::stable::Tensor;
using OptionalTensor = std::optional<Tensor>;
using Ints = std::vector<int64_t>;

// Not STD_TORCH_CHECK, which would put a line of this project's before the message.
[[noreturn]] void refuse(const std::string& message);

// None where the schema wants a tensor is an undefined one: absent as well.
bool is_there(const OptionalTensor& tensor);

TensorInfo describe(const OptionalTensor& tensor);

// torch.channels_last, and not both layouts at once: torch_op.py says the same while torch traces.
bool is_channels_last(const Tensor& image);

// A tensor for the op to write, of `like`'s dtype and device.
Tensor new_result(const Tensor& like, const Ints& shape);

// Likewise, [N, C, H, W], in the memory layout of torch.channels_last or in the plain one.
Tensor new_image(const Tensor& like, const Ints& shape, bool channels_last);

// The elements side by side, in the order of the dimensions.
OptionalTensor dense(const OptionalTensor& tensor);

const void* data(const OptionalTensor& tensor);

}  // namespace dcn::torch_op
