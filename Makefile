# On a fresh machine with Python 3.11 or newer, `make demo` and `make test` do all the set-up.
# Everything is installed into .venv beside this file; nothing outside the repository is touched.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed

# Where this is set, Python compiles torch anew at every start.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install demo test lint format docs page examples constraints clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

install: $(INSTALLED) ## make .venv with everything in it, or bring it up to date

demo: $(INSTALLED) ## render example images, learn from them, score and report; see demo/
	$(BIN)/onlygood demo demo

test: $(INSTALLED) ## run the tests
	$(BIN)/python -m pytest -n 2 --dist worksteal

lint: $(INSTALLED) ## check style, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(INSTALLED) ## format the code and mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(INSTALLED) ## build the documentation as a site: site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs --quiet build --strict

page: $(INSTALLED) ## build what `onlygood report` and `onlygood page` ship, from web; needs npm; the results are committed
	cd web && npm ci --no-audit --no-fund && npm run build
	$(BIN)/python web/pack.py

examples: ## install what the program in examples/javascript needs, for its tests; needs npm
	cd examples/javascript && npm ci --ignore-scripts --no-audit --no-fund

constraints: $(INSTALLED) ## pin the newest versions that pyproject.toml allows, for every platform
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --all-extras --no-annotate \
		--custom-compile-command "make constraints" --output-file constraints.txt pyproject.toml

clean: ## remove .venv, the demo and what tools leave behind
	rm -rf $(VENV) demo site build dist .hypothesis .mypy_cache .ruff_cache .pytest_cache
	find onlygood tests -name __pycache__ -type d -prune -exec rm -rf {} +

# pip fetches uv, and uv the rest: pip takes minutes over torch's libraries, uv seconds.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "onlygood needs Python 3.11 or newer; name one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
	$(BIN)/uv pip install --python $(BIN)/python --constraint constraints.txt --editable '.[train,timm,mqtt,sign,serve,cloud,ray,docs,dev]'
	touch $@
