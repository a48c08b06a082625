"""What a corpus has against what was wanted: bars, a treemap, the map with its holes, and the subjects of a benchmark."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from hare_lab.figures import look

ROWS = 24  # topics that still read on a slide
OVER, UNDER, EVEN = look.FEW[0], look.FEW[3], "#D9DEE3"  # too much, too little, about right
OTHER = "other"
SCALE = [[0.0, UNDER], [0.25, look.mix(UNDER, EVEN, 0.6)], [0.5, EVEN], [0.75, look.mix(OVER, EVEN, 0.6)], [1.0, OVER]]


def wanted_and_have(gaps: pd.DataFrame, *, theme: str = "screen") -> go.Figure:
    """For each topic the share it has, with its interval, and a mark at the share wanted; the widest gaps first.

    Parameters
    ----------
    gaps : DataFrame
        The gap ledger: columns topic, name, wanted, have, low, high (shares of the tokens). A topic `other` is said in the
        subtitle, since nobody wanted a share of it.
    theme : screen, paper or talk

    Raises
    ------
    InputError
        If a column is missing or holds no numbers.
    """
    look.theme_of(theme)
    look.need(gaps, ["topic", "name", "wanted", "have", "low", "high"], "wanted and have")
    look.need_numbers(gaps, ["wanted", "have", "low", "high"], "wanted and have")
    topics = gaps[gaps["topic"] != OTHER]
    if topics.empty:
        return look.nothing("No topic to compare", theme)
    topics = topics.assign(gap=topics["wanted"] - topics["have"]).sort_values("gap", ascending=False, kind="stable")
    shown = topics if len(topics) <= ROWS else pd.concat([topics.head(ROWS - 6), topics.tail(6)])
    other = float(gaps.loc[gaps["topic"] == OTHER, "have"].sum())
    left = [f"{len(topics) - len(shown)} topics between are left out"] if len(topics) > len(shown) else []
    subtitle = " · ".join(["bar: share of the tokens, and its 95 % interval; mark: wanted", f"{look.percent(other)} in no topic", *left])
    figure = look.canvas(_gap_words(topics), subtitle, theme=theme, height=min(1.0, 0.2 + 0.034 * len(shown)), right=4)
    rows, names = list(range(len(shown))), [look.escape(name, 30) for name in shown["name"]]
    have, wanted = shown["have"].to_numpy(float), shown["wanted"].to_numpy(float)
    most = 1.15 * float(max(wanted.max(), np.quantile(have, 0.9), 1e-9))  # one giant would flatten everybody else
    beyond = [f" {look.percent(value)} ▸" if value > most else "" for value in have]
    said = [
        f"{name}<br>has {look.percent(h)}, wanted {look.percent(w)}<br>interval {look.percent(a)} to {look.percent(b)}"
        for name, h, w, a, b in zip(names, have, wanted, shown["low"], shown["high"], strict=True)
    ]
    figure.add_bar(
        y=rows, x=np.minimum(have, most), orientation="h", marker_color=np.where(have < wanted, UNDER, OVER).tolist(),
        hovertext=said, hovertemplate="%{hovertext}<extra></extra>", text=beyond, textposition="inside", textfont_color=look.PAPER,
        insidetextanchor="end", textangle=0,
        error_x={"type": "data", "symmetric": False, "array": np.where(have > most, 0, shown["high"] - have).tolist(),
                 "arrayminus": np.where(have > most, 0, have - shown["low"]).tolist(), "color": look.INK, "thickness": 1.2, "width": 0},
    )  # fmt: skip
    size = round(1.1 * look.theme_of(theme).text)
    figure.add_scatter(
        y=rows, x=wanted, mode="markers", hovertext=said, hovertemplate="%{hovertext}<extra></extra>",
        marker={"symbol": "line-ns", "size": size, "line": {"color": look.INK, "width": 3}},
    )  # fmt: skip
    figure.update_layout(showlegend=False, bargap=0.35)
    figure.update_xaxes(title_text="share of the tokens", tickformat=".1~%", range=[0, 1.03 * most])
    return figure.update_yaxes(tickvals=rows, ticktext=names, range=[len(rows) - 0.5, -0.5], showgrid=False, tickfont_color=look.INK)


def coverage_treemap(gaps: pd.DataFrame, *, theme: str = "screen") -> go.Figure:
    """The corpus as tiles: area is the share that a topic has, colour whether that is too little or too much.

    Parameters
    ----------
    gaps : DataFrame
        The gap ledger: columns topic, name, parent, wanted, have. Tiles of one parent lie together.
    theme : screen, paper or talk

    Raises
    ------
    InputError
        If a column is missing or holds no numbers.
    """
    look.theme_of(theme)
    look.need(gaps, ["topic", "name", "parent", "wanted", "have"], "coverage treemap")
    look.need_numbers(gaps, ["wanted", "have"], "coverage treemap")
    held = gaps[gaps["have"] > 0]
    if held.empty:
        return look.nothing("No topic has a page", theme)
    other = held["topic"] == OTHER
    topics = held[~other]
    over = topics[topics["have"] > topics["wanted"]]
    empty = int(((gaps["have"] <= 0) & (gaps["topic"] != OTHER) & (gaps["wanted"] > 0)).sum())
    title = f"{look.number(len(over))} of {look.number(int((gaps['topic'] != OTHER).sum()))} topics have more than was wanted"
    parts = ["area: share of the tokens; colour: as against what was wanted"]
    parts += [f"{look.plural(empty, 'topic')} without a page are not drawn"] if empty else []
    figure = look.canvas(title, " · ".join(parts), theme=theme, right=14)
    tiles = _tiles(topics, held[other])
    figure.add_treemap(
        ids=[t["id"] for t in tiles], parents=[t["parent"] for t in tiles], labels=[t["label"] for t in tiles],
        values=[t["value"] for t in tiles], text=[t["said"] for t in tiles], texttemplate=[t["tile"] for t in tiles], branchvalues="total",
        hovertemplate="%{label}<br>%{text}<extra></extra>", tiling={"pad": 2},
        marker={
            "colors": [t["times"] for t in tiles], "colorscale": SCALE, "cmin": -3, "cmax": 3, "line": {"color": look.PAPER, "width": 2},
            "cornerradius": 4, "showscale": True,
            "colorbar": {"title": {"text": "has, against<br>wanted"}, "tickvals": [-3, -1, 0, 1, 3], "thickness": 14, "len": 0.6,
                         "ticktext": ["an 8th", "half", "just so", "double", "8 times"], "outlinewidth": 0, "y": 1, "yanchor": "top"},
        },
    )  # fmt: skip
    return figure.update_layout(margin={"l": 20, "b": 20})


def _gap_words(topics: pd.DataFrame) -> str:
    """The finding: how many topics have less than half of what was wanted, or what the widest gap is."""
    short = topics[topics["have"] < topics["wanted"] / 2]
    if len(short):
        noun = f"{look.number(len(short))} of {look.number(len(topics))} topics"
        return f"{noun} {'has' if len(short) == 1 else 'have'} less than half of what was wanted"
    if (topics["gap"] <= 0).all():
        return "No topic lacks anything"
    widest = topics.iloc[0]
    return f"The widest gap: “{str(widest['name'])[: look.NAME]}” lacks {look.percent(widest['gap'])} of the tokens"


def _tiles(topics: pd.DataFrame, other: pd.DataFrame) -> list[dict[str, Any]]:
    """Parents first, then topics: id, parent, label, value, what a hover and the tile say, and log2 of have over wanted."""
    tiles: list[dict[str, Any]] = []
    for number, (parent, rows) in enumerate(topics.groupby("parent", sort=False)):
        if parent:
            tiles.append(_tile(f"p{number}", "", str(parent), float(rows["have"].sum()), float(rows["wanted"].sum()), head=True))
        above = f"p{number}" if parent else ""
        tiles += [
            _tile(f"t{number}.{row}", above, str(name), float(have), float(wanted))
            for row, (name, have, wanted) in enumerate(zip(rows["name"], rows["have"], rows["wanted"], strict=True))
        ]
    return tiles + [_tile("other", "", str(name), float(have), None) for name, have in zip(other["name"], other["have"], strict=True)]


def _tile(id: str, parent: str, name: str, have: float, wanted: float | None, *, head: bool = False) -> dict[str, Any]:
    times = 0.0 if wanted is None else float(np.clip(np.log2(have / wanted) if wanted > 0 else 3.0, -3, 3))
    said = f"has {look.percent(have)}, " + ("in no topic" if wanted is None else f"wanted {look.percent(wanted)}")
    lines = "<br>".join(look.escape(line) for line in look.lines(name, 16, 2))
    tile = look.escape(name, 40) if head else f"{lines}<br>{look.percent(have)}" if have >= 0.006 else lines
    return {"id": id, "parent": parent, "label": look.escape(name, 60), "value": have, "said": said, "tile": tile, "times": times}
