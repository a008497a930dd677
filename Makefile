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
# What `test-<suite>` runs instead of the whole suite: a file, or a test (tests/unit/test_x.py::test_y).
TEST ?=
# Which modules `mutants` changes, such as tokens.jws; all of its list if empty.
MODULES ?=
# Where `deploy` deploys to: dev or prod.
ENV ?= dev

# One environment each: SAM and ministack need different versions of boto3, and our functions must not find their libraries.
VENVS := $(CURDIR)/.venv
UV := $(VENVS)/uv/bin/uv
PYTHON := $(VENVS)/dev/bin/python
SAM := $(VENVS)/sam/bin/sam
UV_READY := .venv/uv/.ready
DEV_READY := .venv/dev/.ready
SAM_READY := .venv/sam/.ready
MINISTACK_READY := .venv/ministack/.ready
MUTANTS_READY := .venv/mutants/.ready
GENERATED_READY := .venv/generated-client/.ready
DOCS_READY := .venv/docs/.ready
NODE_READY := tests/interop/node_modules/.ready
STACK_READY := $(DEV_READY) $(SAM_READY) $(MINISTACK_READY)

# The layers' Makefiles, which SAM runs in a scratch directory, need these.
export UV PYTHON ARCHITECTURE
export PATH := $(VENVS)/dev/bin:$(PATH)
# Packages are compiled when they are installed; our own tree stays free of bytecode.
export PYTHONDONTWRITEBYTECODE := 1
export UV_PYTHON_DOWNLOADS := never
export SAM_CLI_TELEMETRY := 0
# template.yaml repeats resources with Fn::ForEach, which SAM expands only when told to.
export SAM_CLI_ENABLE_LANGUAGE_EXTENSIONS := 1
export HYPOTHESIS_STORAGE_DIRECTORY := $(CURDIR)/.local/hypothesis

# Commands that talk to the local AWS must see no account, profile, endpoint, CA bundle or proxy of the user's shell.
LOCALLY := env $(addprefix -u ,$(filter AWS_%,$(.VARIABLES))) \
	AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null \
	NO_PROXY='$(NO_PROXY),127.0.0.1,localhost' no_proxy='$(no_proxy),127.0.0.1,localhost'

# $(call quietly,name,command): writes the output to a log, and shows it if the command fails.
quietly = mkdir -p .local; $(2) >.local/$(1).log 2>&1 || { cat .local/$(1).log; exit 1; }

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: demo
demo: up ## See three relying parties being logged out, on the local stack (REFUSE=1: one of them refuses)
	@$(LOCALLY) $(PYTHON) -m local.demo --refuse $(REFUSE)

# --- Checks -----------------------------------------------------------------------------------------------------------

SUITES := unit template faults stack interop
# The unit suite runs in two parts beside each other, by the first letter after test_.
UNIT_PARTS := unit-a-h unit-i-z
unit-a-h := tests/unit/test_[a-h]*.py
unit-i-z := tests/unit/test_[!a-h]*.py
# The stack suite runs in parts, beside each other on two local stacks: docs/testing.md says how they are cut.
STACK_PARTS := stack-main stack-senders stack-inside stack-waits stack-second stack-alone stack-quiet
SHARED := not alone and not quiet
stack-main := -m 'not senders and not inside and not waits and not second and $(SHARED)' tests/stack
stack-senders := -m 'senders and not inside and not waits and not second and $(SHARED)' tests/stack
stack-inside := -m 'inside and not second and $(SHARED)' tests/stack
stack-waits := -m 'waits and not inside and not second and $(SHARED)' tests/stack
stack-second := -m 'second and $(SHARED)' tests/stack
stack-alone := -m 'alone and not quiet' tests/stack
stack-quiet := -m quiet tests/stack
interop := tests/interop
# What begins first takes the longest.
BESIDE := stack-inside on-second stack-senders stack-waits
SECOND := LOCAL_STACK=second

# $(call pytest,name,arguments): runs tests, and leaves their results under this name.
pytest = $(LOCALLY) $(PYTHON) -m pytest -q --junitxml=.local/results/$(1).xml $(2)

.PHONY: test
test: ## Run all checks: lint, then unit, template, site, fault, stack and interop tests
	@rm -rf .local/results
	@status=0; \
	$(MAKE) --jobs --output-sync=target --keep-going lint docs test-unit test-template up up-second $(NODE_READY) \
		$(GENERATED_READY) || \
		status=$$?; \
	$(MAKE) test-faults || status=$$?; \
	$(MAKE) test-stack BESIDE="$(BESIDE) interop" || status=$$?; \
	$(PYTHON) -m local.results $(UNIT_PARTS) template docs faults $(STACK_PARTS) interop; exit $$status

.PHONY: $(SUITES:%=test-%)
test-template test-faults test-interop: test-%: $(DEV_READY)
	@echo "$* tests"
	@$(call pytest,$*,$(or $(TEST),tests/$*))
test-unit: $(DEV_READY) ## Run the unit tests: the library by itself, without network
	@echo "unit tests"
ifdef TEST
	@$(call pytest,unit,$(TEST))
else
	@$(MAKE) --jobs=2 --output-sync=target --keep-going $(UNIT_PARTS:%=part-%)
endif
test-template: ## Run the tests of template.yaml
test-faults: up ## Run the tests of the egress room against servers that misbehave
test-interop: up $(NODE_READY) $(GENERATED_READY) ## Run the tests with a real provider and a real relying party
ifdef TEST
test-stack: up ## Run the tests of the deployed service, on local stacks
	@echo "stack tests"
	@$(call pytest,stack,$(TEST))
else
test-stack: up up-second
	@echo "stack tests"
	@rm -rf .local/noted
	@status=0; $(MAKE) --jobs=5 --keep-going part-stack-main $(BESIDE:%=log-%) || status=$$?; \
	for part in $(BESIDE:on-second=stack-second stack-alone); do echo "$$part tests"; cat .local/$$part.log; done; \
	echo "stack-quiet tests"; $(MAKE) part-stack-quiet || status=$$?; exit $$status
endif

LOGGED := log-stack-senders log-stack-inside log-stack-waits log-stack-second log-stack-alone log-interop
PARTS := $(UNIT_PARTS) stack-main stack-quiet
.PHONY: $(PARTS:%=part-%) $(LOGGED) log-on-second
$(PARTS:%=part-%): part-%:
	@$(call pytest,$*,$($*))
$(LOGGED): log-%:
	@$(call pytest,$*,$($*)) >.local/$*.log 2>&1
log-on-second:
	@status=0; for part in stack-second stack-alone; do $(SECOND) $(MAKE) log-$$part || status=$$?; done; exit $$status

.PHONY: check
check: ## Run the checks that take seconds: lint, unit and template tests
	@$(MAKE) --jobs --output-sync=target --keep-going lint test-unit test-template

.PHONY: watch
watch: ## Run `make check` now and whenever a file changes; Ctrl-C ends it
	@mkdir -p .local
	@while touch .local/checked; $(MAKE) check || true; do \
		until [ "$$(find $$(git ls-files --cached --others --exclude-standard) -newer .local/checked 2>&-)" ]; do \
			sleep 1; done; done

# Lambda workers run copies of our code: [tool.coverage.paths] in pyproject.toml says of which files.
MEASURING := COVERAGE_PROCESS_START=$(CURDIR)/pyproject.toml
.PHONY: coverage
coverage: export COVERAGE_FILE := $(CURDIR)/.local/coverage/data
coverage: $(STACK_READY) ## Measure which branches the unit and stack tests run, inside the functions of the local stack, too
	@rm -rf .local/coverage && mkdir -p .local/coverage
	@$(MAKE) down && $(MEASURING) $(MAKE) up
	@status=0; for suite in unit stack; do \
		echo "$$suite tests"; \
		$(LOCALLY) coverage run --source=functions,layers/backchannel -m pytest -q tests/$$suite || status=$$?; \
	done; \
	$(MEASURING) $(MAKE) down; coverage combine --quiet; coverage report; exit $$status

.PHONY: lint
lint: $(DEV_READY) $(SAM_READY) ## Check format, style, types and the template
	@echo "lint"
	@ruff check --quiet
	@ruff format --check --quiet || { ruff format --diff --quiet; exit 1; }
	@$(call quietly,mypy,$(PYTHON) -m mypy)
	@$(call quietly,validate,$(LOCALLY) $(SAM) validate --lint --region eu-central-1)
	@$(call quietly,cfn-lint,$(VENVS)/sam/bin/cfn-lint --region eu-central-1 -- event-source.yaml)

.PHONY: format
format: $(DEV_READY) ## Format the code and fix what can be fixed
	@ruff check --fix --quiet
	@ruff format

.PHONY: bench
bench: up $(NODE_READY) ## Measure the delivery core and the service
	@$(LOCALLY) $(PYTHON) -m tests.load.imports
	@$(LOCALLY) $(PYTHON) -m tests.load.webhook
	@$(LOCALLY) PYTHONPATH=layers/backchannel $(PYTHON) -m tests.load.batches
	@$(LOCALLY) PYTHONPATH=layers/backchannel $(PYTHON) -m tests.load.cold
	@$(LOCALLY) PYTHONPATH=layers/backchannel $(PYTHON) -m tests.load.delivery
	@$(LOCALLY) PYTHONPATH=layers/backchannel $(PYTHON) -m tests.load.handler
	@$(LOCALLY) PYTHONPATH=layers/backchannel $(PYTHON) -m tests.load.isolation

.PHONY: soak
soak: up ## Run the long tests of webhooks, sessions and deliveries; they stop by themselves
	@$(LOCALLY) $(PYTHON) -m pytest -q -m hypothesis --hypothesis-profile=search tests/unit
	@$(LOCALLY) PYTHONPATH=layers/backchannel $(PYTHON) -m tests.load.garbage
	@$(LOCALLY) PYTHONPATH=layers/backchannel $(PYTHON) -m tests.load.sessions
	@$(LOCALLY) PYTHONPATH=layers/backchannel $(PYTHON) -m tests.load.mass_logout
	@$(LOCALLY) PYTHONPATH=layers/backchannel $(PYTHON) -m tests.load.mass_logout --sessions 100000 --rate 200 --minutes 20 --undisturbed
	@$(LOCALLY) PYTHONPATH=layers/backchannel $(PYTHON) -m tests.load.deliveries
	@$(LOCALLY) PYTHONPATH=layers/backchannel $(PYTHON) -m tests.load.backlog

.PHONY: mutants
mutants: $(MUTANTS_READY) ## Change the pure modules in small ways and list what no test notices, for at most 15 minutes
	@$(LOCALLY) .venv/mutants/bin/python -m local.mutants $(MODULES)

# --- The documentation ---------------------------------------------------------------------------------------------------

.PHONY: docs
docs: $(DEV_READY) $(DOCS_READY) ## Make the documentation a site, .local/docs/html/index.html, and check it
	@echo "docs"
	@$(PYTHON) -m local.site
	@$(call quietly,docs,$(VENVS)/docs/bin/mkdocs build --strict)
	@$(call pytest,docs,tests/site)

# --- The local stack --------------------------------------------------------------------------------------------------

.PHONY: up
up: $(STACK_READY) ## Start a local AWS and deploy the service to it; again after a change: deploy the change
	@$(LOCALLY) $(PYTHON) -m local.stack up
ifeq ($(MAKECMDGOALS),up)
	@$(PYTHON) -m local.pasted
endif

.PHONY: up-second
up-second: $(STACK_READY) ## Start a second local AWS beside the first, as the stack tests do
	@$(LOCALLY) $(SECOND) $(PYTHON) -m local.stack up

.PHONY: down
down: $(DEV_READY) ## Stop the local AWS
	@$(LOCALLY) $(PYTHON) -m local.stack down
	@$(LOCALLY) $(SECOND) $(PYTHON) -m local.stack down

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

.PHONY: events
events: $(DEV_READY) ## Write docs/events/ anew
	@PYTHONPATH=layers/backchannel $(PYTHON) -m local.events

.PHONY: reference
reference: $(DEV_READY) ## Write docs/reference/ and docs/can-i-use-it.md anew
	@PYTHONPATH=layers/backchannel:cli/src $(PYTHON) -m local.reference
	@PYTHONPATH=layers/backchannel:cli/src $(PYTHON) -m local.compatibility

.PHONY: effects
effects: $(DEV_READY) ## Write docs/providers/effects.md anew
	@PYTHONPATH=layers/backchannel $(PYTHON) -m local.effects

# In this order: dev takes the versions that the layer ships.
LOCKS := requirements/uv layers/dependencies/requirements requirements/dev requirements/mutants requirements/sam \
	requirements/ministack requirements/generated-client requirements/docs

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

$(DEV_READY) $(SAM_READY) $(MINISTACK_READY) $(MUTANTS_READY) $(GENERATED_READY) $(DOCS_READY): .venv/%/.ready: requirements/%.txt $(UV_READY)
	@echo "installing $*"
	@$(call quietly,install-$*,{ $(UV) venv --allow-existing --python 3.13 .venv/$* && \
		$(UV) pip sync --python .venv/$* --require-hashes --compile-bytecode $<; })
	@touch $@

$(NODE_READY): tests/interop/package-lock.json
	@echo "installing node modules"
	@$(call quietly,install-node,npm ci --prefix tests/interop --ignore-scripts --no-audit --no-fund)
	@touch $@
