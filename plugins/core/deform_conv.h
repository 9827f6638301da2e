// The contract of the deformable convolution: its vocabulary, its sizes, its entry points.
//
// Every frontend (torch op, onnxruntime custom op, TensorRT plugin, Python exporter) translates its
// host's tensors into the structs below and calls the functions below; it adds no name, no rule and
// no arithmetic of its own. The words are those of the ONNX operator DeformConv (opset 19 and 22);
// the operation is that of DCNv1 (arXiv 1703.06211) and DCNv2 (arXiv 1811.11168):
//
//   Y[n,o,p] = B[o] + sum_c sum_k W[o,c,k] * mask[n,g(c),k,p]
//                     * X~[n,c, p*stride - pad_begin + k*dilation + offset[n,g(c),k,p]]
//
// with X~ bilinear, zero outside the image, and g(c) = c / (C / offset_group).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "inline.h"

struct CUstream_st;  // what a cudaStream_t points to; CUDA's headers are not needed to name it

namespace dcn {

inline constexpr char kDomain[] = "dcn_deploy";
inline constexpr char kOpName[] = "DeformConv2d";
inline constexpr int kOpVersion = 1;

// ---- attributes -----------------------------------------------------------------------------

// As the model carries them; check() says whether they make sense.
struct Attributes {
  std::vector<int64_t> kernel_shape;      // kH, kW; empty: taken from the weight
  std::vector<int64_t> strides{1, 1};     // h, w
  std::vector<int64_t> pads{0, 0, 0, 0};  // top, left, bottom, right
  std::vector<int64_t> dilations{1, 1};   // h, w
  int64_t group = 1;
  int64_t offset_group = 1;
};

// The one place where attribute names are spelled. `f(name, member)` is called once for each, in
// the order that every list of attributes in this project follows.
template <class AttributesT, class F>
void for_each_attribute(AttributesT& attributes, F&& f) {
  f("kernel_shape", attributes.kernel_shape);
  f("strides", attributes.strides);
  f("pads", attributes.pads);
  f("dilations", attributes.dilations);
  f("group", attributes.group);
  f("offset_group", attributes.offset_group);
}

// ---- tensors --------------------------------------------------------------------------------

enum class DType : int32_t { kUnknown = 0, kFloat32, kFloat16, kBFloat16, kFloat64 };

const char* name_of(DType dtype);

// Inputs in ONNX order. The torch op takes them in this order too.
enum Input : int { kInput, kWeight, kOffset, kBias, kMask, kInputCount };

inline constexpr const char* kInputNames[kInputCount] = {"input", "weight", "offset", "bias", "mask"};

// A dimension (or a whole shape) that the host does not know yet: TensorRT and onnxruntime while
// they build a graph, torch while it traces with symbolic sizes.
inline constexpr int64_t kUnknownDim = -1;

struct TensorInfo {
  bool present = false;  // false: an optional input that was left out
  DType dtype = DType::kUnknown;
  bool rank_known = false;       // false: nothing is known of the shape
  std::vector<int64_t> shape{};  // kUnknownDim where a size is not known
  std::string dtype_name{};      // the host's word for a dtype that is not one of ours
};

// ---- the checked problem --------------------------------------------------------------------

// Every size and attribute that a kernel needs, after check() has found them consistent. A value
// that followed from an unknown dimension is kUnknownDim.
struct Problem {
  DType dtype = DType::kUnknown;             // of input, weight, bias and output
  DType coordinate_dtype = DType::kUnknown;  // of offset and mask: dtype, or float32 beside a half
  bool has_bias = false;
  bool has_mask = false;

  int64_t batch = kUnknownDim;
  int64_t in_channels = kUnknownDim, in_h = kUnknownDim, in_w = kUnknownDim;
  int64_t out_channels = kUnknownDim, out_h = kUnknownDim, out_w = kUnknownDim;
  int64_t kernel_h = kUnknownDim, kernel_w = kUnknownDim;
  int64_t stride_h = 1, stride_w = 1;
  int64_t pad_top = 0, pad_left = 0, pad_bottom = 0, pad_right = 0;
  int64_t dilation_h = 1, dilation_w = 1;
  int64_t group = 1, offset_group = 1;

  DCN_INLINE int64_t taps() const { return kernel_h * kernel_w; }
  DCN_INLINE int64_t in_pixels() const { return in_h * in_w; }
  DCN_INLINE int64_t out_pixels() const { return out_h * out_w; }
  DCN_INLINE int64_t group_in_channels() const { return in_channels / group; }
  DCN_INLINE int64_t group_out_channels() const { return out_channels / group; }
};

// Empty message: all is well.
struct Status {
  std::string message;
  bool ok() const { return message.empty(); }
};

// Checks the attributes alone, for a host that knows nothing of the tensors yet.
Status check_attributes(const Attributes& attributes);

// Checks everything that can be checked of `inputs` (kInputCount of them, in ONNX order) and
// `attributes`, and fills `problem`. Unknown sizes are passed over, so that the same function
// serves a host that builds a graph and one that runs it. The message names the tensor, what was
// expected and what was given.
Status check(const Attributes& attributes, const TensorInfo* inputs, Problem* problem);

// Checks the gradient of the output against a checked problem whose sizes are all known.
Status check_grad_output(const Problem& problem, const TensorInfo& grad_output);

// The output is [batch, out_channels, out_h, out_w] = [input.N, weight.O, offset.H, offset.W]: a
// host that needs it symbolically copies those four dimensions. These say where from.
struct DimSource {
  Input tensor;
  int dim;
};
inline constexpr DimSource kOutputShape[4] = {{kInput, 0}, {kWeight, 0}, {kOffset, 2}, {kOffset, 3}};

// ---- CPU entry points -----------------------------------------------------------------------

// The host's own thread pool; the core never makes a thread.
struct Executor {
  void* host = nullptr;
  // Calls f(arg, i) for every i in [0, count), in any order, on any thread, and returns when all
  // are done.
  void (*parallel_for)(void* host, int64_t count, void (*f)(void* arg, int64_t i), void* arg) = nullptr;
  int threads = 1;  // that work at a time, at most; results never depend on it
};

// Pointers are to dense tensors of problem.dtype (offset, mask: problem.coordinate_dtype), in the
// memory of the device that computes.
struct ForwardArgs {
  const void* input = nullptr;          // [N, C, H, W]
  const void* weight = nullptr;         // [O, C/group, kH, kW]; not read if there is a packed one
  const void* packed_weight = nullptr;  // what pack_weight() wrote, or null
  const void* offset = nullptr;         // [N, offset_group*kH*kW*2, oH, oW]
  const void* bias = nullptr;           // [O] or null
  const void* mask = nullptr;           // [N, offset_group*kH*kW, oH, oW] or null
  void* output = nullptr;               // [N, O, oH, oW]
  bool channels_last = false;           // input and output lie as [N, H, W, C]
};

// A null gradient is not computed. Shapes are those of the tensors they belong to.
struct BackwardArgs {
  const void* grad_output = nullptr;  // [N, O, oH, oW]
  const void* input = nullptr;
  const void* weight = nullptr;  // [O, C/group, kH, kW], as the user has it
  const void* offset = nullptr;
  const void* mask = nullptr;
  void* grad_input = nullptr;
  void* grad_weight = nullptr;
  void* grad_offset = nullptr;
  void* grad_bias = nullptr;  // [O]
  void* grad_mask = nullptr;
};

namespace cpu {

// The kernel reads the weight in an order of its own. A host whose weights are constant packs once;
// only dtype, out_channels, in_channels, kernel, group and offset_group of the problem are read.
size_t packed_weight_bytes(const Problem& problem);
void pack_weight(const Problem& problem, const void* weight, void* packed, const Executor& executor);

void forward(const Problem& problem, const ForwardArgs& args, const Executor& executor);
void backward(const Problem& problem, const BackwardArgs& args, const Executor& executor);

// Which build of the kernels runs on this machine: "avx512_bf16", "avx512", "avx2", "baseline".
const char* instruction_set();

}  // namespace cpu

// ---- CUDA entry points ----------------------------------------------------------------------

namespace cuda {

struct Options {
  bool allow_tf32 = false;     // float32 products in TF32; otherwise as exact as float32 (3xTF32)
  bool deterministic = false;  // backward: every sum in a fixed order, which is slower
  bool plain = false;          // the slow kernels that the fast ones are judged against
};

// The GPUs that this build has kernels for, "sm_80, sm_90". Empty: it has none, and the functions below
// say so.
const char* architectures();

// Which kernels a problem takes: "tensor cores", "small groups" or "plain". Asks no device; one before
// sm_80 takes the plain ones for all.
const char* path(const Problem& problem, const Options& options);

// The fast kernels read the weight in an order of their own. A host whose weights are constant packs
// once; only dtype, out_channels, in_channels, kernel, group and offset_group of the problem are read.
// Zero bytes: the path that the problem takes reads the weight as it is.
size_t packed_weight_bytes(const Problem& problem, const Options& options);
Status pack_weight(const Problem& problem, const Options& options, const void* weight, void* packed,
                   CUstream_st* stream);

// Device memory that forward() and backward() need beside their tensors, in bytes, whether the weight
// comes packed or not. Never more for smaller sizes, so that a host that knows its largest problem
// asks once.
size_t workspace_bytes(const Problem& problem, const Options& options);
size_t backward_workspace_bytes(const Problem& problem, const Options& options);

// Enqueue the operation on `stream` of the current device and return: nothing is allocated, nothing
// waits, so a CUDA graph can capture it. `workspace` is aligned to 256 bytes and must not be used by
// anything else until the stream is past this point. The error names the device and the architectures
// that this build has kernels for.
Status forward(const Problem& problem, const ForwardArgs& args, const Options& options, void* workspace,
               CUstream_st* stream);
Status backward(const Problem& problem, const BackwardArgs& args, const Options& options,
                void* workspace, CUstream_st* stream);

}  // namespace cuda
}  // namespace dcn
