# Two commands do everything, each from nothing: `make demo` and `make test`.
# They can be interrupted and run again; what is installed is not installed twice.

PYTHON ?= python3
VENV ?= .venv
# An optional folder of prebuilt wheels, which spares compiling MMCV's ops.
WHEELHOUSE ?=
DEMO_ARGS ?=
TEST_ARGS ?= -n auto
BENCH_ARGS ?=
GPU_ARGS ?=
MATRIX_ARGS ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALL := $(PIP) install --quiet --constraint requirements/constraints.txt \
	$(if $(WHEELHOUSE),--find-links '$(WHEELHOUSE)')
APT := build-essential python3-dev python3-venv
CAN_COMPILE := command -v g++ >/dev/null && $(PYTHON) -c \
	'import os, sysconfig as s; open(os.path.join(s.get_path("include"), "Python.h"))' 2>/dev/null
CLASSIC := mmcv mmcv-lite mmdet mmengine mmengine-lite mmpretrain
EXTRAS := .[analysis,demo,dev,docs,export]
# $(call timed,what,command): say what happens and how long it took.
timed = @echo "==> $(1)"; start=$$(date +%s); { $(2); } && \
	echo "    done in $$(($$(date +%s) - start)) s"

.PHONY: help demo test matrix bench gpu-check docs lint setup clean
.DELETE_ON_ERROR:

help:
	@echo "make demo    train a classifier and a detector on small data, show the results"
	@echo "make test    run all tests"
	@echo "make matrix  run a part of the tests with other versions of Python and of the libraries"
	@echo "make bench   compare time and memory with those of plain networks, in 10 minutes"
	@echo "make gpu-check   test and measure on a GPU, in 10 minutes"
	@echo "make docs    build the documentation site in build/docs"
	@echo "make lint    check format, style and type hints"
	@echo "make setup   only install everything into $(VENV)"
	@echo "make clean   remove $(VENV) and the results of runs"
	@echo "Options: PYTHON=python3.12  WHEELHOUSE=DIR  DEMO_ARGS=--quick  TEST_ARGS='-k dia'"

demo: setup
	@$(BIN)/python tools/demo.py $(DEMO_ARGS)

test: setup
	@$(BIN)/python -m pytest $(TEST_ARGS)

matrix: setup
	@$(BIN)/nox $(MATRIX_ARGS)

bench: setup
	@$(BIN)/python tools/analysis_tools/benchmark.py $(BENCH_ARGS)

gpu-check: setup
	@$(BIN)/python tools/gpu_check.py $(GPU_ARGS)

# A warning, such as of a link that leads nowhere, is an error.
docs: setup
	$(call timed,Building the documentation site,\
		$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going -c docs . build/docs)
	@echo "build/docs/index.html"

lint: setup
	@$(BIN)/pre-commit run --all-files
	@$(BIN)/mypy

setup: $(VENV)/mmdia.done

$(VENV)/python.done:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' || \
		{ echo "mmdia's environment needs Python 3.10 to 3.13: make PYTHON=python3.12 ..."; exit 1; }
	@$(if $(WHEELHOUSE),test -d '$(WHEELHOUSE)' || \
		{ echo "WHEELHOUSE is not a folder: $(WHEELHOUSE)"; exit 1; })
	@$(if $(WHEELHOUSE),true,$(CAN_COMPILE)) || \
		{ echo "MMCV compiles its ops. On Debian and Ubuntu: apt install $(APT)"; exit 1; }
	$(call timed,Creating the environment $(VENV),$(PYTHON) -m venv $(VENV) || \
		{ echo "On Debian and Ubuntu: apt install $(APT)"; exit 1; })
	@touch $@

$(VENV)/torch.done: requirements/torch.txt requirements/constraints.txt $(VENV)/python.done
	$(call timed,Installing PyTorch (5 GB on disk; some minutes),\
		$(INSTALL) --upgrade pip && $(INSTALL) --requirement requirements/torch.txt)
	@touch $@

# MMCV compiles against the installed torch, hence no build isolation, and on one core alone unless
# Ninja is found. Where the system lacks OpenGL, the headless build of OpenCV replaces the other.
$(VENV)/openmmlab.done: requirements/openmmlab.txt $(VENV)/torch.done
	@! $(PIP) show --quiet $(CLASSIC) 2>/dev/null || \
		{ echo "$(VENV) has the classic OpenMMLab libraries, which these would overwrite"; exit 1; }
	$(call timed,Installing OpenMMLab (compiling MMCV takes about 10 minutes; a wheel in WHEELHOUSE spares it),\
		. '$(BIN)/activate' && MMCV_WITH_OPS=1 $(INSTALL) --no-build-isolation --requirement requirements/openmmlab.txt)
	@$(BIN)/python -c 'import cv2' 2>/dev/null || \
		$(INSTALL) --force-reinstall --no-deps opencv-python-headless
	@touch $@

$(VENV)/mmdia.done: setup.py $(wildcard requirements/*.txt) $(VENV)/openmmlab.done
	$(call timed,Installing mmdia,$(INSTALL) --no-build-isolation --editable '$(EXTRAS)')
	@touch $@

clean:
	rm -rf $(VENV) work_dirs build *.egg-info
