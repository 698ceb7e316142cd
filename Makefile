# One command each. `make setup` makes `.venv`; every other target makes it first if it is missing or out of date.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export RUST_BACKTRACE := 0
# Tests start some hundred processes: where the environment has Python keep nothing, each would compile all modules anew.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help run web setup test test-services test-rest test-browser check format fault sim fuzz bench bench-peers clean

help: ## Say what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable . --group dev
	@touch $@

setup: $(VENV)/.installed ## Make .venv and install syncd and its tools into it

# The browser's side: npm's packages as the lock file says, and the console where it is older than what it is made of.
WEB := web_client
CONSOLE := syncd/static/index.html
NPM := $(shell command -v npm 2>/dev/null)
NO_NPM = echo "$(1): npm is missing (install Node 20.19 or newer, which brings it)"

$(WEB)/node_modules/.package-lock.json: $(WEB)/package-lock.json
	cd $(WEB) && npm ci --no-audit --no-fund
	@touch $@

$(CONSOLE): $(WEB)/node_modules/.package-lock.json $(shell find $(WEB)/app $(WEB)/src $(WEB)/vite.config.ts $(WEB)/pack.mjs -type f 2>/dev/null)
	cd $(WEB) && npm run --silent build:app
	@touch $@

ifneq ($(NPM),)
web: $(CONSOLE) ## Build the console that the server shows to browsers (needs npm)
else
web:
	@$(call NO_NPM,the console is not built)
	@false
endif

run: setup $(if $(NPM),$(CONSOLE)) ## Start a server with a demo session and two agents, its console built where npm is
	@$(if $(NPM),:,test -f $(CONSOLE) || $(call NO_NPM,the server starts without its console))
	$(BIN)/syncd serve --dev --demo

test: setup $(if $(NPM),$(CONSOLE)) ## Run all tests: of the browser's client, what it weighs, and of everything else
	$(if $(NPM),cd $(WEB) && npm run --silent test && npm run --silent size,@$(call NO_NPM,the tests of $(WEB) are skipped))
	@$(MAKE) --no-print-directory --jobs=3 test-rest test-services test-browser

# Side by side, since all of them wait half of the time: for processes, heartbeats, disks. What one of them has to say
# comes when it is over. What needed more time than a busy machine left it is told, and run once more by itself.
SERVICES := tests/cli tests/server tests/e2e tests/fault
PYTEST := $(BIN)/python -m pytest
said = @said=$$($(PYTEST) -o cache_dir=.pytest_cache/$@ $(1) 2>&1); code=$$?; echo "$$said"; \
	[ $$code = 1 ] || exit $$code; \
	echo "$@: what failed is run once more, by itself"; \
	$(PYTEST) -o cache_dir=.pytest_cache/$@ --last-failed --last-failed-no-failures=none $(1)

test-rest: # All that is in none of the others.
	$(call said,$(addprefix --ignore=,tests/browser $(SERVICES)))

test-services: # Servers, agents and commands that are processes.
	$(call said,$(SERVICES))

test-browser: # Real Chromium.
	$(call said,tests/browser)

check: setup $(if $(NPM),$(WEB)/node_modules/.package-lock.json) ## Formatting, lint, types and the direction of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_layering.py
	$(if $(NPM),cd $(WEB) && npm run --silent check,@$(call NO_NPM,$(WEB) is not checked))

format: setup $(if $(NPM),$(WEB)/node_modules/.package-lock.json) ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(if $(NPM),cd $(WEB) && npm run --silent format,@$(call NO_NPM,$(WEB) is not formatted))

INPUTS ?= 1000000
fuzz: setup ## Feed hostile bytes to all that takes bytes: INPUTS=1000000 [SEED=n]; fails on a find
	$(BIN)/python -m tests.fuzz --inputs $(INPUTS) $(if $(SEED),--seed $(SEED))

bench: setup ## Measure beside the peers; pages go to benchmarks/results/ (QUICK=1: does it run?)
	-@$(MAKE) --no-print-directory bench-peers
	$(BIN)/python -m benchmarks $(if $(QUICK),--quick)

PEERS := benchmarks/peers

bench-peers: $(PEERS)/.installed ## Install the servers that are measured beside syncd

$(PEERS)/.installed: $(PEERS)/package-lock.json $(PEERS)/requirements.txt | setup
	$(BIN)/python -m benchmarks --install-peers
	@touch $@

SECONDS ?= 60

sim: setup ## Simulate fresh seeds for SECONDS=60, or replay SEED=n
	$(BIN)/python -m tests.sim --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))

KILLS ?= 100
fault: setup ## Kill server and clients under load, KILLS=100 times [SEED=n]; fails on any loss or duplicate
	$(BIN)/python -m tests.fault --kills $(KILLS) $(if $(SEED),--seed $(SEED))

clean: ## Remove what make made
	rm -rf $(PEERS)/.installed $(PEERS)/.venv $(PEERS)/node_modules
	rm -rf $(WEB)/node_modules $(WEB)/dist syncd/static
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
