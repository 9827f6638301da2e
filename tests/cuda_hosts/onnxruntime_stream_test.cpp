// A node of the CUDA provider in a host that lends a stream and scratch memory in its order, as only an
// onnxruntime with a GPU does. The kernels are on the emulator. Prints a line for each failure.
#include <cstdio>
#include <cstdlib>
#include <set>
#include <vector>

#include "kernel.h"

// What onnxruntime keeps to itself, as this host has it.
struct OrtTensorTypeAndShapeInfo {
  std::vector<int64_t> shape;
};
struct OrtValue {
  OrtTensorTypeAndShapeInfo info;
  std::vector<float> data;
};
struct OrtMemoryInfo {};
struct OrtKernelInfo {};
struct OrtKernelContext {
  void* stream;
  std::vector<const OrtValue*> inputs;
  OrtValue output;
};
struct OrtStatus {};

extern "C" int64_t emulator_launches_on(void* stream);

namespace {

int failures = 0;

void check(bool ok, const char* what) {
  if (ok) return;
  ++failures;
  std::printf("FAILED: %s\n", what);
}

OrtMemoryInfo device_memory;
OrtAllocator allocator{};
std::set<void*> plain, scratch;  // memory that is lent, by the function that lent it
int allocators = 0, plain_asked = 0, scratch_asked = 0;

void* lend(size_t bytes, std::set<void*>* from) {
  return *from->insert(std::malloc(bytes)).first;
}

template <class T>
OrtStatus* answer(T* out, const T& value) {
  *out = value;
  return nullptr;
}

OrtApi make_api() {
  OrtApi api{};
  api.KernelInfoGetAllocator = [](const OrtKernelInfo*, OrtMemType type, OrtAllocator** out) noexcept {
    check(type == OrtMemTypeDefault, "the provider's own memory");
    ++allocators;
    return answer(out, &allocator);
  };
  api.ReleaseAllocator = [](OrtAllocator*) noexcept { --allocators; };
  api.AllocatorGetInfo = [](const OrtAllocator*, const OrtMemoryInfo** out) noexcept {
    return answer<const OrtMemoryInfo*>(out, &device_memory);
  };
  api.MemoryInfoGetId = [](const OrtMemoryInfo*, int* out) noexcept { return answer(out, 0); };
  api.AllocatorAlloc = [](OrtAllocator*, size_t bytes, void** out) noexcept {
    ++plain_asked;
    return answer(out, lend(bytes, &plain));
  };
  api.KernelContext_GetScratchBuffer = [](const OrtKernelContext* context, const OrtMemoryInfo* memory,
                                          size_t bytes, void** out) noexcept {
    check(context->stream && memory == &device_memory, "scratch memory of the device, for a stream");
    ++scratch_asked;
    return answer(out, lend(bytes, &scratch));
  };
  api.AllocatorFree = [](OrtAllocator*, void* memory) noexcept -> OrtStatus* {
    check(plain.erase(memory) + scratch.erase(memory) == 1, "what is given back was lent");
    std::free(memory);
    return nullptr;
  };
  api.KernelContext_GetGPUComputeStream = [](const OrtKernelContext* context, void** out) noexcept {
    return answer(out, context->stream);
  };
  api.KernelContext_GetInputCount = [](const OrtKernelContext* context, size_t* out) noexcept {
    return answer(out, context->inputs.size());
  };
  api.KernelContext_GetInput = [](const OrtKernelContext* context, size_t i,
                                  const OrtValue** out) noexcept {
    return answer(out, context->inputs[i]);
  };
  api.KernelContext_GetOutput = [](OrtKernelContext* context, size_t, const int64_t* dims, size_t rank,
                                   OrtValue** out) noexcept {
    context->output.info.shape.assign(dims, dims + rank);
    size_t count = 1;
    for (size_t i = 0; i < rank; ++i) count *= static_cast<size_t>(dims[i]);
    context->output.data.assign(count, -1);
    return answer(out, &context->output);
  };
  api.GetTensorMutableData = [](OrtValue* value, void** out) noexcept {
    return answer<void*>(out, value->data.data());
  };
  api.GetTensorTypeAndShape = [](const OrtValue* value, OrtTensorTypeAndShapeInfo** out) noexcept {
    return answer(out, const_cast<OrtTensorTypeAndShapeInfo*>(&value->info));
  };
  api.ReleaseTensorTypeAndShapeInfo = [](OrtTensorTypeAndShapeInfo*) noexcept {};
  api.GetTensorElementType = [](const OrtTensorTypeAndShapeInfo*,
                                ONNXTensorElementDataType* out) noexcept {
    return answer(out, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT);
  };
  api.GetDimensionsCount = [](const OrtTensorTypeAndShapeInfo* info, size_t* out) noexcept {
    return answer(out, info->shape.size());
  };
  api.GetDimensions = [](const OrtTensorTypeAndShapeInfo* info, int64_t* out, size_t) noexcept {
    std::copy(info->shape.begin(), info->shape.end(), out);
    return static_cast<OrtStatus*>(nullptr);
  };
  return api;
}

OrtValue value(std::vector<int64_t> shape) {
  size_t count = 1;
  for (int64_t size : shape) count *= static_cast<size_t>(size);
  OrtValue result{{std::move(shape)}, std::vector<float>(count)};
  for (size_t i = 0; i < count; ++i) result.data[i] = static_cast<float>(i * 7 % 11) - 5;
  return result;
}

}  // namespace

int main() {
  using namespace dcn;
  const OrtApi api = make_api();
  const OrtKernelInfo info;
  const OrtValue input = value({1, 16, 8, 9}), weight = value({8, 16, 3, 3}),
                 offset = value({1, 18, 6, 7});
  ort::Node given;
  TensorInfo tensors[kInputCount];
  tensors[kInput] = {true, DType::kFloat32, true, input.info.shape};
  tensors[kWeight] = {true, DType::kFloat32, true, weight.info.shape};
  tensors[kOffset] = {true, DType::kFloat32, true, offset.info.shape};
  check(dcn::check(given.attributes, tensors, &given.problem).ok(), "the problem is a good one");
  ort::Node constant = given;
  constant.weight = weight.data.data();

  char stream = 0;
  std::vector<float> results[3];
  int64_t work[2];
  for (bool packed : {false, true}) {
    const auto kernel = ort::make_cuda_kernel(api, &info, packed ? constant : given);
    check(allocators == 1 && plain.size() == size_t{packed}, "memory for a constant weight");
    check(plain_asked == int{packed}, "asked for once");
    check(emulator_launches_on(nullptr) == 0, "nothing is packed on the default stream");
    OrtKernelContext context{&stream, {&input, &weight, &offset}, {}};
    const int64_t before = emulator_launches_on(&stream), elsewhere = emulator_launches_on(nullptr);
    kernel->compute(&context);
    work[packed] = emulator_launches_on(&stream) - before;
    check(work[packed] > 0 && emulator_launches_on(nullptr) == elsewhere, "all on the run's stream");
    check(scratch_asked == 1 + packed && plain_asked == packed, "a run's memory is the stream's");
    check(scratch.empty(), "which is given back");
    results[packed] = context.output.data;
    if (!packed) continue;
    context.stream = nullptr;
    kernel->compute(&context);
    check(scratch_asked == 2 && plain_asked == 2 && plain.size() == 1,
          "on the default stream any does");
    results[2] = context.output.data;
  }
  check(work[1] < work[0], "a constant weight is not packed again");
  check(results[0] == results[1] && results[0] == results[2], "one result");
  check(results[0].size() == 8 * 6 * 7 && results[0][0] != -1, "which was computed");
  check(allocators == 0 && plain.empty(), "nothing is kept");
  std::printf("%d failures\n", failures);
  return failures ? 1 : 0;
}
