# Everything is set up by the commands themselves: Python 3.11 or newer, git and make are all that is needed.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
TORCH  ?= torch==2.13.0

.PHONY: run test test-long check audit bench docs clean

run: $(VENV)/.text  ## set up, then the whole chain on real mail: recipes/mail-spam
	$(BIN)/yard run recipes/mail-spam -o builds/mail-spam

test: $(VENV)/.dev  ## set up, then format, lint, types, import arrows and the quick tests
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m tests.gate

test-long: $(VENV)/.dev  ## the tests that take minutes
	$(BIN)/pytest -m long

audit: $(VENV)/.dev  ## known vulnerabilities and refused licences of what is installed; says so where no service answers
	$(BIN)/python .ci/audit.py

bench: $(VENV)/.dev  ## what benchmarks there are; make bench NAME=mail runs one (see benchmarks/README.md)
	$(BIN)/python -m benchmarks $(NAME)

docs: $(VENV)/.dev  ## write the generated pages of docs/
	$(BIN)/python docs/generate.py

# Where pip finds torch's CPU wheels it takes one; PyPI's own for Linux brings gigabytes of CUDA along. To choose, name pip's
# index (PIP_INDEX_URL, PIP_EXTRA_INDEX_URL) or another wheel: make run TORCH=path/to/torch.whl
$(VENV)/.text: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/pip install --quiet "$(TORCH)"
	$(BIN)/pip install --quiet -e ".[text]"
	touch $@

$(VENV)/.dev: $(VENV)/.text
	$(BIN)/pip install --quiet --group dev
	touch $@

clean:  ## remove builds and caches
	rm -rf builds .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
