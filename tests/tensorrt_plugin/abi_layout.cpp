// Prints how TensorRT's plugin interface is laid out: sizes, offsets, places in vtables, constants. The
// same lines must come out with our declaration (abi.h) and, with -DDCN_TENSORRT_HEADERS, with NVIDIA's
// headers.
#include <cstdio>
#include <cstring>

#include "nvinfer.h"

using namespace nvinfer1;

namespace {

// In the C++ ABI of Linux a pointer to a virtual function begins with its place in the vtable.
template <class Function>
long slot(Function function) {
  long word;
  static_assert(sizeof function >= sizeof word, "a pointer to a member function");
  std::memcpy(&word, &function, sizeof word);
  return (word & ~1L) / static_cast<long>(sizeof(void*));
}

template <class Member, class Object>
long offset_of(Member Object::* member) {
  long word;
  static_assert(sizeof member == sizeof word, "a pointer to a data member");
  std::memcpy(&word, &member, sizeof word);
  return word;
}

// Where an object of the host keeps what its calls go to.
struct Expression : IDimensionExpr {
  static long implementation() { return offset_of(&Expression::mImpl); }
};

// What an interface calls itself; `Interface` is abstract, so its function is called on no object.
template <class Interface>
void print_kind(const char* name) {
  alignas(void*) static char nothing[sizeof(void*)];
  const InterfaceInfo info = reinterpret_cast<const Interface*>(nothing)->Interface::getInterfaceInfo();
  std::printf("%s calls itself %s %d.%d\n", name, info.kind, info.major, info.minor);
}

}  // namespace

#define SIZE(type) std::printf("sizeof %s = %zu\n", #type, sizeof(type))
#define OFFSET(type, member) \
  std::printf("offset of %s::%s = %ld\n", #type, #member, offset_of(&type::member))
#define SLOT(type, function) \
  std::printf("slot of %s::%s = %ld\n", #type, #function, slot(&type::function))
#define VALUE(constant) std::printf("%s = %d\n", #constant, static_cast<int>(constant))

int main() {
  SIZE(Dims);
  OFFSET(Dims, nbDims);
  OFFSET(Dims, d);
  VALUE(Dims::MAX_DIMS);
  SIZE(PluginTensorDesc);
  OFFSET(PluginTensorDesc, dims);
  OFFSET(PluginTensorDesc, type);
  OFFSET(PluginTensorDesc, format);
  OFFSET(PluginTensorDesc, scale);
  SIZE(DynamicPluginTensorDesc);
  OFFSET(DynamicPluginTensorDesc, desc);
  OFFSET(DynamicPluginTensorDesc, min);
  OFFSET(DynamicPluginTensorDesc, max);
  OFFSET(DynamicPluginTensorDesc, opt);
  SIZE(PluginField);
  OFFSET(PluginField, name);
  OFFSET(PluginField, data);
  OFFSET(PluginField, type);
  OFFSET(PluginField, length);
  SIZE(PluginFieldCollection);
  OFFSET(PluginFieldCollection, nbFields);
  OFFSET(PluginFieldCollection, fields);
  SIZE(InterfaceInfo);
  OFFSET(InterfaceInfo, kind);
  OFFSET(InterfaceInfo, major);
  OFFSET(InterfaceInfo, minor);
  SIZE(DimsExprs);
  OFFSET(DimsExprs, nbDims);
  OFFSET(DimsExprs, d);
  SIZE(IDimensionExpr);
  std::printf("offset of IDimensionExpr's implementation = %ld\n", Expression::implementation());
  SLOT(apiv::VDimensionExpr, isConstant);
  SLOT(apiv::VDimensionExpr, getConstantValue);

  SIZE(IPluginV3);
  SIZE(IPluginV3OneCore);
  SIZE(IPluginV3OneBuild);
  SIZE(IPluginV3OneRuntime);
  SIZE(IPluginCreatorV3One);
  SLOT(IVersionedInterface, getAPILanguage);
  SLOT(IVersionedInterface, getInterfaceInfo);
  SLOT(IPluginV3, getCapabilityInterface);
  SLOT(IPluginV3, clone);
  SLOT(IPluginV3OneCore, getPluginName);
  SLOT(IPluginV3OneCore, getPluginVersion);
  SLOT(IPluginV3OneCore, getPluginNamespace);
  SLOT(IPluginV3OneBuild, configurePlugin);
  SLOT(IPluginV3OneBuild, getOutputDataTypes);
  SLOT(IPluginV3OneBuild, getOutputShapes);
  SLOT(IPluginV3OneBuild, supportsFormatCombination);
  SLOT(IPluginV3OneBuild, getNbOutputs);
  SLOT(IPluginV3OneBuild, getWorkspaceSize);
  SLOT(IPluginV3OneBuild, getValidTactics);
  SLOT(IPluginV3OneBuild, getNbTactics);
  SLOT(IPluginV3OneBuild, getTimingCacheID);
  SLOT(IPluginV3OneBuild, getFormatCombinationLimit);
  SLOT(IPluginV3OneBuild, getMetadataString);
  SLOT(IPluginV3OneRuntime, setTactic);
  SLOT(IPluginV3OneRuntime, onShapeChange);
  SLOT(IPluginV3OneRuntime, enqueue);
  SLOT(IPluginV3OneRuntime, attachToContext);
  SLOT(IPluginV3OneRuntime, getFieldsToSerialize);
  SLOT(IPluginCreatorV3One, createPlugin);
  SLOT(IPluginCreatorV3One, getFieldNames);
  SLOT(IPluginCreatorV3One, getPluginName);
  SLOT(IPluginCreatorV3One, getPluginVersion);
  SLOT(IPluginCreatorV3One, getPluginNamespace);
  VALUE(IPluginV3OneBuild::kDEFAULT_FORMAT_COMBINATION_LIMIT);
  print_kind<IPluginV3>("IPluginV3");
  print_kind<IPluginV3OneCore>("IPluginV3OneCore");
  print_kind<IPluginV3OneBuild>("IPluginV3OneBuild");
  print_kind<IPluginV3OneRuntime>("IPluginV3OneRuntime");
  print_kind<IPluginCreatorV3One>("IPluginCreatorV3One");

  VALUE(DataType::kFLOAT);
  VALUE(DataType::kHALF);
  VALUE(DataType::kINT8);
  VALUE(DataType::kINT32);
  VALUE(DataType::kBOOL);
  VALUE(DataType::kUINT8);
  VALUE(DataType::kFP8);
  VALUE(DataType::kBF16);
  VALUE(DataType::kINT64);
  VALUE(DataType::kINT4);
  VALUE(TensorFormat::kLINEAR);
  VALUE(TensorFormat::kHWC8);
  VALUE(PluginFieldType::kFLOAT16);
  VALUE(PluginFieldType::kFLOAT32);
  VALUE(PluginFieldType::kFLOAT64);
  VALUE(PluginFieldType::kINT8);
  VALUE(PluginFieldType::kINT16);
  VALUE(PluginFieldType::kINT32);
  VALUE(PluginFieldType::kCHAR);
  VALUE(PluginFieldType::kDIMS);
  VALUE(PluginFieldType::kUNKNOWN);
  VALUE(PluginFieldType::kBF16);
  VALUE(PluginFieldType::kINT64);
  VALUE(PluginCapabilityType::kCORE);
  VALUE(PluginCapabilityType::kBUILD);
  VALUE(PluginCapabilityType::kRUNTIME);
  VALUE(TensorRTPhase::kBUILD);
  VALUE(TensorRTPhase::kRUNTIME);
  VALUE(APILanguage::kCPP);
  VALUE(APILanguage::kPYTHON);

#if defined(DCN_TENSORRT_HEADERS)
  // Not the same in all versions, and not declared in abi.h: messages.cpp goes by the version.
  std::printf("version %d: slot of ILogger::log = %ld, of ILoggerFinder::findLogger = %ld\n",
              NV_TENSORRT_VERSION, slot(&ILogger::log), slot(&ILoggerFinder::findLogger));
#endif
}
