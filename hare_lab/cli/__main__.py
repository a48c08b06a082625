"""`python -m hare_lab.cli` is `hare-lab`."""

from hare_lab.cli import main

main()
