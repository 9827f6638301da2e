// The types that a problem's plain kernels are compiled for: one for each dtype, and for halves also
// with offsets and masks in float32.
#pragma once

#include "../launch.h"
#include "deform_conv.h"
#include "dtype.h"

namespace dcn::cuda {

template <class Data_, class Coordinate_>
struct PlainTypes {
  using Data = Data_;              // input, weight, bias, output and their gradients
  using Coordinate = Coordinate_;  // offset, mask and their gradients
};

// What `run` says, called with the problem's PlainTypes.
template <class Run>
Status with_plain_types(const Problem& problem, const Run& run) {
  const auto half = [&](auto data) {
    using Half = decltype(data);
    return status_of(problem.coordinate_dtype == problem.dtype ? run(PlainTypes<Half, Half>())
                                                               : run(PlainTypes<Half, float>()));
  };
  switch (problem.dtype) {
    case DType::kFloat32: return status_of(run(PlainTypes<float, float>()));
    case DType::kFloat64: return status_of(run(PlainTypes<double, double>()));
    case DType::kFloat16: return half(Float16());
    case DType::kBFloat16: return half(BFloat16());
    case DType::kUnknown: break;
  }
  return {"the problem was not checked: its dtype is unknown"};
}

}  // namespace dcn::cuda
