# Each target makes all it needs first, in .venv. `make test` is the one to know.
#
#   make test                        every test, but those that take long
#   make test-long                   these: a million items and more
#   make coverage                    every test, and the coverage gate
#   make test PYTHON=python3.12      the same on another interpreter
#   make demo | lint | bench | clean
#   make bench-peers                 other systems too, in .venv-peers

PYTHON ?= python3

# "CPython-3.11.7 /usr/bin/python3.11": the interpreter behind PYTHON, which in an
# activated environment is not PYTHON itself. That environment may be the one
# which is about to be replaced.
asked   := $(shell $(PYTHON) -c 'import platform as p, sys; print(p.python_implementation() + "-" + p.python_version() + " " + getattr(sys, "_base_executable", sys.executable))' 2>/dev/null)
version := $(firstword $(asked))
base    := $(wordlist 2, 99, $(asked))
python  := .venv/bin/python
# Named for the version, so that another one finds no stamp and starts afresh.
stamp   := .venv/made-with-$(version)

.DEFAULT_GOAL := setup
.PHONY: setup demo test test-long coverage lint bench bench-peers clean

setup: $(stamp)

$(stamp): pyproject.toml
	@test -n '$(version)' || { $(PYTHON) --version; echo 'PYTHON=$(PYTHON) cannot be run. Name another, as in: make PYTHON=python3.11' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'headrace needs Python 3.11 or newer, and PYTHON=$(PYTHON) is $(version). Name another, as in: make PYTHON=python3.11' >&2; exit 1; }
	rm -rf .venv
	'$(base)' -m venv .venv
	$(python) -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch '$@'

demo: $(stamp)
	$(python) examples/stdlib_census.py

test: $(stamp)
	$(python) -m pytest -q -n 2 --dist loadfile

# One after the other: they measure.
test-long: $(stamp)
	$(python) -m pytest -q -m long

# Apart from `make test`: tracing makes it three times as long.
coverage: $(stamp)
	$(python) -m pytest -q -n 2 --dist loadfile --cov --cov-report=term

lint: $(stamp)
	$(python) -m ruff format --check .
	$(python) -m ruff check .
	$(python) -m pyright --pythonpath $(python)
	$(python) -m mypy
	.venv/bin/lint-imports

bench: $(stamp)
	$(python) -m benchmarks

# An environment of its own: some of these insist on versions of what we need too.
bench-peers: $(stamp)
	test -d .venv-peers || '$(base)' -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet --disable-pip-version-check --editable . --requirement benchmarks/peers.txt
	.venv-peers/bin/python -m benchmarks.peers

clean:
	rm -rf .venv .venv-peers build dist htmlcov .coverage .coverage.* .hypothesis
	rm -rf .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
