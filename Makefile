# Everything starts from `python3`, `make` and a package index.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.PHONY: help demo test browser check check-images check-clients fuzz bench-serving bench-image bench-reconcile setup down lock generate clean
.DELETE_ON_ERROR:

# The row of the table's first block in Berkeley; its census value is 452,600.
BLOCK := median_income=8.3252 housing_median_age=41 total_rooms=880 total_bedrooms=129 population=322 households=126 latitude=37.88 longitude=-122.23

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / { printf "%-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: setup ## the whole story on this machine, without an AWS account
	$(BIN)/moorage reconcile --once --local -f specs
	@echo
	$(BIN)/moorage describe housing-model --local --events 0
	@echo
	$(BIN)/moorage predict housing-model --local $(BLOCK)
	@echo
	@echo "The endpoint stays up: change specs/housing-model.yaml and run the first command again. \`make down\` stops it."

down: ## stop what `make demo` left running
	@$(BIN)/moorage local down

setup: $(VENV)/.ready ## the virtual environment, from the hash-pinned lock

$(VENV)/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Moorage needs Python 3.11 or newer; try: make PYTHON=python3.12 $(MAKECMDGOALS)")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing the pinned dependencies into $(VENV) ..."
	@$(BIN)/python -m pip install -qq --require-hashes --only-binary :all: -r requirements.lock
	@$(BIN)/python -m pip install -qq --no-deps --no-build-isolation --editable .
	@touch $@

# More workers than cores: much of a test's time is spent waiting for processes.
WORKERS ?= 4
test: setup ## every test, in parallel and in random order; the printed --random-order-seed repeats an order
	@$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadscope --no-loadscope-reorder --random-order

.PHONY: test-weather
WEATHER := throttle,iam-delay,read-lag
test-weather: setup ## the end-to-end tests while AWS throttles, spreads roles slowly and lags; WHICH=tests/e2e/test_model_lifecycle.py
	@MOORAGE_LOCAL_WEATHER=$(WEATHER) $(BIN)/python -m pytest $(or $(WHICH),tests/e2e)

browser: ## what the page's tests need beside a Chromium of the system: axe-core, for the tests only
	@npm ci --prefix tests --silent

check: setup ## formatting, lint, types, import contracts, retired names, generated files
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m tests.retired_names
	@$(BIN)/python -m controller.cli.generate --check

generate: setup ## the files that are made from code: schemas and reference pages
	@$(BIN)/python -m controller.cli.generate

# What an installed SageMaker SDK says of the built-in images; in an environment of its own, for its 300 MB.
SDK := .venv-sagemaker
check-images: setup $(SDK)/.ready ## hold the table of SageMaker's images to the SDK's own
	@PYTHONPATH=$$($(SDK)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') \
		$(BIN)/python -m pytest -q -W ignore tests/unit/aws/test_xgboost_images.py

$(SDK)/.ready: requirements-sagemaker.lock
	@test -x $(SDK)/bin/python || $(PYTHON) -m venv $(SDK)
	@$(SDK)/bin/python -m pip install -qq --require-hashes --only-binary :all: -r requirements-sagemaker.lock
	@touch $@

# Clients of the server's protocols that others wrote; in an environment of their own, in the versions that the lock has.
CLIENTS := .venv-clients
check-clients: setup $(CLIENTS)/.ready ## ask the inference server with other people's clients
	@PYTHONPATH=$$($(CLIENTS)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') \
		$(BIN)/python -m pytest -q -W ignore tests/clients

$(CLIENTS)/.ready: requirements-clients.lock
	@test -x $(CLIENTS)/bin/python || $(PYTHON) -m venv $(CLIENTS)
	@$(CLIENTS)/bin/python -m pip install -qq --require-hashes --only-binary :all: -r requirements-clients.lock
	@touch $@

bench-image: setup ## what the image weighs, what a new model costs, whether digests are equal; WRITE=1
	@$(BIN)/python -m benchmarks.image $(if $(WRITE),--write)

bench-serving: setup ## what serving costs, against a floor, peers and the kernel alone; QUICK=1, WRITE=1
	@$(BIN)/python -m benchmarks.serving $(if $(QUICK),--quick) $(if $(WRITE),--write)

bench-reconcile: setup ## what reconciling costs at 1 to 1,000 specs: calls, CPU, memory; QUICK=1, WRITE=1
	@$(BIN)/python -m benchmarks.reconcile $(if $(QUICK),--quick) $(if $(WRITE),--write)

# A fuzzer that follows the code's branches; in an environment of its own, since it has wheels for few Pythons.
FUZZ := .venv-fuzz
SECONDS ?= 60
fuzz: setup $(FUZZ)/.ready ## let atheris look for a body that no parser of the server expects; SECONDS=60
	@mkdir -p .fuzz
	@PYTHONPATH=$$($(FUZZ)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') \
		$(BIN)/python tests/fuzz/request_bodies.py -max_total_time=$(SECONDS) -timeout=10 -rss_limit_mb=1024 -artifact_prefix=.fuzz/ .fuzz

$(FUZZ)/.ready: requirements-fuzz.lock
	@test -x $(FUZZ)/bin/python || $(PYTHON) -m venv $(FUZZ)
	@$(FUZZ)/bin/python -m pip install -qq --require-hashes --only-binary :all: -r requirements-fuzz.lock
	@touch $@

COMPILE := uv pip compile --quiet --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-emit-find-links --no-annotate

lock: ## resolve again; needs uv
	@$(COMPILE) --universal --extra local --extra oci --extra otel --group dev pyproject.toml -o requirements.lock
	@$(COMPILE) --group server --constraints requirements.lock --python-platform x86_64-manylinux_2_28 \
		--no-emit-package numpy --no-emit-package scipy -o inference_server/requirements.lock
	@$(BIN)/python -m controller.bundle.runtime_files
	@echo 'sagemaker-core>=2.27,<3' | $(COMPILE) --universal - -o requirements-sagemaker.lock
	@printf 'schemathesis>=4.32,<5\ntritonclient[http]>=2.73,<3\n' | $(COMPILE) --universal --constraints requirements.lock - \
		-o requirements-clients.lock
	@echo 'atheris>=3.0,<3.1' | $(COMPILE) --universal - -o requirements-fuzz.lock

clean: ## remove the environment and what the demo left
	rm -rf $(VENV) .moorage .demo .bench
