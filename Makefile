# One command each: `make demo`, `make test`, `make slow`, `make check`, `make docs`, `make versions`, `make packages`, `make sbom`, `make bench`, `make clients`, `make clean`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
export PYTHONDONTWRITEBYTECODE :=  # what one process has compiled no other compiles again

.PHONY: demo test slow check lint types pages docs versions packages sbom bench clients clean

demo: $(INSTALLED)
	$(BIN)/shortlist demo

# Three processes for two cores: tests wait for other processes now and then.
test: $(INSTALLED)
	$(BIN)/python -m pytest -n 3 --dist worksteal

# What takes long: a Ray cluster, a million rows, quick runs of the benchmarks. About 5 minutes.
slow: $(INSTALLED)
	$(BIN)/python -m pytest -m slow

# Its parts can run side by side: make --jobs=2 --output-sync check
check: types lint pages

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(INSTALLED)
	$(BIN)/python -m tests.typed

pages: $(INSTALLED)
	@! $(BIN)/python -c 'import zensical' 2>/dev/null || $(MAKE) --no-print-directory docs
	@! $(BIN)/python -c 'import zensical' 2>/dev/null || $(BIN)/python -m tests.accessibility site

# The site, into site/; needs Python 3.11.
docs: $(INSTALLED)
	$(BIN)/python docs/docstrings.py
	$(BIN)/python docs/errors.py
	$(BIN)/zensical build --clean --strict

# The site of this version into FOLDER/VERSION, next to those of others: make versions FOLDER=/srv/docs
versions: docs
	$(BIN)/python docs/versions.py $(FOLDER)

# Wheel and sdist, into dist/, once installed into bare environments of every Python from 3.10 on that is found.
packages: $(INSTALLED)
	$(BIN)/python -m tests.packaging

# What an installation of the server brings, as a CycloneDX document, into dist/.
sbom:
	$(PYTHON) -m venv --clear $(VENV)/sbom/server
	$(VENV)/sbom/server/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt '.[serve,quantized,onnx]'
	$(VENV)/sbom/server/bin/python -m pip uninstall --quiet --yes pip setuptools  # what made the environment, which no server needs
	$(PYTHON) -m venv --clear $(VENV)/sbom/tool
	$(VENV)/sbom/tool/bin/python -m pip install --quiet --disable-pip-version-check cyclonedx-bom==7.5.0
	mkdir -p dist
	$(VENV)/sbom/tool/bin/cyclonedx-py environment $(VENV)/sbom/server/bin/python --pyproject pyproject.toml --output-reproducible --output-file dist/shortlist-server.cdx.json

# About two hours on two quiet cores; peers are installed in environments of their own (about 8 GB). A peer that cannot be installed
# is a note; a side that stops is an error, which ends the run with status 1 after everything else and the pages are done.
# `make bench RESUME=1` runs what an interrupted run has left.
bench: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[bench]'
	@failed=0; \
	$(BIN)/python -m benchmarks all $(if $(RESUME),--resume) || failed=1; \
	$(BIN)/python -m benchmarks docs || failed=1; \
	$(BIN)/python -m benchmarks.index.page || failed=1; \
	exit $$failed

$(INSTALLED): pyproject.toml constraints.txt hatch_build.py $(wildcard src/shortlist/*/native/*.[ch])
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "error: Python 3.10 or newer is needed; $$($(PYTHON) --version) came."; \
		  echo "hint: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	-@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile pip==26.3  # Python 3.11's own takes twice as long
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt --editable '.[dev]'
	@$(BIN)/python -m compileall -q -j 0 -x '/(tests?|testing/_internal|rllib|pip|fontTools|mypyc?|hive_metastore)/' $(VENV)/lib src >/dev/null || true  # by all processors, without what no test imports; pip takes one
	@touch $(INSTALLED)

# Whatever only some tests need: makers of clients from /openapi.json, the check of accessibility, pyright, MLflow; the tests that need it skip without it.
clients:
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --no-compile --target $(VENV)/mlflow mlflow-skinny==3.17.2
	$(PYTHON) -m venv $(VENV)/clients
	$(VENV)/clients/bin/python -m pip install --quiet --disable-pip-version-check --no-compile openapi-python-client==0.29.1
	npm install --prefix $(VENV)/node --no-audit --no-fund --silent openapi-typescript@7.13.0 openapi-fetch@0.17.0 typescript@5.9.3 axe-core@4.14.1 pyright@1.1.414

clean:
	rm -rf $(VENV) build dist site .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
