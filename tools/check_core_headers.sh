#!/bin/sh
# The rule of plugins/core: it knows no framework. Fails where a file there includes one's header.
cd "$(dirname "$0")/.." || exit 2
if grep -nE '#[[:space:]]*include[[:space:]]*[<"](torch/|ATen|c10|onnx|NvInfer|Python\.h|pybind)' \
  -r plugins/core; then
  echo "plugins/core includes a framework's header: translate in the frontend's folder instead" >&2
  exit 1
fi
