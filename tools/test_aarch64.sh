#!/bin/sh
# usage: test_aarch64.sh [BUILD_FOLDER]
#
# Cross-compiles the core and its test program for 64-bit Arm and runs it under qemu's user emulation:
# every case, forward and backward, in every dtype, against a plain loop in double.
#
# Needs Debian's g++-aarch64-linux-gnu and qemu-user. Root, as CI is, gets them installed; anybody else
# is told what to install.
set -eu
cd "$(dirname "$0")/.."
build=${1:-build/aarch64}

if ! { command -v aarch64-linux-gnu-g++ && command -v qemu-aarch64; } > /dev/null; then
  if [ "$(id -u)" != 0 ]; then
    echo "test_aarch64: install g++-aarch64-linux-gnu and qemu-user (apt-get install them as root)" >&2
    exit 1
  fi
  apt-get update -q
  DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
    g++-aarch64-linux-gnu qemu-user
fi

cmake -S . -B "$build" -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
  -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++ -DDCN_TORCH=OFF -DDCN_ONNXRUNTIME=OFF -DDCN_TENSORRT=OFF \
  -DDCN_CUDA=OFF -DDCN_CORE_TEST=ON
cmake --build "$build" --parallel 2
qemu-aarch64 -L /usr/aarch64-linux-gnu "$build/tests/core/core_test"
