# Everything a person or CI does here. `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test cloud lint build unit journeys cloud-test deploy-test deploy undeploy bench bench-latency bench-lambda bench-many lab diagram fuzz clean

PYTHON ?= python3
VENV   := .venv
LINT   := .venv-lint
DEPLOY := .venv-deploy
CARGO  ?= cargo
# What the local cloud's policy does with a target at the end: quarantine, ask or terminate.
DISPOSITION ?= quarantine
# How long each fuzz target runs, in seconds, unless RUNS says how many runs.
SECONDS := 60
FUZZ_TARGETS ?= finding policy plan record manifest collected wave case
FUZZ := target/tools/bin/cargo-fuzz
# What a build of everything takes, in GiB: a disk that is full shows itself as a linker that is killed.
DISK := 8
# Which build the benchmarks measure. A release build is not made here: it takes very long.
PROFILE ?= debug
export CARGO_TERM_PROGRESS_WHEN ?= never

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

demo: build $(VENV)/ready ## run a whole incident on the local cloud and show its report (DISPOSITION=ask: up to its permitted end)
	@DISPOSITION=$(DISPOSITION) $(VENV)/bin/python tests/demo.py

test: lint unit cloud-test deploy-test journeys ## everything that must pass

cloud: build $(VENV)/ready ## run the local cloud in the foreground, deployed, with targets; writes target/cloud/cloud.json
	@exec env PYTHONPATH=tests $(VENV)/bin/python -m cloud --dir target/cloud --binaries target/debug --parameter 'Policy={"disposition":"$(DISPOSITION)"}'

lint: room lint-infra ## formatting, clippy, and the template, definition and dependency checks
	@echo "== formatting"
	@$(CARGO) fmt --all --check
	@echo "== clippy (the first run checks 1.2 million lines of SDK: some minutes)"
	@$(CARGO) clippy --quiet --workspace --all-targets -- -D warnings
	@if command -v cargo-deny >/dev/null; then echo "== cargo deny"; cargo deny --locked check licenses bans sources; \
	  else echo "== cargo deny: skipped, since cargo-deny is not installed (cargo install cargo-deny)"; fi

.PHONY: lint-infra
lint-infra: $(LINT)/ready
	@infra/lint.sh $(LINT)

.PHONY: room
room:
	@if [ ! -d target/debug/deps ]; then \
	  free=$$(df -Pk . | awk 'NR == 2 { print int($$4 / 1024 / 1024) }'); \
	  if [ "$$free" -lt $(DISK) ]; then echo "A build takes $(DISK) GiB of disk, and $$free are free here: make room first"; exit 1; fi; \
	  echo "== first build: the AWS SDK for EC2 alone is 1.2 million lines; this takes some minutes"; fi

build: room ## build every binary and test (the first build compiles the AWS SDK: about 5 minutes on 2 cores)
	@$(CARGO) build --workspace --all-targets

unit: build ## the tests that need no local cloud
	@$(CARGO) test --quiet --workspace --exclude journeys
	@$(CARGO) test --quiet --workspace --test definition --test wiring --test documents --test roundtrip

cloud-test: build $(VENV)/ready ## the local cloud is as strict as AWS
	@PYTHONPATH=tests $(VENV)/bin/python -m pytest -q tests/cloud tests/perf

journeys: build $(VENV)/ready ## whole incidents with the real binaries
	@$(CARGO) test --workspace --test journeys

bench: bench-latency bench-lambda ## all benchmarks; and the collector, against avml with an upload, and against hashing alone (the release build takes a minute)
	@$(CARGO) build --quiet --release -p collector -p collector-bench
	@target/release/collector-bench

bench-latency: $(if $(filter debug,$(PROFILE)),build) $(VENV)/ready ## from a finding to the last interface cut, beside a boto3 program; and what a case costs
	@PYTHONPATH=tests $(VENV)/bin/python -m perf.latency --binaries target/$(PROFILE)
	@PYTHONPATH=tests $(VENV)/bin/python -m perf.cost --binaries target/$(PROFILE)

bench-many: $(if $(filter debug,$(PROFILE)),build) $(VENV)/ready ## a hundred targets at once, with EC2's buckets of requests enforced (some minutes)
	@PYTHONPATH=tests $(VENV)/bin/python -m perf.many --binaries target/$(PROFILE)

bench-lambda: $(if $(filter debug,$(PROFILE)),build) $(VENV)/ready ## what each function's binary takes (PROFILE=release measures release builds that exist)
	@PYTHONPATH=tests $(VENV)/bin/python -m perf.functions --profile $(PROFILE)

deploy: $(DEPLOY)/ready ## build Cordon and deploy it to the AWS account and Region of the environment (docs/operate.md)
	@infra/deploy.sh $(DEPLOY)

undeploy: $(DEPLOY)/ready ## say what evidence stays, and delete the stack
	@infra/undeploy.sh $(DEPLOY)

deploy-test: build $(VENV)/ready $(LINT)/ready ## the deployment's scripts against the local cloud
	@PYTHONPATH=tests SAM=$(LINT)/bin/sam $(VENV)/bin/python -m pytest -q tests/deploy

lab: build $(VENV)/ready ## optional: a real Linux kernel under qemu, captured by the real collector and read with volatility3
	@$(VENV)/bin/python tests/lab/lab.py

fuzz: $(FUZZ) ## feed each parser of what comes from outside with changed seeds (SECONDS=60 for each, or RUNS=1000000)
	@for target in $(FUZZ_TARGETS); do \
	  echo "== $$target"; mkdir -p fuzz/corpus/$$target; \
	  RUSTC_BOOTSTRAP=1 $(FUZZ) run --fuzz-dir fuzz --target-dir target/fuzz $$target fuzz/corpus/$$target fuzz/seeds/$$target -- \
	    $(if $(RUNS),-runs=$(RUNS),-max_total_time=$(SECONDS)) -max_len=16384 -rss_limit_mb=1024 -malloc_limit_mb=64 -timeout=10 -print_final_stats=1 \
	    2>&1 | { grep -E 'panicked|SUMMARY|ERROR|Test unit|stat::number_of_executed|stat::peak_rss|^error' || true; }; \
	done

diagram: ## write the definition's diagram into README.md
	@UPDATE=1 $(CARGO) test --quiet --workspace --test documents

$(FUZZ):
	@echo "== cargo-fuzz, below target/tools"
	@$(CARGO) install cargo-fuzz --quiet --locked --version 0.13.2 --root target/tools --target-dir target/tools/build

clean: ## remove what was built and installed here
	@rm -rf target $(VENV) $(LINT) $(DEPLOY)

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

$(DEPLOY)/ready: infra/deploy/requirements.txt
	@echo "== Python environment of the deployment"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed (PYTHON=... names another)"; exit 1; }
	@rm -rf $(DEPLOY) && $(PYTHON) -m venv $(DEPLOY)
	@$(DEPLOY)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@
