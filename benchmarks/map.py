"""How long does a corpus take from nothing but an installation to its map? `hare-lab run` on the demo, notebooks 00 to 02.

`hare-lab bench map`: about ten minutes. Caches and run folders are empty at the start of each profile, so the first-time
costs (reading the machine's text, choosing a backend, compiling) are in the figure.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from _common import measure, write_results

LIMITS = {"small": 3.0, "laptop": 10.0}
NOTEBOOKS = "00,01,02"  # the tour, the corpus, the map; later ones have benchmarks of their own


def run(profile: str) -> dict:
    """One run in folders of its own: minutes, peak memory of the largest process in GiB, and the number of notebooks."""
    with tempfile.TemporaryDirectory() as folder:
        env = {**os.environ, "HARE_LAB_RUNS": f"{folder}/runs", "HARE_LAB_CACHE": f"{folder}/cache", "NUMBA_CACHE_DIR": f"{folder}/numba"}
        command = ["run", "--profile", profile, "--name", "bench", "--only", NOTEBOOKS]
        subprocess.run([sys.executable, "-m", "hare_lab.cli", *command], check=True, env=env)
        found: dict = json.loads((Path(folder) / "runs" / "bench" / "run.note.json").read_text())
        return found


def main() -> None:
    """Run both profiles and write the table."""
    measures = []
    for profile, limit in LIMITS.items():
        found = run(profile)
        how = f"`hare-lab run --only {NOTEBOOKS}` on the demo corpus, empty caches"
        measures.append(measure(f"map.{profile}_minutes", found["minutes"], target=limit, better="lower", unit="min", how=how))
        most = "largest resident memory of one process"
        measures.append(measure(f"map.{profile}_peak_gib", found["peak_gib"], target=6.0, better="lower", unit="GiB", how=most))
    print(write_results("map", measures).with_suffix(".md").read_text())


if __name__ == "__main__":
    main()
