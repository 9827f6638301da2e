// The core by itself, without any framework: forward and backward against a plain loop in double, on
// buffers of exactly the right size, so that AddressSanitizer sees every access that strays. Prints
// one line per failure; exit status 1 if there was one. With --instruction-set it only says which
// build of the kernels it would run.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <random>
#include <thread>
#include <vector>

#include "deform_conv.h"
#include "dtype.h"

namespace {

using dcn::Problem;
using Values = std::vector<double>;

struct TestCase {
  const char* name;
  int64_t batch, channels, outs, height, width;
  int64_t kernel_h, kernel_w;
  std::vector<int64_t> strides, pads, dilations;
  int64_t group, offset_group;
  bool bias, mask;
};

const TestCase kCases[] = {
    {"asymmetric", 2, 12, 8, 9, 11, 3, 2, {2, 1}, {1, 0, 2, 1}, {2, 1}, 2, 3, true, true},
    {"straddling groups", 1, 20, 8, 13, 7, 2, 3, {1, 2}, {0, 1, 2, 3}, {1, 2}, 4, 10, false, true},
    {"depthwise", 1, 9, 9, 11, 13, 3, 3, {1, 1}, {1, 1, 1, 1}, {1, 1}, 9, 3, true, false},
    {"odd channels", 1, 37, 50, 14, 13, 3, 3, {1, 1}, {1, 1, 1, 1}, {1, 1}, 1, 1, true, true},
    {"four channels per offset group",
     1,
     64,
     33,
     9,
     14,
     3,
     3,
     {1, 1},
     {1, 1, 1, 1},
     {1, 1},
     1,
     16,
     false,
     false},
    {"many taps", 1, 3, 2, 12, 11, 9, 8, {1, 1}, {2, 3, 4, 1}, {1, 1}, 1, 1, true, true},
    {"deep", 1, 600, 5, 4, 5, 3, 3, {1, 1}, {1, 1, 1, 1}, {1, 1}, 1, 1, true, true},
    {"two output blocks", 1, 5, 530, 4, 5, 3, 2, {1, 1}, {1, 1, 1, 1}, {1, 1}, 1, 1, true, true},
    {"one pixel", 3, 1, 1, 1, 1, 1, 1, {1, 1}, {0, 0, 0, 0}, {1, 1}, 1, 1, false, false},
    {"no image", 0, 6, 4, 5, 6, 3, 2, {1, 1}, {1, 1, 1, 1}, {1, 1}, 2, 3, true, true},
    {"several tiles", 2, 8, 7, 31, 29, 3, 3, {1, 1}, {1, 1, 1, 1}, {1, 1}, 1, 2, true, true},
};

// A tensor in its storage type, on a buffer of exactly its size, and the values it holds.
template <class T>
struct Tensor {
  std::vector<T> stored;
  Values values;

  explicit Tensor(const Values& wanted) : stored(wanted.size()), values(wanted.size()) {
    for (size_t i = 0; i < wanted.size(); ++i) {
      stored[i] = dcn::Store<T>::from(static_cast<dcn::Arithmetic<T>>(wanted[i]));
      values[i] = dcn::load(stored[i]);
    }
  }
};

Values random_values(int64_t count, double scale, std::mt19937& random) {
  std::normal_distribution<double> normal(0, scale);
  Values values(count);
  for (double& value : values) value = normal(random);
  return values;
}

// What the operation says, one sample at a time. With `grad`, adds to the gradients instead.
struct Plain {
  const Problem& p;
  const Values &input, &weight, &offset;
  const Values *bias, *mask;
  Values output;
  Values grad_input, grad_weight, grad_offset, grad_bias, grad_mask;

  // Value and derivatives of the image at (y, x); adds `add` times the corners' weights to grad.
  void sample(int64_t plane, double y, double x, double* value, double* dy, double* dx, double add,
              double* touched) {
    *value = *dy = *dx = *touched = 0;
    if (!(y > -1 && y < p.in_h && x > -1 && x < p.in_w)) return;
    const double top = std::floor(y), left = std::floor(x), fy = y - top, fx = x - left;
    for (int i = 0; i < 4; ++i) {
      const int64_t row = static_cast<int64_t>(top) + i / 2,
                    column = static_cast<int64_t>(left) + i % 2;
      if (row < 0 || row >= p.in_h || column < 0 || column >= p.in_w) continue;
      const double wy = i / 2 ? fy : 1 - fy, wx = i % 2 ? fx : 1 - fx;
      const int64_t at = plane * p.in_pixels() + row * p.in_w + column;
      *value += wy * wx * input[at];
      *dy += (i / 2 ? 1 : -1) * wx * input[at];
      *dx += (i % 2 ? 1 : -1) * wy * input[at];
      if (add != 0) grad_input[at] += add * wy * wx;
      *touched = 1;
    }
  }

  void run(const Values* grad_output) {
    output.assign(p.batch * p.out_channels * p.out_pixels(), 0);
    grad_input.assign(input.size(), 0);
    grad_weight.assign(weight.size(), 0);
    grad_offset.assign(offset.size(), 0);
    grad_bias.assign(p.out_channels, 0);
    grad_mask.assign(offset.size() / 2, 0);
    const int64_t taps = p.taps(), pixels = p.out_pixels();
    for (int64_t n = 0; n < p.batch; ++n)
      for (int64_t o = 0; o < p.out_channels; ++o)
        for (int64_t pixel = 0; pixel < pixels; ++pixel) {
          const int64_t out_at = (n * p.out_channels + o) * pixels + pixel;
          const double grad = grad_output ? (*grad_output)[out_at] : 0;
          output[out_at] += bias ? (*bias)[o] : 0;
          grad_bias[o] += grad;
          for (int64_t c = 0; c < p.group_in_channels(); ++c)
            for (int64_t tap = 0; tap < taps; ++tap) {
              const int64_t channel = o / p.group_out_channels() * p.group_in_channels() + c;
              const int64_t row =
                  (n * p.offset_group + channel / (p.in_channels / p.offset_group)) * taps + tap;
              const int64_t at_y = 2 * row * pixels + pixel, at_x = at_y + pixels,
                            at_mask = row * pixels + pixel;
              const double y = pixel / p.out_w * p.stride_h - p.pad_top +
                               tap / p.kernel_w * p.dilation_h + offset[at_y];
              const double x = pixel % p.out_w * p.stride_w - p.pad_left +
                               tap % p.kernel_w * p.dilation_w + offset[at_x];
              const int64_t at_weight = (o * p.group_in_channels() + c) * taps + tap;
              const double w = weight[at_weight], m = mask ? (*mask)[at_mask] : 1;
              double value, dy, dx, touched;
              sample(n * p.in_channels + channel, y, x, &value, &dy, &dx, grad * w * m, &touched);
              output[out_at] += w * m * value;
              grad_weight[at_weight] += grad * m * value;
              grad_mask[at_mask] += grad * w * value;
              grad_offset[at_y] += grad * w * m * dy;
              grad_offset[at_x] += grad * w * m * dx;
            }
        }
  }
};

dcn::Executor threads_executor() {
  dcn::Executor executor;
  executor.threads = 3;
  executor.parallel_for = [](void*, int64_t count, void (*f)(void*, int64_t), void* arg) {
    std::vector<std::thread> threads;
    for (int64_t t = 0; t < 3; ++t)
      threads.emplace_back([=] {
        for (int64_t i = t; i < count; i += 3) f(arg, i);
      });
    for (std::thread& thread : threads) thread.join();
  };
  return executor;
}

int failures = 0;

template <class T>
void compare(const char* what, const std::string& where, const std::vector<T>& actual,
             const Values& wanted, double tolerance) {
  double error = 0, norm = 0;
  for (size_t i = 0; i < wanted.size(); ++i) {
    const double difference = dcn::load(actual[i]) - wanted[i];
    error += difference * difference;
    norm += wanted[i] * wanted[i];
  }
  error = std::sqrt(error) / std::max(std::sqrt(norm), 1e-30);
  if (error <= tolerance) return;  // false for NaN
  std::printf("%s: %s: relative error %.2e, expected at most %.1e\n", where.c_str(), what, error,
              tolerance);
  ++failures;
}

template <class T>
void run(const TestCase& test, dcn::DType dtype, double tolerance, double bad_offset) {
  std::mt19937 random(1);
  Problem sizes;
  sizes.in_h = test.height;
  const auto out = [&](int axis, int64_t in, int64_t kernel) {
    return (in + test.pads[axis] + test.pads[axis + 2] - test.dilations[axis] * (kernel - 1) - 1) /
               test.strides[axis] +
           1;
  };
  const int64_t out_h = out(0, test.height, test.kernel_h), out_w = out(1, test.width, test.kernel_w);
  const int64_t taps = test.kernel_h * test.kernel_w, rows = test.offset_group * taps;
  const int64_t group_in = test.channels / test.group;
  const Tensor<T> input(
      random_values(test.batch * test.channels * test.height * test.width, 1, random));
  const Tensor<T> weight(
      random_values(test.outs * group_in * taps, 1 / std::sqrt(1.0 * group_in * taps), random));
  Values offsets = random_values(test.batch * 2 * rows * out_h * out_w, 3, random);
  if (bad_offset != 0)
    for (size_t i = 0; i < offsets.size(); i += 3) offsets[i] = bad_offset;
  const Tensor<T> offset(offsets);
  const Tensor<T> bias(random_values(test.outs, 1, random));
  const Tensor<T> mask(random_values(test.batch * rows * out_h * out_w, 1, random));
  const Tensor<T> grad_output(random_values(test.batch * test.outs * out_h * out_w, 1, random));

  dcn::Attributes attributes;
  attributes.strides = test.strides;
  attributes.pads = test.pads;
  attributes.dilations = test.dilations;
  attributes.group = test.group;
  attributes.offset_group = test.offset_group;
  const dcn::TensorInfo infos[dcn::kInputCount] = {
      {true, dtype, true, {test.batch, test.channels, test.height, test.width}},
      {true, dtype, true, {test.outs, group_in, test.kernel_h, test.kernel_w}},
      {true, dtype, true, {test.batch, 2 * rows, out_h, out_w}},
      {test.bias, dtype, true, {test.outs}},
      {test.mask, dtype, true, {test.batch, rows, out_h, out_w}}};
  Problem problem;
  const dcn::Status status = dcn::check(attributes, infos, &problem);
  const std::string where = std::string(test.name) + ", " + dcn::name_of(dtype) + ", " +
                            dcn::cpu::instruction_set() +
                            (bad_offset != 0 ? ", offsets " + std::to_string(bad_offset) : "");
  if (!status.ok()) {
    std::printf("%s: refused: %s\n", where.c_str(), status.message.c_str());
    ++failures;
    return;
  }

  Plain plain{problem,
              input.values,
              weight.values,
              offset.values,
              test.bias ? &bias.values : nullptr,
              test.mask ? &mask.values : nullptr,
              {},
              {},
              {},
              {},
              {},
              {}};
  plain.run(&grad_output.values);

  const dcn::Executor executor = threads_executor();
  std::vector<char> packed(dcn::cpu::packed_weight_bytes(problem));
  dcn::cpu::pack_weight(problem, weight.stored.data(), packed.data(), executor);
  std::vector<T> output(plain.output.size());
  dcn::ForwardArgs forward;
  forward.input = input.stored.data();
  forward.packed_weight = packed.data();
  forward.offset = offset.stored.data();
  forward.bias = test.bias ? bias.stored.data() : nullptr;
  forward.mask = test.mask ? mask.stored.data() : nullptr;
  forward.output = output.data();
  dcn::cpu::forward(problem, forward, executor);
  compare("output", where, output, plain.output, tolerance);

  std::vector<T> grad_input(plain.grad_input.size()), grad_weight(plain.grad_weight.size()),
      grad_offset(plain.grad_offset.size()), grad_bias(plain.grad_bias.size()),
      grad_mask(plain.grad_mask.size());
  dcn::BackwardArgs backward;
  backward.grad_output = grad_output.stored.data();
  backward.input = input.stored.data();
  backward.weight = weight.stored.data();
  backward.offset = offset.stored.data();
  backward.mask = forward.mask;
  backward.grad_input = grad_input.data();
  backward.grad_weight = grad_weight.data();
  backward.grad_offset = grad_offset.data();
  backward.grad_bias = grad_bias.data();
  backward.grad_mask = test.mask ? grad_mask.data() : nullptr;
  dcn::cpu::backward(problem, backward, executor);
  compare("grad_input", where, grad_input, plain.grad_input, 2 * tolerance);
  compare("grad_weight", where, grad_weight, plain.grad_weight, 2 * tolerance);
  compare("grad_offset", where, grad_offset, plain.grad_offset, 2 * tolerance);
  compare("grad_bias", where, grad_bias, plain.grad_bias, 2 * tolerance);
  if (test.mask) compare("grad_mask", where, grad_mask, plain.grad_mask, 2 * tolerance);
}

// What pads the channels takes no part: an infinite mask makes infinite outputs, where its product with
// a zero would make NaN.
template <class T>
void run_infinite_mask(int64_t channels, dcn::DType dtype) {
  const dcn::TensorInfo infos[dcn::kInputCount] = {{true, dtype, true, {1, channels, 2, 2}},
                                                   {true, dtype, true, {1, channels, 1, 1}},
                                                   {true, dtype, true, {1, 2, 1, 1}},
                                                   {},
                                                   {true, dtype, true, {1, 1, 1, 1}}};
  dcn::Attributes attributes;
  attributes.strides = {2, 2};
  Problem problem;
  dcn::check(attributes, infos, &problem);
  const Tensor<T> input(Values(channels * 4, 1)), weight(Values(channels, 1)), offset({0.5, 0.5}),
      mask({std::numeric_limits<double>::infinity()});
  std::vector<T> output(1);
  dcn::ForwardArgs forward;
  forward.input = input.stored.data();
  forward.weight = weight.stored.data();
  forward.offset = offset.stored.data();
  forward.mask = mask.stored.data();
  forward.output = output.data();
  dcn::cpu::forward(problem, forward, threads_executor());
  const double value = dcn::load(output[0]);
  if (value > 0 && std::isinf(value)) return;
  std::printf("infinite mask, %d channels, %s, %s: output %g\n", static_cast<int>(channels),
              dcn::name_of(dtype), dcn::cpu::instruction_set(), value);
  ++failures;
}

// Nor in the backward pass: where one tap's mask is infinite, the next tap's weight has a gradient. Two
// taps of one pixel of a depthwise layer whose channels have offsets of their own.
template <class T>
void run_infinite_mask_of_a_tap(int64_t channels, dcn::DType dtype) {
  const dcn::TensorInfo infos[dcn::kInputCount] = {{true, dtype, true, {1, channels, 1, 2}},
                                                   {true, dtype, true, {channels, 1, 1, 2}},
                                                   {true, dtype, true, {1, 4 * channels, 1, 1}},
                                                   {},
                                                   {true, dtype, true, {1, 2 * channels, 1, 1}}};
  dcn::Attributes attributes;
  attributes.group = attributes.offset_group = channels;
  Problem problem;
  dcn::check(attributes, infos, &problem);
  Values masks(2 * channels, 1);
  for (int64_t c = 0; c < channels; ++c) masks[2 * c] = std::numeric_limits<double>::infinity();
  const Tensor<T> input(Values(2 * channels, 3)), weight(Values(2 * channels, 1)),
      offset(Values(4 * channels, 0)), mask(masks), grad_output(Values(channels, 1));
  std::vector<T> grad_weight(2 * channels);
  dcn::BackwardArgs backward;
  backward.grad_output = grad_output.stored.data();
  backward.input = input.stored.data();
  backward.weight = weight.stored.data();
  backward.offset = offset.stored.data();
  backward.mask = mask.stored.data();
  backward.grad_weight = grad_weight.data();
  dcn::cpu::backward(problem, backward, threads_executor());
  for (int64_t c = 0; c < channels; ++c) {
    const double value = dcn::load(grad_weight[2 * c + 1]);
    if (value == 3) continue;
    std::printf("infinite mask of a tap, %d channels, %s, %s: gradient of weight %d is %g, not 3\n",
                static_cast<int>(channels), dcn::name_of(dtype), dcn::cpu::instruction_set(),
                static_cast<int>(c), value);
    ++failures;
  }
}

}  // namespace

int main(int count, char** arguments) {
  if (count > 1 && std::strcmp(arguments[1], "--instruction-set") == 0) {
    std::puts(dcn::cpu::instruction_set());
    return 0;
  }
  const double infinity = std::numeric_limits<double>::infinity();
  int runs = 0;
  for (const TestCase& test : kCases)
    for (double bad : {0.0, std::nan(""), infinity, -infinity, 1e30, -1e30, 3e4}) {
      run<float>(test, dcn::DType::kFloat32, 1e-6, bad);
      run<double>(test, dcn::DType::kFloat64, 1e-14, bad);
      run<dcn::Float16>(test, dcn::DType::kFloat16, 5e-4, bad);
      run<dcn::BFloat16>(test, dcn::DType::kBFloat16, 5e-3, bad);
      runs += 4;
    }
  for (int64_t channels : {1, 3, 5, 37}) {
    run_infinite_mask<float>(channels, dcn::DType::kFloat32);
    run_infinite_mask<double>(channels, dcn::DType::kFloat64);
    run_infinite_mask<dcn::Float16>(channels, dcn::DType::kFloat16);
    run_infinite_mask<dcn::BFloat16>(channels, dcn::DType::kBFloat16);
    runs += 4;
  }
  for (int64_t channels : {2, 3}) {
    run_infinite_mask_of_a_tap<float>(channels, dcn::DType::kFloat32);
    run_infinite_mask_of_a_tap<double>(channels, dcn::DType::kFloat64);
    run_infinite_mask_of_a_tap<dcn::Float16>(channels, dcn::DType::kFloat16);
    run_infinite_mask_of_a_tap<dcn::BFloat16>(channels, dcn::DType::kBFloat16);
    runs += 4;
  }
  std::printf("%s: %d runs, %d failures\n", dcn::cpu::instruction_set(), runs, failures);
  return failures != 0;
}
