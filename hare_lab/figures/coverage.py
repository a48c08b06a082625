"""What a corpus has against what was wanted: bars, a treemap, the subjects of a benchmark, and how much has a page near it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from hare_lab.figures import look, treemap

ROWS = 24  # topics that still read on a slide
OVER, UNDER, EVEN = look.FEW[0], look.FEW[3], "#D9DEE3"  # too much, too little, about right
OTHER = "other"
SMALL = 0.012  # of a treemap's area, below which a tile has room for one line
FEW_PAGES = 10  # of a subject: hardly there
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
    most = most if have.max() > 2 * most else max(most, float(have.max()), min(float(shown["high"].max()), 2 * most))
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
    gaps = gaps.assign(parent=look.filled(gaps["parent"]))
    topics = gaps[gaps["topic"] != OTHER]
    held = topics[topics["have"] > 0]
    if held.empty:
        return look.nothing("No topic has a page", theme)
    asked = topics[topics["wanted"] > 0]
    over, empty = int((topics["have"] > topics["wanted"]).sum()), int((asked["have"] <= 0).sum())
    other = float(gaps.loc[gaps["topic"] == OTHER, "have"].sum())
    parts = ["area: share of the tokens", f"colour: has, against wanted ({over} have more)"]
    parts += [f"not drawn: {look.percent(other)} in no topic" + (f", {look.plural(empty, 'topic')} with no page" if empty else "")]
    title, named = _scarcest(asked)
    parts += [f"framed: {look.short(named, 22)}"] if named else []
    figure = look.canvas(title, " · ".join(parts), theme=theme, right=12)
    tiles = _tiles(held)
    framed = [bool(named) and t["id"].startswith("t") and t["name"] == look.escape(named, 60) for t in tiles]
    figure.add_treemap(
        ids=[t["id"] for t in tiles], parents=[t["parent"] for t in tiles], labels=[t["label"] for t in tiles],
        values=[t["value"] for t in tiles], text=[t["said"] for t in tiles], texttemplate=[t["tile"] for t in tiles], branchvalues="total",
        customdata=[t["name"] for t in tiles], hovertemplate="%{customdata}<br>%{text}<extra></extra>", tiling={"pad": 2},
        textfont_color=[look.ink_on(_shade(t["times"])) for t in tiles],
        marker={
            "colors": [t["times"] for t in tiles], "colorscale": SCALE, "cmin": -2.2, "cmax": 2.2,
            "line": {"color": [look.INK if f else look.PAPER for f in framed], "width": [4 if f else 2 for f in framed]},
            "cornerradius": 4, "showscale": True,
            "colorbar": {"tickvals": [-2, -1, 0, 1, 2], "thickness": 14, "len": 0.6,
                         "ticktext": ["a quarter", "half", "just so", "double", "4 times"], "outlinewidth": 0, "y": 1, "yanchor": "top"},
        },
    )  # fmt: skip
    return figure.update_layout(margin={"l": 20, "b": 20}, uniformtext={"minsize": 11, "mode": "hide"})


def _scarcest(asked: pd.DataFrame) -> tuple[str, str]:
    """Of which topic there is least, against what was wanted, as a title; and its name, for its tile may be too small to hold it."""
    times = asked["have"] / asked["wanted"]
    if times.empty or times.min() >= 1:
        return "Every topic has what was wanted", ""
    if (empty := int((times <= 0).sum())) > 0:
        return f"{look.among(empty, len(asked), 'topic')} {'has' if empty < 2 else 'have'} no page", ""
    name = str(asked["name"].iloc[int(times.to_numpy().argmin())])
    said = (
        f"“{name[: look.NAME]}” has {look.percent(float(times.min()))} of what was wanted, the least of {look.plural(len(asked), 'topic')}"
    )
    return said, name


def subject_coverage(gaps: pd.DataFrame, *, theme: str = "screen") -> go.Figure:
    """The subjects of a benchmark, group by group: how many pages of the corpus are about each.

    Parameters
    ----------
    gaps : DataFrame
        The gap ledger against the benchmark's subjects: topic, name, parent, pages.
    theme : screen, paper or talk

    Raises
    ------
    InputError
        If a column is missing or holds no numbers.
    """
    look.theme_of(theme)
    look.need(gaps, ["topic", "name", "parent", "pages"], "subject coverage")
    subjects = gaps[gaps["topic"] != OTHER]
    if subjects.empty:
        return look.nothing("No subject to show", theme)
    look.need_numbers(subjects, ["pages"], "subject coverage")
    subjects = subjects.assign(group=[str(parent) or "subjects" for parent in look.filled(subjects["parent"])])
    total, few = float(gaps["pages"].sum()), subjects["pages"] < FEW_PAGES
    verb = "has" if few.sum() < 2 else "have"
    title = f"{look.among(int(few.sum()), len(subjects), 'subject')} {verb} fewer than {look.number(FEW_PAGES)} pages"
    subtitle = f"a dot is a subject; {look.percent(float(subjects['pages'].sum()) / max(total, 1))} of the pages are about one of them"
    figure = look.canvas(title, subtitle, theme=theme, height=0.85, right=2)
    groups = list(dict.fromkeys(subjects["group"]))
    subjects = subjects.sort_values("pages", kind="stable")
    by_group = subjects.groupby("group", sort=False)["pages"]
    place, size = by_group.cumcount().to_numpy(float), by_group.transform("size").to_numpy(float)
    row = subjects["group"].map(groups.index).to_numpy(float)
    y = row + 0.6 * (place / np.maximum(size - 1, 1) - 0.5) * (size > 1)  # in order, so that dots of like height stay apart
    x = np.maximum(subjects["pages"].to_numpy(float), 0.5)  # none can't be drawn on a logarithmic axis: it stands left of one
    alike = subjects.groupby(["group", "pages"])["name"].transform("size").to_numpy(int)
    first, last = place == 0, (place == size - 1) & (size > 1)
    names = [look.escape(name, 34) for name in subjects["name"]]
    texts = [
        f"{name}{f' and {many - 1} more' if many > 1 else ''}" if low else name if high else ""
        for name, many, low, high in zip(names, alike, first, last, strict=True)
    ]
    said = [f"{name}: {look.plural(pages, 'page')}" for name, pages in zip(names, subjects["pages"], strict=True)]
    figure.add_scatter(
        x=x, y=y, mode="markers+text", hovertext=said, hovertemplate="%{hovertext}<extra></extra>", showlegend=False, cliponaxis=False,
        text=texts, textposition=np.where(first, "top center", np.where(last, "bottom center", "middle right")).tolist(),
        textfont={"size": round(0.82 * look.theme_of(theme).text), "color": look.QUIET},
        marker={"size": 12, "color": np.where(subjects["pages"] < FEW_PAGES, UNDER, OVER).tolist(), "line": {"color": look.PAPER}},
    )  # fmt: skip
    most = max(10.0, float(x.max()))
    ticks = [0.5, *(v for v in (1, 3, 10, 30, 100, 300, 1000, 3000, 10_000) if v <= most)]
    figure.update_xaxes(
        type="log", title_text="pages about it", range=[np.log10(0.3), np.log10(1.8 * most)], tickvals=ticks,
        ticktext=["none", *(f"{v:,.0f}" for v in ticks[1:])],
    )  # fmt: skip
    wrapped = ["<br>".join(look.escape(line) for line in look.lines(group, 18, 3)) for group in groups]
    return figure.update_yaxes(
        tickvals=list(range(len(groups))), ticktext=wrapped, range=[len(groups) - 0.45, -0.55], showgrid=False, tickfont_color=look.INK
    )


def coverage_curve(curve: pd.DataFrame, *, radius: float | None = None, theme: str = "screen") -> go.Figure:
    """How much of what the reference says some page is near to, for every idea of how near is near.

    Parameters
    ----------
    curve : DataFrame with the columns radius (a cosine similarity), covered, low, high (0 to 1)
    radius : the one to read off
    theme : screen, paper or talk

    Raises
    ------
    InputError
        If a column is missing or holds no numbers.
    """
    look.theme_of(theme)
    columns = ["radius", "covered", "low", "high"]
    look.need(curve, columns, "coverage curve")
    if curve.empty:
        return look.nothing("No coverage to show", theme)
    look.need_numbers(curve, columns, "coverage curve")
    at = float(np.interp(radius, curve["radius"], curve["covered"])) if radius is not None else None
    half = float(np.interp(-0.5, -curve["covered"], curve["radius"]))
    title = (
        f"Half of what is asked for has a page nearer than {half:.2f}"
        if at is None
        else f"{look.percent(at)} of what is asked for has a page nearer than {radius:.2f}"
    )
    figure = look.canvas(
        title,
        "share of the phrases of the reference with a page at that similarity or nearer, and its 95 % interval",
        theme=theme,
        height=0.75,
        right=3,
    )
    x = curve["radius"]
    figure.add_scatter(
        x=[*x, *x[::-1]], y=[*curve["high"], *curve["low"][::-1]], fill="toself", fillcolor=OVER, opacity=0.18, line_width=0, mode="lines",
        hoverinfo="skip", showlegend=False,
    )  # fmt: skip
    figure.add_scatter(
        x=x, y=curve["covered"], mode="lines", line={"color": OVER, "width": 3}, showlegend=False,
        hovertemplate="similarity %{x:.2f}: %{y:.0%} covered<extra></extra>",
    )  # fmt: skip
    if at is not None:
        figure.add_scatter(x=[radius], y=[at], mode="markers", marker={"size": 14, "color": UNDER}, hoverinfo="skip", showlegend=False)
        figure.add_vline(x=radius, line={"color": look.INK, "width": 1.5, "dash": "dot"})
    figure.update_xaxes(title_text="how near is near: cosine similarity of phrase and page (1 is the same)")
    return figure.update_yaxes(title_text="covered", tickformat=".0%", range=[0, 1.05])


def _gap_words(topics: pd.DataFrame) -> str:
    """The finding: how many topics have less than half of what was wanted, or what the widest gap is."""
    short = topics[topics["have"] < topics["wanted"] / 2]
    if len(short):
        return f"{look.among(len(short), len(topics), 'topic')} {'has' if len(short) == 1 else 'have'} less than half of what was wanted"
    if (topics["gap"] <= 0).all():
        return "No topic lacks anything"
    widest = topics.iloc[0]
    return f"The widest gap: “{str(widest['name'])[: look.NAME]}” lacks {look.percent(widest['gap'])} of the tokens"


def _tiles(topics: pd.DataFrame) -> list[dict[str, Any]]:
    """The whole, the parents, then the topics: id, parent, label, value, what a hover and the tile say, and log2 of have over wanted."""
    have, wanted = float(topics["have"].sum()), float(topics["wanted"].sum())
    tiles: list[dict[str, Any]] = [_tile("all", "", "all topics", have, wanted, have, head=True)]
    whole = have
    for number, (parent, rows) in enumerate(topics.groupby("parent", sort=False)):
        above = f"p{number}" if parent else "all"
        if parent:
            tiles.append(_tile(above, "all", str(parent), float(rows["have"].sum()), float(rows["wanted"].sum()), whole, head=True))
        tiles += [
            _tile(f"t{number}.{row}", above, str(name), float(have), float(wanted), whole)
            for row, (name, have, wanted) in enumerate(zip(rows["name"], rows["have"], rows["wanted"], strict=True))
        ]
    return tiles


def _shade(times: float) -> str:
    """The colour that SCALE gives log2 of have over wanted."""
    at = (times + 2.2) / 4.4 * (len(SCALE) - 1)
    below = min(int(at), len(SCALE) - 2)
    return look.mix(str(SCALE[below][1]), str(SCALE[below + 1][1]), at - below)


def _tile(id: str, parent: str, name: str, have: float, wanted: float, whole: float, *, head: bool = False) -> dict[str, Any]:
    times = float(np.clip(np.log2(have / wanted), -2, 2)) if wanted > 0 else 2.0
    share = have / whole if whole > 0 else 0.0
    lines = [look.escape(line) for line in treemap.fitted(name, share, 11, 3)]
    lines += [look.percent(have)] if share >= SMALL else []  # what is hardly there is named, if nothing else: plotly drops what sticks out
    room = treemap.letters(share) if head else 60  # for what stands above the tiles of a parent
    label = look.escape(look.short(name, room))
    said = f"has {look.percent(have)}, wanted {look.percent(wanted)}"
    tile = label if head else "<br>".join(lines)
    return {
        "id": id, "parent": parent, "name": look.escape(name, 60), "label": label, "value": have, "said": said, "tile": tile,
        "times": times,
    }  # fmt: skip
