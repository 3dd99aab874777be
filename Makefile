# Everything starts from `python3`, `make` and a package index.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.PHONY: demo test check setup down lock generate clean
.DELETE_ON_ERROR:

demo: setup ## the whole story on this machine, without an AWS account
	@$(BIN)/python -m controller.cli.demo

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

test: setup
	@$(BIN)/python -m pytest

check: setup
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m controller.cli.generate --check

generate: setup ## the files that are made from code: schemas and reference pages
	@$(BIN)/python -m controller.cli.generate

lock: ## resolve again; needs uv
	@uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-emit-find-links \
		--no-annotate --extra local --group dev pyproject.toml -o requirements.lock

clean:
	rm -rf $(VENV) .moorage .demo
