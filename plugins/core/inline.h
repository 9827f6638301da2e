// Functions that every translation unit must compile for itself. The CPU kernels are compiled once
// per instruction set: were such a function an ordinary inline one, the linker would keep a single
// copy, perhaps the AVX-512 one, for machines without it.
#pragma once

#if defined(__CUDACC__)
#define DCN_INLINE __host__ __device__ __forceinline__
#else
#define DCN_INLINE inline __attribute__((always_inline))
#endif
