// What this frontend needs of onnxruntime: its C API with exceptions instead of statuses, and its
// tensors as the core describes tensors.
//
// Only the C API is used, and of it only what onnxruntime 1.17 had: the functions of the C++ wrapper
// may call newer ones, depending on the release that the headers come from. On CUDA it is what 1.18
// had: older ones lend device memory only without regard to streams, so that two runs at a time could
// be given the same.
#pragma once

#include <onnxruntime_c_api.h>

#include <stdexcept>
#include <string>

#include "deform_conv.h"

namespace dcn::ort {

inline constexpr uint32_t kApiVersion = 17;
inline constexpr uint32_t kCudaApiVersion = 18;
inline constexpr char kOldestHost[] = "1.17";

// An error on its way to the host.
struct Error : std::runtime_error {
  Error(OrtErrorCode code, const std::string& message) : std::runtime_error(message), code(code) {}
  OrtErrorCode code;
};

// Throws what the host reports.
void require(const OrtApi& api, OrtStatus* status);

// Whether a call succeeded, for calls whose failure is an answer.
bool succeeded(const OrtApi& api, OrtStatus* status);

// Runs `f`; no exception leaves it.
template <class F>
OrtStatus* guarded(const OrtApi& api, F&& f) noexcept {
  try {
    f();
    return nullptr;
  } catch (const Error& e) {
    return api.CreateStatus(e.code, e.what());
  } catch (const std::exception& e) {
    return api.CreateStatus(ORT_RUNTIME_EXCEPTION, e.what());
  } catch (...) {
    return api.CreateStatus(ORT_RUNTIME_EXCEPTION, "unknown error in dcn_deploy");
  }
}

// The dtypes of the core, in the host's words.
inline constexpr struct {
  DType dtype;
  ONNXTensorElementDataType element_type;
} kDTypes[] = {{DType::kFloat32, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT},
               {DType::kFloat16, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16},
               {DType::kBFloat16, ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16},
               {DType::kFloat64, ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE}};

TensorInfo tensor_info(const OrtApi& api, const OrtTensorTypeAndShapeInfo* info);
TensorInfo tensor_info(const OrtApi& api, const OrtValue* value);

// While a graph is built the host describes a tensor of unknown rank like a scalar. No input of this
// operation is a scalar, so that reading is safe; a real scalar is refused when it arrives.
TensorInfo static_tensor_info(const OrtApi& api, const OrtTensorTypeAndShapeInfo* info);

}  // namespace dcn::ort
