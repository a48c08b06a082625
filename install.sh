#!/bin/sh
# Install the locked versions and this package into the environment of $PYTHON (default: the python on the path).
#
# PyTorch comes first, because on Linux the wheel that pip picks by itself brings several gigabytes of CUDA libraries.
# TORCH=cpu (the default) installs the CPU build; TORCH=cuda leaves the choice to pip.
set -eu
PYTHON=${PYTHON:-python3}
TORCH=${TORCH:-cpu}
cd "$(dirname "$0")"
torch=$(grep '^torch==' requirements.lock | cut -d ' ' -f 1)

cuda_planned() { # does pip's plan for torch hold NVIDIA's libraries? Asks the index only, downloads nothing large.
    "$PYTHON" -m pip install --quiet --disable-pip-version-check --dry-run --ignore-installed --report - "$torch" 2>/dev/null |
        grep -q '"name": "nvidia-'
}

installed=$("$PYTHON" -c 'import importlib.metadata as m; print("torch==" + m.version("torch").split("+")[0])' 2>/dev/null || true)
if [ "$installed" != "$torch" ]; then
    if [ "$TORCH" = cpu ] && [ "$(uname -s)" = Linux ] && cuda_planned; then
        echo "Installing the CPU build of PyTorch (for a GPU: make run TORCH=cuda)"
        "$PYTHON" -m pip install --quiet --disable-pip-version-check uv
        "$PYTHON" -m uv pip install --quiet --python "$PYTHON" --torch-backend cpu "$torch"
    else
        "$PYTHON" -m pip install --quiet --disable-pip-version-check "$torch"
    fi
fi
"$PYTHON" -m pip install --quiet --disable-pip-version-check -r requirements.lock
"$PYTHON" -m pip install --quiet --disable-pip-version-check --no-deps -e .
