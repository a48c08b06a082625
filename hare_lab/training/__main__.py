"""The process of a background job: `python -m hare_lab.training FOLDER`, as `launch` starts it."""

import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded; why: `hare_lab.cli.main`

from hare_lab.training.background import work

if __name__ == "__main__":
    work(Path(sys.argv[1]))
