# Both `make demo` and `make test` set up their own virtual environment from pinned versions.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint lessons bench bench-smoke relay clean

demo: $(VENV)/run.stamp
	$(BIN)/python -m minicc demo

test: $(VENV)/dev.stamp
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

lessons: $(VENV)/dev.stamp
	$(BIN)/python -m minicc.course.publish build/lessons

bench-smoke: $(VENV)/dev.stamp
	$(BIN)/python -m benchmarks --smoke

bench: $(VENV)/dev.stamp
	$(BIN)/python -m benchmarks

relay: $(VENV)/run.stamp
	$(BIN)/python -m minicc doctor --setup-relay

clean:
	rm -rf $(VENV) .venv-relay build .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info

$(VENV)/run.stamp: pyproject.toml .ci/requirements.txt
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || { echo "minicc needs Python 3.11 or newer, and $(PYTHON) is not: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -r .ci/requirements.txt
	$(BIN)/python -m pip install -q --no-deps -e .
	touch $@

$(VENV)/dev.stamp: $(VENV)/run.stamp .ci/requirements-dev.txt
	$(BIN)/python -m pip install -q -r .ci/requirements-dev.txt
	touch $@
