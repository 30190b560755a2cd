# `make help` lists the targets. All work happens in .venv, which `make demo` and `make test` set up by themselves.

PYTHON ?= python3
BIN := .venv/bin
LOCK := $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --group build --generate-hashes \
	--no-emit-index-url --no-annotate --no-header
TINY := tests/providers/local/diffusion

.DEFAULT_GOAL := help
.PHONY: help demo test offline check docs pictures check-docs format lint types layers buf hadolint stubs generate baseline lock art nsfwjs tiny-diffusion clean coverage

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: .venv/local ## Start the server, make and upscale pictures into out/, stop it
	$(BIN)/python clients/python/demo.py

test: .venv/dev .venv-sdks/ready .venv-litellm/ready .venv-kserve/ready ## Run the tests
	$(BIN)/python -m pytest $(PYTEST_ARGS)

OFFLINE := tests/providers/local tests/providers/kserve tests/rpc/test_local_edits.py tests/rpc/test_compose_style.py \
	tests/rpc/test_analyze_metadata.py tests/rpc/test_analyze_pictures.py tests/rpc/test_recipes.py \
	tests/rpc/test_safety_scores.py tests/rpc/test_safety_policy.py tests/e2e/test_edit_command.py

offline: .venv/dev .venv-kserve/ready ## Run what this machine does alone with the network cut: loopback is all there is (Linux; after `make test`)
	unshare --net --map-root-user sh -c 'ip link set lo up && ip -brief link && $(BIN)/python -m pytest $(OFFLINE)'

coverage: .venv/dev .venv-sdks/ready .venv-litellm/ready .venv-kserve/ready ## Run the tests and report what they cover
	$(BIN)/python -m pytest --cov --cov-report=term --cov-report=xml

check: format lint types layers buf hadolint stubs check-docs ## Everything but the tests: format, lint, types, layers, contract, stubs

format: .venv/dev ## Check the format
	$(BIN)/ruff format --check .

lint: .venv/dev ## Lint
	$(BIN)/ruff check .

types: .venv/dev ## Check the types, strictly
	$(BIN)/mypy

layers: .venv/dev ## Check who imports whom
	$(BIN)/lint-imports

buf: .venv/dev ## Lint the contract and compare it with the baseline
	$(BIN)/buf format --diff --exit-code
	$(BIN)/buf lint
	$(BIN)/buf breaking --against proto/baseline.binpb

hadolint: .venv/dev ## Lint the Dockerfile
	$(BIN)/hadolint Dockerfile

stubs: .venv-generate/ready ## Check that the generated files are what the contract makes
	.venv-generate/bin/python clients/generate.py --check

docs: .venv/dev ## Make the generated pages of the docs
	$(BIN)/python -m docs.generate

pictures: .venv/local ## Make the pictures of docs/engines/ anew, with the engines of this machine
	$(BIN)/python docs/pictures.py

check-docs: .venv/dev ## Check that the generated pages are what the catalog and the recordings say
	$(BIN)/python -m docs.generate --check

generate: .venv-generate/ready ## Make the generated files from the contract
	.venv-generate/bin/python clients/generate.py

baseline: .venv/dev ## Take the contract as it is for the one that later changes must not break
	$(BIN)/buf build --exclude-source-info -o proto/baseline.binpb

lock: .venv/dev ## Resolve the ranges of pyproject.toml anew and lock the result with hashes
	$(LOCK) --extra local --output-file requirements/local.lock pyproject.toml
	$(LOCK) --extra dev --output-file requirements/dev.lock pyproject.toml
	$(subst --group build,,$(LOCK)) --output-file clients/generate.lock clients/generate.in
	$(subst --group build,,$(LOCK)) --output-file tests/emulate/sdks/vendors.lock tests/emulate/sdks/vendors.in
	$(subst --group build,,$(LOCK)) --output-file tests/emulate/sdks/litellm.lock tests/emulate/sdks/litellm.in
	$(subst --group build,,$(LOCK)) --output-file tests/providers/kserve/server/kserve.lock tests/providers/kserve/server/kserve.in
	$(subst --group build,,$(LOCK)) --output-file $(TINY)/make.lock $(TINY)/make.in

art: ## Pack the vector art of local/compose anew, from npm
	$(PYTHON) server/celeste_image/engines/compose/art/pack.py

nsfwjs: .venv/dev ## Pack the drawings network of local/safety anew, from npm
	$(BIN)/uv run --quiet --no-project --with onnx==1.23.2 --with numpy server/celeste_image/engines/safety/drawings/pack.py

tiny-diffusion: .venv-tiny/ready ## Make the tiny diffusion model of the tests anew
	.venv-tiny/bin/python $(TINY)/make.py

clean: ## Remove everything that make made
	rm -rf .venv .venv-* out dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .coverage coverage.xml

# Environments. pip installs what is locked and nothing else (--no-deps: the locks are whole, and older pips look past them
# for a requirement with extras); our own package is linked, not copied.

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

.venv-kserve/ready: tests/providers/kserve/server/kserve.lock
	$(PYTHON) -m venv .venv-kserve
	.venv-kserve/bin/python -m pip install --quiet --no-compile --no-deps --require-hashes -r tests/providers/kserve/server/kserve.lock
	touch $@

# Which wheel of torch there is depends on the index, CPU or CUDA, so it has a version and no hash.
.venv-tiny/ready: $(TINY)/make.lock
	$(PYTHON) -m venv .venv-tiny
	.venv-tiny/bin/python -m pip install --quiet torch==2.13.0
	.venv-tiny/bin/python -m pip install --quiet --no-deps --require-hashes -r $(TINY)/make.lock
	touch $@
