// What a warp can do that C++ has no words for: matrix loads and products of the tensor cores, copies
// that run while the warp computes, atomic additions. The only file with PTX. Where g++ compiles the
// kernels for the CPU, tests/cuda_emulator has functions of the same names.
//
// Every lane of a warp takes part in a call, at the same place in the program, unless the comment says
// otherwise. Pointers called `shared` or `row` point into shared memory, all others into global memory.
//
// GPUs before sm_80 have no asynchronous copies and none of these products: kernels that use them
// compile there, and trap if they are launched. DCN_HAS_TENSOR_CORES tells at compile time.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "dtype.h"

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
#define DCN_HAS_TENSOR_CORES 1
#else
#define DCN_HAS_TENSOR_CORES 0
#endif

namespace dcn::cuda {

// blockIdx.x, asked for once more: the compiler does not know that it is what it was, and need not keep
// what follows from it.
__device__ __forceinline__ uint32_t block_index() {
#if defined(__CUDA_ARCH__)
  uint32_t index;
  asm volatile("mov.u32 %0, %%ctaid.x;" : "=r"(index));
  return index;
#else
  return blockIdx.x;
#endif
}

}  // namespace dcn::cuda

#if !defined(__CUDACC__)
#include "emulated_warp.h"
#else

namespace dcn::cuda {

inline constexpr unsigned kAllLanes = 0xffffffffu;

__device__ __forceinline__ uint32_t shared_address(const void* shared) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(shared));
}

// ---- matrices -------------------------------------------------------------------------------

// Four matrices of 8x8 16-bit elements. Lane l gives the address of row l%8 of matrix l/8, aligned to
// 16 bytes, and receives elements 2*(l%4) and 2*(l%4)+1 of row l/4 of each.
//
// No "memory" among what these two touch: what a lane reads here was written by other lanes, so there
// is a barrier on both sides, and no ordinary access moves across a barrier.
__device__ __forceinline__ void load_matrices(uint32_t (&d)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
               : "r"(shared_address(row)));
}

// The same with each matrix transposed: rows 2*(l%4) and 2*(l%4)+1 of column l/4.
__device__ __forceinline__ void load_matrices_transposed(uint32_t (&d)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
               : "r"(shared_address(row)));
}

// d [16, 8] += a [16, 16] * b [16, 8], T: Float16 or BFloat16. With g = lane/4 and t = lane%4, a lane
// holds of a the pairs (g, 2t) (g+8, 2t) (g, 2t+8) (g+8, 2t+8), of b, down its column g, the pairs
// from rows 2t and 2t+8, and of d (g, 2t) (g, 2t+1) (g+8, 2t) (g+8, 2t+1).
template <class T>
__device__ __forceinline__ void multiply_add(float (&d)[4], const uint32_t (&a)[4],
                                             const uint32_t (&b)[2]);

template <>
__device__ __forceinline__ void multiply_add<Float16>(float (&d)[4], const uint32_t (&a)[4],
                                                      const uint32_t (&b)[2]) {
#if DCN_HAS_TENSOR_CORES
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  __trap();
#endif
}

template <>
__device__ __forceinline__ void multiply_add<BFloat16>(float (&d)[4], const uint32_t (&a)[4],
                                                       const uint32_t (&b)[2]) {
#if DCN_HAS_TENSOR_CORES
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  __trap();
#endif
}

// d [16, 8] += a [16, 8] * b [8, 8] of what to_tf32() gives. With g = lane/4 and t = lane%4, a lane
// holds of a (g, t) (g+8, t) (g, t+4) (g+8, t+4), of b (t, g) (t+4, g), and of d as above.
__device__ __forceinline__ void multiply_add_tf32(float (&d)[4], const uint32_t (&a)[4],
                                                  const uint32_t (&b)[2]) {
#if DCN_HAS_TENSOR_CORES
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  __trap();
#endif
}

// ---- conversions: each lane for itself ------------------------------------------------------

// The nearest number of 10 bits' fraction, ties away from zero.
__device__ __forceinline__ uint32_t to_tf32(float value) {
  uint32_t bits = 0;
#if DCN_HAS_TENSOR_CORES
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(value));
#else
  __trap();
#endif
  return bits;
}

// Two numbers rounded to T (Float16 or BFloat16), ties to even; the first in the lower half.
template <class T>
__device__ __forceinline__ uint32_t round_pair(float low, float high);

template <>
__device__ __forceinline__ uint32_t round_pair<Float16>(float low, float high) {
  uint32_t bits = 0;
#if DCN_HAS_TENSOR_CORES
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
#else
  __trap();
#endif
  return bits;
}

template <>
__device__ __forceinline__ uint32_t round_pair<BFloat16>(float low, float high) {
  uint32_t bits = 0;
#if DCN_HAS_TENSOR_CORES
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
#else
  __trap();
#endif
  return bits;
}

// Back: x from the lower half, y from the upper.
template <class T>
__device__ __forceinline__ float2 load_pair(uint32_t bits);

template <>
__device__ __forceinline__ float2 load_pair<Float16>(uint32_t bits) {
  float2 values;
  asm("{\n.reg .b16 low, high;\nmov.b32 {low, high}, %2;\n"
      "cvt.f32.f16 %0, low;\ncvt.f32.f16 %1, high;\n}"
      : "=f"(values.x), "=f"(values.y)
      : "r"(bits));
  return values;
}

template <>
__device__ __forceinline__ float2 load_pair<BFloat16>(uint32_t bits) {
  return make_float2(__uint_as_float(bits << 16), __uint_as_float(bits & 0xffff0000u));
}

// ---- addresses: each lane for itself --------------------------------------------------------

// base + count * bytes. One instruction where the three are at hand, in which the compiler sees no
// parts that it could compute elsewhere and would have to put together again.
__device__ __forceinline__ const unsigned char* at_distance(const unsigned char* base, uint32_t count,
                                                            uint32_t bytes) {
  const unsigned char* at;
  asm("{\n.reg .u64 t;\nmul.wide.u32 t, %1, %2;\nadd.u64 %0, t, %3;\n}"
      : "=l"(at)
      : "r"(count), "r"(bytes), "l"(base));
  return at;
}

// Two or four bytes, in the lower part of a word, that nobody writes meanwhile and that nobody else on
// this processor reads: what others read again shall stay in its cache instead.
template <int kBytes>
__device__ __forceinline__ uint32_t load_once(const unsigned char* at) {
  static_assert(kBytes == 2 || kBytes == 4, "a half or a float");
  uint32_t bits;
  if constexpr (kBytes == 2)
    asm("ld.global.nc.L1::no_allocate.u16 %0, [%1];" : "=r"(bits) : "l"(at));
  else
    asm("ld.global.nc.L1::no_allocate.u32 %0, [%1];" : "=r"(bits) : "l"(at));
  return bits;
}

// ---- asynchronous copies: each lane for itself ----------------------------------------------

// 16 bytes, both ends aligned to 16; zeros if not `valid`, and `global` is not read. From here to the
// lane's wait for them, the bytes at `shared` are undefined.
__device__ __forceinline__ void copy_async(void* shared, const void* global, bool valid) {
#if DCN_HAS_TENSOR_CORES
  const int bytes = valid ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)),
               "l"(global), "r"(bytes)
               : "memory");
#else
  __trap();
#endif
}

// The lane's copies since its last commit become a group.
__device__ __forceinline__ void commit_copies() {
#if DCN_HAS_TENSOR_CORES
  asm volatile("cp.async.commit_group;" ::: "memory");
#else
  __trap();
#endif
}

// Waits until at most `pending` of the lane's groups, the newest ones, are under way. Other lanes see
// the data after the next barrier. Before a lane ends, all its copies must have arrived.
template <int pending>
__device__ __forceinline__ void wait_copies() {
#if DCN_HAS_TENSOR_CORES
  asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
#else
  __trap();
#endif
}

// ---- among the lanes ------------------------------------------------------------------------

// The value of the lane whose number differs in the bits of `lane_mask`.
template <class T>
__device__ __forceinline__ T shuffle_xor(T value, int lane_mask) {
  return __shfl_xor_sync(kAllLanes, value, lane_mask);
}

// How many lanes say yes: those before this one, and all.
struct Votes {
  int before, all;
};
__device__ __forceinline__ Votes vote(bool yes) {
  const unsigned lane = threadIdx.x % 32, lanes = __ballot_sync(kAllLanes, yes);
  return {__popc(lanes & ((1u << lane) - 1)), __popc(lanes)};
}

// A barrier for the warp alone, which orders its accesses of shared memory.
__device__ __forceinline__ void sync_warp() {
  __syncwarp();
}

// ---- atomic additions: each lane for itself, in any order -----------------------------------

__device__ __forceinline__ void add(float* at, float value) {
  asm volatile("red.relaxed.gpu.global.add.f32 [%0], %1;" ::"l"(at), "f"(value) : "memory");
}

__device__ __forceinline__ void add(double* at, double value) {
  asm volatile("red.relaxed.gpu.global.add.f64 [%0], %1;" ::"l"(at), "d"(value) : "memory");
}

// Four numbers beside each other, aligned to 16 bytes: each is added atomically, the four are not.
__device__ __forceinline__ void add4(float* at, float4 value) {
#if __CUDA_ARCH__ >= 900
  asm volatile("red.relaxed.gpu.global.add.v4.f32 [%0], {%1, %2, %3, %4};" ::"l"(at), "f"(value.x),
               "f"(value.y), "f"(value.z), "f"(value.w)
               : "memory");
#else
  add(at, value.x);
  add(at + 1, value.y);
  add(at + 2, value.z);
  add(at + 3, value.w);
#endif
}

}  // namespace dcn::cuda

#endif
