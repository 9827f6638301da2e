#!/bin/sh
# usage: test_threads.sh [BUILD_FOLDER]
#
# The core under ThreadSanitizer: its own cases on a pool of three threads, many callers at a time, and how
# work is shared out.
set -eu
cd "$(dirname "$0")/.."
build=${1:-build/threads}
cmake -S . -B "$build" -DDCN_SANITIZE=thread -DDCN_TORCH=OFF -DDCN_ONNXRUNTIME=OFF -DDCN_TENSORRT=OFF \
  -DDCN_CUDA=OFF -DDCN_CORE_TEST=ON
cmake --build "$build" --parallel 2
# Without randomised addresses: the runtime of older compilers refuses those that new kernels choose.
for program in core_test concurrency_test steps_test; do
  setarch "$(uname -m)" --addr-no-randomize "$build/tests/core/$program"
done
