"""How a step's report shows itself: a table in a notebook, a dictionary in a program.

A report is a frozen dataclass that derives from `Report`. Everything it shows is escaped here, once, because the values may
come from web text.
"""

from __future__ import annotations

import dataclasses
import html
import math
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np


def plain(value: Any) -> Any:
    """`value` as JSON knows it: dataclasses, arrays, paths and mappings become dictionaries, lists, strings and numbers, NaN null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value) if not f.name.startswith("_")}
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None  # JSON has neither NaN nor infinity
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, str | int | float | bool) or value is None:
        return value
    if hasattr(value, "to_dict") and not isinstance(value, type):  # a pandas table: a list of rows
        return [plain(row) for row in value.to_dict(orient="records")]
    if isinstance(value, Iterable):
        return [plain(item) for item in value]
    return str(value)


def readable(value: Any) -> str:
    """A number with its thousands apart, a share as it is, anything else as text."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    if isinstance(value, int | np.integer):
        return f"{value:,}"
    if isinstance(value, float | np.floating):
        number = float(value)
        if number != number:  # no number: there is nothing to count
            return "–"
        return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.4g}"
    return str(value)


def plural(count: int, noun: str) -> str:
    """`1 page`, `12,000 pages`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def html_table(rows: Iterable[Iterable[Any]], header: Iterable[str] = (), caption: str = "") -> str:
    """Rows as an escaped HTML table that reads well in JupyterLab, light and dark."""
    cells = [
        "<tr>" + "".join(f'<td style="text-align:left;padding:.2em .8em .2em 0">{html.escape(readable(c))}</td>' for c in row) + "</tr>"
        for row in rows
    ]
    head = "".join(f'<th style="text-align:left;padding:.2em .8em .2em 0">{html.escape(h)}</th>' for h in header)
    top = f"<caption style='text-align:left;font-weight:600;padding:.3em 0'>{html.escape(caption)}</caption>" if caption else ""
    return f"<table>{top}{f'<thead><tr>{head}</tr></thead>' if head else ''}<tbody>{''.join(cells)}</tbody></table>"


class Report:
    """Base of every report: `to_dict()` for programs, an escaped table for people."""

    title: ClassVar[str] = ""

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON-able plain values."""
        result: dict[str, Any] = plain(self)
        return result

    def _rows(self) -> list[tuple[str, Any]]:
        """What the table shows: every field that fits on a line. Override to choose."""
        scalars = (str, int, float, bool, np.generic, type(None))
        fields = dataclasses.fields(self)  # type: ignore[arg-type]  # every Report is a dataclass
        return [(f.name.replace("_", " "), getattr(self, f.name)) for f in fields if isinstance(getattr(self, f.name), scalars)]

    def _repr_html_(self) -> str:
        return html_table(self._rows(), caption=self.title or type(self).__name__)
