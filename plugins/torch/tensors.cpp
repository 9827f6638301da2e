#include "tensors.h"

#include <initializer_list>
#include <iterator>
#include <stdexcept>

#include "cpu/huge_pages.h"

namespace dcn::torch_op {
namespace {

using torch::headeronly::ScalarType;

DType dtype_of(const Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case ScalarType::Float: return DType::kFloat32;
    case ScalarType::Half: return DType::kFloat16;
    case ScalarType::BFloat16: return DType::kBFloat16;
    case ScalarType::Double: return DType::kFloat64;
    default: return DType::kUnknown;
  }
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

}  // namespace

void refuse(const std::string& message) {
  throw std::runtime_error("deform_conv2d: " + message);
}

bool is_there(const OptionalTensor& tensor) {
  return tensor && tensor->defined();
}

TensorInfo describe(const OptionalTensor& tensor) {
  if (!is_there(tensor)) return {};
  const auto sizes = tensor->sizes();
  return {true, dtype_of(*tensor), true, Ints(sizes.begin(), sizes.end()),
          torch::headeronly::toString(tensor->scalar_type())};
}

bool is_channels_last(const Tensor& image) {
  return lies_as(image, {0, 2, 3, 1}) && !lies_as(image, {0, 1, 2, 3});
}

Tensor new_result(const Tensor& like, const Ints& shape) {
  const Tensor result = torch::stable::new_empty(like, shape);
  if (result.is_cpu())
    cpu::prefer_huge_pages(result.mutable_data_ptr(), result.numel() * result.element_size());
  return result;
}

Tensor new_image(const Tensor& like, const Ints& shape, bool channels_last) {
  if (!channels_last) return new_result(like, shape);
  const Tensor image = new_result(like, {shape[0], shape[2], shape[3], shape[1]});
  return torch::stable::transpose(torch::stable::transpose(image, 1, 3), 2, 3);
}

OptionalTensor dense(const OptionalTensor& tensor) {
  return tensor ? OptionalTensor(torch::stable::contiguous(*tensor)) : std::nullopt;
}

const void* data(const OptionalTensor& tensor) {
  return tensor ? tensor->const_data_ptr() : nullptr;
}

}  // namespace dcn::torch_op
