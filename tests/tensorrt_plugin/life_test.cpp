// usage: life_test PLUGIN [--emulated]
//
// Everything that TensorRT does with a node, done to the plugin on a machine without a GPU, compiled
// with sanitizers: an object that is not freed, read too far or never set ends the test. Prints one
// line per failure; exit status 1 if there was one. What enqueue computes is tested in Python, on the
// emulator.
#include <cstdio>
#include <cstring>
#include <functional>
#include <random>
#include <stdexcept>

#include "../../plugins/core/deform_conv.h"
#include "fake_host.h"

namespace {

using nvinfer1::DataType;
using nvinfer1::IPluginCreatorV3One;
using nvinfer1::PluginFieldType;
using Fields = std::vector<fake::Field>;
using Tensors = std::vector<fake::Tensor>;

int checks = 0, failures = 0;

void check(bool ok, const std::string& what, const std::string& got = {}) {
  ++checks;
  if (ok) return;
  ++failures;
  std::printf("FAILED: %s%s%s\n", what.c_str(), got.empty() ? "" : ", got: ", got.c_str());
}

bool same(const Fields& a, const Fields& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i)
    if (a[i].name != b[i].name || a[i].type != b[i].type || a[i].length != b[i].length ||
        a[i].bytes != b[i].bytes)
      return false;
  return true;
}

// That `f` is refused, with one message, an error, that has `expected` in it.
void refused(const std::string& expected, const std::function<void()>& f) {
  bool thrown = false;
  try {
    f();
  } catch (const std::runtime_error&) {
    thrown = true;
  }
  const std::string log = fake::take_log();
  check(thrown, "no refusal: " + expected);
  check(log.compare(0, 2, "1 ") == 0 && log.find('\n') == log.size() - 1 &&
            log.find(expected) != std::string::npos,
        "one message with: " + expected, log);
}

fake::Field floats(const std::string& name, float value) {
  fake::Field field{name, PluginFieldType::kFLOAT32, std::vector<unsigned char>(sizeof value), 1};
  std::memcpy(field.bytes.data(), &value, sizeof value);
  return field;
}

// Nothing the same in both directions.
const Fields kFields = {fake::integers("kernel_shape", {3, 2}), fake::integers("strides", {2, 1}),
                        fake::integers("pads", {1, 0, 2, 1}),   fake::integers("dilations", {1, 2}),
                        fake::integers("group", {2}),           fake::integers("offset_group", {3})};

fake::Tensor tensor(const fake::Shape& shape, DataType type = DataType::kFLOAT) {
  return {type, shape, shape};
}

Tensors tensors(DataType type = DataType::kFLOAT, DataType coordinates = DataType::kFLOAT,
                size_t count = 5) {
  Tensors all = {tensor({2, 12, 9, 11}, type), tensor({8, 6, 3, 2}, type),
                 tensor({2, 36, 5, 10}, coordinates), tensor({8}, type),
                 tensor({2, 18, 5, 10}, coordinates)};
  all.resize(count);
  return all;
}

Fields with(const fake::Field& changed) {
  Fields fields = kFields;
  for (fake::Field& field : fields)
    if (field.name == changed.name) field = changed;
  return fields;
}

Tensors with(size_t i, const fake::Tensor& changed) {
  Tensors all = tensors();
  all.at(i) = changed;
  return all;
}

std::vector<nvinfer1::PluginTensorDesc> descriptions(const Tensors& inputs) {
  std::vector<nvinfer1::PluginTensorDesc> result;
  for (const fake::Tensor& input : inputs) result.push_back(fake::description(input.type, input.most));
  return result;
}

const nvinfer1::PluginTensorDesc kOutput = fake::description(DataType::kFLOAT, {2, 8, 5, 10});

void test_creators(const fake::Library& library) {
  check(library.creators().size() == 2, "two creators");
  for (const auto& [name, space] : {std::pair{"DeformConv2d", "dcn_deploy"}, {"DeformConv", ""}}) {
    const nvinfer1::PluginFieldCollection* fields = library.creator(name, space)->getFieldNames();
    const dcn::Attributes attributes;
    int32_t i = 0;
    dcn::for_each_attribute(attributes, [&](const char* attribute, const auto&) {
      check(i < fields->nbFields && !std::strcmp(fields->fields[i].name, attribute) &&
                fields->fields[i].type == PluginFieldType::kINT32,
            std::string("field ") + attribute);
      ++i;
    });
    check(i + 1 == fields->nbFields && !std::strcmp(fields->fields[i].name, "constant_weight") &&
              fields->fields[i].type == PluginFieldType::kINT32,
          "field constant_weight, and no other");
  }
}

void test_dtypes(IPluginCreatorV3One* creator) {
  for (DataType type : {DataType::kFLOAT, DataType::kHALF, DataType::kBF16})
    for (DataType coordinates : {type, DataType::kFLOAT})
      for (size_t inputs : {3, 4, 5}) {
        const fake::Network network(creator, "n", kFields, tensors(type, coordinates, inputs));
        check(network.output_type() == type, "the output has the input's dtype");
        check(network.output_shape() == fake::Shape{2, 8, 5, 10}, "output shape");
        check(network.workspace_bytes() > 0, "workspace");
      }
}

// Which formats are taken of a node whose tensors differ from kHWC8's rules in one thing each.
void test_formats(IPluginCreatorV3One* creator) {
  const auto taken = [&](DataType type, int64_t in, int64_t out, size_t channels_last) {
    Tensors inputs = {tensor({2, in, 9, 11}, type), tensor({out, in / 2, 3, 2}, type),
                      tensor({2, 36, 5, 10}, type), tensor({out}, type), tensor({2, 18, 5, 10}, type)};
    inputs.at(channels_last).format = nvinfer1::TensorFormat::kHWC8;
    try {
      fake::Network(creator, "n", kFields, inputs);
      return true;
    } catch (const std::runtime_error& error) {
      check(!std::strcmp(error.what(), "supportsFormatCombination refused"), "refused there",
            error.what());
      return false;
    }
  };
  check(taken(DataType::kHALF, 24, 8, 0), "halves in vectors of eight");
  check(taken(DataType::kBF16, 24, 16, 0), "either half");
  check(!taken(DataType::kFLOAT, 24, 8, 0), "not float32");
  check(!taken(DataType::kHALF, 12, 8, 0), "no vector in part, of the input");
  check(!taken(DataType::kHALF, 24, 4, 0), "or of the output");
  for (size_t other : {1, 2, 3, 4}) check(!taken(DataType::kHALF, 24, 8, other), "no other input");
}

void test_dynamic_shapes(IPluginCreatorV3One* creator) {
  Tensors inputs = tensors();
  inputs[0].most = {4, 12, 19, 11};
  inputs[2].most = {4, 36, 10, 10};
  inputs[4].most = {4, 18, 10, 10};
  const fake::Network dynamic(creator, "n", kFields, inputs);
  check(dynamic.output_shape() == fake::Shape{-1, 8, -1, 10}, "sizes that are not known yet");
  for (fake::Tensor& input : inputs) input.least = input.most;
  check(fake::Network(creator, "n", kFields, inputs).workspace_bytes() == dynamic.workspace_bytes(),
        "workspace of the largest sizes");
}

void test_round_trip(IPluginCreatorV3One* creator) {
  std::mt19937 random(1);
  const auto up_to = [&](int32_t most) { return static_cast<int32_t>(random() % most) + 1; };
  for (int i = 0; i < 300; ++i) {
    const int32_t kernel_h = up_to(5), kernel_w = up_to(5), group = up_to(4), offset_group = up_to(4);
    const Fields all = {
        fake::integers("kernel_shape", {kernel_h, kernel_w}),
        fake::integers("strides", {up_to(9), up_to(9)}),
        fake::integers("pads", {up_to(9) - 1, up_to(9) - 1, up_to(9) - 1, up_to(9) - 1}),
        fake::integers("dilations", {up_to(9), up_to(9)}),
        fake::integers("group", {group}),
        fake::integers("offset_group", {offset_group})};
    Fields given = all;
    const bool drop_kernel = i % 3 == 0;
    if (drop_kernel) given.erase(given.begin());
    const int64_t channels = group * offset_group;
    // Height and width are not known: any attributes go.
    fake::Tensor input{DataType::kFLOAT, {1, channels, 64, 65}, {2, channels, 128, 129}};
    fake::Tensor offset{DataType::kFLOAT,
                        {1, 2 * offset_group * kernel_h * kernel_w, 1, 2},
                        {2, 2 * offset_group * kernel_h * kernel_w, 128, 129}};
    const Tensors inputs = {input, tensor({group, offset_group, kernel_h, kernel_w}), offset};
    const fake::Network network(creator, "n", given, inputs);
    check(same(network.serialized(), given), "an engine keeps the attributes");
    for (const fake::Field& field : network.serialized())
      check(field.type == PluginFieldType::kINT32, "as integers of 32 bits");
    const fake::Engine engine(creator, "n", network.serialized());
    std::unique_ptr<nvinfer1::IPluginV3> copy(engine.plugin()->clone());
    for (nvinfer1::IPluginV3* plugin : {engine.plugin(), copy.get()}) {
      auto* runtime = static_cast<nvinfer1::IPluginV3OneRuntime*>(
          plugin->getCapabilityInterface(nvinfer1::PluginCapabilityType::kRUNTIME));
      check(same(fake::copy_of(runtime->getFieldsToSerialize()), given), "and a plugin made from it");
    }
  }
  // Whether the weight is constant is kept where it is.
  for (int32_t constant : {0, 1}) {
    Fields given = kFields;
    given.push_back(fake::integers("constant_weight", {constant}));
    const Fields kept = fake::Network(creator, "n", given, tensors()).serialized();
    check(same(kept, constant ? given : kFields), "an engine keeps a constant weight");
  }
  // Left out: the defaults. They are written, so that an engine does not depend on them.
  const fake::Network network(creator, "n", {},
                              {tensor({1, 2, 5, 6}), tensor({3, 2, 2, 3}), tensor({1, 12, 4, 4})});
  check(same(network.serialized(),
             {fake::integers("strides", {1, 1}), fake::integers("pads", {0, 0, 0, 0}),
              fake::integers("dilations", {1, 1}), fake::integers("group", {1}),
              fake::integers("offset_group", {1})}),
        "defaults");
}

void test_refusals(IPluginCreatorV3One* creator) {
  const auto network = [&](const Fields& fields, const Tensors& inputs) {
    return [=] { fake::Network(creator, "layer 7", fields, inputs); };
  };
  // When the plugin is created.
  refused("deformable convolution 'layer 7': attribute strides is [0, 1], expected every value in",
          network(with(fake::integers("strides", {0, 1})), tensors()));
  refused("attribute pads has 2 values, expected 4",
          network(with(fake::integers("pads", {1, 1})), tensors()));
  refused("attribute pads is [1, -1, 0, 0]",
          network(with(fake::integers("pads", {1, -1, 0, 0})), tensors()));
  refused("attribute group has 2 values, expected an integer",
          network(with(fake::integers("group", {2, 2})), tensors()));
  refused("attribute offset_group is 0", network(with(fake::integers("offset_group", {0})), tensors()));
  refused("attribute group is a float, expected an integer",
          network(with(floats("group", 2)), tensors()));
  refused("attribute strides is a float, expected a list of integers",
          network(with(floats("strides", 2)), tensors()));
  refused("attribute dilations is a string",
          network(with(fake::Field{"dilations", PluginFieldType::kCHAR, {'1', '1'}, 2}), tensors()));
  Fields unknown = kFields;
  unknown.push_back(fake::integers("stride", {1, 1}));
  refused("unknown attribute stride, expected kernel_shape, strides, pads",
          network(unknown, tensors()));
  Fields half_constant = kFields;
  half_constant.push_back(fake::integers("constant_weight", {2}));
  refused("attribute constant_weight is 2, expected 0 or 1", network(half_constant, tensors()));
  std::vector<unsigned char> huge(sizeof(int64_t), 0);
  huge[5] = 1;  // 2^40
  refused("attribute group is 1099511627776, expected at most",
          network(with(fake::Field{"group", PluginFieldType::kINT64, huge, 1}), tensors()));
  // When its dtypes are asked for.
  refused("input has the unsupported dtype INT8, expected float32, float16",
          network(kFields, with(0, tensor({2, 12, 9, 11}, DataType::kINT8))));
  refused("weight is float16, expected float32 like input",
          network(kFields, with(1, tensor({8, 6, 3, 2}, DataType::kHALF))));
  refused("offset is float16, expected float32 like input",
          network(kFields, with(2, tensor({2, 36, 5, 10}, DataType::kHALF))));
  refused("mask is float16, expected float32 like offset",
          network(kFields, with(4, tensor({2, 18, 5, 10}, DataType::kHALF))));
  Tensors six = tensors();
  six.push_back(tensor({1}));
  refused("has 6 inputs, expected at most 5", network(kFields, six));
  refused("offset is missing", network(kFields, tensors(DataType::kFLOAT, DataType::kFLOAT, 2)));
  // When its shape is asked for.
  refused("input has 3 dimensions, expected 4 [N, C, H, W]",
          network(kFields, with(0, tensor({12, 9, 11}))));
  refused("offset has 18 channels, expected 2 * offset_group * kH * kW = 36",
          network(kFields, with(2, tensor({2, 18, 5, 10}))));
  refused("weight has kernel width 3, expected 2 as attribute kernel_shape says",
          network(kFields, with(1, tensor({8, 6, 3, 3}))));
  refused("offset has height 6, expected the output height 5 (input 9, padding 1+2",
          network(kFields, with(2, tensor({2, 36, 6, 10}))));
  refused("bias has 4 dimensions, expected 1 [O]", network(kFields, with(3, tensor({2, 18, 5, 10}))));
  refused("bias has 7 values, expected 8", network(kFields, with(3, tensor({7}))));
}

void test_contexts(IPluginCreatorV3One* creator) {
  const fake::Network network(creator, "layer 7", kFields, tensors());
  const fake::Engine engine(creator, "layer 7", network.serialized());
  const auto inputs = descriptions(tensors());
  const std::vector<const void*> nowhere(inputs.size(), nullptr);
  const auto fails = [](int32_t status) {
    if (status) throw std::runtime_error("failed");
  };
  fake::Context early(engine);
  refused("'layer 7': cannot run: TensorRT has not told it the shapes of its inputs",
          [&] { fails(early.enqueue(nowhere, nullptr, nullptr, nullptr)); });

  fake::Context context(engine);
  check(context.set_shapes(inputs, kOutput) == 0, "onShapeChange");
  refused("mask has height 4, expected 5 like offset",
          [&] { fails(context.set_shapes(descriptions(with(4, tensor({2, 18, 4, 10}))), kOutput)); });
  refused("cannot run", [&] { fails(context.enqueue(nowhere, nullptr, nullptr, nullptr)); });

  // An empty batch is nothing to do, on a machine without a GPU too.
  Tensors empty = tensors();
  for (size_t i : {0, 2, 4}) empty[i].most[0] = 0;
  check(context.set_shapes(descriptions(empty), kOutput) == 0, "onShapeChange, empty batch");
  check(context.enqueue(nowhere, nullptr, nullptr, nullptr) == 0, "enqueue of an empty batch");
}

// Memory of a context's own, taken once and given back; without a GPU there is none, which is no error.
void test_constant_weight(IPluginCreatorV3One* creator) {
  Fields fields = with(fake::integers("group", {1}));
  fields.push_back(fake::integers("constant_weight", {1}));
  const Tensors inputs = with(1, tensor({8, 12, 3, 2}));
  const fake::Network network(creator, "layer 7", fields, inputs);
  const fake::Engine engine(creator, "layer 7", network.serialized());
  fake::Context one(engine), other(engine);
  for (fake::Context* context : {&one, &other, &one})
    check(context->set_shapes(descriptions(inputs), kOutput) == 0, "onShapeChange, constant weight");
}

// No kernel can be launched: it says so and returns.
void test_failed_launch(const fake::Library& library, bool emulated) {
  IPluginCreatorV3One* creator = library.creators()[0];
  const fake::Network network(creator, "layer 7", kFields, tensors());
  const fake::Engine engine(creator, "layer 7", network.serialized());
  fake::Context context(engine);
  check(context.set_shapes(descriptions(tensors()), kOutput) == 0, "onShapeChange");
  const std::vector<const void*> nowhere(5, nullptr);
  const auto enqueue = [&] {
    if (context.enqueue(nowhere, nullptr, nullptr, nullptr)) throw std::runtime_error("failed");
  };
  if (!emulated) {
    refused("'layer 7': CUDA could not run the kernel: ", enqueue);
    return;
  }
  const auto fail = reinterpret_cast<void (*)(int)>(library.symbol("emulator_fail"));
  fail(209);
  refused(
      "no kernel image is available for execution on the device; the device is Emulated GPU (sm_90); "
      "this build has kernels for the emulator",
      enqueue);
  fail(100);
  refused("there is no CUDA device to run on: no CUDA-capable device is detected", enqueue);
  fail(0);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  const bool emulated = argc > 2 && !std::strcmp(argv[2], "--emulated");
  // TensorRT 11 and TensorRT-RTX 1.7 have one layout of the logger, TensorRT 10 and RTX 1.4 another.
  for (int32_t version : {110000, 10701, 101600, 10400}) {
    const fake::Library library(argv[1], version);
    test_creators(library);
    for (IPluginCreatorV3One* creator : library.creators()) {
      test_dtypes(creator);
      test_formats(creator);
      test_dynamic_shapes(creator);
      test_round_trip(creator);
      test_refusals(creator);
      test_contexts(creator);
      test_constant_weight(creator);
    }
    test_failed_launch(library, emulated);
    check(fake::take_log().empty(), "nothing else was logged");
  }
  // A host of an unknown kind: its logger is left alone.
  const fake::Library library(argv[1], 0);
  try {
    fake::Network(library.creators()[0], "on stderr", with(fake::integers("strides", {0, 1})),
                  tensors());
    check(false, "no refusal");
  } catch (const std::runtime_error&) {
  }
  check(fake::take_log().empty(), "an unknown host's logger is not called");
  std::printf("%d checks, %d failures\n", checks, failures);
  return failures ? 1 : 0;
}
