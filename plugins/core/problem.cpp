// Every check, every message and every size rule of the operation.
#include <sstream>

#include "deform_conv.h"

namespace dcn {
namespace {

// The kernels split a coordinate into an integer base and an offset clamped to +-2^20; keeping the
// padded image below half of that makes every clamped coordinate fall outside the image.
constexpr int64_t kMaxPaddedExtent = int64_t{1} << 19;
constexpr int64_t kMaxInt32 = INT32_MAX;

template <class... Parts>
Status error(const Parts&... parts) {
  std::ostringstream stream;
  (stream << ... << parts);
  return {stream.str()};
}

std::string list_text(const std::vector<int64_t>& values, bool are_sizes = false) {
  std::ostringstream stream;
  stream << '[';
  for (size_t i = 0; i < values.size(); ++i) {
    stream << (i ? ", " : "");
    if (are_sizes && values[i] == kUnknownDim)
      stream << '?';
    else
      stream << values[i];
  }
  stream << ']';
  return stream.str();
}

std::string shape_text(const std::vector<int64_t>& shape) {
  return list_text(shape, true);
}

bool known(int64_t value) {
  return value != kUnknownDim;
}

Status check_list(const char* name, const std::vector<int64_t>& values, size_t count, int64_t least) {
  if (values.size() != count)
    return error("attribute ", name, " has ", values.size(), " values, expected ", count, ": ",
                 list_text(values));
  for (int64_t value : values)
    if (value < least || value > kMaxInt32)
      return error("attribute ", name, " is ", list_text(values), ", expected every value in ", least,
                   " .. ", kMaxInt32);
  return {};
}

Status check_ranks(const TensorInfo* inputs) {
  static constexpr size_t kRanks[kInputCount] = {4, 4, 4, 1, 4};
  static constexpr const char* kLayouts[kInputCount] = {"[N, C, H, W]", "[O, C/group, kH, kW]",
                                                        "[N, 2*offset_group*kH*kW, oH, oW]", "[O]",
                                                        "[N, offset_group*kH*kW, oH, oW]"};
  for (int i = 0; i < kInputCount; ++i) {
    const TensorInfo& tensor = inputs[i];
    if (!tensor.present) {
      if (i == kInput || i == kWeight || i == kOffset) return error(kInputNames[i], " is missing");
      continue;
    }
    if (!tensor.rank_known) continue;
    if (tensor.shape.size() != kRanks[i])
      return error(kInputNames[i], " has ", tensor.shape.size(), " dimensions, expected ", kRanks[i],
                   " ", kLayouts[i], ", got ", shape_text(tensor.shape));
    for (int64_t dim : tensor.shape)
      if (dim < kUnknownDim)
        return error(kInputNames[i], " has a negative size: ", shape_text(tensor.shape));
  }
  return {};
}

Status check_dtypes(const TensorInfo* inputs, Problem* p) {
  for (int i = 0; i < kInputCount; ++i) {
    if (!inputs[i].present) continue;
    const DType dtype = inputs[i].dtype;
    if (dtype == DType::kUnknown)
      return error(kInputNames[i], " has the unsupported dtype ",
                   inputs[i].dtype_name.empty() ? "unknown" : inputs[i].dtype_name,
                   ", expected float32, float16, bfloat16 or float64");
    const bool is_coordinate = i == kOffset || i == kMask;
    if (i == kInput) p->dtype = dtype;
    if (i == kOffset) p->coordinate_dtype = dtype;
    if (!is_coordinate && dtype != p->dtype)
      return error(kInputNames[i], " is ", name_of(dtype), ", expected ", name_of(p->dtype),
                   " like input");
    if (i == kOffset) {
      const bool half = p->dtype == DType::kFloat16 || p->dtype == DType::kBFloat16;
      if (dtype != p->dtype && !(half && dtype == DType::kFloat32))
        return error("offset is ", name_of(dtype), ", expected ", name_of(p->dtype), " like input",
                     half ? " or float32" : "");
    }
    if (i == kMask && dtype != p->coordinate_dtype)
      return error("mask is ", name_of(dtype), ", expected ", name_of(p->coordinate_dtype),
                   " like offset");
  }
  return {};
}

// The size formula of the operation: exists here and nowhere else.
int64_t output_size(int64_t in, int64_t pads, int64_t dilation, int64_t kernel, int64_t stride) {
  const int64_t room = in + pads - dilation * (kernel - 1) - 1;
  return room < 0 ? 0 : room / stride + 1;
}

Status check_image(const Problem& p) {
  struct Axis {
    const char* name;
    int64_t in, before, after, kernel, dilation, stride;
    int64_t out;
  };
  const Axis axes[] = {
      {"height", p.in_h, p.pad_top, p.pad_bottom, p.kernel_h, p.dilation_h, p.stride_h, p.out_h},
      {"width", p.in_w, p.pad_left, p.pad_right, p.kernel_w, p.dilation_w, p.stride_w, p.out_w}};
  for (const Axis& axis : axes) {
    if (!known(axis.in)) continue;
    if (axis.in > kMaxPaddedExtent)
      return error("input has ", axis.name, " ", axis.in, ", expected at most ", kMaxPaddedExtent);
    if (axis.in < 1) return error("input has ", axis.name, " ", axis.in, ", expected at least 1");
    if (axis.in + axis.before + axis.after > kMaxPaddedExtent)
      return error("input ", axis.name, " with padding is ", axis.in + axis.before + axis.after,
                   ", expected at most ", kMaxPaddedExtent);
    if (!known(axis.kernel)) continue;
    const int64_t expected =
        output_size(axis.in, axis.before + axis.after, axis.dilation, axis.kernel, axis.stride);
    if (expected < 1)
      return error("input ", axis.name, " ", axis.in, " with padding ", axis.before, "+", axis.after,
                   " is smaller than the kernel's extent ", axis.dilation * (axis.kernel - 1) + 1,
                   " (kernel ", axis.kernel, ", dilation ", axis.dilation,
                   "): the output would be empty");
    if (known(axis.out) && axis.out != expected)
      return error("offset has ", axis.name, " ", axis.out, ", expected the output ", axis.name, " ",
                   expected, " (input ", axis.in, ", padding ", axis.before, "+", axis.after,
                   ", kernel ", axis.kernel, ", dilation ", axis.dilation, ", stride ", axis.stride,
                   ")");
  }
  // Pixel indices are 32-bit, counted in the image with its border of two.
  if (known(p.in_h) && known(p.in_w) && (p.in_h + 4) * (p.in_w + 4) > kMaxInt32)
    return error("input has ", p.in_h, "x", p.in_w, " pixels, expected at most ", kMaxInt32,
                 " with a border of 2");
  if (known(p.out_h) && known(p.out_w) && p.out_w != 0 && p.out_h > kMaxInt32 / p.out_w)
    return error("offset has ", p.out_h, "x", p.out_w, " output pixels, expected at most ", kMaxInt32);
  return {};
}

Status check_channels(const Problem& p, int64_t weight_channels) {
  if (known(p.in_channels)) {
    if (p.in_channels < 1) return error("input has ", p.in_channels, " channels, expected at least 1");
    if (p.in_channels > kMaxInt32)
      return error("input has ", p.in_channels, " channels, expected at most ", kMaxInt32);
    if (p.in_channels % p.group)
      return error("input has ", p.in_channels, " channels, expected a multiple of group = ", p.group);
    if (p.in_channels % p.offset_group)
      return error("input has ", p.in_channels,
                   " channels, expected a multiple of offset_group = ", p.offset_group);
    if (known(weight_channels) && weight_channels != p.in_channels / p.group)
      return error("weight has ", weight_channels,
                   " input channels, expected C / group = ", p.in_channels / p.group,
                   " (C=", p.in_channels, ", group=", p.group, ")");
  }
  if (known(p.out_channels)) {
    if (p.out_channels > kMaxInt32)
      return error("weight has ", p.out_channels, " output channels, expected at most ", kMaxInt32);
    if (p.out_channels % p.group)
      return error("weight has ", p.out_channels,
                   " output channels, expected a multiple of group = ", p.group);
  }
  return {};
}

// offset or mask against the rest: `per_tap` channels for each tap of each offset group.
Status check_coordinates(const TensorInfo* inputs, Input which, int64_t per_tap, const Problem& p) {
  const TensorInfo& tensor = inputs[which];
  if (!tensor.present || !tensor.rank_known) return {};
  const char* name = kInputNames[which];
  if (known(tensor.shape[0]) && known(p.batch) && tensor.shape[0] != p.batch)
    return error(name, " has batch ", tensor.shape[0], ", expected ", p.batch, " like input");
  if (known(tensor.shape[1]) && known(p.kernel_h) && known(p.kernel_w)) {
    const int64_t expected = per_tap * p.offset_group * p.taps();
    if (tensor.shape[1] != expected)
      return error(name, " has ", tensor.shape[1], " channels, expected ", per_tap == 2 ? "2 * " : "",
                   "offset_group * kH * kW = ", expected, " (offset_group=", p.offset_group,
                   ", kernel ", p.kernel_h, "x", p.kernel_w, ")");
  }
  if (which == kOffset) return {};
  const int64_t out[] = {p.out_h, p.out_w};
  for (int axis = 0; axis < 2; ++axis)
    if (known(tensor.shape[2 + axis]) && known(out[axis]) && tensor.shape[2 + axis] != out[axis])
      return error(name, " has ", axis ? "width " : "height ", tensor.shape[2 + axis], ", expected ",
                   out[axis], " like offset");
  return {};
}

Status check_kernel(const Attributes& attributes, Problem* p) {
  const int64_t weight_kernel[2] = {p->kernel_h, p->kernel_w};
  int64_t* kernel[2] = {&p->kernel_h, &p->kernel_w};
  for (int axis = 0; axis < 2; ++axis) {
    if (known(weight_kernel[axis]) && (weight_kernel[axis] < 1 || weight_kernel[axis] > kMaxInt32))
      return error("weight has kernel ", axis ? "width " : "height ", weight_kernel[axis],
                   ", expected 1 .. ", kMaxInt32);
    if (attributes.kernel_shape.empty()) continue;
    const int64_t given = attributes.kernel_shape[axis];
    if (known(weight_kernel[axis]) && weight_kernel[axis] != given)
      return error("weight has kernel ", axis ? "width " : "height ", weight_kernel[axis],
                   ", expected ", given, " as attribute kernel_shape says");
    *kernel[axis] = given;
  }
  if (known(p->kernel_h) && known(p->kernel_w) && p->kernel_h > kMaxInt32 / p->kernel_w)
    return error("weight has a ", p->kernel_h, "x", p->kernel_w, " kernel, expected at most ",
                 kMaxInt32, " taps");
  if (known(p->kernel_h) && known(p->kernel_w) && p->offset_group > (INT64_MAX / 2) / p->taps())
    return error("attribute offset_group is ", p->offset_group, ", too large for a ", p->kernel_h, "x",
                 p->kernel_w, " kernel");
  return {};
}

}  // namespace

const char* name_of(DType dtype) {
  switch (dtype) {
    case DType::kFloat32: return "float32";
    case DType::kFloat16: return "float16";
    case DType::kBFloat16: return "bfloat16";
    case DType::kFloat64: return "float64";
    case DType::kUnknown: break;
  }
  return "unknown";
}

Status check_attributes(const Attributes& a) {
  Status status;
  if (!a.kernel_shape.empty())
    if (status = check_list("kernel_shape", a.kernel_shape, 2, 1); !status.ok()) return status;
  if (status = check_list("strides", a.strides, 2, 1); !status.ok()) return status;
  if (status = check_list("pads", a.pads, 4, 0); !status.ok()) return status;
  if (status = check_list("dilations", a.dilations, 2, 1); !status.ok()) return status;
  const auto check_group = [](const char* name, int64_t value) {
    if (value < 1) return error("attribute ", name, " is ", value, ", expected at least 1");
    if (value > kMaxInt32)
      return error("attribute ", name, " is ", value, ", expected at most ", kMaxInt32);
    return Status{};
  };
  if (status = check_group("group", a.group); !status.ok()) return status;
  if (status = check_group("offset_group", a.offset_group); !status.ok()) return status;
  return {};
}

Status check(const Attributes& attributes, const TensorInfo* inputs, Problem* problem) {
  *problem = Problem{};
  Problem& p = *problem;
  Status status;
  if (status = check_attributes(attributes); !status.ok()) return status;
  if (status = check_ranks(inputs); !status.ok()) return status;
  if (status = check_dtypes(inputs, &p); !status.ok()) return status;

  const auto dim = [&](Input tensor, int i) {
    return inputs[tensor].rank_known ? inputs[tensor].shape[i] : kUnknownDim;
  };
  p.has_bias = inputs[kBias].present;
  p.has_mask = inputs[kMask].present;
  p.batch = dim(kInput, 0);
  p.in_channels = dim(kInput, 1);
  p.in_h = dim(kInput, 2);
  p.in_w = dim(kInput, 3);
  p.out_channels = dim(kWeight, 0);
  p.kernel_h = dim(kWeight, 2);
  p.kernel_w = dim(kWeight, 3);
  p.out_h = dim(kOffset, 2);
  p.out_w = dim(kOffset, 3);
  p.stride_h = attributes.strides[0];
  p.stride_w = attributes.strides[1];
  p.pad_top = attributes.pads[0];
  p.pad_left = attributes.pads[1];
  p.pad_bottom = attributes.pads[2];
  p.pad_right = attributes.pads[3];
  p.dilation_h = attributes.dilations[0];
  p.dilation_w = attributes.dilations[1];
  p.group = attributes.group;
  p.offset_group = attributes.offset_group;

  if (status = check_kernel(attributes, &p); !status.ok()) return status;
  const int64_t weight_channels = dim(kWeight, 1);
  if (!known(p.in_channels) && known(weight_channels)) {
    if (weight_channels < 1 || weight_channels > kMaxInt32 / p.group)
      return error("weight has ", weight_channels, " input channels, expected 1 .. ",
                   kMaxInt32 / p.group);
    p.in_channels = weight_channels * p.group;
  }
  if (status = check_channels(p, weight_channels); !status.ok()) return status;
  if (status = check_coordinates(inputs, kOffset, 2, p); !status.ok()) return status;
  if (status = check_image(p); !status.ok()) return status;
  if (status = check_coordinates(inputs, kMask, 1, p); !status.ok()) return status;
  if (p.has_bias && inputs[kBias].rank_known && known(dim(kBias, 0)) && known(p.out_channels) &&
      dim(kBias, 0) != p.out_channels)
    return error("bias has ", dim(kBias, 0), " values, expected ", p.out_channels,
                 " = output channels of weight");
  return {};
}

Status check_grad_output(const Problem& problem, const TensorInfo& grad_output) {
  const std::vector<int64_t> expected = {problem.batch, problem.out_channels, problem.out_h,
                                         problem.out_w};
  if (!grad_output.present) return error("grad_output is missing");
  if (grad_output.dtype != problem.dtype)
    return error("grad_output is ", name_of(grad_output.dtype), ", expected ", name_of(problem.dtype),
                 " like input");
  if (grad_output.shape != expected)
    return error("grad_output is ", shape_text(grad_output.shape), ", expected ", shape_text(expected),
                 " like the output");
  return {};
}

}  // namespace dcn
