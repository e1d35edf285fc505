# Everything a person or CI does here. `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test cloud lint build unit journeys cloud-test bench lab diagram clean

PYTHON ?= python3
VENV   := .venv
LINT   := .venv-lint
CARGO  ?= cargo
export CARGO_TERM_PROGRESS_WHEN ?= never

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

demo: build $(VENV)/ready ## run a whole incident on the local cloud and show its report
	@$(VENV)/bin/python tests/demo.py

test: lint unit cloud-test journeys ## everything that must pass

cloud: build $(VENV)/ready ## run the local cloud in the foreground, deployed, with targets; writes target/cloud/cloud.json
	@exec env PYTHONPATH=tests $(VENV)/bin/python -m cloud --dir target/cloud --binaries target/debug

lint: lint-infra ## formatting, clippy, and the template, definition and dependency checks
	@echo "== formatting"
	@$(CARGO) fmt --all --check
	@echo "== clippy (the first run checks 1.2 million lines of SDK: some minutes)"
	@$(CARGO) clippy --quiet --workspace --all-targets -- -D warnings
	@if command -v cargo-deny >/dev/null; then echo "== cargo deny"; cargo deny --offline check licenses bans sources; \
	  else echo "== cargo deny: skipped, since cargo-deny is not installed (cargo install cargo-deny)"; fi

.PHONY: lint-infra
lint-infra: $(LINT)/ready
	@infra/lint.sh $(LINT)

build: ## build every binary and test (the first build compiles the AWS SDK: about 5 minutes on 2 cores)
	@if [ ! -d target/debug/deps ]; then echo "== first build: the AWS SDK for EC2 alone is 1.2 million lines; this takes some minutes"; fi
	@$(CARGO) build --workspace --all-targets

unit: build ## the tests that need no local cloud
	@$(CARGO) test --quiet --workspace --exclude journeys
	@$(CARGO) test --quiet --workspace --test definition --test wiring --test documents

cloud-test: build $(VENV)/ready ## the local cloud is as strict as AWS
	@PYTHONPATH=tests $(VENV)/bin/python -m pytest -q tests/cloud

journeys: build $(VENV)/ready ## whole incidents with the real binaries
	@$(CARGO) test --workspace --test journeys

bench: ## how fast the collector is, against avml with an upload, and against hashing alone (the release build takes a minute)
	@$(CARGO) build --quiet --release -p collector -p collector-bench
	@target/release/collector-bench

lab: build $(VENV)/ready ## optional: a real Linux kernel under qemu, captured by the real collector and read with volatility3
	@$(VENV)/bin/python tests/lab/lab.py

diagram: ## write the definition's diagram into README.md
	@UPDATE=1 $(CARGO) test --quiet --workspace --test documents

clean: ## remove what was built and installed here
	@rm -rf target $(VENV) $(LINT)

$(VENV)/ready: tests/cloud/requirements.txt
	@echo "== Python environment of the local cloud"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed (PYTHON=... names another)"; exit 1; }
	@rm -rf $(VENV) && $(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

$(LINT)/ready: infra/requirements.txt
	@echo "== Python environment of the lint tools"
	@rm -rf $(LINT) && $(PYTHON) -m venv $(LINT)
	@$(LINT)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@
