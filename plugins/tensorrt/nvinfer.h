// TensorRT's plugin interface: NVIDIA's headers where CMake found them, else our own declaration.
#pragma once

#if defined(DCN_TENSORRT_HEADERS)
#include <NvInferRuntime.h>
#else
#include "abi.h"
#endif
