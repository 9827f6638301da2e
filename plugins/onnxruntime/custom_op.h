// How the operation introduces itself to onnxruntime.
#pragma once

#include "host.h"
#include "kernel.h"

namespace dcn::ort {

// A name under which a model may call the operation.
struct Face {
  const char* domain;
  const char* op;
  int since_version;
};

// The operation for one dtype of its input and output, on one provider. Of the other inputs nothing is
// declared, neither their dtypes nor that they must be there: that is the core's to check, and its
// message says more.
struct CustomOp : OrtCustomOp {
  CustomOp(const OrtApi& api, const Face& face, const Provider& provider,
           ONNXTensorElementDataType type, bool infers_shapes);

  const OrtApi& api;
  const Face& face;
  const Provider& provider;
  ONNXTensorElementDataType element_type;
};

}  // namespace dcn::ort
