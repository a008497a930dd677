# The only interface to this project: `make` lists what it does. Needs Python 3.13, Node 20 and git; installs the rest here.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

# Instruction set of what `build` and `deploy` make: arm64 or x86_64. `up` builds for this machine.
ARCHITECTURE ?= arm64
# How many relying parties of the demo refuse their tokens.
REFUSE ?= 0
# Where `deploy` deploys to: dev or prod.
ENV ?= dev

# Each of them alone: SAM and ministack want different versions of boto3, and neither may lend a library to our functions.
VENVS := $(CURDIR)/.venv
UV := $(VENVS)/uv/bin/uv
PYTHON := $(VENVS)/dev/bin/python
SAM := $(VENVS)/sam/bin/sam
UV_READY := .venv/uv/.ready
DEV_READY := .venv/dev/.ready
SAM_READY := .venv/sam/.ready
MINISTACK_READY := .venv/ministack/.ready
NODE_READY := tests/interop/node_modules/.ready
STACK_READY := $(DEV_READY) $(SAM_READY) $(MINISTACK_READY)

# The layers' Makefiles, which SAM runs in a scratch directory, need these.
export UV PYTHON ARCHITECTURE
export PATH := $(VENVS)/dev/bin:$(PATH)
# Everything installed is compiled at installation; our own tree stays free of bytecode.
export PYTHONDONTWRITEBYTECODE := 1
export UV_PYTHON_DOWNLOADS := never
export SAM_CLI_TELEMETRY := 0
export HYPOTHESIS_STORAGE_DIRECTORY := $(CURDIR)/.local/hypothesis

# For every command that talks to the local AWS: no account, profile, endpoint, CA bundle or proxy of the user's shell.
LOCALLY := env $(addprefix -u ,$(filter AWS_%,$(.VARIABLES))) \
	AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null \
	NO_PROXY='$(NO_PROXY),127.0.0.1,localhost' no_proxy='$(no_proxy),127.0.0.1,localhost'

# $(call quietly,name,command): the output goes to a log, which is shown if the command fails.
quietly = mkdir -p .local; $(2) >.local/$(1).log 2>&1 || { cat .local/$(1).log; exit 1; }

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: demo
demo: up ## See three relying parties being logged out, on the local stack (REFUSE=1: one of them refuses)
	@$(LOCALLY) $(PYTHON) -m local.demo --refuse $(REFUSE)

# --- Checks -----------------------------------------------------------------------------------------------------------

SUITES := unit template faults stack interop

.PHONY: test
test: lint ## Run all checks: lint, then unit, template, fault, stack and interop tests
	@rm -rf .local/results
	@status=0; $(MAKE) --keep-going $(SUITES:%=test-%) || status=$$?; $(PYTHON) -m local.results $(SUITES); exit $$status

.PHONY: $(SUITES:%=test-%)
$(SUITES:%=test-%): test-%: $(DEV_READY)
	@echo "$* tests"
	@$(LOCALLY) $(PYTHON) -m pytest -q --junitxml=.local/results/$*.xml tests/$*
test-faults test-stack test-interop: up
test-interop: $(NODE_READY)

.PHONY: lint
lint: $(DEV_READY) $(SAM_READY) ## Check format, style, types and the template
	@echo "lint"
	@ruff check --quiet
	@ruff format --check --quiet || { ruff format --diff --quiet; exit 1; }
	@$(call quietly,mypy,$(PYTHON) -m mypy)
	@$(call quietly,validate,$(LOCALLY) $(SAM) validate --lint --region eu-central-1)

.PHONY: format
format: $(DEV_READY) ## Format the code and fix what can be fixed
	@ruff check --fix --quiet
	@ruff format

.PHONY: bench
bench: up $(NODE_READY) ## Measure the delivery core and the service
	@$(LOCALLY) $(PYTHON) -m tests.load.imports
	@$(LOCALLY) $(PYTHON) -m tests.load.webhook
	@$(LOCALLY) PYTHONPATH=layers/backchannel $(PYTHON) -m tests.load.delivery
	@$(LOCALLY) PYTHONPATH=layers/backchannel $(PYTHON) -m tests.load.handler
	@$(LOCALLY) PYTHONPATH=layers/backchannel $(PYTHON) -m tests.load.isolation

.PHONY: soak
soak: up ## Run the long tests of sessions and deliveries; they stop by themselves
	@$(LOCALLY) PYTHONPATH=layers/backchannel $(PYTHON) -m tests.load.sessions
	@$(LOCALLY) PYTHONPATH=layers/backchannel $(PYTHON) -m tests.load.deliveries
	@$(LOCALLY) PYTHONPATH=layers/backchannel $(PYTHON) -m tests.load.backlog

# --- The local stack --------------------------------------------------------------------------------------------------

.PHONY: up
up: $(STACK_READY) ## Start a local AWS and deploy the service to it; again after a change: deploy the change
	@$(LOCALLY) $(PYTHON) -m local.stack up

.PHONY: down
down: $(DEV_READY) ## Stop the local AWS
	@$(LOCALLY) $(PYTHON) -m local.stack down

# --- AWS --------------------------------------------------------------------------------------------------------------

.PHONY: build
build: $(DEV_READY) $(SAM_READY) ## Build for AWS (ARCHITECTURE=arm64 or x86_64)
	@echo "building for $(ARCHITECTURE)"
	@$(call quietly,build,$(SAM) build --parameter-overrides Architecture=$(ARCHITECTURE) \
		--cache-dir .aws-sam/cache-$(ARCHITECTURE))

.PHONY: deploy
deploy: build ## Deploy to the AWS account of your shell (ENV=dev or prod, ARCHITECTURE)
	@$(SAM) deploy --config-env $(ENV) \
		--parameter-overrides "$$($(PYTHON) -m local.parameters $(ENV) $(ARCHITECTURE))"

# --- Upkeep -----------------------------------------------------------------------------------------------------------

.PHONY: openapi
openapi: $(DEV_READY) ## Write docs/openapi.json anew
	@PYTHONPATH=layers/backchannel $(PYTHON) -m local.openapi

# In this order: dev takes the versions that the layer ships.
LOCKS := requirements/uv layers/dependencies/requirements requirements/dev requirements/sam requirements/ministack

.PHONY: lock
lock: $(UV_READY) ## Pin the newest versions that the .in files allow
	@for lock in $(LOCKS); do echo "pinning $$lock.txt"; \
		$(UV) pip compile --quiet --upgrade --python-version 3.13 --generate-hashes --no-header --no-emit-index-url \
			--output-file $$lock.txt $$lock.in; done

.PHONY: clean
clean: ## Stop the local AWS and remove everything that was made or installed
	@if [ -e $(DEV_READY) ]; then $(MAKE) down; fi
	@rm -rf .aws-sam .local .venv tests/interop/node_modules

# --- Environments -----------------------------------------------------------------------------------------------------

$(UV_READY): requirements/uv.txt
	@echo "installing uv"
	@$(call quietly,install-uv,{ python3 -m venv .venv/uv && \
		.venv/uv/bin/pip install --require-hashes --requirement $<; })
	@touch $@

$(DEV_READY) $(SAM_READY) $(MINISTACK_READY): .venv/%/.ready: requirements/%.txt $(UV_READY)
	@echo "installing $*"
	@$(call quietly,install-$*,{ $(UV) venv --allow-existing --python 3.13 .venv/$* && \
		$(UV) pip sync --python .venv/$* --require-hashes --compile-bytecode $<; })
	@touch $@

$(NODE_READY): tests/interop/package-lock.json
	@echo "installing node modules"
	@$(call quietly,install-node,npm ci --prefix tests/interop --ignore-scripts --no-audit --no-fund)
	@touch $@
