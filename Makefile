# Thin words over the real tools. Everything happens in .venv; nothing is installed in the system.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# GPUs that the CUDA kernels are compiled for here: this machine's; without one, a single kind. What
# pip install makes by itself is for all that are in use.
CUDA_ARCHITECTURES ?= $(or $(shell nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null \
	| grep -x '[0-9]*\.[0-9]' | tr -d . | sort -u | paste -sd ';'),90)

SOURCES := CMakeLists.txt pyproject.toml $(shell find cmake dcn_deploy plugins tools -type f \
	-not -path '*/__pycache__/*' 2>/dev/null)
CPP := $(shell find plugins tests -name '*.cpp' -o -name '*.cu' -o -name '*.h')

.PHONY: help setup browser demo bench test test-versions test-versions-torch \
	test-versions-tensorrt test-torchvision test-aarch64 test-avx512 test-tsan gpu-check \
	gpu-check-tensorrt bench-torchvision lint format clean

help:
	@echo "make demo                  train, export, verify, compare, build an engine; writes demo_out/"
	@echo "make test                  the whole test suite"
	@echo "make test-versions         the onnxruntime library in old and new onnxruntimes"
	@echo "make test-versions-torch   the torch library in torch 2.10 and 2.13 (several GB)"
	@echo "make test-aarch64          the core on 64-bit Arm, cross-compiled and emulated"
	@echo "make test-avx512           the core's sources for AVX-512, emulated"
	@echo "make test-tsan             the core under ThreadSanitizer"
	@echo "make test-versions-tensorrt   the plugin in TensorRT 10 and 11 and TensorRT-RTX, without a GPU"
	@echo "make gpu-check             the CUDA kernels on this machine's GPU: right, and how fast"
	@echo "make gpu-check-tensorrt    the plugin on this machine's GPU, against float64"
	@echo "make test-torchvision      what the tests stand in for, with the real torchvision (several GB)"
	@echo "make bench                 layers of published models; writes benchmarks/results and the README"
	@echo "make bench-torchvision     the same, beside torchvision too (several GB)"
	@echo "make lint                  ruff, mypy, clang-format, and the rule of the core"
	@echo "make format                let ruff and clang-format write"
	@echo "make clean                 remove .venv, build and what the demo wrote"

# Progress is shown, because the first time this fetches torch and compiles.
$(VENV)/dependencies: requirements-dev.txt requirements-dev-alone.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -r requirements-dev.txt
	$(BIN)/pip install --no-deps -r requirements-dev-alone.txt
	touch $@

$(VENV)/installed: $(VENV)/dependencies $(SOURCES)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/pip install --no-build-isolation --no-deps \
		"--config-settings=cmake.define.DCN_CUDA_ARCHITECTURES=$(CUDA_ARCHITECTURES)" .
	touch $@

setup: $(VENV)/installed

demo: setup
	$(BIN)/python export_examples/digits/demo.py --out demo_out

# A Chromium to test the page of "dcn-deploy report" in: the machine's, or one unpacked here.
browser: $(VENV)/browser/chromium

$(VENV)/browser/chromium: tools/browser.sh | $(VENV)/dependencies
	sh tools/browser.sh $(VENV)/browser

# Where no Chromium can be had, the tests that need it are skipped and say so.
test: setup
	-@$(MAKE) --no-print-directory browser
	OMP_WAIT_POLICY=passive $(BIN)/pytest -n 2 $(PYTEST_ARGS)

# VERSIONS="1.20.1 1.23.2" runs only those.
test-versions: setup
	$(BIN)/python tests/versions/onnxruntime_versions.py $(if $(VERSIONS),--versions $(VERSIONS))

test-versions-torch: setup
	$(BIN)/python tests/versions/torch_versions.py

test-torchvision: setup
	$(BIN)/python tools/in_torchvision.py -c "import torchvision_stand_in as it; assert it.IS_REAL"
	$(BIN)/python tools/in_torchvision.py -m pytest -q tests/test_convert.py \
	  tests/test_convert_graphs.py tests/test_export_torchvision.py

test-aarch64:
	sh tools/test_aarch64.sh

test-avx512:
	sh tools/test_avx512.sh

test-tsan:
	sh tools/test_threads.sh

# BENCH_ARGS="--sections forward --layers k7 --out build/bench.json" for a part.
bench: setup
	$(BIN)/python benchmarks/layers.py $(BENCH_ARGS)
	$(BIN)/python benchmarks/readme.py

# With torchvision in the tables, in an environment of its own (several GB).
bench-torchvision: setup
	$(BIN)/python tools/in_torchvision.py benchmarks/layers.py $(BENCH_ARGS)
	$(BIN)/python benchmarks/readme.py

test-versions-tensorrt: setup
	$(BIN)/python tests/versions/tensorrt_versions.py $(if $(VERSIONS),--versions $(VERSIONS))

# GPU_CHECK_ARGS="--quick --out benchmarks/results/gpu" for less, and for another place.
gpu-check: setup
	$(BIN)/python benchmarks/gpu_check.py $(GPU_CHECK_ARGS)

gpu-check-tensorrt: setup
	$(BIN)/python tests/tensorrt_plugin/gpu_check.py

lint: $(VENV)/dependencies
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run --Werror $(CPP)
	sh tools/check_core_headers.sh

format: $(VENV)/dependencies
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(CPP)

clean:
	rm -rf $(VENV) build demo_out
