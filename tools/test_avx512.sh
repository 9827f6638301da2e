#!/bin/sh
# usage: test_avx512.sh [BUILD_FOLDER]
#
# The kernels' sources for AVX-512, on any machine with AVX2: every case of the core's test program,
# with SIMDe's portable code behind the intrinsics (tests/core/avx512_emulated.h says what that shows).
#
# Needs Debian's libsimde-dev. Root, as CI is, gets it installed; anybody else is told to.
set -eu
cd "$(dirname "$0")/.."
build=${1:-build/avx512}

if [ ! -e /usr/include/simde/x86/avx512.h ]; then
  if [ "$(id -u)" != 0 ]; then
    echo "test_avx512: install libsimde-dev (apt-get install it as root)" >&2
    exit 1
  fi
  apt-get update -q
  DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends libsimde-dev
fi

cmake -S . -B "$build" -DDCN_TORCH=OFF -DDCN_ONNXRUNTIME=OFF -DDCN_TENSORRT=OFF -DDCN_CORE_TEST=ON \
  -DDCN_AVX512_EMULATED=ON
cmake --build "$build" --parallel 2 --target core_test
for name in avx512_bf16 avx512; do
  said=$(DCN_DEPLOY_ISA=$name "$build/tests/core/core_test") || { echo "$said"; exit 1; }
  echo "$said"
  case $said in
    "$name: "*) ;;
    *) echo "test_avx512: the program did not run $name" >&2; exit 1 ;;
  esac
done
