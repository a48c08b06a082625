"""A run: one folder that holds what was made, from what, with which settings and which code.

`make` is the heart: it computes an artifact unless the run already holds one with the same key (input hashes, parameters,
source of the modules it runs, versions of the libraries they import). An artifact is written aside and renamed; its
manifest entry follows, and a pointer to the entry comes last, so a kill at any moment leaves either the old state or the
new one. `manifest.json` is assembled from the entries.

    run = open_run("demo", profile="small")
    pages, removed = run.make(("pages", "removed"), lambda: clean(raw), inputs=["raw"], code=["corpus"])
"""

from hare_lab.run.execution import executed_otherwise, notebooks
from hare_lab.run.folder import MAKERS, Entry, Run, open_run, read_run, runs_folder
from hare_lab.run.keys import provenance
from hare_lab.run.profiles import PROFILES, Profile

__all__ = [
    "MAKERS", "PROFILES", "Entry", "Profile", "Run", "executed_otherwise", "notebooks", "open_run", "provenance", "read_run",
    "runs_folder",
]  # fmt: skip
