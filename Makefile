# `make run` and `make test` do all their own set-up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: run test test-fast check bench format clean rabbitmq

## run: a real model answers on http://127.0.0.1:8000
run: $(INSTALLED)
	$(BIN)/soloist up --catalog examples/catalog.yaml

## test: everything, on Redis and on RabbitMQ
test: $(INSTALLED) rabbitmq check
	$(BIN)/python -m pytest

## test-fast: without the tests that start processes or load models
test-fast: $(INSTALLED)
	$(BIN)/python -m pytest -m "not slow"

## check: formatting, lints, types, import rules
check: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

## bench: ours against the bound and against others, in one run
bench: $(INSTALLED)
	$(BIN)/python -m bench

format: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet -c constraints.txt torch==2.13.0
	$(PIP) install --quiet -c constraints.txt -e '.[demo,test]'
	touch $@

# Where root may install Debian packages; elsewhere the RabbitMQ tests say that they are skipped.
rabbitmq:
	@test -x /usr/lib/rabbitmq/bin/rabbitmq-server || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null \
		&& apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq rabbitmq-server >/dev/null; } \
		|| echo "RabbitMQ is not installed and cannot be: its tests will be skipped"

clean:
	rm -rf $(VENV) .soloist .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info
