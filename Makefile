# Sets up what each target needs inside the checkout, then does it. `make` lists the targets.

PYTHON ?= python3
INVENTORY ?=
# Most of the integration tests' time is waiting for real runs to pass.
TEST_PROCESSES ?= 6
# Each scenario takes some 4 minutes on two cores that nobody else uses.
MOLECULE_LIMIT_S ?= 1800
# An hour finds more.
FUZZ_S ?= 600
ARGS ?=

UV_VERSION := 0.13.9
VENV := .venv
BOOTSTRAP := .venv-bootstrap
READY := $(VENV)/.ready
BIN := $(VENV)/bin
# Not by its own name in recipes: make would play those even if it was told to print them only.
AGAIN := $(MAKE) --no-print-directory
PLAYBOOK = $(BIN)/ansible-playbook $(if $(INVENTORY),-i '$(INVENTORY)')

# Nothing is written outside the checkout; a cache of the user's own is used if it is set.
export UV_CACHE_DIR ?= $(CURDIR)/.cache/uv
export UV_PYTHON_DOWNLOADS ?= never
export UV_PROJECT_ENVIRONMENT := $(VENV)
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
# Also if the checkout is writable by everybody, in which case Ansible ignores the file.
export ANSIBLE_HOME := $(CURDIR)/.ansible
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
# Ansible refuses a locale that is not UTF-8, and one that is not installed. The user is shown what the user's can show.
export FPAAS_USERS_LOCALE := $(or $(FPAAS_USERS_LOCALE),$(LC_ALL),$(LC_CTYPE),$(LANG))
export LC_ALL := C.UTF-8
# Modules and start-up files of other programs are none of the lab's; what was compiled once stays so.
unexport PYTHONPATH PYTHONHOME PYTHONSTARTUP PYTHONDONTWRITEBYTECODE
PYTHON_SOURCES := agents tests benchmarks plugins tools docs

.DEFAULT_GOAL := help
.PHONY: help setup cloud cloud-up cloud-down watch demo failure-matrix sweep capacity frontier expected-results test molecule molecule-down fuzz lint lint-python lint-playbooks readmes dashboards docs collection bench lab lab-down vms vms-down teardown clean
.SECONDARY:

help: ## List the targets
	@sed -n 's/^\([a-z%-]*\):.*## /\1	/p' $(MAKEFILE_LIST) | expand -t 20

setup: $(READY) ## Set up the environment in .venv

cloud: $(READY) ## Add what inventories of clouds need (Hetzner Cloud, AWS)
	@PATH="$(PATH):$(CURDIR)/$(BOOTSTRAP)/bin" uv sync --locked --all-extras --group cloud

cloud-up: cloud ## Create a lab at Hetzner Cloud or AWS: ARGS="-e cloud_provider=hetzner" (docs/clouds.md)
	@$(PLAYBOOK) playbooks/cloud-up.yml $(ARGS)

cloud-down: cloud ## Remove it, and prove it; with -e cloud_expired=true, all whose lifetime is over
	@$(PLAYBOOK) playbooks/cloud-down.yml $(ARGS)

demo: $(READY) ## Run scenario 1's load for a 60 s window on this machine
	@$(PLAYBOOK) playbooks/demo.yml $(ARGS)

scenario-%: $(READY) ## Run scenario 1 to 5
	@$(PLAYBOOK) playbooks/$@.yml $(ARGS)

failure-%: $(READY) ## Break something in a run: nats-pause, nats-restart, shuffler-crash, … (docs/failures.md)
	@$(PLAYBOOK) playbooks/$@.yml $(ARGS)

failure-matrix: $(READY) ## Play all failures that the hosts can, and write what each cost; resumable
	@$(BIN)/fpaas failures $(if $(INVENTORY),--inventory '$(INVENTORY)') -- $(ARGS)

sweep: $(READY) ## Run a grid of variables (10 to 1000 consumers by default), report it as one; resumable
	@$(PLAYBOOK) playbooks/sweep.yml $(ARGS)

capacity: $(READY) ## Find the largest number of consumers that holds the goals; resumable
	@$(PLAYBOOK) playbooks/capacity.yml $(ARGS)

frontier: $(READY) ## Find which consumers × poll intervals hold the goals, in at most 11 points; resumable
	@$(PLAYBOOK) playbooks/frontier.yml $(ARGS)

watch: $(READY) ## Watch the run that is on, here or on INVENTORY's hosts; Ctrl-C leaves it alone
	@$(BIN)/fpaas watch $(if $(INVENTORY),--inventory '$(INVENTORY)') $(ARGS)

expected-results: $(READY) ## Measure what the proof of concept expected
	@$(PLAYBOOK) playbooks/expected-results.yml $(ARGS)

# With ARGS, which are pytest's, those tests only. Without, labs of tests and scenarios share their images.
test: lint ## Pass the tests: style, types, playbooks, unit, integration; on containers, too
ifneq ($(ARGS),)
	$(BIN)/pytest --numprocesses $(TEST_PROCESSES) --dist worksteal $(ARGS)
else
	@status=0; FPAAS_KEEP_IMAGES=true $(BIN)/pytest --numprocesses $(TEST_PROCESSES) --dist worksteal || status=$$?; \
	if ! why=$$($(BIN)/python -m tests.support.docker_engine 2>&1); then \
	  printf '\n%s\n' "LEFT OUT: the playbooks were not tried on containers (make molecule): $$why"; \
	elif [ $$status -eq 0 ]; then $(AGAIN) molecule || status=$$?; \
	else $(AGAIN) molecule-down; fi; exit $$status
endif

# `machines`, on emulated machines, takes longer than all others together; with `cluster`, `interrupted` and `monitoring` CI
# would not end in time. They are played if named.
SCENARIO ?= default
MACHINES := $(filter machines,$(SCENARIO))

molecule: $(READY) ## Try the playbooks on containers of their own: SCENARIO=default, cluster, interrupted, monitoring, machines
	@$(if $(MACHINES),,$(BIN)/python -m tests.support.docker_engine)
	@status=0; FPAAS_KEEP_IMAGES=true timeout $$([ -t 0 ] && echo --foreground) --kill-after=60 \
	  $(if $(MACHINES),$$((4 * $(MOLECULE_LIMIT_S))),$(MOLECULE_LIMIT_S)) \
	  $(BIN)/molecule test --no-command-borders $(SCENARIO:%=--scenario-name %) || status=$$?; \
	if [ $$status -eq 124 ]; then echo "molecule was stopped: not done in time" >&2; fi; \
	$(AGAIN) molecule-down || status=1; exit $$status

# Images go with the last of the labs that share them.
molecule-down: $(READY) ## Remove the labs of SCENARIO, whatever state they are in, and their images
	@status=0; $(foreach scenario,$(filter-out machines,$(SCENARIO)),$(BIN)/ansible-playbook playbooks/lab-down.yml \
	  -e container_lab_image_name=fpaas-molecule \
	  -e container_lab_inventory=molecule/$(scenario)/inventory/hosts.yml || status=1;) \
	$(if $(MACHINES),$(BIN)/ansible-playbook playbooks/vms-down.yml \
	  -e machine_lab_inventory=molecule/machines/inventory/hosts.yml || status=1;) exit $$status

# What it finds is in .fuzz; with TARGET=, of tests/fuzz/targets.py, one reader only.
fuzz: $(READY) ## Feed bad bytes to all that reads bytes from outside, for FUZZ_S seconds in all
	@PATH="$(PATH):$(CURDIR)/$(BOOTSTRAP)/bin" uv sync --locked --all-extras --inexact --group fuzz
	@nice $(BIN)/python -m tests.fuzz --seconds $(FUZZ_S) $(TARGET)

lint: $(READY)
	@$(MAKE) --no-print-directory --jobs 2 --output-sync=target lint-playbooks lint-python

lint-python: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy $(PYTHON_SOURCES)
	$(BIN)/lint-imports --no-cache

lint-playbooks: $(READY)
	$(BIN)/yamllint --strict .
	$(BIN)/ansible-lint --offline --profile production

readmes: $(READY) ## Write the roles' READMEs from their meta/, and the page of a bundle's fields from the records
	@$(BIN)/python -m tools.role_readmes
	@$(BIN)/python -m tools.bundle_fields

dashboards: $(READY) ## Write Grafana's dashboards (roles/grafana/files) from tools/dashboards
	@$(BIN)/python -m tools.dashboards

docs: $(READY) ## Build the documentation into docs/_build/html; warnings are errors
	@$(BIN)/sphinx-build -W --keep-going --quiet --conf-dir docs . docs/_build/html
	@echo docs/_build/html/docs/index.html

# Of what is committed: a user's inventories and files beside them are nobody else's.
collection: $(READY) ## Build the collection fpaas.bench_lab of what is committed into dist
	@rm -rf .cache/collection && mkdir -p .cache/collection
	@git archive --output .cache/collection.tar HEAD
	@tar -x -f .cache/collection.tar -C .cache/collection
	@$(BIN)/ansible-galaxy collection build --force --output-path dist .cache/collection
	@rm -rf .cache/collection .cache/collection.tar

bench: $(READY) ## Measure speed and memory, side by side with what there is today
	$(BIN)/python -m benchmarks $(ARGS)

lab: $(READY) ## Start container hosts; then INVENTORY=inventory/containers.yml
	@$(BIN)/ansible-playbook playbooks/lab-up.yml $(ARGS)

lab-down: $(READY) ## Remove the container hosts
	@$(BIN)/ansible-playbook playbooks/lab-down.yml $(ARGS)

vms: $(READY) ## Start virtual machines; then INVENTORY=inventory/vms.yml
	@$(BIN)/ansible-playbook playbooks/vms-up.yml $(ARGS)

vms-down: $(READY) ## Remove the virtual machines
	@$(BIN)/ansible-playbook playbooks/vms-down.yml $(ARGS)

teardown: $(READY) ## Stop everything and remove the lab; results stay
	@$(PLAYBOOK) playbooks/teardown.yml $(ARGS)

clean: ## Remove all that was made but the results
	@if [ -x $(BIN)/fpaas ] && [ -d .lab ]; then $(BIN)/fpaas guard stop --lab $(CURDIR)/.lab; fi
	rm -rf .lab .ansible .cache .fuzz docs/_build $(VENV) $(BOOTSTRAP) .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# By the usual uv, or by one of our own.
$(READY): pyproject.toml uv.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is older than 3.11 or missing; name another: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@uv --version >/dev/null 2>&1 || $(MAKE) --no-print-directory $(BOOTSTRAP)/bin/uv
	@mkdir -p .cache/tmp
	@PATH="$(PATH):$(CURDIR)/$(BOOTSTRAP)/bin" TMPDIR="$(CURDIR)/.cache/tmp" uv sync --locked --all-extras --python $(PYTHON)
	@touch $@

$(BOOTSTRAP)/bin/uv:
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || \
	  { echo "$(PYTHON) cannot make environments: apt-get install python3-venv (or install uv), then again" >&2; exit 2; }
	$(PYTHON) -m venv $(BOOTSTRAP)
	$(BOOTSTRAP)/bin/pip install --quiet --no-cache-dir uv==$(UV_VERSION)
