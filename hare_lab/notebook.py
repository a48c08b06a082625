"""What a notebook page needs beside the steps: prose with the run's own numbers, and controls that redraw a figure.

A number in a notebook's prose is never typed: `say` fills it in from a report. A control shows its figure at once, so that
an executed notebook carries a still picture where no widget can run, and redraws that same picture when it is moved.
"""

from __future__ import annotations

import html
import os
import re
from collections.abc import Callable, Mapping
from difflib import SequenceMatcher
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hare_lab.errors import InputError
from hare_lab.report_base import html_table, readable

if TYPE_CHECKING:
    from datasets import Dataset

    from hare_lab.run import Run
    from hare_lab.training import Job


def begin(run_name: str, runs: str, profile: str, seed: int, corpus: str, priors: str) -> Run:
    """Open the run that the first cell's parameters name.

    From here on figures show the way JupyterLab shows them offline, and an `InputError` shows as its sentence alone.
    """
    if os.environ.get("TQDM_DISABLE"):  # the bar that tqdm draws for notebooks does not heed this; its plain one does
        import tqdm.notebook
        import tqdm.std

        tqdm.notebook.tqdm = tqdm.std.tqdm  # type: ignore[assignment]
    import plotly.io
    from datasets import disable_progress_bars
    from IPython import get_ipython

    from hare_lab.run import open_run

    plotly.io.renderers.default = "plotly_mimetype"
    disable_progress_bars()
    if shell := get_ipython():
        shell.set_custom_exc((InputError,), _sentence_only)
    return open_run(run_name, profile=profile, seed=seed, corpus=corpus, priors=priors or None, root=runs or None)


def say(template: str, **values: Any) -> Any:
    """Markdown with `{name}` slots filled by values of the run, numbers written readably, text escaped.

    `{share:.0%}` takes a format as `str.format` does.
    """
    from IPython.display import Markdown

    def fill(match: re.Match[str]) -> str:
        value, form = values[match["name"]], match["format"]
        return _escaped(format(value, form) if form else readable(value))

    return Markdown(re.sub(r"\{(?P<name>\w+)(?::(?P<format>[^{}]*))?\}", fill, template))


def table(rows: Any, caption: str = "") -> Any:
    """A data frame or rows as an escaped table."""
    from IPython.display import HTML

    if hasattr(rows, "columns"):
        return HTML(html_table(rows.itertuples(index=False), [str(c) for c in rows.columns], caption))
    return HTML(html_table(rows, caption=caption))


def page(row: Mapping[str, Any], length: int = 600) -> Any:
    """The beginning of a page as it is, title and source first; the text is shown letter by letter, whatever it holds."""
    from IPython.display import HTML

    text = row["text"] if len(row["text"]) <= length else row["text"][:length] + " ..."
    head = " · ".join(html.escape(str(part)) for part in (row.get("title") or row["id"], row.get("source", "")) if part)
    return HTML(f'<p style="margin:.6em 0 .2em"><b>{head}</b></p><div style="{_PAGE}">{html.escape(text)}</div>')


def before_after(before: Dataset, after: Dataset, *, count: int = 2, seed: int = 0, length: int = 900) -> Any:
    """Some pages that a step changed, drawn by seed: what was cut in red, what stands in its place in green."""
    import numpy as np
    from IPython.display import HTML

    old = dict(zip(before["id"], before["text"], strict=True))
    both = ((page, old[page], new) for page, new in zip(after["id"], after["text"], strict=True))
    changed = [(page, was, now) for page, was, now in both if was.split() != now.split()]
    if not changed:
        return HTML("<p>No page was changed.</p>")
    chosen = (changed[row] for row in np.random.default_rng(seed).permutation(len(changed))[:count])
    parts = [f'<p style="margin:.6em 0 .2em"><b>{html.escape(page)}</b></p>{_marked(was, now, length)}' for page, was, now in chosen]
    return HTML("".join(parts))


def control(draw: Callable[..., Any], **widgets: Any) -> None:
    """Show `draw(**values)` with its controls above it; moving one redraws the same picture.

    Where no widget can run, a line of text says where the controls stand, and the picture is a still one.

    Parameters
    ----------
    draw : function of the widgets' values, by name
        Returns a figure; or a figure and what to show under it, such as a `table`.
    widgets : ipywidgets with a `value`
    """
    from IPython.display import display
    from ipywidgets import VBox

    def values() -> dict[str, Any]:
        return {name: widget.value for name, widget in widgets.items()}

    def drawn() -> tuple[Any, Any]:
        found = draw(**values())
        return found if isinstance(found, tuple) else (found, None)

    def redraw(_: Any) -> None:
        figure, note = drawn()
        _redraw(shown, figure)
        if under:
            under.update(note)

    still = ", ".join(f"{name}: {readable(value)}" for name, value in values().items())
    controls = VBox(list(widgets.values()))._repr_mimebundle_()
    display({**controls, "text/plain": f"{still} (run this cell to move it)"}, raw=True)
    # a figure shown as itself has no `display_id`, and could never be replaced; its MIME bundle has one
    figure, note = drawn()
    shown = display(figure._repr_mimebundle_(), raw=True, display_id=True)
    under = display(note, display_id=True) if note is not None else None
    for widget in widgets.values():
        widget.observe(redraw, names="value")


def grade(pages: Dataset, length: int = 500) -> dict[str, bool]:
    """Show pages one below the other, each with buttons; what comes back fills as the reader clicks: page id to whether it is good.

    Where no widget can run, a line of text says where the pages stand, and nothing is graded.
    """
    from IPython.display import display
    from ipywidgets import HTML, ToggleButtons, VBox

    grades: dict[str, bool] = {}
    shown: list[Any] = []
    for row in pages:
        buttons = ToggleButtons(options=["not graded", "good", "bad"], value="not graded")

        def told(change: Any, name: str = row["id"]) -> None:
            grades.pop(name, None)
            if change["new"] != "not graded":
                grades[name] = change["new"] == "good"

        buttons.observe(told, names="value")
        shown += [HTML(page({**row, "title": "", "id": f"page {len(shown) // 2 + 1}", "source": ""}, length).data), buttons]
    still = f"{len(pages)} pages to grade (run this cell to read them)"
    display({**VBox(shown)._repr_mimebundle_(), "text/plain": still}, raw=True)
    return grades


def ask(answer: Callable[[str], Any], value: str, label: str = "request") -> None:
    """A line to type into, and under it what `answer` makes of it; a new line is answered when Enter is pressed.

    Where no widget can run, the answer to `value` stands there alone.
    """
    from IPython.display import display
    from ipywidgets import Layout, Text

    box = Text(value=value, description=label, continuous_update=False, layout=Layout(width="80ch"))
    display({**box._repr_mimebundle_(), "text/plain": f"{label}: {value} (run this cell to type another)"}, raw=True)
    show = live()
    box.observe(lambda change: show(answer(change["new"])), names="value")
    show(answer(value))


def live() -> Callable[[Any], None]:
    """A place on the page that shows whatever it is given, each time instead of what it showed before."""
    from IPython.display import HTML, display

    shown = display(HTML(""), display_id=True)
    return lambda report: shown.update(HTML(report._repr_html_()))


def follow(job: Job, every: float = 1.0) -> None:
    """Watch a background job until it is over: its status and its curve, drawn again each second in their place.

    Raises
    ------
    InputError
        If it failed or was lost; the sentence is its own.
    """
    import time

    from IPython.display import HTML, display

    from hare_lab import figures

    table = display(HTML(job.status()._repr_html_()), display_id=True)
    shown = display(figures.loss_curve(job.curve())._repr_mimebundle_(), raw=True, display_id=True)
    while True:
        found = job.status()
        table.update(HTML(found._repr_html_()))
        _redraw(shown, figures.loss_curve(job.curve()))
        if found.over:
            break
        time.sleep(every)
    if found.state in ("failed", "lost"):
        raise InputError(found.message)


def follow_experiment(folder: str | Path, every: float = 1.0) -> None:
    """Watch an experiment until it is over: how far it is, the time left, and a table of its cells, drawn again in their place.

    When all is done the table goes: `experiment.overview` has it. Interrupting this leaves the experiment alone: it goes on in its own
    process.

    Raises
    ------
    InputError
        If it did not come to its end; the sentence is its own.
    """
    import time

    from IPython.display import HTML, display

    from hare_lab import experiment

    line, cells = (display(HTML(""), display_id=True) for _ in range(2))
    while True:
        found = experiment.status(folder)
        line.update(HTML(found._repr_html_()))
        if (Path(folder) / "plan.yaml").exists():
            cells.update(table(experiment.overview(folder), "Held-out bits per byte, one cell an arm and seed"))
        if found.over:
            break
        time.sleep(every)
    if found.state != "done":
        raise InputError(f"the experiment is {found.state}: {found.message}")
    cells.update(HTML(""))


def _redraw(shown: Any, figure: Any) -> None:
    """Put a figure in the place of the one before it."""
    # JupyterLab's plotly renderer draws only once in its place, so something else of that height takes it in between
    shown.update({"text/html": f'<div style="height:{figure.layout.height or 450}px"></div>'}, raw=True)
    shown.update(figure._repr_mimebundle_(), raw=True)


COMPARED = 2_000  # words and blanks of each text, from shortly before the first difference
_PAGE = "white-space:pre-wrap;border-left:3px solid #8886;padding:.2em 1em;max-width:80ch"


def _marked(old: str, new: str, length: int) -> str:
    """The words of both texts in order, with what only one of them has marked; the stretch around the first difference."""
    a, b = (re.findall(r"\s+|\S+", text) for text in (old, new))
    alike = next((at for at, (one, other) in enumerate(zip(a, b, strict=False)) if one != other), min(len(a), len(b)))
    first = max(0, alike - COMPARED // 4)  # comparing takes as long as the product of both lengths
    a, b = a[first : first + COMPARED], b[first : first + COMPARED]
    pieces = []
    for what, i, j, k, m in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if what == "equal":
            pieces.append(html.escape("".join(a[i:j])))
            continue
        cut, put = "".join(a[i:j]), "".join(b[k:m])
        pieces.append(f'<del style="background:#d5525233">{html.escape(cut)}</del>' if cut.strip() else "")
        pieces.append(f'<ins style="background:#009e7333">{html.escape(put)}</ins>' if put.strip() else html.escape(put))
    shown, used = [], 0
    start = max(0, next((n for n, piece in enumerate(pieces) if piece.startswith("<del")), 0) - 1)
    for piece in pieces[start:]:
        shown.append(piece if piece.startswith("<") or len(piece) < 400 else f"{piece[:200]} ... {piece[-200:]}")
        used += len(shown[-1])
        if used > length:
            break
    return f'<div style="{_PAGE}">{"".join(shown)}</div>'


def _escaped(text: str) -> str:
    """Text as Markdown shows it letter by letter: no HTML, no emphasis, no link."""
    return re.sub(r"([\\`*_\[\]|])", r"\\\1", html.escape(text))


def _sentence_only(shell: Any, kind: type[BaseException], error: BaseException, _: Any, tb_offset: int | None = None) -> list[str]:
    """Show an error that one sentence explains as that sentence, without the lines of code that lead to it."""
    shown = [str(error)]
    shell._showtraceback(kind, error, shown)
    return shown
