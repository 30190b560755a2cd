# `make help` lists the targets. They work in .venv and create it when it is missing.

PYTHON ?= python3
BIN := .venv/bin
LOCK := $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --group build --generate-hashes \
	--no-emit-index-url --no-annotate --no-header
TINY := tests/providers/local/diffusion
WORKERS ?= 2

# Some machines forbid Python to write bytecode. Then each of the hundreds of processes that tests start compiles all
# that it imports, which doubles its start-up.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help demo bench bench-full gateways test test-faults test-observability npm-clients test-clients quick offline check docs dashboards panels pictures check-docs format lint types layers buf hadolint stubs check-clients generate baseline lock art nsfwjs tiny-diffusion clean coverage

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: .venv/local ## Start the server, generate, upscale and edit images in out/, stop the server
	$(BIN)/python clients/python/demo.py

# A file stays in one process, since its tests share servers. Files start in their order: the long ones come first.
IN_PARALLEL := --numprocesses=$(WORKERS) --dist=loadfile --no-loadscope-reorder

test: .venv/dev .venv-sdks/ready .venv-litellm/ready .venv-kserve/ready ## Run the tests
	$(BIN)/python -m pytest $(IN_PARALLEL) $(PYTEST_ARGS)

test-faults: .venv/dev .venv-sdks/ready .venv-litellm/ready .venv-others/ready .venv-kserve/ready npm-clients ## Run the longer trials of faults and attacks; a million fuzzed requests take 20 minutes (FUZZ_RUNS=100000)
	$(BIN)/python -m pytest -m faults $(IN_PARALLEL) $(PYTEST_ARGS)

test-observability: .venv/dev ## Run the tests with a real Prometheus (Debian: apt-get install prometheus)
	@command -v prometheus promtool >/dev/null || { echo "prometheus and promtool are missing: apt-get install prometheus" >&2; exit 1; }
	$(BIN)/python -m pytest -m observability tests/observability $(PYTEST_ARGS)

NPM := tests/emulate/sdks/npm
npm-clients: ## Install the npm clients that tests run at the emulators; without Node, do nothing
	@if command -v npm >/dev/null && [ ! $(NPM)/node_modules/.package-lock.json -nt $(NPM)/package-lock.json ]; then \
		npm ci --prefix $(NPM) --ignore-scripts --no-audit --no-fund --silent; fi

test-clients: .venv/dev ## Speak the contract from every language (Node, Chromium, Go, JDK, Maven, Rust); writes the matrix in docs/clients
	$(BIN)/python -m tests.conformance.run $(CLIENTS_ARGS)

# The pure tests, and one call of a real server. Left out: what starts processes (engines, sandbox, command line,
# plug-ins, vendors' SDKs, S3), what goes through real sockets, and whatever needs seconds.
QUICK := tests/core tests/wire tests/pipeline tests/providers/kit tests/providers/catalog tests/providers/vendors \
	tests/outbound/test_stream.py tests/test_config.py tests/test_admission.py tests/providers/test_recordings.py \
	tests/rpc/test_images.py::test_generate
SLOW := $(addprefix --ignore=tests/pipeline/test_,cancellation.py metadata.py pixel_lock.py)

quick: .venv/dev ## Run the fast tests, in half a minute
	$(BIN)/python -m pytest $(IN_PARALLEL) $(QUICK) $(SLOW) $(PYTEST_ARGS)

OFFLINE := tests/providers/local tests/providers/kserve tests/rpc/test_local_edits.py tests/rpc/test_compose_style.py \
	tests/rpc/test_analyze_metadata.py tests/rpc/test_analyze_pictures.py tests/rpc/test_recipes.py \
	tests/rpc/test_safety_scores.py tests/rpc/test_safety_policy.py tests/e2e/test_edit_command.py

offline: .venv/dev .venv-kserve/ready ## Run the tests of local models with loopback as the only network (Linux; after `make test`)
	unshare --net --map-root-user sh -c 'ip link set lo up && ip -brief link && $(BIN)/python -m pytest $(OFFLINE)'

coverage: .venv/dev .venv-sdks/ready .venv-litellm/ready .venv-kserve/ready ## Run the tests and report their coverage
	$(BIN)/python -m pytest --cov --cov-report=term --cov-report=xml

check: format lint types layers buf hadolint stubs check-docs ## Check format, lint, types, layers, contract, Dockerfile and generated files

format: .venv/dev ## Check the format
	$(BIN)/ruff format --check .

lint: .venv/dev ## Lint
	$(BIN)/ruff check .

types: .venv/dev ## Check the types, strictly
	$(BIN)/mypy

# CycleError names the circle. The contract sees circles between folders, this sees those through a folder's __init__ too.
CIRCLES := import graphlib, grimp; graph = grimp.build_graph("celeste_image"); \
	graphlib.TopologicalSorter({name: graph.find_modules_directly_imported_by(name) for name in graph.modules}).prepare(); \
	print(f"No import circle between {len(graph.modules)} modules.")

layers: .venv/dev ## Check which folder imports which
	$(BIN)/lint-imports
	$(BIN)/python -c '$(CIRCLES)'

buf: .venv/dev ## Lint the contract and look for changes that break the baseline
	$(BIN)/buf format --diff --exit-code
	$(BIN)/buf lint
	$(BIN)/buf breaking --against proto/baseline.binpb

hadolint: .venv/dev ## Lint the Dockerfile
	$(BIN)/hadolint Dockerfile

stubs: .venv-generate/ready .venv/dev ## Check that the generated Python code matches the contract
	.venv-generate/bin/python -m clients.generate --check python
	$(BIN)/python deploy/envoy/strict.py --check

# A language whose toolchain is missing is skipped by name. One that LANGUAGES names must not be missing.
check-clients: .venv-generate/ready ## Check that the generated code of other languages matches (LANGUAGES="go rust")
	.venv-generate/bin/python -m clients.generate --check $(or $(LANGUAGES),--skip-missing others)

docs: .venv/dev ## Write the generated pages of docs/
	$(BIN)/python -m docs.generate

dashboards: .venv/dev ## Write the Grafana dashboards
	$(BIN)/python -m deploy.grafana.make

panels: .venv/dev ## Measure and draw the panels and the trace of docs/operate.md, in three minutes (Prometheus)
	mkdir -p out
	$(BIN)/python -m docs.panels out/panels.json
	$(BIN)/uv run --quiet --no-project --with matplotlib docs/panel_curves.py out/panels.json

pictures: .venv/local ## Remake the images of docs/engines/ with the local engines
	$(BIN)/python docs/pictures.py

check-docs: .venv/dev ## Check that the generated pages and dashboards match their sources
	$(BIN)/python -m docs.generate --check
	$(BIN)/python -m deploy.grafana.make --check

generate: .venv-generate/ready .venv/dev ## Generate code from the contract (LANGUAGES="python go" for some languages)
	.venv-generate/bin/python -m clients.generate $(LANGUAGES)
	$(BIN)/python deploy/envoy/strict.py

baseline: .venv/dev ## Make the current contract the baseline that later changes must not break
	$(BIN)/buf build --exclude-source-info -o proto/baseline.binpb

lock: .venv/dev ## Resolve the version ranges again and lock the result with hashes
	$(LOCK) --extra local --extra postgres --output-file requirements/local.lock pyproject.toml
	$(LOCK) --extra dev --output-file requirements/dev.lock pyproject.toml
	$(subst --group build,,$(LOCK)) --output-file clients/generate.lock clients/generate.in
	$(subst --group build,,$(LOCK)) --output-file tests/emulate/sdks/vendors.lock tests/emulate/sdks/vendors.in
	$(subst --group build,,$(LOCK)) --output-file tests/emulate/sdks/litellm.lock tests/emulate/sdks/litellm.in
	$(subst --group build,,$(LOCK)) --output-file tests/emulate/sdks/others.lock tests/emulate/sdks/others.in
	$(subst --group build,,$(LOCK)) --output-file tests/providers/kserve/server/kserve.lock tests/providers/kserve/server/kserve.in
	$(subst --group build,,$(LOCK)) --output-file bench/speed/litellm.lock bench/speed/litellm.in
	$(subst --group build,,$(LOCK)) --output-file $(TINY)/make.lock $(TINY)/make.in

# The first run installs LiteLLM. `make gateways` builds the compiled gateways, which takes long.
bench: .venv/dev .venv-litellm-proxy/ready ## Measure speed and memory beside other gateways, in five minutes
	$(BIN)/python -m bench.speed short --out out/bench/short.json

bench-full: .venv/dev .venv-litellm-proxy/ready ## Measure the same at length, and write the tables of docs/performance.md
	$(BIN)/python -m bench.speed full --out bench/results.json; code=$$?; \
		$(BIN)/python -m bench.speed page bench/results.json && exit $$code  # the page tells what went wrong, too

gateways: .venv-litellm-proxy/ready ## Install the gateways that `make bench` compares with (Go, Cargo)
	bench/speed/gateways.sh

art: ## Repack the vector art of local/compose from npm
	$(PYTHON) server/celeste_image/engines/compose/art/pack.py

nsfwjs: .venv/dev ## Repack the drawings network of local/safety from npm
	$(BIN)/uv run --quiet --no-project --with onnx==1.23.2 --with numpy server/celeste_image/engines/safety/drawings/pack.py

tiny-diffusion: .venv-tiny/ready ## Remake the tiny diffusion model of the tests
	.venv-tiny/bin/python $(TINY)/make.py

clean: ## Remove the environments, out/, and the files of tools
	rm -rf .venv .venv-* out dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .coverage coverage.xml

# Environments. pip installs only locked packages: the locks are complete, and without --no-deps older pips would look
# elsewhere for a requirement with extras. Our own package is linked, not copied.

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/local: requirements/local.lock pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r requirements/local.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

.venv/dev: requirements/dev.lock pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r requirements/dev.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@ .venv/local

.venv-generate/ready: clients/generate.lock
	$(PYTHON) -m venv .venv-generate
	.venv-generate/bin/python -m pip install --quiet --no-deps --require-hashes -r clients/generate.lock
	touch $@

.venv-sdks/ready: tests/emulate/sdks/vendors.lock
	$(PYTHON) -m venv .venv-sdks
	.venv-sdks/bin/python -m pip install --quiet --no-deps --require-hashes -r tests/emulate/sdks/vendors.lock
	touch $@

.venv-litellm/ready: tests/emulate/sdks/litellm.lock
	$(PYTHON) -m venv .venv-litellm
	.venv-litellm/bin/python -m pip install --quiet --no-deps --require-hashes -r tests/emulate/sdks/litellm.lock
	touch $@

.venv-litellm-proxy/ready: bench/speed/litellm.lock
	$(PYTHON) -m venv .venv-litellm-proxy
	.venv-litellm-proxy/bin/python -m pip install --quiet --no-deps --require-hashes -r bench/speed/litellm.lock
	.venv-litellm-proxy/bin/python -c "from importlib.metadata import version; print(version('litellm'))" > .venv-litellm-proxy/version
	touch $@

# celeste-ai needs Python 3.12; with an older one its test is skipped.
OTHERS_PYTHON ?= $(shell for python in python3.14 python3.13 python3.12 $(HOME)/.pyenv/versions/3.1[2-9]*/bin/python3 $(PYTHON); \
	do "$$python" -c "" 2>/dev/null && echo "$$python" && break; done)
.venv-others/ready: tests/emulate/sdks/others.lock
	$(OTHERS_PYTHON) -m venv .venv-others
	.venv-others/bin/python -m pip install --quiet --no-deps --require-hashes -r tests/emulate/sdks/others.lock
	touch $@

.venv-kserve/ready: tests/providers/kserve/server/kserve.lock
	$(PYTHON) -m venv .venv-kserve
	.venv-kserve/bin/python -m pip install --quiet --no-compile --no-deps --require-hashes -r tests/providers/kserve/server/kserve.lock
	touch $@

# The index decides which wheel of torch comes, CPU or CUDA, so torch has a version and no hash.
.venv-tiny/ready: $(TINY)/make.lock
	$(PYTHON) -m venv .venv-tiny
	.venv-tiny/bin/python -m pip install --quiet torch==2.13.0
	.venv-tiny/bin/python -m pip install --quiet --no-deps --require-hashes -r $(TINY)/make.lock
	touch $@
