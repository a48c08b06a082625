"""What do all figures share?

One look: three themes for three places (a screen, a page of a paper, a talk), a palette that the colour-blind can tell
apart, a topic's colour that is the same in every figure, and a title that says the finding. Text from the web enters a
figure through `escape`, and only through it.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import plotly.io as pio

from hare_lab.errors import InputError

# Sans everywhere: a font that machines have, the metric twin of Arial on Linux, then whatever sans there is.
FONT = "Inter, 'Helvetica Neue', Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"
INK, QUIET, RULE, PAPER = "#1B2430", "#5B6673", "#E3E7EB", "#FFFFFF"
GREY = "#C9CFD6"  # unclustered, missing, the rest: what no colour should draw the eye to
# Six of Okabe & Ito (2008) and a wine; their black is our text, and their yellow does not show on white. The next fourteen were
# searched for the largest distance to all before them, as normal and colour-blind eyes see it (tests/test_figures.py measures it).
FEW = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#882255")
MORE = ("#38308F", "#9CD59B", "#6D540A", "#897AE1", "#8F5A83", "#F1B6D7", "#692F1A")
MANY = ("#0D5279", "#94B072", "#AE3B4B", "#5C4AAC", "#818643", "#86CDFF", "#1E7359")
PALETTE = (*FEW, *MORE, *MANY)
KEPT, LOST = FEW[0], FEW[3]
TITLE, NAME = 78, 30  # most letters of a title at any theme, and of a name within one
UNCLUSTERED = "unclustered"
_NO_TOPIC = frozenset({UNCLUSTERED, "-1", "-1.0", "", "nan", "none", "<na>"})
# Control characters, spaces but the one that does not break, zero-width and direction marks, lone surrogates: they break lines,
# reverse text or can't be encoded.
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f-\x9f\u1680\u2000-\u200f\u2028-\u202f\u205f-\u2069\u3000\ufeff\ud800-\udfff]+")
_WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


@dataclass(frozen=True)
class Theme:
    """Sizes of a figure, in pixels: the canvas, the running text, the title and a point of a map of 10,000."""

    width: int
    height: int
    text: int
    title: int
    point: float


THEMES = {
    "screen": Theme(1120, 740, 16, 27, 4.6),
    "paper": Theme(900, 595, 13, 21, 3.8),
    "talk": Theme(1280, 720, 19, 32, 5.2),
}


def theme_of(name: str) -> Theme:
    """The theme of that name.

    Raises
    ------
    InputError
        If there is none; names those there are.
    """
    if name not in THEMES:
        raise InputError(f'theme "{name}" is unknown; choose one of {", ".join(THEMES)}')
    return THEMES[name]


# --- colours ---------------------------------------------------------------------------------------------------------


def mix(color: str, other: str, share: float) -> str:
    """`color` with `share` of `other` in it, both as `#RRGGBB`."""
    pairs = zip(_channels(color), _channels(other), strict=True)
    return "#" + "".join(f"{round(255 * (a + (b - a) * share)):02X}" for a, b in pairs)


def contrast(color: str, other: str = PAPER) -> float:
    """The WCAG 2.2 contrast ratio of two colours: 1 for equal ones, 21 for black on white."""
    light, dark = sorted((_luminance(color), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def readable_on_paper(color: str, ratio: float = 4.5) -> str:
    """`color`, darkened just as far as text in it needs on white (WCAG AA: 4.5)."""
    shades = (mix(color, INK, step / 20) for step in range(21))
    return next((shade for shade in shades if contrast(shade) >= ratio), INK)


def ink_on(color: str) -> str:
    """The colour of text on `color` that reads better: our ink, or paper."""
    return INK if contrast(INK, color) >= contrast(PAPER, color) else PAPER


def _channels(color: str) -> tuple[float, float, float]:
    red, green, blue = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return red, green, blue


def _luminance(color: str) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in _channels(color)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def color_of(name: object, order: Sequence[str] | None = None) -> str:
    """The colour of one topic, in whatever figure: by its place in `order`, or by a stable hash of its name where that lacks it.

    Unclustered and its like are grey. The first 21 of an order have a colour each; a hash may give two names the same.
    """
    if is_unclustered(name):
        return GREY
    key = str(name)
    if order is not None and key in order:
        return PALETTE[list(order).index(key) % len(PALETTE)]
    return PALETTE[blake2b(key.encode("utf-8", "replace"), digest_size=1).digest()[0] % len(PALETTE)]


def colors_of(sizes: pd.Series, order: Sequence[str] | None = None) -> dict[str, str]:
    """A colour for each topic of a figure.

    Parameters
    ----------
    sizes : pages of each topic, the names as its index
    order : topic names in the order in which they take colours
        Default: the largest first, so that figures of the same corpus agree and the large topics are told apart best. Give
        it where figures of different subsets should agree as well.
    """
    ranked = by_size(sizes) if order is None else order
    return {str(name): color_of(name, ranked) for name in sizes.index}


def by_size(sizes: pd.Series) -> list[str]:
    """The topics, the largest first (equals by name), without what is unclustered."""
    ranked = sorted((-float(size), str(name)) for name, size in sizes.items() if not is_unclustered(name))
    return [name for _, name in ranked]


def is_unclustered(name: object) -> bool:
    """Whether a name stands for no topic: `unclustered`, cluster -1, or nothing at all."""
    return str(name).strip().lower() in _NO_TOPIC


# --- words -----------------------------------------------------------------------------------------------------------


def escape(text: object, length: int | None = None) -> str:
    """Text from anywhere, made safe to show: one line, at most `length` characters, no markup of any kind.

    A figure renders a subset of HTML, fills in `%{...}`, and shows what stands between two dollar signs as LaTeX where a
    page has MathJax (as JupyterLab does): all three are written as entities.
    """
    line = _UNPRINTABLE.sub(" ", str(text)).strip()
    if length is not None and len(line) > length:
        line = line[: length - 1].rstrip() + "…"
    return html.escape(line, quote=False).replace("$", "&#36;").replace("%{", "&#37;{")


def lines(text: str, width: int, most: int) -> list[str]:
    """`text` broken at spaces into at most `most` lines of about `width` characters, the last one cut. Not escaped.

    A word is broken only where it is much longer than a line, as addresses are.
    """
    found: list[str] = []
    rest = _UNPRINTABLE.sub(" ", text).strip()
    while rest and len(found) < most:
        cut = _break(rest, width)
        found.append(rest[:cut].rstrip())
        rest = rest[cut:].lstrip()
    if rest:
        last, space = found[-1], found[-1].rfind(" ", 0, width)
        kept = last if len(last) < width else last[: space if space > width // 3 else width - 1]
        found[-1] = kept.rstrip(" ,;") + "…"
    return found


def _break(text: str, width: int) -> int:
    """After how many characters the first line ends."""
    if len(text) <= width:
        return len(text)
    space, word = text.rfind(" ", 0, width + 1), text.find(" ", width)
    end = word if word > 0 else len(text)
    if space > width // 3:
        return space
    if end <= 2 * width:
        return end
    return space if space > 0 else width


def short(name: object, length: int = NAME) -> str:
    """A name of at most `length` letters: cut after one of its terms, else after a word, else within the only one. Not escaped."""
    text = _UNPRINTABLE.sub(" ", str(name)).strip()
    if len(text) <= length:
        return text
    cut = next((at for at in (text.rfind(mark, 1, length) for mark in ", ") if at > 0), length - 1)
    return text[:cut].rstrip(" ,;") + "…"


def number(count: float) -> str:
    """A count as prose writes it: a word up to twelve, digits with thousands apart beyond."""
    return _WORDS[int(count)] if count == int(count) and 0 <= count <= 12 else f"{count:,.0f}"


def percent(share: float) -> str:
    """A share as a person says it; never "0 %" of something nor "100 %" of less than all."""
    points = 100 * share
    if 0 < points < 0.1:
        return "under 0.1\u00a0%"
    digits = 1 if 0 < points < 1 or 99 < points < 100 else 0
    return f"{min(points, 99.9) if points < 100 else points:.{digits}f}\u00a0%"


def among(count: float, of: float, noun: str) -> str:
    """`three of twelve topics`, with `none` for a nought."""
    return f"{number(count) if count else 'none'} of {number(of)} {noun}{'' if of == 1 else 's'}"


def plural(count: float, noun: str) -> str:
    """`one page`, `12,000 pages`."""
    return f"{count:,.0f} {noun}{'' if count == 1 else 's'}"


def sentence(text: str) -> str:
    """With a capital at the front, wherever the first letter is one."""
    return text[:1].upper() + text[1:]


def filled(column: pd.Series) -> pd.Series:
    """A column of text with nothing where a value is missing (None, NaN: an empty cell of a CSV is read as that)."""
    return column.astype(object).where(column.notna(), "")


# --- the canvas ------------------------------------------------------------------------------------------------------


def canvas(title: str, subtitle: str, *, theme: str, caption: str = "", height: float = 1.0, right: float = 0.0) -> go.Figure:
    """An empty figure in the house look, its title the finding.

    Parameters
    ----------
    title, subtitle : plain text, escaped here; a title longer than a line is cut
    caption : plain text that says what is shown; `export.html` prints it under the figure and gives it to screen readers
    height : share of the theme's height
    right : room for a legend, in widths of a letter of running text
    """
    title = sentence(title)
    meta = {"title": title, "subtitle": subtitle, "caption": f"{title}. {sentence(caption or subtitle)}.", "height": height, "right": right}
    return dressed(go.Figure(layout={"meta": meta}), theme)


def dressed(figure: go.Figure, theme: str) -> go.Figure:
    """The figure's canvas (template, size, margins, title) in `theme`, from what `canvas` wrote into its meta; in place."""
    look, meta = theme_of(theme), {**figure.layout.meta, "theme": theme}
    top = round(1.8 * look.text + 1.25 * look.title + (1.9 * look.text if meta["subtitle"] else 0))
    return figure.update_layout(
        template=f"hare-{theme}",
        meta=meta,
        width=look.width,
        height=round(top + (look.height - top) * meta["height"]),
        margin={"t": top, "r": round(look.text * (1.5 + 0.5 * meta["right"]))},
        title={"text": f"<b>{escape(meta['title'], TITLE)}</b>", "subtitle": {"text": escape(meta["subtitle"])}},
    )


def nothing(what: str, theme: str) -> go.Figure:
    """A figure for no data: one sentence, so that a notebook goes on and a person sees why."""
    figure = canvas(what, "", theme=theme, caption="There is nothing to draw", height=0.35)
    return figure.update_layout(xaxis={"visible": False}, yaxis={"visible": False})


def need(table: pd.DataFrame, columns: Iterable[str], what: str) -> None:
    """Check that a data frame has the columns a figure needs.

    Raises
    ------
    InputError
        If one is missing; names what lacks and what there is.
    """
    if not isinstance(table, pd.DataFrame):
        raise InputError(f"{what}: expected a pandas DataFrame, not {type(table).__name__}")
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise InputError(f"{what}: column {', '.join(missing)} is missing; the table has {', '.join(map(str, table.columns)) or 'none'}")


def need_numbers(table: pd.DataFrame, columns: Iterable[str], what: str) -> None:
    """Check that columns hold finite numbers.

    Raises
    ------
    InputError
        If one does not; names the column and the first such row.
    """
    for column in columns:
        values = pd.to_numeric(table[column], errors="coerce").astype(float)  # a missing whole number (NA) answers no comparison
        bad = ~values.abs().lt(float("inf"))
        if bad.any():
            raise InputError(
                f"{what}: column {column} holds {table[column][bad].iloc[0]} in row {int(bad.argmax())}; it must hold finite numbers"
            )


def _template(theme: Theme) -> go.layout.Template:
    axis: dict[str, Any] = {
        "gridcolor": RULE, "linecolor": RULE, "zeroline": False, "ticks": "", "automargin": True, "tickfont": {"color": QUIET},
        "tickformat": ",", "title": {"font": {"color": QUIET, "size": theme.text}, "standoff": round(0.8 * theme.text)},
    }  # fmt: skip
    small = round(0.86 * theme.text)
    return go.layout.Template(
        layout={
            "font": {"family": FONT, "size": theme.text, "color": INK},
            "paper_bgcolor": PAPER,
            "plot_bgcolor": PAPER,
            "colorway": FEW,
            "margin": {"l": round(1.5 * theme.text), "b": round(2.2 * theme.text), "pad": round(0.3 * theme.text)},
            "title": {
                "x": 0, "xref": "container", "xanchor": "left", "y": 1, "yref": "container", "yanchor": "top",
                "pad": {"l": round(1.5 * theme.text), "t": round(1.1 * theme.text)},
                "font": {"size": theme.title, "color": INK},
                "subtitle": {"font": {"size": round(1.02 * theme.text), "color": QUIET}},
            },
            "xaxis": axis,
            "yaxis": axis,
            "legend": {"font": {"size": small}, "itemsizing": "constant", "tracegroupgap": 0, "bgcolor": "rgba(255,255,255,0)"},
            "hoverlabel": {"align": "left", "bgcolor": PAPER, "bordercolor": GREY, "font": {"family": FONT, "size": small, "color": INK}},
            "hovermode": "closest",
            "bargap": 0.28,
            "separators": ".,",
            "dragmode": "pan",
        }
    )  # fmt: skip


for _name, _theme in THEMES.items():
    pio.templates[f"hare-{_name}"] = _template(_theme)
