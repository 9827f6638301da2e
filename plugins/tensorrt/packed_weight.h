// A constant weight in the order that the fast kernels read, packed once for an execution context.
//
// The context's own device memory, and not the workspace, which others use between two runs. It is
// packed in the first run after TensorRT has told the shapes, in the order of that run's stream:
// TensorRT lets a context run on another stream only behind it. A run that a CUDA graph captures finds
// the weight packed, or packs for itself, in the workspace: the graph never depends on work that it
// does not hold.
//
// If an engine's weights are refitted, a context that has run must be made anew (or told its shapes
// again): nothing tells a plugin.
#pragma once

#include "deform_conv.h"

namespace dcn::trt {

class PackedWeight {
 public:
  PackedWeight() = default;
  ~PackedWeight();
  PackedWeight(const PackedWeight&) = delete;
  PackedWeight& operator=(const PackedWeight&) = delete;

  // Makes room for the problem's weight, which the next run packs. Without room (an error says why)
  // each run packs for itself, as it does before this has been called.
  Status prepare(const Problem& problem);

  // Sets `packed` to the packed weight, or to null: the kernels then take the weight as it is.
  Status pack_once(const Problem& problem, const void* weight, CUstream_st* stream,
                   const void** packed);

 private:
  void* memory_ = nullptr;
  size_t bytes_ = 0;
  const void* packed_from_ = nullptr;  // the weight that lies in `memory_`; null: none yet
};

}  // namespace dcn::trt
