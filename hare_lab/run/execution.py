"""Which notebooks are there, and how is one executed with a run's settings, into its folder?"""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hare_lab.bars import no_bars
from hare_lab.errors import InputError
from hare_lab.report_base import plain
from hare_lab.run.keys import PACKAGE
from hare_lab.run.storage import write_json

if TYPE_CHECKING:
    from hare_lab.run.folder import Run

NOTEBOOKS = PACKAGE.parent / "notebooks"
STATEMENT = "priors.yaml"  # the run's priors, in its folder
EXECUTED = "executed.json"  # under which settings each notebook was last executed, so that a page of other priors is told from one of these
log = logging.getLogger(__name__)


def notebooks() -> list[Path]:
    """The numbered notebooks, in order."""
    return sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))


def execute(run: Run, notebook: Path, profile: str | None = None) -> Path:
    """Run a notebook with the settings of `run`; the executed copy lands in the run folder.

    Raises
    ------
    InputError
        If a cell fails; the sentence is the cell's own where it is one of ours.
    """
    import papermill

    out = run.folder / "notebooks"
    out.mkdir(exist_ok=True)
    priors_file = run.priors.save(run.folder / STATEMENT)
    parameters = {
        "run_name": run.name, "runs": str(run.folder.parent), "profile": profile or run.profile.name, "seed": run.seed,
        "corpus": run.corpus, "priors": str(priors_file),
    }  # fmt: skip
    aside = out / f".{notebook.name}.part.ipynb"
    for noisy in ("papermill", "asyncio"):  # a failed cell is raised below; what they log besides is Ctrl-C, at length
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
    try:
        with no_bars():  # a stored page would keep one as it stood when it was last drawn
            papermill.execute_notebook(
                notebook, aside, parameters, cwd=notebook.parent, progress_bar=False, kernel_name="python3",
                extra_arguments=["--log-level=50"],  # ipykernel warns that it talks over TCP to itself, and of every Ctrl-C
            )  # fmt: skip
    except papermill.PapermillExecutionError as error:
        aside.replace(out / notebook.name)
        what = error.evalue if error.ename.endswith(("InputError", "MissingArtifactError")) else f"{error.ename}: {error.evalue}"
        raise InputError(f"{notebook.name}, cell {error.exec_count}: {what}") from error
    else:
        _sign(aside)
        aside.replace(out / notebook.name)
    finally:  # Ctrl-C leaves no half of a page
        aside.unlink(missing_ok=True)
    write_json(run.folder / EXECUTED, {**_executed(run), notebook.name[:2]: _settings(run, parameters["profile"])})
    return out / notebook.name


def executed_otherwise(run: Run) -> dict[str, list[str]]:
    """The numbers of the notebooks that were last executed in the run under other settings than its own, and which settings differ."""
    own = _settings(run, run.profile.name)
    differ = {number: [name for name, value in own.items() if known.get(name) != value] for number, known in _executed(run).items()}
    return {number: names for number, names in sorted(differ.items()) if names}


def _executed(run: Run) -> dict[str, dict[str, Any]]:
    file = run.folder / EXECUTED
    found: dict[str, dict[str, Any]] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return found


def _settings(run: Run, profile: Any) -> dict[str, Any]:
    stated = json.dumps(plain(run.priors.to_dict()), sort_keys=True)
    return {"priors": hashlib.sha256(stated.encode()).hexdigest()[:16], "corpus": run.corpus, "seed": run.seed, "profile": profile}


def _sign(notebook: Path) -> None:
    """Tell JupyterLab that this machine made these outputs, so that figures and controls show when the page is opened.

    Every text in them was escaped when it was shown. The signature is of the page's content, kept in the user's Jupyter folder;
    where that can't be written, the page opens untrusted as any stranger's would.
    """
    import nbformat
    from nbformat.sign import NotebookNotary

    try:
        NotebookNotary().sign(nbformat.read(notebook, as_version=4))
    except Exception as error:  # a read-only home, a locked database: no reason to lose a finished page
        log.debug("%s is not signed: %s", notebook.name, error)
