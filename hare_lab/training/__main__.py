"""The process of a background job: `python -m hare_lab.training FOLDER`, as `launch` starts it."""

import sys
from pathlib import Path

from hare_lab.training.background import work

if __name__ == "__main__":
    work(Path(sys.argv[1]))
