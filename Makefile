.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help run test test-fast chaos e2e bench simulate docs screenshots browser lint build check deploy lock clean

PYTHON ?= python3
BIN := .venv/bin
SAM := .venv-sam/bin/sam
READY := .venv/.ready
CONSOLE_READY := .venv/.console
BROWSER_READY := .venv/.browser
COMPILED := .venv/.compiled
SAM_READY := .venv-sam/.ready
E2E_READY = .venv-e2e/.ready-$(RUNTIME)
CHECKOV_READY := .venv-checkov/.ready
STAGE ?= dev
# The Python that the functions run on: 3.13 or 3.14. The package is built for it, and so is the deploy.
RUNTIME ?= 3.13
PIN := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes
# Which tests run: those that look into the built package only once it is built, those of `make e2e` by name.
TESTS := not package and not e2e
# Twice a machine's two cores: in half of its time a test waits.
WORKERS ?= 4
# Each worker begins with whole modules, so that what a module shares is started once.
DIVIDED := --dist worksteal
COVERAGE :=

export SAM_CLI_TELEMETRY := 0
# Without bytecode each process that a test starts, and each worker, would compile all of its imports again.
unexport PYTHONDONTWRITEBYTECODE
export RUNTIME

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(CONSOLE_READY) ## Start the relay and its console on this machine, with nothing to sign up for
	@exec $(BIN)/relayctl local

test: $(COMPILED) $(BROWSER_READY) ## Run the tests (those of the console need Chromium: make browser)
	$(BIN)/pytest -n $(WORKERS) $(DIVIDED) $(COVERAGE) -m "$(TESTS)"

test-fast: $(COMPILED) ## Run the tests of every minute: rules, parsers, and one relay in one process
	$(BIN)/pytest -q -n $(WORKERS) $(DIVIDED) -m "not slow" tests/unit tests/ledger

chaos: $(READY) ## Break everything around a local relay, and account for every event (CHAOS="--seconds 120")
	$(BIN)/python -m chaos $(CHAOS)

e2e: build browser $(CONSOLE_READY) $(BROWSER_READY) $(E2E_READY) ## Deploy the template to an emulator of AWS, and check it from the front door to Calven
	@exec $(BIN)/python -m e2e

bench: build $(E2E_READY) ## Measure what it costs, next to a floor in the same run (BENCH="--only cold")
	@exec $(BIN)/python -m bench $(BENCH)

simulate: $(READY) ## Have many containers meet at one table, in virtual time (SIMULATE="--only contention")
	@exec $(BIN)/python -m simulate $(SIMULATE)

docs: $(READY) ## Write what of the documentation is made from the code: vendors, JSON Schema, cost
	$(BIN)/python tools/build/docs.py

screenshots: $(CONSOLE_READY) $(BROWSER_READY) ## Take the pictures of the console in docs/images (needs Chromium)
	$(BIN)/python tools/build/screenshots.py

browser: ## Install Chromium for the console's tests, where this machine has apt and lets us
	@tools/build/browser.sh

lint: $(CONSOLE_READY) $(BROWSER_READY) $(SAM_READY) $(CHECKOV_READY) ## Check style, types and the template, as written and as it will be deployed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy shared functions tools tests
	$(BIN)/lint-imports --no-cache
	$(BIN)/python tools/build/docs.py --check
	$(SAM) validate --lint
	$(BIN)/cfn-lint template.yaml
	$(BIN)/python tools/build/lint_template.py template.yaml build/transformed.json
	.venv-checkov/bin/checkov --config-file .checkov.yaml -f template.yaml build/transformed.json

build: $(READY) $(SAM_READY) ## Build what is deployed (needs Python 3.13, or RUNTIME=3.14; no containers)
	$(BIN)/python tools/build/package.py
	$(SAM) build

check: TESTS := not e2e
check: COVERAGE := --cov
check: browser lint build test ## Everything that must pass before a merge, with branch coverage

deploy: build ## Deploy to AWS (STAGE=dev or prod); the first time it asks for what it has to know
	$(BIN)/python tools/build/deploy.py $(SAM) $(STAGE) $(if $(wildcard .aws-sam/answered-$(STAGE)),,--guided)
	@touch .aws-sam/answered-$(STAGE)

lock: export UV_CUSTOM_COMPILE_COMMAND := make lock
lock: $(READY) ## Pin the dependencies again, after a change of pyproject.toml or a *.in
	$(PIN) pyproject.toml -o requirements.lock
	$(PIN) --extra dev -c requirements.lock pyproject.toml -o requirements-dev.lock
	$(PIN) --extra console -c requirements.lock -c requirements-dev.lock pyproject.toml \
		-o requirements-console.lock
	$(PIN) --extra browser -c requirements.lock -c requirements-console.lock pyproject.toml \
		-o requirements-browser.lock
	$(PIN) tools/build/sam.in -o requirements-sam.lock
	$(PIN) -c requirements.lock tools/build/e2e.in -o requirements-e2e.lock
	$(PIN) -c requirements.lock -c requirements-e2e.lock tools/bench/reference/requirements.in \
		-o tools/bench/reference/requirements.txt
	$(PIN) tools/build/checkov.in -o requirements-checkov.lock

clean: ## Remove everything that make has made
	rm -rf .venv .venv-sam .venv-checkov .venv-e2e .aws-sam build *.egg-info .coverage* .hypothesis .*_cache

# $(call environment,folder,lock,seconds,python) makes a virtual environment that holds what the lock names.
# Bytecode is made when something is first imported: for pip to make all of it takes longer than the rest.
PIP = $(1)/bin/python -m pip install -qq --no-input --disable-pip-version-check --no-compile
define environment
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	{ echo "$(PYTHON) is older than 3.11: name another one with PYTHON=..." >&2; exit 1; }
@echo "setting up $(1) (about $(3) s)"
@test -x $(1)/bin/python || $(or $(4),$(PYTHON)) -m venv $(1)
@$(call PIP,$(1)) --no-deps --require-hashes -r $(2)
endef

$(READY): requirements-dev.lock pyproject.toml
	$(call environment,.venv,$<,40)
	@$(call PIP,.venv) --no-deps --no-build-isolation -e .
	@touch $@

# $(call addition,lock,what for,seconds) adds to .venv what another lock names.
define addition
@echo "adding to .venv $(2) (about $(3) s)"
@$(call PIP,.venv) --no-deps --require-hashes -r $(1)
@touch $@
endef

$(CONSOLE_READY): requirements-console.lock | $(READY)
	$(call addition,$<,what the console is made with,15)

$(BROWSER_READY): requirements-browser.lock | $(CONSOLE_READY)
	$(call addition,$<,what drives a browser,10)

# The tests' workers begin at the same moment, and each would make the bytecode of the same modules. So it is
# made before, on every core, but for what is large and of which tests import little or nothing.
HARDLY_IMPORTED := pip|setuptools|mypy|mypyc|sympy|mpmath|networkx

$(COMPILED): $(CONSOLE_READY)
	@echo "making bytecode of what .venv holds (about 10 s)"
	@$(BIN)/python -W ignore -m compileall -qq -j 0 -x '/($(HARDLY_IMPORTED))/' .venv/lib || true
	@touch $@

$(SAM_READY): requirements-sam.lock
	$(call environment,.venv-sam,$<,40)
	@touch $@

# The emulator runs the functions with its own Python, so that must be theirs; one for another Python goes.
$(E2E_READY): requirements-e2e.lock | $(READY)
	@rm -rf .venv-e2e
	$(call environment,.venv-e2e,$<,20,$(shell $(BIN)/python tools/build/package.py --python))
	@touch $@

$(CHECKOV_READY): requirements-checkov.lock
	$(call environment,.venv-checkov,$<,40)
	@touch $@
