# Enables CUDA, or sets cuda_missing to what is missing: with DCN_CUDA=OFF that is the user's wish.
# DCN_CUDA_ARCHITECTURES says which GPUs get kernels
# (in CMake's words: 90 is compiled for sm_90 and kept for newer GPUs to compile, 80-real compiled only);
# by default all that the compiler knows of those that are in use.
include(CheckLanguage)
if(DCN_CUDA STREQUAL "OFF")
  set(cuda_missing "it was built with DCN_CUDA=OFF: leave that out")
  return()
endif()
set(CMAKE_CUDA_ARCHITECTURES OFF)   # each target says its own; the default of old CMakes is too old
check_language(CUDA)
if(NOT CMAKE_CUDA_COMPILER)
  set(cuda_missing "no CUDA compiler: install NVIDIA's nvcc, 12.1 or newer (or set CUDACXX)")
  if(DCN_CUDA STREQUAL "ON")
    message(FATAL_ERROR "DCN_CUDA=ON, but ${cuda_missing}")
  endif()
  return()
endif()
set(CMAKE_CUDA_STANDARD 17)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
set(CMAKE_CUDA_VISIBILITY_PRESET hidden)
set(CMAKE_CUDA_RUNTIME_LIBRARY Static)   # the library then loads on any machine
enable_language(CUDA)

set(DCN_CUDA_ARCHITECTURES "" CACHE STRING "GPUs to compile for, e.g. 80-real;90")
if(NOT DCN_CUDA_ARCHITECTURES)
  execute_process(COMMAND ${CMAKE_CUDA_COMPILER} --list-gpu-arch OUTPUT_VARIABLE cuda_known)
  foreach(arch 75 80 86 89 90 100 120)
    if(cuda_known MATCHES "compute_${arch}[^0-9]")
      list(APPEND cuda_release ${arch}-real)
    endif()
  endforeach()
  string(REGEX REPLACE "-real$" "" cuda_release "${cuda_release}")   # the newest, for GPUs to come
  set(DCN_CUDA_ARCHITECTURES "${cuda_release}" CACHE STRING "GPUs to compile for" FORCE)
endif()
