# Thin: the work is in scripts/ and in cargo, in commands that a person could type.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CARGO ?= cargo
# Parts that `make demo` judges; 0 goes on until Ctrl-C.
PARTS ?= 45
# Further options of `diad demo` and `diad bench`.
ARGS ?=
# How long `make fuzz` looks at each door.
SECONDS_PER_DOOR ?= 60
# Where `make install` puts the program; DESTDIR is a root to put it under.
PREFIX ?= /usr/local
DESTDIR ?=

scripts := $(wildcard scripts/*.sh tests/*/*.sh .ci/run)

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 16

.PHONY: setup
setup: ## install what building and running need
	@scripts/setup.sh

.PHONY: setup-tests
setup-tests: ## install what the tests need on top
	@scripts/setup.sh --tests

.PHONY: setup-python
setup-python: setup-tests ## make .venv for onnx/ (5 GB)
	@scripts/setup_python.sh

.PHONY: setup-foundation
setup-foundation: ## fetch the frozen feature networks that `diad learn` and some bundles need (80 MB)
	@scripts/setup_foundation.sh

.PHONY: build
build: setup ## build the program, its man pages and completions
	$(CARGO) build --locked --release -p diad
	@rm -rf target/manual
	target/release/diad manual target/manual

.PHONY: demo
demo: setup ## run the whole line on this machine; PARTS=0 goes on until Ctrl-C
	$(CARGO) run --locked --release -p diad -- demo --parts $(PARTS) $(ARGS)

.PHONY: bench
bench: setup ## time the shipped model on this machine
	$(CARGO) run --locked --release -p diad -- bench $(ARGS)

.PHONY: bench-line
bench-line: setup-tests ## what the line costs beside the networks; ARGS="SECONDS QUEUED SECONDS_OF_MEMORY"
	$(CARGO) bench --locked -p diad --bench line -- $(ARGS)

.PHONY: test
test: test-install test-plc check-monitoring test-rust test-python ## every test

.PHONY: test-rust
test-rust: setup-tests ## tests and documentation examples of the crates
	@rm -f target/tmp/skipped
	@if $(CARGO) nextest --version >/dev/null 2>&1; then \
	    set -x; \
	    $(CARGO) nextest run --workspace --locked --no-fail-fast; \
	    $(CARGO) test --workspace --locked --no-fail-fast --doc; \
	else \
	    set -x; \
	    $(CARGO) test --workspace --locked --no-fail-fast; \
	fi
	@if [ -s target/tmp/skipped ]; then sort -u target/tmp/skipped; fi

.PHONY: faults
faults: setup-tests ## every fault of the promise, longer than `make test` does it, with a table (minutes); DIAD_FAULT=text: rows with it
	@mkdir -p target/tmp
	$(CARGO) test --locked -p diad --test process -- --ignored --exact promise::table_of_faults --nocapture 2>&1 | tee target/tmp/faults.log

.PHONY: setup-axe
setup-axe: ## fetch axe-core, which the tests of the page use for accessibility
	@scripts/setup_axe.sh

.PHONY: test-layout
test-layout: setup-tests setup-axe ## the page in every window, theme, number of cameras, length of names, verdict and state (minutes); `make test` takes a sample
	$(CARGO) test --locked -p diad --test process -- --ignored --exact web::layout::no_text_is_cut_off_in_any_window_and_station --nocapture

.PHONY: bench-page
bench-page: setup-tests ## what the page and a what-if over a million parts take from the line (minutes)
	$(CARGO) test --locked -p diad --test process -- --ignored --exact web::load::page_and_what_if_beside_the_line --nocapture

.PHONY: bench-ledger
bench-ledger: setup-tests ## times of a ledger of millions of verdicts, with a table; ARGS="MILLIONS FOLDER" (1 GB a ledger; minutes)
	$(CARGO) bench --locked -p diad_ledger --bench large -- $(ARGS)

.PHONY: test-ledger-bytes
test-ledger-bytes: setup-tests ## every byte of a small ledger, changed one at a time (minutes); `make test` samples them
	DIAD_LEDGER_FLIP_EVERY=1 $(CARGO) test --locked -p diad_ledger --lib flip_tests -- --nocapture

.PHONY: bench-learn
bench-learn: setup-tests ## what a product that is learnt on the machine takes from the line beside it (minutes)
	$(CARGO) test --locked -p diad --test process -- --ignored --exact learn_load::learning_beside_the_line --nocapture

.PHONY: fuzz
fuzz: setup-tests ## look for inputs that break a door; SECONDS_PER_DOOR=60 for each (needs cargo-fuzz)
	@scripts/fuzz.sh $(SECONDS_PER_DOOR)

.PHONY: fuzz-short
fuzz-short: setup-tests ## the same for ten seconds a door, where cargo-fuzz is installed
	@scripts/fuzz.sh --if-possible 10

.PHONY: test-systemd
test-systemd: build ## the unit under a systemd that boots in a container (root, debootstrap, systemd-nspawn; a minute)
	tests/systemd/container.sh

.PHONY: test-camera
test-camera: setup ## cameras on a real driver, in an emulated machine (qemu, v4l-utils; a minute)
	tests/camera/verify.sh

.PHONY: test-plc
test-plc: setup-tests ## the samples for controllers
	tests/plc/verify.sh

.PHONY: check-monitoring
check-monitoring: setup-tests ## the examples for Prometheus and Grafana
	tests/monitoring/verify.sh

.PHONY: test-install
test-install: ## the installer, into a temporary folder
	tests/install/verify.sh

.PHONY: test-python
test-python: setup-python ## tests of the Python project in onnx/
	cd onnx && ../.venv/bin/python -m pytest -q

.PHONY: check
check: check-scripts check-docs check-dependencies check-systemd check-monitoring check-rust check-python ## everything that needs no test run

.PHONY: check-scripts
check-scripts:
	@for script in $(scripts); do "$$(sed -n '1s/.*[ \/]//p' $$script)" -n $$script; done

.PHONY: check-docs
check-docs: ## links, references and words of the documents
	scripts/check_docs.py --self-test
	scripts/check_docs.py
	scripts/check_words.py --self-test
	scripts/fault_table.py --self-test
	scripts/check_words.py

.PHONY: check-dependencies
check-dependencies:
	scripts/check_dependencies.py --self-test
	scripts/check_dependencies.py
	@if $(CARGO) deny --version >/dev/null 2>&1; then $(CARGO) deny --locked check; \
	else echo "skipped: cargo-deny is not installed; it would check deny.toml"; fi

.PHONY: check-systemd
check-systemd: setup-tests
	tests/systemd/verify.sh

.PHONY: check-rust
check-rust: setup-tests
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --locked

.PHONY: check-python
check-python:
	@if [ -e .venv/stamp ]; then set -x; \
	    .venv/bin/ruff check --config onnx/pyproject.toml onnx scripts; \
	    .venv/bin/ruff format --check --config onnx/pyproject.toml onnx scripts; \
	    cd onnx && ../.venv/bin/mypy; \
	else echo "skipped: the Python checks, for there is no .venv; make setup-python makes it"; fi

.PHONY: install
install: ## copy what `make build` built to PREFIX and /etc/diad, under DESTDIR; starts nothing
	scripts/install.sh --prefix "$(PREFIX)" --destdir "$(DESTDIR)"

.PHONY: clean
clean: ## remove everything that was built or fetched
	$(CARGO) clean
	rm -rf .venv
