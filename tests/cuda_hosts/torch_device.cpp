// In place of plugins/torch/device.cpp: the CPU plays the GPU, and the test says what the current
// stream is.
#include "device.h"

namespace {

void* test_stream = nullptr;
int64_t streams_asked = 0;

}  // namespace

namespace dcn::torch_op {

bool is_on_cuda(const Tensor& tensor) {
  return tensor.is_cpu();
}

CurrentStream::CurrentStream(const Tensor&) : stream_(static_cast<CUstream_st*>(test_stream)) {
  ++streams_asked;
}

}  // namespace dcn::torch_op

#define TEST_EXPORT extern "C" __attribute__((visibility("default")))

TEST_EXPORT void test_set_stream(void* stream) {
  test_stream = stream;
}

// How often the CUDA half has run.
TEST_EXPORT int64_t test_streams_asked() {
  return streams_asked;
}
