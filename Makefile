# `make run` and `make test` are all that a fresh machine needs; see README.md.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Tools and binaries that are fetched once and shared by every checkout.
CACHE := $(if $(filter 0,$(shell id -u)),/var/cache/duologue,$(HOME)/.cache/duologue)
DENY_VERSION := 0.20.2
# What puts load on servers for `make bench`; built apart, for it is no part of the product.
LOAD := host/benches/load/Cargo.toml
export PATH := $(CACHE)/tools/bin:$(PATH)

.PHONY: help
help: ## List what can be made
	@grep -E '^[a-z0-9-]+:.*##' Makefile | sed -E 's/^([a-z0-9-]+):.*## /  make \1\t/' | expand -t 20

.PHONY: run
run: ## Build the server, start it with an org to try, and print what to do next
	@host/tools/requirements.sh run
	@echo "Building; the first time takes a few minutes."
	@cargo build
	@bin=$$(host/tools/postgres-binaries.sh $(CACHE)/postgres) && \
	  PG_BIN_DIR=$$bin exec target/debug/duologue serve --demo $(ARGS)

.PHONY: test
test: check unit guests e2e ## Install what the tests need and run all of them

.PHONY: check
check: ## Formatting, lints, and what the dependencies may be
	@host/tools/requirements.sh test
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	cargo fmt --check --manifest-path $(LOAD)
	CARGO_TARGET_DIR=target/load cargo clippy --locked --manifest-path $(LOAD) -- -D warnings
	@cargo deny --version >/dev/null 2>&1 || \
	  cargo install cargo-deny --version $(DENY_VERSION) --locked --debug --root $(CACHE)/tools
	cargo deny check bans licenses sources

.PHONY: guests
guests: ## Build the sample plugins and the tests' guests, and run the plugins' own tests
	@host/tools/requirements.sh test
	plugins/build.sh
	host/tools/runtime-guests.sh $(CACHE)/guest-tools
	cd plugins && cargo test

.PHONY: unit
unit: guests ## Unit and integration tests, on a Postgres of their own
	@bin=$$(host/tools/postgres-binaries.sh $(CACHE)/postgres) && PG_BIN_DIR=$$bin cargo test

.PHONY: e2e
e2e: guests ## End to end: the built server, the official socket.io-client
	@host/tools/requirements.sh test
	@# The tests' own build of the server: a plain `cargo build` would compile all of it again.
	cargo test --no-run
	cd tests && npm ci --no-audit --no-fund
	@bin=$$(host/tools/postgres-binaries.sh $(CACHE)/postgres) && cd tests && PG_BIN_DIR=$$bin npm test

.PHONY: bench
bench: ## Measure beside a Node service and Postgres alone, to host/benches/RESULTS.md (ARGS=--help)
	@host/tools/requirements.sh bench
	plugins/build.sh
	host/tools/runtime-guests.sh $(CACHE)/guest-tools
	[ -n "$${DUOLOGUE_BIN:-}" ] || cargo build --release
	CARGO_TARGET_DIR=target/load cargo build --release --locked --manifest-path $(LOAD)
	cd host/benches/peer && npm ci --no-audit --no-fund
	cd tests && npm ci --no-audit --no-fund
	@# Each socket is an open file, of the server and of the load.
	@bin=$$(host/tools/postgres-binaries.sh $(CACHE)/postgres) && \
	  { ulimit -n 100000 2>/dev/null || ulimit -n "$$(ulimit -Hn)"; } && \
	  PG_BIN_DIR=$$bin node host/benches/compare.mjs $(ARGS)
