// usage: known_problems [MUTATION [forward | backward [SEED]]]
//
// Forward and backward passes of a handful of small problems, judged against double. They are chosen so
// that each kernel goes several times through everything that it shares: steps of the K dimension,
// taps, segments, tiles, parts of a split sum. Ends with status 1 at the first result that is wrong,
// with 0 when all are right. MUTATION: the number of the mistake to make, in kernels that were compiled
// with mistakes in them (tests/test_cuda_mutations.py). The second argument says which half comes
// first; SEED is of the order of blocks, warps and lanes.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "deform_conv.h"
#include "dtype.h"
#include "mutation.h"
#include "reference.h"

extern "C" void emulator_seed(uint64_t seed);

namespace {

using dcn::DType;
using reference::Values;

// ---- numbers --------------------------------------------------------------------------------

uint32_t random_state;

// Between -1 and 1.
double random_number() {
  random_state = random_state * 1664525u + 1013904223u;
  return (random_state >> 8) / double(1 << 23) - 1;
}

size_t bytes_of(DType dtype) {
  return dtype == DType::kFloat64 ? 8 : dtype == DType::kFloat32 ? 4 : 2;
}

template <class T>
void write_as(double value, void* to) {
  const T stored = dcn::Store<T>::from(static_cast<dcn::Arithmetic<T>>(value));
  std::memcpy(to, &stored, sizeof stored);
}

template <class T>
double read_as(const void* from) {
  T stored;
  std::memcpy(&stored, from, sizeof stored);
  return dcn::load(stored);
}

void write(DType dtype, double value, void* to) {
  switch (dtype) {
    case DType::kFloat16: return write_as<dcn::Float16>(value, to);
    case DType::kBFloat16: return write_as<dcn::BFloat16>(value, to);
    case DType::kFloat32: return write_as<float>(value, to);
    default: return write_as<double>(value, to);
  }
}

double read(DType dtype, const void* from) {
  switch (dtype) {
    case DType::kFloat16: return read_as<dcn::Float16>(from);
    case DType::kBFloat16: return read_as<dcn::BFloat16>(from);
    case DType::kFloat32: return read_as<float>(from);
    default: return read_as<double>(from);
  }
}

// A tensor as the kernels see it. [N, C, pixels] may lie as [N, pixels, C].
class Tensor {
 public:
  Tensor(DType dtype, size_t count) : dtype_(dtype), count_(count) {
    // Aligned as device memory is; NaN until something is written.
    if (posix_memalign(&memory_, 256, count * bytes_of(dtype) + 1) != 0) std::abort();
    std::memset(memory_, 0xff, count * bytes_of(dtype));
  }
  Tensor(const Tensor&) = delete;
  Tensor& operator=(const Tensor&) = delete;
  ~Tensor() { std::free(memory_); }

  void lie_channels_last(int64_t channels, int64_t pixels) { channels_ = channels, pixels_ = pixels; }

  // Random numbers, rounded to the dtype.
  Values fill(double scale, double shift = 0) {
    for (size_t i = 0; i < count_; ++i) write(dtype_, random_number() * scale + shift, place(i));
    return values();
  }
  Values values() const {
    Values values(count_);
    for (size_t i = 0; i < count_; ++i) values[i] = read(dtype_, place(i));
    return values;
  }
  void* data() const { return count_ ? memory_ : nullptr; }

 private:
  void* place(size_t i) const {
    if (channels_) {
      const size_t pixel = i % pixels_, channel = i / pixels_ % channels_,
                   image = i / pixels_ / channels_;
      i = (image * pixels_ + pixel) * channels_ + channel;
    }
    return static_cast<char*>(memory_) + i * bytes_of(dtype_);
  }

  DType dtype_;
  size_t count_;
  size_t channels_ = 0, pixels_ = 0;
  void* memory_ = nullptr;
};

// ---- problems -------------------------------------------------------------------------------

struct Case {
  const char* name;
  DType dtype;
  int64_t batch, in_channels, in_h, in_w, out_channels, kernel_h, kernel_w, group, offset_group;
  bool channels_last, float32_coordinates;
  dcn::cuda::Options options;
};

constexpr DType kHalf = DType::kFloat16, kBrain = DType::kBFloat16, kFloat = DType::kFloat32,
                kDouble = DType::kFloat64;
constexpr dcn::cuda::Options kFast{}, kTf32{true, false, false}, kPlain{false, false, true},
    kFixedOrder{false, true, false};

const Case kForward[] = {
    {"many channels a segment, two segments", kHalf, 2, 64, 10, 11, 40, 3, 2, 1, 2, false, false,
     kFast},
    {"one channel a segment", kHalf, 1, 40, 12, 11, 66, 3, 3, 1, 40, true, true, kFast},
    {"one vector a segment", kBrain, 2, 16, 12, 13, 10, 3, 3, 1, 2, false, false, kFast},
    {"two vectors a segment", kBrain, 2, 64, 9, 11, 72, 2, 3, 1, 4, false, false, kFast},
    {"groups straddle offset groups", kHalf, 1, 72, 9, 17, 144, 3, 2, 2, 3, false, false, kFast},
    {"wide output", kBrain, 1, 64, 9, 16, 264, 2, 2, 1, 1, true, false, kFast},
    {"one long sum", kHalf, 1, 96, 6, 7, 24, 3, 3, 1, 1, false, false, kFast},
    {"float32", kFloat, 2, 32, 10, 11, 72, 3, 2, 1, 2, false, false, kFast},
    {"float32, small segments", kFloat, 1, 48, 12, 13, 136, 3, 2, 1, 8, false, false, kFast},
    {"TF32", kFloat, 1, 48, 9, 16, 130, 3, 2, 1, 1, true, false, kTf32},
    {"small groups", kHalf, 2, 12, 9, 8, 24, 3, 2, 12, 3, false, false, kFast},
    {"plain", kHalf, 2, 10, 9, 8, 70, 3, 2, 2, 1, false, false, kPlain},
    {"float64", kDouble, 2, 10, 9, 8, 70, 3, 2, 1, 5, false, false, kFast},
};

const Case kBackward[] = {
    {"many channels a segment", kHalf, 2, 64, 10, 11, 40, 3, 2, 1, 2, false, false, kFast},
    {"many output channels", kBrain, 1, 40, 9, 10, 328, 2, 2, 1, 1, false, false, kFast},
    {"one channel a segment", kHalf, 1, 40, 12, 11, 66, 3, 3, 1, 40, false, true, kFast},
    {"groups straddle offset groups", kBrain, 1, 72, 9, 17, 48, 3, 2, 2, 3, false, false, kFast},
    {"float32", kFloat, 2, 32, 10, 11, 72, 3, 2, 1, 2, false, false, kFast},
    {"float32, many output channels", kFloat, 1, 24, 12, 13, 264, 3, 2, 1, 8, false, false, kFast},
    {"TF32", kFloat, 1, 48, 9, 16, 70, 3, 2, 1, 1, false, false, kTf32},
    {"several runs, images and rounds", kHalf, 3, 16, 12, 14, 50, 2, 2, 1, 1, false, false, kFast},
    {"groups of several images", kBrain, 3, 48, 9, 10, 280, 3, 2, 2, 2, false, true, kFast},
    {"in a fixed order", kHalf, 2, 32, 9, 8, 40, 3, 2, 1, 2, false, false, kFixedOrder},
    {"plain", kHalf, 2, 10, 9, 8, 70, 3, 2, 2, 1, false, false, kPlain},
    {"float64", kDouble, 2, 10, 9, 8, 70, 3, 2, 1, 5, false, false, kFast},
};

dcn::Problem problem_of(const Case& c) {
  dcn::Problem p;
  p.dtype = c.dtype, p.coordinate_dtype = c.float32_coordinates ? kFloat : c.dtype;
  p.has_bias = p.has_mask = true;
  p.batch = c.batch, p.in_channels = c.in_channels, p.in_h = c.in_h, p.in_w = c.in_w;
  p.out_channels = c.out_channels, p.kernel_h = c.kernel_h, p.kernel_w = c.kernel_w;
  p.group = c.group, p.offset_group = c.offset_group;
  p.pad_top = 1, p.pad_left = 0, p.pad_bottom = 1, p.pad_right = 1;
  p.out_h = p.in_h + p.pad_top + p.pad_bottom - p.kernel_h + 1;
  p.out_w = p.in_w + p.pad_left + p.pad_right - p.kernel_w + 1;
  return p;
}

double tolerance(const Case& c) {
  switch (c.dtype) {
    case DType::kFloat16: return 5e-4;
    case DType::kBFloat16: return 5e-3;
    case DType::kFloat32: return c.options.allow_tf32 ? 1e-3 : 2e-6;
    default: return 1e-14;
  }
}

struct Tensors {
  Tensor input, weight, offset, bias, mask;
  reference::Tensors values;

  explicit Tensors(const Case& c, const dcn::Problem& p)
      : input(p.dtype, p.batch * p.in_channels * p.in_pixels()),
        weight(p.dtype, p.out_channels * p.group_in_channels() * p.taps()),
        offset(p.coordinate_dtype, p.batch * 2 * p.offset_group * p.taps() * p.out_pixels()),
        bias(p.dtype, p.out_channels),
        mask(p.coordinate_dtype, p.batch * p.offset_group * p.taps() * p.out_pixels()) {
    if (c.channels_last) input.lie_channels_last(p.in_channels, p.in_pixels());
    values = {input.fill(1), weight.fill(1), offset.fill(2), bias.fill(1), mask.fill(0.5, 0.5)};
  }
};

// ---- judgement ------------------------------------------------------------------------------

int checks = 0;

// NaN is wrong too.
void check(const Case& c, const char* what, const Values& got, const Values& expected, double allowed) {
  double error = 0, size = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    error += (got[i] - expected[i]) * (got[i] - expected[i]);
    size += expected[i] * expected[i];
  }
  ++checks;
  if (std::sqrt(error) <= allowed * std::sqrt(size)) return;
  std::printf("%s of \"%s\": relative error %.3g\n", what, c.name, std::sqrt(error / size));
  std::exit(1);
}

void check(const Case& c, const dcn::Status& status) {
  if (status.ok()) return;
  std::printf("\"%s\": %s\n", c.name, status.message.c_str());
  std::exit(1);
}

void run_forward(const Case& c) {
  const dcn::Problem p = problem_of(c);
  const Tensors t(c, p);
  Tensor output(p.dtype, p.batch * p.out_channels * p.out_pixels());
  if (c.channels_last) output.lie_channels_last(p.out_channels, p.out_pixels());
  const Tensor workspace(kHalf, dcn::cuda::workspace_bytes(p, c.options) / 2 + 1);
  dcn::ForwardArgs args;
  args.input = t.input.data(), args.weight = t.weight.data(), args.offset = t.offset.data();
  args.bias = t.bias.data(), args.mask = t.mask.data(), args.output = output.data();
  args.channels_last = c.channels_last;
  check(c, dcn::cuda::forward(p, args, c.options, workspace.data(), nullptr));
  check(c, "output", output.values(), reference::forward(p, t.values), tolerance(c));
}

void run_backward(const Case& c) {
  const dcn::Problem p = problem_of(c);
  const Tensors t(c, p);
  Tensor grad_output(p.dtype, p.batch * p.out_channels * p.out_pixels());
  const Values grad_values = grad_output.fill(1);
  const Tensor workspace(kHalf, dcn::cuda::backward_workspace_bytes(p, c.options) / 2 + 1);
  const Tensor input(p.dtype, t.values.input.size()), weight(p.dtype, t.values.weight.size());
  const Tensor offset(p.coordinate_dtype, t.values.offset.size()), bias(p.dtype, p.out_channels);
  const Tensor mask(p.coordinate_dtype, t.values.mask.size());
  dcn::BackwardArgs args;
  args.grad_output = grad_output.data();
  args.input = t.input.data(), args.weight = t.weight.data(), args.offset = t.offset.data();
  args.mask = t.mask.data();
  args.grad_input = input.data(), args.grad_weight = weight.data(), args.grad_offset = offset.data();
  args.grad_bias = bias.data(), args.grad_mask = mask.data();
  check(c, dcn::cuda::backward(p, args, c.options, workspace.data(), nullptr));
  const reference::Gradients expected = reference::backward(p, t.values, grad_values);
  const double allowed = c.dtype == kDouble ? 1e-13 : 2 * tolerance(c);
  check(c, "grad_input", input.values(), expected.input, allowed);
  check(c, "grad_weight", weight.values(), expected.weight, allowed);
  check(c, "grad_offset", offset.values(), expected.offset, allowed);
  check(c, "grad_bias", bias.values(), expected.bias, allowed);
  check(c, "grad_mask", mask.values(), expected.mask, allowed);
}

template <class Cases>
void run_all(const Cases& cases, void (*run)(const Case&)) {
  for (const Case& c : cases) {
    random_state = 1;
    run(c);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) chosen_mutation = std::atoi(argv[1]);
  if (argc > 3) emulator_seed(std::strtoull(argv[3], nullptr, 10));
  const bool backward_first = argc > 2 && std::strcmp(argv[2], "backward") == 0;
  if (backward_first) run_all(kBackward, run_backward);
  run_all(kForward, run_forward);
  if (!backward_first) run_all(kBackward, run_backward);
  std::printf("%d right\n", checks);
  return 0;
}
