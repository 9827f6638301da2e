# Sets ORT_INCLUDE_DIR to the folder of onnxruntime_c_api.h, or leaves it empty. Asks, in order:
# -DORT_INCLUDE_DIR, the environment variable of that name, and tools/onnxruntime_headers.sh, which
# looks for an installed package and otherwise unpacks one into ORT_HEADERS_CACHE.
set(ORT_INCLUDE_DIR "" CACHE PATH "Folder of onnxruntime_c_api.h")
set(ORT_HEADERS_CACHE ${CMAKE_BINARY_DIR}/onnxruntime-headers CACHE PATH
    "Where onnxruntime's headers are unpacked if they are not installed")
if(NOT ORT_INCLUDE_DIR AND NOT "$ENV{ORT_INCLUDE_DIR}" STREQUAL "")
  set(ORT_INCLUDE_DIR "$ENV{ORT_INCLUDE_DIR}" CACHE PATH "Folder of onnxruntime_c_api.h" FORCE)
endif()
if(NOT ORT_INCLUDE_DIR)
  message(STATUS "dcn_deploy: looking for onnxruntime's C headers")
  execute_process(
    COMMAND sh ${CMAKE_SOURCE_DIR}/tools/onnxruntime_headers.sh ${ORT_HEADERS_CACHE}
    OUTPUT_VARIABLE ort_found OUTPUT_STRIP_TRAILING_WHITESPACE
    ERROR_VARIABLE ort_missing ERROR_STRIP_TRAILING_WHITESPACE)
  if(ort_found)
    set(ORT_INCLUDE_DIR "${ort_found}" CACHE PATH "Folder of onnxruntime_c_api.h" FORCE)
  endif()
elseif(NOT EXISTS "${ORT_INCLUDE_DIR}/onnxruntime_c_api.h")
  set(ort_missing "ORT_INCLUDE_DIR=${ORT_INCLUDE_DIR} has no onnxruntime_c_api.h; give the folder of \
that file, or leave ORT_INCLUDE_DIR empty to have it fetched")
endif()
