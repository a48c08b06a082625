"""What a notebook page needs beside the steps: prose with the run's own numbers, and controls that redraw a figure.

A number in a notebook's prose is never typed: `say` fills it in from a report. A control shows its figure at once, so that
an executed notebook carries a still picture where no widget can run, and redraws that same picture when it is moved.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hare_lab.report_base import html_table, readable

if TYPE_CHECKING:
    from hare_lab.run import Run


def begin(run_name: str, runs: str, profile: str, seed: int, corpus: str, priors: str) -> Run:
    """Open the run that the first cell's parameters name, and show figures the way JupyterLab shows them offline."""
    import plotly.io
    from datasets import disable_progress_bars

    from hare_lab.run import open_run

    plotly.io.renderers.default = "plotly_mimetype"
    disable_progress_bars()
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


def control(draw: Callable[..., Any], **widgets: Any) -> None:
    """Show `draw(**values)` with its controls above it; moving one redraws the same picture.

    Parameters
    ----------
    draw : function of the widgets' values, by name, returning a figure
    widgets : ipywidgets with a `value`
    """
    from IPython.display import display
    from ipywidgets import VBox

    def values() -> dict[str, Any]:
        return {name: widget.value for name, widget in widgets.items()}

    display(VBox(list(widgets.values())))
    shown = display(draw(**values()), display_id=True)
    for widget in widgets.values():
        widget.observe(lambda _: shown.update(draw(**values())), names="value")


def _escaped(text: str) -> str:
    """Text as Markdown shows it letter by letter: no HTML, no emphasis, no link."""
    return re.sub(r"([\\`*_\[\]|])", r"\\\1", html.escape(text))
