// The library's entries: what TensorRT calls when it loads a plugin library.
#include "creator.h"
#include "messages.h"

#define DCN_EXPORT extern "C" __attribute__((visibility("default")))

DCN_EXPORT nvinfer1::IPluginCreatorInterface* const* getCreators(int32_t& count) {
  // Registries keep the addresses, some beyond the end of main: they are never destroyed.
  static auto* const creators = new dcn::trt::Creator[2]{dcn::trt::Creator(dcn::trt::kFaces[0]),
                                                         dcn::trt::Creator(dcn::trt::kFaces[1])};
  static nvinfer1::IPluginCreatorInterface* const list[] = {&creators[0], &creators[1]};
  count = 2;
  return list;
}

// An nvinfer1::ILoggerFinder, of which there are two layouts: messages.cpp.
DCN_EXPORT void setLoggerFinder(void* finder) {
  dcn::trt::set_logger_finder(finder);
}
