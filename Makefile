# Every target sets up what it needs, on a fresh machine too; `make help` lists them.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

# Where the programs are installed that only make needs: outside the tree, beside the live tests' components, so that a fresh clone
# does not compile them again.
TOOLS := $(or $(AUTOSCALER_GUARD_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/autoscaler-guard)/tools/cargo

# Where rustup puts cargo, for shells that do not look there, and those tools.
export PATH := $(PATH):$(HOME)/.cargo/bin:$(TOOLS)/bin

# A stage of `make test` finds the module and the programs built: building them again would only wait for cargo's lock.
MODULE = $(if $(STAGED),,annotated-policy.wasm)
PROGRAMS = $(if $(STAGED),,programs)

RUST_VERSION := $(shell sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
XTASK := cargo xtask

# Where cargo puts what it builds. Programs of the workspace are built as part of the whole: built alone, they would need their
# dependencies with other features, and so once more.
BUILT := $${CARGO_TARGET_DIR:-target}/debug

# The Markdown file that is put into the module as its instructions.
USAGE ?= docs/usage.md

.PHONY: help
help: ## Print this
	@awk -F ':.*## ' '/^[a-z0-9.-]+:.*## / { printf "make %-22s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# The module

.PHONY: policy.wasm
policy.wasm: xtask ## Build the policy as a WebAssembly module
	$(XTASK) build --out $@

.PHONY: annotated-policy.wasm
annotated-policy.wasm: policy.wasm ## Build the module and write its metadata into it: what a policy server loads
	$(XTASK) annotate --metadata metadata.yml --wasm policy.wasm --out $@ --usage-path $(USAGE)

# Where it is pushed to, as in registry://REGISTRY/autoscaler-guard:TAG.
REGISTRY ?=
TAG ?= v$(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)

.PHONY: push
push: registry-is-named annotated-policy.wasm ## Push the module to a registry: REGISTRY=ghcr.io/you, TAG=v1 if not its version
	@cargo run --locked --package xtask -- push --module annotated-policy.wasm registry://$(REGISTRY)/autoscaler-guard:$(TAG)

.PHONY: registry-is-named
registry-is-named:
	@[ -n "$(REGISTRY)" ] || { echo "Where to? Say so: make push REGISTRY=ghcr.io/you" >&2; exit 1; }

# Tests

.PHONY: test
test: xtask ## Run everything that has to pass before a change is done; closes with what each stage took
	@$(XTASK) stages

.PHONY: check
check: xtask ## Run everything but the live tests, for the minutes between edits
	@$(XTASK) stages --without-live

# The programs and all tests, with the features that they have in common.
.PHONY: compile
compile: rust
	cargo test --workspace --locked --no-run

# Closes with the count of all tests.
.PHONY: tests
tests: $(MODULE)
	$(XTASK) test

.PHONY: size-check
size-check: $(MODULE)
	$(XTASK) size --check

.PHONY: fmt
fmt: rust ## Check the formatting (`cargo fmt --all` and `rustfmt --edition 2024 src/rules/*/*.rs` mend it)
	@cargo fmt --version >/dev/null 2>&1 || rustup component add rustfmt
	cargo fmt --all -- --check
	@# The list of rules is a macro, into which cargo fmt does not look.
	rustfmt --check --edition 2024 src/rules/*/*.rs
	cargo fmt --manifest-path bench/Cargo.toml -p harness -p smallest -p instant -- --check
	cargo fmt --manifest-path fuzz/Cargo.toml -- --check

.PHONY: lint
lint: rust ## Run clippy over everything, and over the core without its Kubewarden part
	@cargo clippy --version >/dev/null 2>&1 || rustup component add clippy
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo clippy --package autoscaler-guard --lib --no-default-features --locked -- -D warnings
	@# The part that is compiled into the module for JavaScript alone.
	@if [ -n "$$(ls "$$(rustc --print target-libdir --target wasm32-unknown-unknown)"/libstd-* 2>/dev/null)" ]; then \
		cargo clippy --package autoscaler-guard-web --target wasm32-unknown-unknown --locked -- -D warnings; \
	else \
		echo "SKIPPED: clippy over crates/web/src/javascript.rs needs the target wasm32-unknown-unknown."; \
	fi

.PHONY: doc
doc: rust ## Build the documentation
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked

SEARCH := cargo run --quiet --release --locked --package autoscaler-guard-world --bin search --
KNOWN := crates/world/known.md

.PHONY: search
search: rust ## Search everything that can happen for what the rules get wrong, for SECONDS=60
	$(SEARCH) --seconds $(SECONDS)

.PHONY: search-bounded
search-bounded: rust ## Search a million states, and print what is not in crates/world/known.md
	$(SEARCH) --states 1000000 --seconds 1800 --known $(KNOWN)

.PHONY: search-known
search-known: rust ## Write down what the search finds, in crates/world/known.md
	$(SEARCH) --states 1000000 --seconds 1800 --write $(KNOWN)

.PHONY: e2e-kwctl
e2e-kwctl: $(MODULE) ## Run the module in kwctl, where there is one; KWCTL_REQUIRED=1 fails where there is none
	@if command -v kwctl >/dev/null && command -v bats >/dev/null; then \
		bats e2e/kwctl.bats; \
	elif [ -n "$(KWCTL_REQUIRED)" ]; then \
		echo "The tests in e2e/kwctl.bats need kwctl and bats on PATH." >&2; \
		exit 1; \
	else \
		echo "SKIPPED: the tests in e2e/kwctl.bats need kwctl and bats on PATH; the embedded host runs all cases all the same."; \
	fi

# Which worlds, by their names in `make e2e-list`, and which scenarios: an id, or how ids begin.
WORLD ?=
SCENARIO ?=
WORLDS = $(addprefix --world ,$(WORLD))

.PHONY: e2e
e2e: $(MODULE) programs ## Show hazards and cures on a real control plane: the worlds of make test, or WORLD=<name>, SCENARIO=<id>
	@$(BUILT)/e2e run $(WORLDS) $(SCENARIO)

# What was played already, and by when (seconds since 1970) the last world has to begin and to end.
SKIP ?=
BEGIN_BEFORE ?=
END_BEFORE ?=

.PHONY: e2e-all
e2e-all: annotated-policy.wasm programs ## The same in every world; SKIP=<name> leaves worlds out
	@$(BUILT)/e2e run --all $(addprefix --skip ,$(SKIP)) \
		$(addprefix --begin-before ,$(BEGIN_BEFORE)) $(addprefix --end-before ,$(END_BEFORE))

# Stages of `make test`.
.PHONY: e2e-components
e2e-components: $(PROGRAMS)
	@$(BUILT)/e2e tools $(WORLDS)

.PHONY: e2e-play
e2e-play: $(MODULE) $(PROGRAMS)
	@$(BUILT)/e2e run $(WORLDS)

.PHONY: e2e-list
e2e-list: programs ## List the worlds and scenarios of `make e2e`
	@$(BUILT)/e2e list

.PHONY: e2e-tools
e2e-tools: programs ## Build what `make e2e` runs: etcd, Kubernetes, KEDA, Envoy Gateway and Helm; the first time takes half an hour
	@$(BUILT)/e2e tools $(WORLDS)

# With an example, so that the features are those that the tests are compiled with.
.PHONY: programs
programs: rust
	@cargo build --locked --workspace --bins --example demo

# Dependencies

CARGO_DENY_VERSION := 0.20.2

.PHONY: cargo-deny
cargo-deny: rust
	@$(TOOLS)/bin/cargo-deny --version 2>/dev/null | grep -qxF 'cargo-deny $(CARGO_DENY_VERSION)' || \
		cargo install cargo-deny --locked --force --root $(TOOLS) --version $(CARGO_DENY_VERSION)

.PHONY: deny
deny: cargo-deny ## Check what crates there are, where they come from and under which licences
	$(TOOLS)/bin/cargo-deny --workspace --locked check licenses bans sources

.PHONY: advisories
advisories: cargo-deny ## Check the crates against the database of vulnerabilities, which it downloads
	$(TOOLS)/bin/cargo-deny --workspace --locked check advisories

CARGO_ABOUT_VERSION := 0.9.3

.PHONY: licences
licences: rust ## Write the licences of the crates that are compiled in, as releases bring them, to target/THIRD-PARTY-LICENCES
	@$(TOOLS)/bin/cargo-about --version 2>/dev/null | grep -qxF 'cargo-about $(CARGO_ABOUT_VERSION)' || \
		cargo install cargo-about --locked --force --root $(TOOLS) --version $(CARGO_ABOUT_VERSION) --features cli
	@mkdir -p target
	$(TOOLS)/bin/cargo-about generate --workspace --locked --fail --config about.toml --output-file target/THIRD-PARTY-LICENCES about.hbs

.PHONY: soak
soak: rust ## Have deletes refused by the hundred through a real API server, SECONDS=60 for each phase; KEEP=1 keeps e2e/soak.json
	@cargo build --locked --release --package autoscaler-guard-cli
	@$(MAKE) --no-print-directory programs
	@$(BUILT)/e2e soak --seconds $(SECONDS) --program $${CARGO_TARGET_DIR:-target}/release/autoscaler-guard $(if $(KEEP),--keep)

# Installing

# Where the image is pushed to, if anywhere, as in registry://REGISTRY/autoscaler-guard-server:TAG.
IMAGE_TARGET := x86_64-unknown-linux-musl
IMAGE_PROGRAM := $${CARGO_TARGET_DIR:-target}/$(IMAGE_TARGET)/release/autoscaler-guard

.PHONY: image
image: rust ## Build the server's image in target/image, and start it from a registry; REGISTRY=ghcr.io/you pushes it there
	@command -v musl-gcc >/dev/null || { \
		echo "A static program needs musl's C compiler; Debian's package is musl-tools." >&2; \
		exit 1; \
	}
	@[ -n "$$(ls "$$(rustc --print target-libdir --target $(IMAGE_TARGET))"/libstd-* 2>/dev/null)" ] || rustup target add $(IMAGE_TARGET)
	CC_$(subst -,_,$(IMAGE_TARGET))=musl-gcc CARGO_PROFILE_RELEASE_STRIP=symbols \
		cargo build --release --locked --target $(IMAGE_TARGET) --package autoscaler-guard-cli
	@$(MAKE) --no-print-directory image-layout
	AUTOSCALER_GUARD_IMAGE_PROGRAM="$$(realpath $(IMAGE_PROGRAM))" \
		cargo test --quiet --workspace --locked --test real_registry -- an_image_is_started

# The static programs, each with its architecture.
PROGRAMS = $(if $(filter aarch64-%,$(IMAGE_TARGET)),arm64,amd64)=$(IMAGE_PROGRAM)

.PHONY: image-layout
image-layout: rust
	cargo run --quiet --locked --package xtask -- image $(addprefix --program ,$(PROGRAMS)) \
		--revision "$$(git rev-parse HEAD 2>/dev/null || true)" \
		$(if $(REGISTRY),--push registry://$(REGISTRY)/autoscaler-guard-server:$(TAG))

.PHONY: chart-test
chart-test: rust ## Try the Helm chart in Helm 3 and 4, and its alerts in promtool (needs Go; Debian's package prometheus)
	CHART_TOOLS_REQUIRED=1 cargo test --workspace --locked --test chart

# A release's checksums; without, those of nothing, to see what it comes to.
SUMS ?= target/packages/SHA256SUMS

.PHONY: packages
packages: xtask ## Write the manifests for krew and Homebrew to target/packages, SUMS=SHA256SUMS of a release's archives
	@mkdir -p target/packages
	@[ "$(SUMS)" != target/packages/SHA256SUMS ] || for target in x86_64-unknown-linux-gnu aarch64-unknown-linux-gnu x86_64-apple-darwin aarch64-apple-darwin; do \
		printf '%064d  autoscaler-guard-%s.tar.gz\n' 0 $$target; \
	done > target/packages/SHA256SUMS
	$(XTASK) packages --sums $(SUMS)

.PHONY: krew
krew: packages ## The same, to see the plugin's manifest
	@cat target/packages/autoscaler-guard.yaml

# Gatekeeper

OPA_VERSION := 1.22.2
REGO := crates/server/src/manifests/gatekeeper

.PHONY: rego
rego: ## Test what Gatekeeper runs (needs Go); the provider is a stub
	mkdir -p target/rego
	GOBIN=$(CURDIR)/target/rego go install github.com/open-policy-agent/opa@v$(OPA_VERSION)
	@# Gatekeeper's own built-in function.
	target/rego/opa capabilities --current | sed '0,/"builtins": \[/s//&\n{"name": "external_data", "decl": {"type": "function", "args": [{"type": "any"}], "result": {"type": "any"}}},/' \
		> target/rego/capabilities.json
	target/rego/opa check --v0-compatible --strict --capabilities target/rego/capabilities.json $(REGO)/autoscaler_guard.rego
	target/rego/opa test --v0-compatible --capabilities target/rego/capabilities.json $(REGO)

# Fuzzing

# How long each target runs, and which targets.
SECONDS ?= 60
TARGET ?= evaluate settings repair reading

CARGO_FUZZ_VERSION := 0.13.2

# libFuzzer is C++.
CXX_COMPILER = $(shell command -v c++ || command -v clang++ || true)

.PHONY: fuzz
fuzz: rust ## Feed the policy damaged input, SECONDS=60 for each TARGET="evaluate settings repair reading"
	@if [ -z "$(CXX_COMPILER)" ]; then \
		echo "Fuzzing needs a C++ compiler, which libFuzzer is built with; Debian's package is g++." >&2; \
		exit 1; \
	fi
	@cargo fuzz --version >/dev/null 2>&1 || \
		cargo install cargo-fuzz --locked --root $(TOOLS) --version $(CARGO_FUZZ_VERSION)
	cargo build --locked --workspace --example seeds
	$(BUILT)/examples/seeds fuzz/seeds
	@for target in $(TARGET); do \
		echo "+ cargo fuzz run $$target, $(SECONDS) s"; \
		mkdir -p fuzz/corpus/$$target; \
		cargo fuzz run --sanitizer none $$target fuzz/corpus/$$target fuzz/seeds/$$target fuzz/regressions/$$target -- \
			-max_total_time=$(SECONDS) -timeout=10 -max_len=200000 -verbosity=0 -print_final_stats=1; \
	done

.PHONY: fuzz-smoke
fuzz-smoke: rust ## The same for ten seconds a target; skipped where there is no C++ compiler
	@if [ -z "$(CXX_COMPILER)" ]; then \
		echo "SKIPPED: the fuzz targets need a C++ compiler; the tests replay their seeds and finds all the same."; \
	else \
		$(MAKE) --no-print-directory fuzz SECONDS=10; \
	fi

# JavaScript

# What makes JavaScript of a module has to be of the same version as what was compiled into it.
WASM_BINDGEN_VERSION := $(shell sed -n '/^name = "wasm-bindgen"$$/{n;s/version = "\(.*\)"/\1/p;}' Cargo.lock)

# The most that the module may have, before compression.
NPM_BYTES := 480000

.PHONY: npm
npm: xtask ## Build the package for browsers and Node, in target/npm
	@$(TOOLS)/bin/wasm-bindgen --version 2>/dev/null | grep -qxF 'wasm-bindgen $(WASM_BINDGEN_VERSION)' || \
		cargo install wasm-bindgen-cli --locked --force --root $(TOOLS) --version $(WASM_BINDGEN_VERSION) || \
		{ echo "A dependency that wasm-bindgen-cli is locked to is not served here; installing it with the newest that is."; \
		cargo install wasm-bindgen-cli --force --root $(TOOLS) --version $(WASM_BINDGEN_VERSION); }
	@mkdir -p target
	@# wasm-bindgen wants to know what WebAssembly the compiler took for granted, which goes with the names.
	$(XTASK) build --package autoscaler-guard-web --names --out target/web.wasm
	rm -rf target/npm
	$(TOOLS)/bin/wasm-bindgen --target web --remove-name-section --remove-producers-section --out-name autoscaler_guard --out-dir target/npm target/web.wasm
	cp crates/web/npm/* LICENSE target/npm/
	@version=$$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1); \
	sed "s/\"0.0.0\"/\"$$version\"/" crates/web/npm/package.json > target/npm/package.json
	@module=target/npm/autoscaler_guard_bg.wasm; bytes=$$(wc -c < $$module); \
	echo "$$module: $$bytes bytes, $$(gzip -9 < $$module | wc -c) compressed"; \
	if [ "$$bytes" -gt $(NPM_BYTES) ]; then \
		echo "That is more than $(NPM_BYTES)." >&2; \
		exit 1; \
	fi

# Empty where there is none, one that is too old, or one without npm.
NODE = $(shell node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' 2>/dev/null && command -v npm >/dev/null && command -v node)

.PHONY: npm-test
npm-test: ## Try the package in Node 20 or newer, and in Chromium where there is one
	@if [ -z "$(NODE)" ]; then \
		echo "SKIPPED: the tests of the package for JavaScript need Node 20 or newer, with npm."; \
	else \
		$(MAKE) --no-print-directory npm && \
		cargo build --locked --workspace --example answers && \
		$(BUILT)/examples/answers > target/answers.jsonl && \
		node --test crates/web/tests/*.test.js; \
	fi

# The playground

PLAYGROUND_LIBRARIES := playground/node_modules/.package-lock.json

.PHONY: node
node:
	@[ -n "$(NODE)" ] || { echo "This needs Node 20 or newer, with npm." >&2; exit 1; }

$(PLAYGROUND_LIBRARIES): playground/package.json playground/package-lock.json | node
	cd playground && npm ci --no-audit --no-fund --ignore-scripts
	@touch $@

.PHONY: playground
playground: node npm $(PLAYGROUND_LIBRARIES) ## Build the playground, a page that needs no server, in target/playground (needs Node 20 or newer)
	cd playground && npm run --silent build

CHROMIUM = $(shell command -v chromium || command -v chromium-browser || command -v google-chrome || true)

.PHONY: playground-test
playground-test: ## Try the playground in Chromium
	@if [ -z "$(NODE)" ]; then \
		echo "SKIPPED: the playground's tests need Node 20 or newer, with npm."; \
	elif [ -z "$(CHROMIUM)" ]; then \
		echo "SKIPPED: the playground's tests need Chromium on PATH; Debian's package is chromium."; \
	else \
		$(MAKE) --no-print-directory playground && \
		cd playground && npm run --silent check && npm run --silent test; \
	fi

.PHONY: screenshots
screenshots: playground ## Take the playground's pictures in docs/images (needs Chromium)
	cd playground && SCREENSHOTS=1 npm run --silent test

# Seeing and measuring

.PHONY: demo
demo: annotated-policy.wasm ## See what the policy does: both incidents and their cures, on requests of real clusters
	@cargo build --locked --workspace --example demo
	@$(BUILT)/examples/demo annotated-policy.wasm

.PHONY: bench
bench: annotated-policy.wasm ## Measure the time that a verdict takes, beside the smallest policy that the SDK allows
	$(XTASK) bench

.PHONY: size
size: annotated-policy.wasm ## Show what the module's bytes are spent on
	$(XTASK) size

.PHONY: reproducible
reproducible: xtask ## Build the module again elsewhere, and compare the bytes
	$(XTASK) reproducible

.PHONY: clean
clean: rust ## Remove everything that was built
	rm -f policy.wasm annotated-policy.wasm
	cargo clean
	cargo clean --manifest-path bench/Cargo.toml
	cargo clean --manifest-path fuzz/Cargo.toml
	rm -rf playground/node_modules

# Publishing

MDBOOK_VERSION := 0.5.4
CYCLONEDX_VERSION := 0.5.9

.PHONY: book
book: rust ## Build the documentation as a book, in target/book
	@$(TOOLS)/bin/mdbook --version 2>/dev/null | grep -qxF 'mdbook v$(MDBOOK_VERSION)' || \
		cargo install mdbook --locked --force --root $(TOOLS) --version $(MDBOOK_VERSION) \
			--no-default-features --features search
	$(TOOLS)/bin/mdbook build

.PHONY: sbom
sbom: rust ## Write what the module and the program are made of (CycloneDX) to target/sbom
	@$(TOOLS)/bin/cargo-cyclonedx cyclonedx --version 2>/dev/null | grep -qF '$(CYCLONEDX_VERSION)' || \
		cargo install cargo-cyclonedx --locked --force --root $(TOOLS) --version $(CYCLONEDX_VERSION)
	$(TOOLS)/bin/cargo-cyclonedx cyclonedx --format json --spec-version 1.5 --no-build-deps \
		--target wasm32-unknown-unknown --override-filename sbom-of-module
	$(TOOLS)/bin/cargo-cyclonedx cyclonedx --format json --spec-version 1.5 --no-build-deps \
		--override-filename sbom-of-program
	mkdir -p target/sbom
	mv sbom-of-module.json target/sbom/policy.cdx.json
	mv crates/cli/sbom-of-program.json target/sbom/autoscaler-guard.cdx.json
	@# It writes beside every manifest of the workspace.
	rm -f sbom-of-*.json */sbom-of-*.json */*/sbom-of-*.json

.PHONY: tagged
tagged: ## Check that TAG=v1.2.3 is the version's tag and that the changelog has its day
	@version=$$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1); \
	if [ "$(TAG)" != "v$$version" ]; then \
		echo "The version in Cargo.toml is $$version, so its tag is v$$version, not \"$(TAG)\"." >&2; \
		exit 1; \
	fi; \
	if ! grep -qE "^## \[$$version\] - [0-9]{4}-[0-9]{2}-[0-9]{2}$$" CHANGELOG.md; then \
		echo "CHANGELOG.md does not say on which day $$version is released; write \"## [$$version] - $$(date -I)\"." >&2; \
		exit 1; \
	fi

# Set-up

.PHONY: rust
rust:
	@found=$$(rustc --version 2>/dev/null | cut -d ' ' -f 2 || true); \
	if ! command -v cargo >/dev/null || \
		[ "$$(printf '%s\n' $(RUST_VERSION) "$$found" | sort -V | head -n 1)" != $(RUST_VERSION) ]; then \
		echo "This needs Rust $(RUST_VERSION) or newer, with cargo; found: $${found:-none}." >&2; \
		echo "Get it from https://rustup.rs, or with \`rustup update\`, then run make again." >&2; \
		exit 1; \
	fi
	@command -v cc >/dev/null || { \
		echo "This needs a C compiler, which Rust links programs with; Debian's package is gcc." >&2; \
		exit 1; \
	}

# What the other targets call; `cargo xtask` alone would be silent while it compiles.
.PHONY: xtask
xtask: rust
	@[ -n "$(STAGED)" ] || cargo build --locked --package xtask --no-default-features
