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

# Threads that wait in turning loops starve each other where anything else runs on the same cores.
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: run test lab install lint bench clean lock

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
	for name in embedding dedup clustering map quality coverage leakage curation synthesis training evaluation tools texts; do $(BIN)/hare-lab bench $$name || exit 1; done

install: $(VENV)/installed

$(VENV)/installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "hare-lab needs Python 3.11 or newer; set PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	PYTHON=$(BIN)/python TORCH=$(TORCH) sh install.sh
	touch $@

clean:
	rm -rf $(VENV) runs .pytest_cache .mypy_cache .ruff_cache

# The lock is made by uv for both platforms at once; CUDA's packages are left to `TORCH=cuda` (see install.sh).
BOTH := \(python_full_version < '3.14' and platform_machine == 'arm64' and sys_platform == 'darwin'\) or \(python_full_version < '3.14' and platform_machine == 'x86_64' and sys_platform == 'linux'\)
lock:
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/python -m uv pip compile --quiet --universal --no-annotate --no-header --python-version 3.11.5 --all-extras \
		$(if $(wildcard requirements.lock),--constraint requirements.lock) pyproject.toml --output-file .lock
	echo "# Linux x86-64 and macOS arm64, Python 3.11 to 3.13. Made by 'make lock'." > requirements.lock
	sed -E "/^(nvidia-|cuda-|triton)/d; s/ ; $(BOTH)$$//; s/python_full_version < '3.14' and //g" .lock >> requirements.lock
	rm .lock
