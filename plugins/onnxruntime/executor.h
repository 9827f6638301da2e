// onnxruntime's own threads, for the core.
#pragma once

#include "host.h"

namespace dcn::ort {

// The pool of the session that a kernel is called from, for as long as the call lasts.
class SessionThreads {
 public:
  SessionThreads(const OrtApi& api, const OrtKernelContext* context) : api_(api), context_(context) {}
  Executor executor();

 private:
  static void parallel_for(void* self, int64_t count, void (*f)(void*, int64_t), void* arg);

  const OrtApi& api_;
  const OrtKernelContext* context_;
};

}  // namespace dcn::ort
