# Thin words over the real tools. Everything happens in .venv; nothing is installed in the system.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

SOURCES := CMakeLists.txt pyproject.toml $(shell find cmake dcn_deploy plugins tools -type f \
	-not -path '*/__pycache__/*' 2>/dev/null)
CPP := $(shell find plugins tests -name '*.cpp' -o -name '*.h')

.PHONY: help setup demo bench browser test test-versions test-versions-torch \
	test-torchvision lint format clean

help:
	@echo "make demo                  train, export, verify and compare on real data; writes demo_out/"
	@echo "make test                  the whole test suite"
	@echo "make test-versions         the onnxruntime library in old and new onnxruntimes"
	@echo "make test-versions-torch   the torch library in torch 2.10 and 2.13 (several GB)"
	@echo "make test-torchvision      what the tests stand in for, with the real torchvision (several GB)"
	@echo "make bench                 layers of published models; writes benchmarks/results and the README"
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
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/pip install --no-build-isolation --no-deps .
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
	$(BIN)/python tests/versions/torchvision_tests.py

bench: setup
	$(BIN)/python benchmarks/layers.py
	$(BIN)/python benchmarks/readme.py

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
