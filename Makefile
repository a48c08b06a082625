# make run    create .venv, install from requirements.lock, run every notebook on the demo corpus into runs/demo
# make test   lint, type-check and test everything, every notebook included
# make lab    open JupyterLab on the notebooks
#
# On Linux the plain PyTorch wheel brings gigabytes of CUDA. These targets take the CPU build unless you ask otherwise:
#   make run TORCH=cuda

PYTHON  ?= python3
VENV    ?= .venv
BIN     := $(VENV)/bin
TORCH   ?= cpu
PROFILE ?= laptop
NAME    ?= demo

.PHONY: run test lab install lint bench clean

run: install
	$(BIN)/hare-lab run --corpus demo --profile $(PROFILE) --name $(NAME)

test: install lint
	$(BIN)/python -m pytest

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy hare_lab

lab: install
	$(BIN)/jupyter lab --notebook-dir notebooks

bench: install
	for name in embedding dedup clustering map texts; do $(BIN)/hare-lab bench $$name || exit 1; done

install: $(VENV)/installed

$(VENV)/installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "hare-lab needs Python 3.11 or newer; set PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	PYTHON=$(BIN)/python TORCH=$(TORCH) sh install.sh
	touch $@

clean:
	rm -rf $(VENV) runs .pytest_cache .mypy_cache .ruff_cache
