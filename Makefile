# Everything a newcomer types. The virtual environment is made by the first command that needs it.
PYTHON ?= python3
BIN := .venv/bin
RUN := .venv/ready-minilm
DEV := .venv/ready-dev
.DEFAULT_GOAL := help
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist worksteal
SLOW := slow or matrix or browser
CHECKED := tests/test_architecture.py tests/config/test_configs.py
.PHONY: help run test test-rest test-all check docs bench bench-gpu reproduce ui clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*##  *\(.*\)/make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|'

# A stamp for each extra of pyproject.toml that a target needs: .venv/ready-docs stands for pip install -e '.[docs]'.
.venv/ready-%: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "embexp needs Python 3.11 or newer; $(PYTHON) is older. Type: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "Setting up .venv ($*): 2 to 3 GB, minutes the first time"
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip   # uv makes environments without pip
	$(BIN)/python -m pip install --quiet 'pip>=25.1'   # shows how far an installation is
	$(BIN)/python -m pip install --constraint constraints.txt --editable '.[$*]'
	touch $@ $(if $(filter dev,$*),$(RUN))

run: $(RUN)  ## set up, then fine-tune MiniLM and compare it with its untouched self
	$(BIN)/python -m embexp loss=mnrl model=minilm
	@echo "Compare runs in the browser: make ui"

test: $(DEV)  ## set up, then the tests of every mechanism, in parallel
	$(PYTEST) -m "not ($(SLOW))" $(WITHOUT)

test-rest: $(DEV)  ## the tests that make test leaves out: whole runs, the browser
	$(PYTEST) -m "$(SLOW)"

test-all: $(DEV)  ## all tests (with EMBEXP_DATA=<folder> also those on real data)
	$(PYTEST)

check: $(DEV)  ## format, lint, layers and configurations
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/python -m pytest -q $(CHECKED)

docs: .venv/ready-docs  ## the pages in English and Chinese: site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

bench: $(DEV)  ## benchmarks as ratios to a peer (tests/benchmarks); 90 minutes
	for name in start scoring training growth tracking sweep bootstrap big_files mixtures negatives leaderboard; do $(BIN)/python tests/benchmarks/$$name.py || exit 1; done

bench-gpu: $(DEV)  ## the benchmark for one GPU; says so where there is none
	$(BIN)/python tests/benchmarks/gpu.py

reproduce: $(DEV)  ## the recipes on real data, two hours: EMBEXP_DATA=<folder>; BUDGET=8h goes on where more seeds may decide
	$(BIN)/python -m results.reproduce size=$(or $(SIZE),cpu) $(if $(BUDGET),budget=$(BUDGET)) $(if $(EMBEXP_DATA),paths.data=$(EMBEXP_DATA))

ui: $(RUN)  ## the MLflow UI on this folder's runs
	@echo "All runs, best score first: http://127.0.0.1:5000/#/experiments/1/runs?viewStateShareKey=embexp"
	@MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false PYTHONWARNINGS=ignore \
		$(BIN)/mlflow ui --backend-store-uri sqlite:///mlflow.db

clean:  ## remove the virtual environment and caches, but no runs
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis
