"""The map of a corpus with its holes: where the topics would lie of which too little is there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from hare_lab.figures import look, maps
from hare_lab.figures.coverage import OTHER, UNDER

HOLES = 10  # rings that can be told apart


def holes_map(points: pd.DataFrame, holes: pd.DataFrame, *, theme: str = "screen") -> go.Figure:
    """The corpus as a grey map, and a ring where each topic would lie of which too little is there: the larger, the more is missing.

    Parameters
    ----------
    points : DataFrame
        One row a page, as `topic_map` takes it: x, y, title, snippet, source.
    holes : DataFrame
        One row a topic, as `coverage.on_map` makes it: topic, name, x, y, wanted, have. The widest HOLES are drawn.
    theme : screen, paper or talk

    Raises
    ------
    InputError
        If a column is missing or holds no numbers.
    """
    look.theme_of(theme)
    look.need(points, ["x", "y", "title", "snippet", "source"], "map of holes")
    look.need(holes, ["topic", "name", "x", "y", "wanted", "have"], "map of holes")
    if points.empty:
        return look.nothing("No page to map", theme)
    look.need_numbers(points, ["x", "y"], "map of holes")
    look.need_numbers(holes, ["x", "y", "wanted", "have"], "map of holes")
    lacking = holes.assign(gap=holes["wanted"] - holes["have"])
    missing = lacking[(lacking["gap"] > 0) & (lacking["topic"] != OTHER)].sort_values("gap", ascending=False, kind="stable").head(HOLES)
    title = f"The widest hole lies at “{str(missing['name'].iloc[0])[: look.NAME]}”" if len(missing) else "The map has no hole"
    pages = look.plural(len(points), "page")
    subtitle = f"the larger a ring, the more its topic lacks; grey: pages there, on the part of a map of {pages} with the holes"
    caption = f"{subtitle}. Near pages are alike; the axes have no unit"
    figure = look.canvas(title, subtitle, theme=theme, caption=caption, right=maps.LEGEND)
    figure.add_trace(maps._trace(points, look.mix(look.GREY, look.INK, 0.1), "a page", "", rank=3, opacity=0.5))
    widest = float(missing["gap"].max()) if len(missing) else 1.0
    said = [
        f"<b>{look.escape(name, 60)}</b><br>has {look.percent(have)}, wanted {look.percent(wanted)}"
        for name, have, wanted in zip(missing["name"], missing["have"], missing["wanted"], strict=True)
    ]
    sizes = (look.theme_of(theme).text * 1.3 * np.sqrt(missing["gap"] / widest)).tolist()
    figure.add_scattergl(
        x=missing["x"], y=missing["y"], mode="markers", hovertext=said, hovertemplate="%{hovertext}<extra></extra>", legendgroup=maps.MARKS,
        name="a topic that lacks text",
        marker={"symbol": "circle-open", "size": sizes, "color": UNDER, "line": {"width": 2.5}},
    )  # fmt: skip
    names = [_mark(*row) for row in zip(missing["name"], missing["x"], missing["y"], sizes, strict=True)]
    low, high = _around_holes(points, missing)
    inside = points["x"].between(low[0], high[0]) & points["y"].between(low[1], high[1])
    hidden: dict[str, Any] = {"visible": False, "constrain": "domain"}
    figure.update_layout(xaxis=hidden, yaxis={**hidden, "scaleanchor": "x"}, margin={"l": 12, "b": 12}, showlegend=False)
    figure.layout.meta.update(labels=names, frame=(low, high), points=max(1, int(inside.sum())))
    rows = [
        f"{look.escape(look.short(name, 16))}: {look.percent(have)} of {look.percent(wanted)}"
        for name, have, wanted in zip(missing["name"], missing["have"], missing["wanted"], strict=True)
    ]
    small = round(0.86 * look.theme_of(theme).text)
    told = {"text": "<br>".join(["<b>tokens: has, of wanted</b>", *rows, ""]), "font": {"size": small}}
    figure.update_layout(legend={"title": told}, showlegend=bool(rows))  # a note would not outlast `fit`, which places the names anew
    return maps.fit(figure)


def _around_holes(points: pd.DataFrame, holes: pd.DataFrame) -> tuple[list[float], list[float]]:
    """Lower and upper corner of the part of the map that has the holes and some land around them; the whole map where there is none.

    It never reaches beyond the map, where there is nothing to see.
    """
    low, high, _ = maps._frame(points, [])
    if holes.empty:
        return low, high
    whole = np.array(high) - np.array(low)
    first, last = holes[["x", "y"]].min().to_numpy(float), holes[["x", "y"]].max().to_numpy(float)
    room = np.maximum(0.3 * (last - first), 0.03 * whole)
    return np.maximum(first - room, np.minimum(low, first)).tolist(), np.minimum(last + room, np.maximum(high, last)).tolist()


def _mark(name: str, x: float, y: float, ring: float) -> dict[str, Any]:
    """A name for the map of holes to write, as `maps.fit` places them: beside its ring, which is so many pixels wide."""
    parts = look.lines(str(name), 18, 2) or [""]
    return {"lines": [look.escape(part) for part in parts], "width": max(map(len, parts)), "pages": 0, "x": float(x), "y": float(y),
            "mark": round(0.5 * ring + 2, 1), "color": look.readable_on_paper(UNDER, 7)}  # fmt: skip
