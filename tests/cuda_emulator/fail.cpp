#include "fail.h"

#include <cuda_runtime.h>

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace emulator {

const char* file_name(Site site) {
  const char* slash = std::strrchr(site.file, '/');
  return slash ? slash + 1 : site.file;
}

void fail_at(Site site, const char* format, ...) {
  std::va_list arguments;
  va_start(arguments, format);
  std::fprintf(stderr, "CUDA emulator: %s:%d: ", file_name(site), site.line);
  std::vfprintf(stderr, format, arguments);
  std::fprintf(stderr, " (thread %u, %u, %u of block %u, %u, %u)\n", threadIdx.x, threadIdx.y,
               threadIdx.z, blockIdx.x, blockIdx.y, blockIdx.z);
  std::abort();
}

void fail(const char* format, ...) {
  std::va_list arguments;
  va_start(arguments, format);
  std::fputs("CUDA emulator: ", stderr);
  std::vfprintf(stderr, format, arguments);
  std::fputc('\n', stderr);
  std::abort();
}

}  // namespace emulator
