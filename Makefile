# Thin: each target calls one command; `make help` lists them.

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || echo python3)
BIN := .venv/bin
STAMP := .venv/.from-lock

.DEFAULT_GOAL := help
.PHONY: help up cluster down status demo test test-all bench matrix chaos lint types console console-types screenshots proto venv lock sbom audit clean

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r name text; do \
		printf '  make %-13s %s\n' "$$name" "$$text"; done

up: venv ## Start the embedded stack (builds what is missing), print addresses and keys
	@$(BIN)/python -m deploy.local up

cluster: venv ## As `make up`, with three Temporal nodes behind one address (HAProxy)
	@$(BIN)/python -m deploy.local up --temporal-nodes 3

down: venv ## Stop what `make up` started
	@$(BIN)/python -m deploy.local down

status: venv ## Say how each part of the stack is
	@$(BIN)/python -m deploy.local status

demo: venv ## Start what is missing, send real episodes for two tenants, one on each backend, and show them finish
	@$(BIN)/python -m deploy.local up && $(BIN)/python -m deploy.local.demo

test: venv ## For each change: lint, types, unit, integration and contract tests
	@.ci/checks

test-all: venv ## What CI runs: `make test` and the tests of whole systems
	@.ci/checks all

bench: venv ## Measure; ONLY=dispatch,submit picks parts
	@PYTHONPATH=contract-tests/support ONLY=$(ONLY) $(BIN)/python -m tests.performance

matrix: venv ## A part of the tests on each supported PostgreSQL, Redis and Temporal; ROWS=redis-7 picks one
	@ROWS=$(ROWS) $(BIN)/python -m deploy.local.matrix

chaos: venv ## Faults in a seeded history: TASKS=500 FLIPS=20 FAULTS=10 SEED=7 [MUTATE=fence] [GUARDED=1] [TEMPORAL_SERVERS=3] [LEGACY=1]
	@GUARDED=$(GUARDED) TASKS=$(TASKS) FLIPS=$(FLIPS) FAULTS=$(FAULTS) SEED=$(SEED) MUTATE=$(MUTATE) TEMPORAL_SERVERS=$(TEMPORAL_SERVERS) LEGACY=$(LEGACY) MINUTES=$(MINUTES) \
		$(BIN)/python contract-tests/chaos

lint: venv ## Put imports and format in order, and say what is left
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

types: venv ## Strict type check
	@$(BIN)/mypy

console: venv ## Build the console, which the gateway serves under /console
	@$(BIN)/python -m deploy.local.console build

console-types: venv ## Generate the console's types of the API from the gateway's OpenAPI document
	@$(BIN)/python -m deploy.local.console types

screenshots: venv ## A picture of each page of the console in both themes, in .local/screenshots, by its browser tests
	@TASKGATE_SCREENSHOTS=.local/screenshots $(BIN)/python -m pytest tests/browser

proto: venv ## Generate the gRPC code from the protos
	@$(BIN)/python -m gateway.rpc.generate

venv: $(STAMP) ## Make or update .venv from the hashed lock

$(STAMP): requirements.lock pyproject.toml
	@deploy/local/make-venv "$(PYTHON)" .venv
	@touch $@

# No registry host is recorded: whoever installs uses their own. The images have locks of their own, with the same versions;
# the last ones are for what `make bench` compares with.
COMPILE := $(BIN)/uv pip compile --quiet --generate-hashes --python-version 3.11 --no-emit-index-url \
	--no-emit-find-links --no-annotate

# What serves requests and migrates the database: a worker does neither.
SERVING := alembic fastapi fastapi-offline greenlet grpcio-health-checking grpcio-reflection grpcio-status httptools mako \
	sqlalchemy sse-starlette starlette uvicorn

lock: venv ## Resolve the dependencies anew into the lock files; UPGRADE=--upgrade takes newer versions
	@$(COMPILE) $(UPGRADE) --all-extras pyproject.toml -o requirements.lock
	@$(COMPILE) -c requirements.lock --extra archive --extra parity pyproject.toml deploy/docker/build.in -o deploy/docker/gateway.lock
	@$(COMPILE) -c requirements.lock --extra worker --extra demo $(addprefix --no-emit-package ,$(SERVING)) pyproject.toml deploy/docker/build.in -o deploy/docker/worker.lock
	@$(COMPILE) $(UPGRADE) deploy/supply/tools.in -o deploy/supply/tools.lock
	@for peers in tests/performance/peers/*.in; do $(COMPILE) $(UPGRADE) $$peers -o $${peers%.in}.lock; done

# Their dependencies are theirs, not the gateway's: a virtual environment beside it.
SUPPLY := .local/supply
$(SUPPLY)/.from-lock: deploy/supply/tools.lock | venv
	@$(BIN)/uv venv --quiet --clear --python "$(PYTHON)" $(SUPPLY)
	@$(BIN)/uv pip sync --quiet --python $(SUPPLY)/bin/python --require-hashes deploy/supply/tools.lock
	@touch $@

sbom: $(SUPPLY)/.from-lock ## Write what both images contain, as CycloneDX 1.6, to .local/sbom
	@mkdir -p .local/sbom
	@for image in gateway worker; do \
		$(SUPPLY)/bin/python -W ignore -m cyclonedx_py requirements deploy/docker/$$image.lock --pyproject pyproject.toml \
			--sv 1.6 --of JSON --output-reproducible -o .local/sbom/$$image.cdx.json || exit 1; \
	done; ls .local/sbom

audit: $(SUPPLY)/.from-lock ## Ask PyPI for known vulnerabilities of all that the locks name (needs internet)
	@for lock in requirements.lock deploy/docker/gateway.lock deploy/docker/worker.lock deploy/supply/tools.lock; do \
		$(SUPPLY)/bin/pip-audit --strict --require-hashes --disable-pip --progress-spinner off -r $$lock || exit 1; \
	done

clean: down ## Stop the stack and remove its state, the virtual environment and all caches of the checkout
	@rm -rf .local .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
