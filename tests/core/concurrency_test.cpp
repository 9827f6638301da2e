// Many callers at a time, as a host with several sessions has: each must get its own answer, bit for
// bit the one that it gets alone. Callers share the packed weights and the store of scratch memory, and
// their problems differ in size, so that blocks of the store change hands. Prints one line per failure;
// exit status 1 if there was one. With -DDCN_SANITIZE=thread, ThreadSanitizer watches.
#include <atomic>
#include <cstdio>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include "deform_conv.h"

namespace {

using Floats = std::vector<float>;

constexpr int kCallers = 6;
constexpr int kRounds = 12;

Floats random_floats(int64_t count, std::mt19937& random) {
  std::normal_distribution<float> normal;
  Floats values(count);
  for (float& value : values) value = normal(random);
  return values;
}

// A caller's own two threads.
dcn::Executor two_threads() {
  dcn::Executor executor;
  executor.threads = 2;
  executor.parallel_for = [](void*, int64_t count, void (*f)(void*, int64_t), void* arg) {
    std::atomic<int64_t> next{0};
    const auto work = [&] {
      for (int64_t i; (i = next++) < count;) f(arg, i);
    };
    std::thread other(work);
    work();
    other.join();
  };
  return executor;
}

struct Caller {
  dcn::Problem problem;
  Floats input, weight, offset, mask, grad_output;
  std::vector<char> packed;

  Caller(int64_t batch, int64_t height, int64_t width, int64_t group, unsigned seed) {
    const int64_t channels = 24, outs = 20, offset_group = 2, taps = 9;
    const dcn::TensorInfo infos[dcn::kInputCount] = {
        {true, dcn::DType::kFloat32, true, {batch, channels, height, width}},
        {true, dcn::DType::kFloat32, true, {outs, channels / group, 3, 3}},
        {true, dcn::DType::kFloat32, true, {batch, 2 * offset_group * taps, height, width}},
        {},
        {true, dcn::DType::kFloat32, true, {batch, offset_group * taps, height, width}}};
    dcn::Attributes attributes;
    attributes.pads = {1, 1, 1, 1};
    attributes.group = group;
    attributes.offset_group = offset_group;
    const dcn::Status status = dcn::check(attributes, infos, &problem);
    if (!status.ok()) std::printf("refused: %s\n", status.message.c_str());
    std::mt19937 random(seed);
    input = random_floats(batch * channels * height * width, random);
    weight = random_floats(outs * channels / group * taps, random);
    mask = random_floats(batch * offset_group * taps * height * width, random);
    offset = random_floats(2 * mask.size(), random);
    grad_output = random_floats(batch * outs * height * width, random);
    packed.resize(dcn::cpu::packed_weight_bytes(problem));
    dcn::cpu::pack_weight(problem, weight.data(), packed.data(), two_threads());
  }

  // Output and gradients, one after the other.
  Floats results() const {
    const size_t sizes[] = {grad_output.size(), input.size(), weight.size(), offset.size(),
                            mask.size()};
    size_t total = 0;
    for (size_t size : sizes) total += size;
    Floats all(total);
    float* parts[5];
    total = 0;
    for (int i = 0; i < 5; ++i) {
      parts[i] = all.data() + total;
      total += sizes[i];
    }
    dcn::ForwardArgs forward;
    forward.input = input.data();
    forward.packed_weight = packed.data();
    forward.offset = offset.data();
    forward.mask = mask.data();
    forward.output = parts[0];
    dcn::cpu::forward(problem, forward, two_threads());
    dcn::BackwardArgs backward;
    backward.grad_output = grad_output.data();
    backward.input = input.data();
    backward.weight = weight.data();
    backward.offset = offset.data();
    backward.mask = mask.data();
    backward.grad_input = parts[1];
    backward.grad_weight = parts[2];
    backward.grad_offset = parts[3];
    backward.grad_mask = parts[4];
    dcn::cpu::backward(problem, backward, two_threads());
    return all;
  }
};

}  // namespace

int main() {
  const Caller problems[] = {{1, 9, 11, 1, 1}, {2, 17, 14, 2, 2}, {3, 5, 23, 4, 3}, {1, 31, 29, 1, 4}};
  std::vector<Floats> alone;
  for (const Caller& problem : problems) alone.push_back(problem.results());

  std::atomic<int> failures{0};
  std::vector<std::thread> callers;
  for (int caller = 0; caller < kCallers; ++caller)
    callers.emplace_back([&, caller] {
      for (int round = 0; round < kRounds; ++round) {
        const size_t i = (caller + round) % alone.size();
        const Floats results = problems[i].results();
        if (std::memcmp(results.data(), alone[i].data(), results.size() * sizeof(float)) == 0) continue;
        std::printf("caller %d, round %d: problem %zu differs from when it ran alone\n", caller, round,
                    i);
        ++failures;
      }
    });
  for (std::thread& caller : callers) caller.join();
  std::printf("%s: %d concurrent runs, %d failures\n", dcn::cpu::instruction_set(), kCallers * kRounds,
              failures.load());
  return failures != 0;
}
