# make demo   the whole system on this machine, one incident investigated
# make test   every test
# make check  what CI checks besides: style, types, imports
# make chaos  the product under kills, outages and freezes (CHAOS_SEED="1 2 3" runs three schedules,
#             CHAOS_OPTIONS=--orchestrated with leads and sub-agents)
# make lock   the locked dependencies anew
# make detectors the shipped detectors of secrets anew, from the locked kingfisher-secret-scanner
# make prices the shipped list prices anew, from the locked genai-prices, as they hold today

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO_VENV ?= .venv-demo
PROXY_VENV := .venv-litellm

.PHONY: demo test check format lock bench bench-orchestrated bench-client bench-guardrail footprint chaos prices detectors \
	clean

$(BIN)/.dev: locks/dev.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --require-hashes -r locks/dev.txt
	$(BIN)/pip install --quiet --no-deps --editable .
	touch $@

$(DEMO_VENV)/.installed: locks/demo.txt pyproject.toml
	$(PYTHON) -m venv $(DEMO_VENV)
	$(DEMO_VENV)/bin/pip install --quiet --require-hashes -r locks/demo.txt
	$(DEMO_VENV)/bin/pip install --quiet --no-deps --editable .
	touch $@

# A program of somebody else's that the tests send model calls through.
$(PROXY_VENV)/.installed:
	$(PYTHON) -m venv $(PROXY_VENV)
	$(PROXY_VENV)/bin/pip install --quiet 'litellm[proxy]==1.108.7'
	touch $@

demo: $(DEMO_VENV)/.installed
	$(DEMO_VENV)/bin/rca demo

test: $(BIN)/.dev $(PROXY_VENV)/.installed
	$(BIN)/pytest --numprocesses 2 tests/unit tests/architecture
	$(BIN)/pytest --numprocesses 3 --dist loadfile tests/contract tests/integration tests/acceptance

check: $(BIN)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(BIN)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(BIN)/.dev
	$(BIN)/python -m tests.benchmarks.spine

bench-orchestrated: $(BIN)/.dev
	$(BIN)/python -m tests.benchmarks.orchestrated

bench-guardrail: $(BIN)/.dev
	$(BIN)/python -m tests.benchmarks.guardrail

bench-client: $(BIN)/.dev
	$(BIN)/python -m tests.benchmarks.provider_client

# What a run writes stays in CHAOS_FOLDER, one folder a seed; the checker's exit code is the target's.
CHAOS_SEED ?= 1
CHAOS_INVESTIGATIONS ?= 200
CHAOS_TURNS ?= 8
CHAOS_WORKERS ?= 2
CHAOS_SPAN_S ?= 330
CHAOS_OPTIONS ?=

chaos: $(BIN)/.dev
	folder="$${CHAOS_FOLDER:-$$(mktemp -d)}"; status=0; for seed in $(CHAOS_SEED); do \
	$(BIN)/python -m tests.benchmarks.chaos.run --folder "$$folder/$$seed" --seed $$seed --turns $(CHAOS_TURNS) \
	  --investigations $(CHAOS_INVESTIGATIONS) --workers $(CHAOS_WORKERS) --span-s $(CHAOS_SPAN_S) $(CHAOS_OPTIONS) && \
	$(BIN)/python -m tests.benchmarks.chaos.check "$$folder/$$seed" || status=1; done; exit $$status

footprint: $(BIN)/.dev
	$(BIN)/python -m tests.benchmarks.footprint

# Index addresses are left out: the locks hold names, versions and hashes, from wherever they are installed.
LOCK := $(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-header --no-annotate

prices: $(BIN)/.dev
	$(BIN)/python scripts/collect_prices.py "$$(date -u +%F)" > worker/llm/price_list.json.new
	mv worker/llm/price_list.json.new worker/llm/price_list.json

detectors: $(BIN)/.dev
	$(BIN)/python -W ignore scripts/collect_detectors.py > worker/ops/detectors.json.new
	mv worker/ops/detectors.json.new worker/ops/detectors.json

lock: $(BIN)/.dev
	$(BIN)/pip install --quiet pip-tools
	$(LOCK) --extra demo --extra flower --output-file locks/demo.txt pyproject.toml
	$(LOCK) --extra dev --output-file locks/dev.txt pyproject.toml

clean:
	rm -rf $(VENV) $(DEMO_VENV) $(PROXY_VENV) .rca build *.egg-info
