# The habits of the project. `make demo` and `make test` need git, make and Python 3.11 with pip, nothing else.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
UV_VERSION := 0.13.9
UV := .tools/uv/bin/uv
RUN := $(UV) run --no-sync
READY := .venv/.ready
CLASSIC02 := .tools/classic02
COMPILED := .compiled

# Tests wait for servers and disks half of their time.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print((os.cpu_count() or 1) + 2)')

export UV_PYTHON_DOWNLOADS := never

# With it every process compiles all that it imports anew, and the tests start a thousand of them.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup demo serve test test-integrations test-deep compiled test-compiled soak lint fmt bench bench-engine bench-http bench-tokens bench-limits bench-search bench-integrations mutants verifier-checks clean help

help:  ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY)  ## Install everything into this folder (.tools, .venv)

# uv goes into a folder of the checkout; --target works also where pip may not touch the system.
$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ACT needs Python 3.11 or later; run: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --no-warn-script-location --upgrade --target .tools/uv uv==$(UV_VERSION)

$(READY): $(UV) pyproject.toml uv.lock
	$(UV) sync --quiet --locked --all-extras --python $(PYTHON)
	@touch $@

demo: setup  ## Run the reference scenario: a real server, a real AutoGen group chat
	@$(RUN) actctl demo

serve: setup  ## Run a server on ./act.db
	@$(RUN) actctl serve

test: setup  ## Run the tests, all but those of the integrations
	$(RUN) pytest -q -n $(WORKERS) --dist loadscope --ignore=tests/integrations

# AutoGen 0.2.40 imports as `autogen`, as 0.14 does, and so lives in an environment of its own. It needs Python 3.12 or older.
$(CLASSIC02)/.ready: $(UV) pyproject.toml tests/integrations/classic02.txt
	$(UV) venv --quiet --clear --python $(PYTHON) $(CLASSIC02)
	$(UV) pip install --quiet --python $(CLASSIC02)/bin/python -r tests/integrations/classic02.txt -e '.[server]'
	@touch $@

test-integrations: setup $(CLASSIC02)/.ready  ## Test the integrations: every framework, and AutoGen 0.2.40 beside them
	$(RUN) pytest -q -n auto --dist loadscope tests/integrations
	$(CLASSIC02)/bin/python -m pytest -q -p no:cacheprovider -n auto --dist loadscope \
	  tests/integrations/autogen tests/integrations/suite/test_suite.py::TestAutogen

# Where there is no wheel of Atheris its tests are skipped and say so.
test-deep: setup  ## The same properties and differential tests on many more examples, and fuzzing (long)
	-$(UV) sync --quiet --locked --inexact --all-extras --group deep --no-build-package atheris --python $(PYTHON)
	ACT_DEEP=1 $(RUN) pytest -q -n auto tests/properties tests/deep tests/limits tests/attacks/test_counting_limits.py \
	  tests/e2e/test_crash_limits.py tests/e2e/test_kill.py tests/audit/test_sumdb.py

compiled: $(COMPILED)/.ready  ## A copy of ACT whose decision core is compiled, in .compiled (needs a C compiler)

$(COMPILED)/.ready: $(UV) pyproject.toml hatch_build.py $(shell find src -name '*.py')
	rm -rf $(COMPILED) && mkdir -p $(COMPILED)
	ACT_COMPILE=1 $(UV) build --quiet --wheel --python $(PYTHON) --out-dir $(COMPILED)/dist
	$(PYTHON) -m zipfile -e $(COMPILED)/dist/*.whl $(COMPILED)
	@touch $@

test-compiled: setup compiled  ## Test the compiled decision core (long)
	PYTHONPATH=$(CURDIR)/$(COMPILED) ACT_COMPILED=1 $(RUN) pytest -q -n auto --dist loadscope tests/test_compiled.py \
	  tests/conformance tests/properties tests/policies tests/enforcement tests/tokens tests/delegations tests/limits tests/attacks

soak: setup  ## A real server under a mixed load: is it as small, fast and right as before? (MINUTES=10)
	$(RUN) python -u -m tests.deep.soak --minutes $(or $(MINUTES),10)

mutants: setup  ## Break the decision core and see which tests notice (long; MODULES="globs match" MINUTES=20)
	$(RUN) python -u -m tests.deep.mutants $(MODULES) --minutes $(or $(MINUTES),120)

verifier-checks: setup  ## Take out each check of the token verifier and see which tests notice (long; MINUTES=20)
	$(RUN) python -u -m tests.deep.verifier_checks $(MODULES) --minutes $(or $(MINUTES),60)

lint: setup  ## Check style, types and the rules between the rooms
	$(RUN) ruff format --check src tests benchmarks
	$(RUN) ruff check src tests benchmarks
	$(RUN) mypy
	$(RUN) lint-imports

fmt: setup  ## Format the code
	$(RUN) ruff format src tests benchmarks
	$(RUN) ruff check --fix src tests benchmarks

bench: setup  ## Measure decisions, in process and over HTTP (prints; gates nothing)
	$(RUN) python -m benchmarks

bench-http: setup  ## Decisions over HTTP, next to Cerbos (fetches it; needs wrk; SECONDS=5 for each row)
	$(RUN) python -m benchmarks.over_http $(SECONDS)
	$(RUN) python -m benchmarks.stages

bench-engine: setup  ## The decision procedure against other engines (fetches them)
	$(RUN) python -m benchmarks.engine
	$(RUN) python -m benchmarks.changes

bench-tokens: setup  ## Tokens and chains, against PyJWT, Biscuit and macaroons (fetches them)
	$(RUN) python -m benchmarks.tokens

bench-limits: setup  ## What it costs to count: judging, the whole pipeline, and memory (prints; gates nothing)
	$(RUN) python -m benchmarks.limits

bench-search: setup  ## Search a large log while decisions are made (ROWS=10000000; a million takes two minutes)
	$(RUN) python -m benchmarks.search --rows $(or $(ROWS),1000000)

bench-integrations: setup  ## What a guard adds to one tool call, per framework, embedded and over HTTP
	$(RUN) python -m benchmarks.integrations

clean:  ## Remove what setup and runs have made here
	rm -rf .venv .tools dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
