# Sets TENSORRT_INCLUDE_DIR to the folder of NvInferRuntime.h with the plugin interface of TensorRT >= 10, or
# leaves it empty: the plugin then compiles against plugins/tensorrt/abi.h. Asks, in order:
# -DTensorRT_ROOT, the environment variable of that name, the system's include folders.
set(TensorRT_ROOT "$ENV{TensorRT_ROOT}" CACHE PATH "Folder of TensorRT, with include/NvInferRuntime.h")
find_path(TENSORRT_INCLUDE_DIR NvInferRuntime.h HINTS ${TensorRT_ROOT} PATH_SUFFIXES include)
if(TENSORRT_INCLUDE_DIR)
  file(STRINGS ${TENSORRT_INCLUDE_DIR}/NvInferRuntime.h plugin_interface
    REGEX "class IPluginCreatorV3One" LIMIT_COUNT 1)
endif()
if(TensorRT_ROOT AND NOT plugin_interface)
  set(tensorrt_missing "TensorRT_ROOT=${TensorRT_ROOT} has no NvInferRuntime.h of TensorRT 10 or newer; give \
the folder that has it in include/, or leave TensorRT_ROOT empty to build without NVIDIA's headers")
elseif(NOT plugin_interface)
  set(TENSORRT_INCLUDE_DIR "" CACHE PATH "Folder of NvInferRuntime.h" FORCE)
endif()
