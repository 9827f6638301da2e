// Each thing that a kernel can do, against the plain computation of the same. Prints what is wrong and
// exits with 1, or prints how many things were right.
#include <cuda_runtime.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <set>
#include <vector>

#include "coordinates.h"
#include "dtype.h"
#include "run_kernel.h"
#include "sampling.h"
#include "warp.h"

extern "C" void emulator_set_device(int major, int minor, int processors);
extern "C" void emulator_fail(int error);
extern "C" int64_t emulator_launches();
extern "C" int64_t emulator_launches_on(void* stream);
extern "C" int64_t emulator_stalls();

namespace dcn::cuda {

// ---- products: out [16, 8] = first [16, 8] + a [16, depth] * b [depth, 8] -------------------

constexpr int kRows = 16, kColumns = 8, kHalfDepth = 16, kTf32Depth = 8;

// The fragments as a matrix load gives them.
template <class T>
__global__ void __launch_bounds__(32)
    multiply_halves(const T* a, const T* b, const float* first, float* out) {
  extern __shared__ __align__(16) unsigned char shared_memory[];
  T* tile_a = reinterpret_cast<T*>(shared_memory);
  T* tile_b = tile_a + kRows * kHalfDepth;
  const int lane = static_cast<int>(threadIdx.x);
  copy_async(tile_a + lane * 8, a + lane * 8, true);
  copy_async(tile_b + lane % 16 * 8, b + lane % 16 * 8, true);
  commit_copies();
  wait_copies<0>();
  sync_warp();
  uint32_t part_a[4], both_b[4], d_index[4];
  load_matrices(part_a, tile_a + lane % 16 * kHalfDepth + lane / 16 * 8);
  load_matrices_transposed(both_b, tile_b + lane % 16 * kColumns);
  const uint32_t part_b[2] = {both_b[0], both_b[1]};
  float d[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    d_index[i] = static_cast<uint32_t>((lane / 4 + i / 2 * 8) * kColumns + lane % 4 * 2 + i % 2);
    d[i] = first[d_index[i]];
  }
  multiply_add<T>(d, part_a, part_b);
  for (int i = 0; i < 4; ++i) out[d_index[i]] = d[i];
}

__global__ void __launch_bounds__(32)
    multiply_tf32(const float* a, const float* b, const float* first, float* out) {
  const int lane = static_cast<int>(threadIdx.x), row = lane / 4, k = lane % 4;
  const uint32_t part_a[4] = {to_tf32(a[row * kTf32Depth + k]), to_tf32(a[(row + 8) * kTf32Depth + k]),
                              to_tf32(a[row * kTf32Depth + k + 4]),
                              to_tf32(a[(row + 8) * kTf32Depth + k + 4])};
  const uint32_t part_b[2] = {to_tf32(b[k * kColumns + row]), to_tf32(b[(k + 4) * kColumns + row])};
  float d[4];
  for (int i = 0; i < 4; ++i) d[i] = first[(row + i / 2 * 8) * kColumns + k * 2 + i % 2];
  multiply_add_tf32(d, part_a, part_b);
  for (int i = 0; i < 4; ++i) out[(row + i / 2 * 8) * kColumns + k * 2 + i % 2] = d[i];
}

// ---- loads of matrices ----------------------------------------------------------------------

__global__ void load_four(const uint16_t* in, uint32_t* straight, uint32_t* transposed) {
  extern __shared__ __align__(16) unsigned char shared_memory[];
  auto* elements = reinterpret_cast<uint16_t*>(shared_memory);
  const int lane = static_cast<int>(threadIdx.x);
  for (int i = lane; i < 256; i += 32) elements[i] = in[i];
  sync_warp();
  uint32_t d[4];
  load_matrices(d, elements + lane * 8);
  for (int i = 0; i < 4; ++i) straight[lane * 4 + i] = d[i];
  load_matrices_transposed(d, elements + lane * 8);
  for (int i = 0; i < 4; ++i) transposed[lane * 4 + i] = d[i];
}

// ---- shuffles -------------------------------------------------------------------------------

template <class T>
__global__ void sum_of_warp(const T* in, T* out) {
  T value = in[threadIdx.x];
  for (int lane_mask = 16; lane_mask > 0; lane_mask /= 2) value += shuffle_xor(value, lane_mask);
  out[threadIdx.x] = value;
}

__global__ void votes(const int* says_yes, int* before, int* all) {
  const Votes votes = vote(says_yes[threadIdx.x] != 0);
  before[threadIdx.x] = votes.before, all[threadIdx.x] = votes.all;
}

// ---- asynchronous copies --------------------------------------------------------------------

struct Seen {
  float before, group_missing, group_there, zero;
};

__global__ void copies(const float* in, Seen* seen) {
  extern __shared__ __align__(16) unsigned char shared_memory[];
  auto* values = reinterpret_cast<float*>(shared_memory);
  for (int i = 0; i < 12; ++i) values[i] = -1;
  copy_async(values, in, true);
  commit_copies();
  seen->before = values[0];
  copy_async(values + 4, in + 4, true);
  copy_async(values + 8, nullptr, false);
  commit_copies();
  wait_copies<1>();
  seen->group_there = values[3];
  seen->group_missing = values[4];
  wait_copies<0>();
  seen->zero = values[11];
}

// ---- blocks, atomics, shared memory ---------------------------------------------------------

__global__ void count(float* sum, double* wide, float* four, int* last_block, uint64_t* order) {
  add(sum, 1);
  add(wide, 0.5);
  add4(four, make_float4(1, 2, 3, 4));
  if (threadIdx.x == 0) *order = *order * 31 + blockIdx.x + gridDim.x * (blockIdx.y + 2 * blockIdx.z);
  *last_block += blockIdx.x == gridDim.x - 1;
}

// What a warp may find that the others wrote before a barrier, and after which order of warps.
__global__ void barriers(int* out, int* orders) {
  extern __shared__ __align__(16) unsigned char shared_memory[];
  auto* values = reinterpret_cast<int*>(shared_memory);
  const int thread = static_cast<int>(threadIdx.x), count = static_cast<int>(blockDim.x);
  for (int round = 0; round < 20; ++round) {
    values[thread] = thread * 7 + round;
    __syncthreads();
    out[thread] += values[count - 1 - thread] == (count - 1 - thread) * 7 + round;
    if (thread % 32 == 0) orders[round] = orders[round] * 8 + thread / 32;
    __syncthreads();
  }
}

__global__ void first_sight(float* out) {
  extern __shared__ __align__(16) unsigned char shared_memory[];
  const auto* values = reinterpret_cast<const float*>(shared_memory);
  out[threadIdx.x] = values[threadIdx.x];
}

}  // namespace dcn::cuda

namespace {

using namespace dcn::cuda;

int right = 0, wrong = 0;

void expect(bool holds, const char* what) {
  ++(holds ? right : wrong);
  if (!holds) std::printf("wrong: %s\n", what);
}

// Small integers and their halves, another for each place: sums of products are exact.
float element(int i, int salt) {
  return static_cast<float>((i * 37 + salt * 11) % 41 - 17) / 2;
}

// Against the sum in double; the result is exact, so nothing is allowed.
template <class T, class Kernel>
void check_product(Kernel kernel, int depth, size_t shared_bytes, const char* what) {
  std::vector<T> a, b;
  std::vector<float> first, out(kRows * kColumns, -1);
  for (int i = 0; i < kRows * depth; ++i) a.push_back(dcn::Store<T>::from(element(i, 1)));
  for (int i = 0; i < depth * kColumns; ++i) b.push_back(dcn::Store<T>::from(element(i, 2)));
  for (int i = 0; i < kRows * kColumns; ++i) first.push_back(element(i, 3));
  run_kernel(kernel, 1, 32, shared_bytes, a.data(), b.data(), first.data(), out.data());
  bool same = true;
  for (int i = 0; i < kRows * kColumns; ++i) {
    double sum = first[i];
    for (int k = 0; k < depth; ++k)
      sum += double{dcn::load(a[i / kColumns * depth + k])} * dcn::load(b[k * kColumns + i % kColumns]);
    same = same && out[i] == sum;
  }
  expect(same, what);
}

// 1 - 2^-25 rounds to 1, and is cut off to what comes before 1. 1 + 2^-24 + 2^-24 is 1 + 2^-23 if no
// bit is lost, and is cut off to 1 twice.
void check_truncation() {
  using dcn::Float16;
  std::vector<Float16> a(kRows * kHalfDepth), b(kHalfDepth * kColumns);
  std::vector<float> first(kRows * kColumns, 1.0f), out(kRows * kColumns);
  a[0] = dcn::Store<Float16>::from(-std::ldexp(1.0f, -13));
  a[kHalfDepth] = a[kHalfDepth + 1] = dcn::Store<Float16>::from(std::ldexp(1.0f, -12));
  b[0] = b[kColumns] = dcn::Store<Float16>::from(std::ldexp(1.0f, -12));
  run_kernel(multiply_halves<Float16>, 1, 32, 1024, a.data(), b.data(), first.data(), out.data());
  expect(out[0] == std::nextafter(1.0f, 0.0f) && out[kColumns] == 1, "products are cut off");
  expect(1.0f - std::ldexp(1.0f, -25) == 1, "afterwards sums are rounded again");
}

void check_products() {
  using dcn::BFloat16;
  using dcn::Float16;
  check_product<Float16>(multiply_halves<Float16>, kHalfDepth, 1024, "fp16");
  check_product<BFloat16>(multiply_halves<BFloat16>, kHalfDepth, 1024, "bf16");
  check_product<float>(multiply_tf32, kTf32Depth, 0, "tf32");
  check_truncation();
}

void check_conversions() {
  const auto tf32 = [](float value) { return dcn::bit_cast<float>(to_tf32(value)); };
  const float step = std::ldexp(1.0f, -10);
  expect(tf32(1 + step / 2) == 1 + step && tf32(-1 - step / 2) == -1 - step,
         "TF32: ties go away from 0");
  expect(tf32(1 + step / 2.001f) == 1, "TF32: below the tie");
  expect(std::isnan(tf32(NAN)) && std::isinf(tf32(INFINITY)), "TF32: NaN and infinity");
  const uint32_t pair = round_pair<dcn::Float16>(1.5f, -2);
  expect((pair & 0xffff) == 0x3e00 && pair >> 16 == 0xc000, "the first of a pair is in the lower half");
  const float2 back = load_pair<dcn::BFloat16>(round_pair<dcn::BFloat16>(3, -0.25f));
  expect(back.x == 3 && back.y == -0.25f, "a pair and back");
}

void check_loads() {
  std::vector<uint16_t> in(256);
  for (int i = 0; i < 256; ++i) in[i] = static_cast<uint16_t>(i * 251 + 3);
  std::vector<uint32_t> straight(128), transposed(128);
  run_kernel(load_four, 1, 32, 512, in.data(), straight.data(), transposed.data());
  bool same = true, same_transposed = true;
  for (int lane = 0; lane < 32; ++lane)
    for (int matrix = 0; matrix < 4; ++matrix) {
      const uint16_t* m = in.data() + matrix * 64;  // [8, 8]
      const int i = lane / 4, j = lane % 4 * 2;
      same = same && straight[lane * 4 + matrix] == (m[i * 8 + j] | uint32_t{m[i * 8 + j + 1]} << 16);
      same_transposed = same_transposed && transposed[lane * 4 + matrix] ==
                                               (m[j * 8 + i] | uint32_t{m[(j + 1) * 8 + i]} << 16);
    }
  expect(same, "load_matrices");
  expect(same_transposed, "load_matrices_transposed");
}

template <class T>
void check_shuffle(const char* what) {
  std::vector<T> in, out(64);
  for (int i = 0; i < 64; ++i) in.push_back(static_cast<T>(i * i));
  run_kernel(sum_of_warp<T>, 1, 64, 0, in.data(), out.data());
  bool same = true;
  for (int i = 0; i < 64; ++i) {
    T sum = 0;
    for (int lane = 0; lane < 32; ++lane) sum += in[i / 32 * 32 + lane];
    same = same && out[i] == sum;
  }
  expect(same, what);
}

void check_votes() {
  std::vector<int> says_yes(64), before(64), all(64);
  for (int i = 0; i < 64; ++i) says_yes[i] = i % 3 == 0 || i == 63;
  run_kernel(votes, 1, 64, 0, says_yes.data(), before.data(), all.data());
  bool same = true;
  for (int i = 0; i < 64; ++i) {
    const auto warp = says_yes.begin() + i / 32 * 32;
    same = same && before[i] == std::count(warp, says_yes.begin() + i, 1) &&
           all[i] == std::count(warp, warp + 32, 1);
  }
  expect(same, "a vote");
}

void check_copies() {
  alignas(16) const float in[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  Seen seen{};
  run_kernel(copies, 1, 1, 48, in, &seen);
  expect(std::isnan(seen.before) && std::isnan(seen.group_missing), "nothing arrives before its wait");
  expect(seen.group_there == 4, "a wait brings the groups before the newest");
  expect(seen.zero == 0, "zeros instead of what is not valid");
}

void check_blocks() {
  float sum = 0;
  double wide = 0;
  alignas(16) float four[4] = {};
  int last_block = 0;
  std::set<uint64_t> orders;
  for (int run = 0; run < 4; ++run) {
    uint64_t order = 0;
    run_kernel(count, dim3(3, 2, 2), dim3(5, 2, 3), 0, &sum, &wide, four, &last_block, &order);
    orders.insert(order);
  }
  expect(sum == 4 * 12 * 30 && wide == 4 * 12 * 15, "every thread of every block adds once");
  expect(four[0] == sum && four[1] == 2 * sum && four[3] == 4 * sum, "four additions at once");
  expect(last_block == 4 * 4 * 30, "blocks know their place");
  expect(orders.size() > 1, "blocks come in random order");
}

void check_barriers() {
  constexpr int kThreads = 128;
  std::vector<int> out(kThreads), orders(20);
  run_kernel(barriers, 1, kThreads, kThreads * sizeof(int), out.data(), orders.data());
  expect(std::count(out.begin(), out.end(), 20) == kThreads, "a barrier shows what others wrote");
  expect(std::set<int>(orders.begin(), orders.end()).size() > 3, "warps come in random order");
}

void check_shared_memory() {
  constexpr int kBytes = 100 << 10;
  std::vector<float> out(32);
  cudaLaunchConfig_t config{};
  config.blockDim = 32;
  config.dynamicSmemBytes = kBytes;
  const auto launch = [&] { return cudaLaunchKernelEx(&config, first_sight, out.data()); };
  const auto ask = [](int bytes) {
    return cudaFuncSetAttribute(first_sight, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  };
  expect(launch() == cudaErrorInvalidValue, "more than 48 KiB must be asked for");
  expect(cudaGetLastError() == cudaErrorInvalidValue && cudaGetLastError() == cudaSuccess,
         "the last error is told once");
  expect(ask(kBytes) == cudaSuccess && launch() == cudaSuccess, "and then is there");
  expect(std::all_of(out.begin(), out.end(), [](float x) { return std::isnan(x); }), "and is NaN");
  emulator_set_device(8, 6, 4);
  expect(ask(kBytes) == cudaErrorInvalidValue, "but not on every device");
  emulator_set_device(9, 0, 4);
  config.blockDim = 1025;
  expect(launch() == cudaErrorInvalidConfiguration, "a block has at most 1024 threads");
}

void check_runtime() {
  auto* stream = reinterpret_cast<cudaStream_t>(0x10);
  const int64_t before = emulator_launches(), stalls = emulator_stalls();
  float* memory = nullptr;
  const float value = 3;
  float back = 0;
  expect(cudaMalloc(reinterpret_cast<void**>(&memory), sizeof value) == cudaSuccess, "memory");
  expect(std::isnan(*memory), "device memory begins as NaN");
  cudaMemcpyAsync(memory, &value, sizeof value, cudaMemcpyHostToDevice, stream);
  cudaMemcpyAsync(&back, memory, sizeof value, cudaMemcpyDeviceToHost, stream);
  cudaMemsetAsync(memory, 0, sizeof value, stream);
  expect(back == 3 && *memory == 0, "copies and fills");
  expect(emulator_launches() == before + 3 && emulator_launches_on(stream) == 3, "what was enqueued");
  emulator_fail(cudaErrorNoKernelImageForDevice);
  expect(cudaMemsetAsync(memory, 1, sizeof value, stream) == cudaErrorNoKernelImageForDevice,
         "what shall fail fails");
  emulator_fail(cudaSuccess);
  cudaFree(memory);
  expect(emulator_stalls() == stalls + 2, "allocations are counted");
  emulator_set_device(7, 5, 40);
  int major = 0, minor = 0, processors = 0;
  cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0);
  cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, 0);
  cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, 0);
  expect(major == 7 && minor == 5 && processors == 40, "the device is what it was made");
  emulator_set_device(9, 0, 4);
}

}  // namespace

namespace {

// SplitOffset and inside() against sample_axis(), at one coordinate.
bool same_sample(float offset, int32_t base, int32_t extent) {
  const dcn::AxisSample<float> wanted = dcn::sample_axis(offset, base, extent);
  const dcn::cuda::SplitOffset split(offset);
  const float half = static_cast<float>(extent + 1) / 2;
  const bool touches = wanted.low >= -1 && wanted.low < extent;
  if (!(split.fraction >= 0 && split.fraction <= 1)) return false;
  if (dcn::cuda::inside(offset, static_cast<float>(base + 1) - half, half) != touches) return false;
  const auto low = static_cast<int32_t>(split.floor_bits - dcn::cuda::kFloorBits) + base;
  return !touches || (low == wanted.low && split.fraction == wanted.fraction);
}

void check_offsets() {
  bool halves = true, whole = true, special = true;
  for (const int32_t extent : {1, 2, 7, 180, 1 << 19})
    for (const int32_t base : {-(1 << 19), -3, -1, 0, 1, 6, 178, 1 << 19}) {
      for (uint32_t bits = 0; bits < 1 << 16; ++bits)
        halves &= same_sample(dcn::load(dcn::Float16{static_cast<uint16_t>(bits)}), base, extent);
      // At and next to each coordinate where something changes.
      for (const int32_t at : {-2, -1, 0, 1, extent - 1, extent, extent + 1}) {
        const auto offset = static_cast<float>(at - base);
        const float tiny = std::numeric_limits<float>::denorm_min();
        for (const float near : {offset, std::nextafter(offset, -INFINITY),
                                 std::nextafter(offset, INFINITY), offset - 0.5f, offset - tiny})
          whole &= same_sample(near, base, extent);
      }
      for (const float far : {0x1p20f, 0x1p22f, 0x1.8p23f, 0x1p24f, 1e30f, INFINITY})
        for (const float value : {far, -far, std::nextafter(far, 0.0f), -std::nextafter(far, 0.0f)})
          special &= same_sample(value, base, extent);
      special &= same_sample(NAN, base, extent) && same_sample(-NAN, base, extent);
      special &= same_sample(-0.0f, base, extent);
    }
  expect(halves, "offsets of float16");
  expect(whole, "offsets next to whole ones");
  expect(special, "offsets that are far or no numbers");
}

}  // namespace

int main() {
  check_products();
  check_offsets();
  check_conversions();
  check_loads();
  check_shuffle<float>("a shuffle of floats");
  check_shuffle<double>("a shuffle of doubles");
  check_shuffle<int>("a shuffle of integers");
  check_votes();
  check_copies();
  check_blocks();
  check_barriers();
  check_shared_memory();
  check_runtime();
  std::printf("%d right, %d wrong\n", right, wrong);
  return wrong ? 1 : 0;
}
