"""Which topics a corpus has, how large they are, how they nest, and how diverse that makes it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from hare_lab.errors import InputError
from hare_lab.figures import look, treemap
from hare_lab.figures.maps import REST, concentration

ROWS = 18  # bars that still read on a slide


def topic_sizes(table: pd.DataFrame, *, theme: str = "screen", order: Sequence[str] | None = None, of: str = "all pages") -> go.Figure:
    """How many pages each topic holds, largest first, under one strip that is the whole corpus.

    Parameters
    ----------
    table : DataFrame
        One row a topic: its name in `name` (or `topic`, or `cluster`), size (pages) and share (of all pages, 0 to 1). What
        the shares lack to 1 is shown as unclustered, unless a row says so itself.
    theme : screen, paper or talk
    order : topic names in the order in which they take colours; see `look.colors_of`
    of : what the shares are shares of

    Raises
    ------
    InputError
        If a column is missing or holds no numbers.
    """
    look.theme_of(theme)
    look.need(table, ["size", "share"], "topic sizes")
    named = next((column for column in ("name", "topic", "cluster") if column in table.columns), None)
    if named is None:
        raise InputError(f"topic sizes: column name, topic or cluster is missing; the table has {', '.join(map(str, table.columns))}")
    if table.empty:
        return look.nothing("No topic to show", theme)
    look.need_numbers(table, ["size", "share"], "topic sizes")
    loose = table[named].map(look.is_unclustered) | (table["cluster"].map(look.is_unclustered) if "cluster" in table.columns else False)
    topics = table[~loose].sort_values("size", ascending=False, kind="stable")
    bars = topics.head(ROWS if len(topics) > ROWS + 1 else ROWS + 1)
    unclustered = float(table.loc[loose, "share"].sum()) if loose.any() else max(0.0, 1 - float(table["share"].sum()))
    strip = _strip(topics, len(bars), unclustered, named, order)
    title = concentration(topics["share"].to_numpy(float), of=of)
    subtitle = " · ".join([look.plural(len(topics), "topic"), *(f"{look.percent(s)} {n}" for n, s, _ in strip[len(bars) :])])
    caption = f"Strip: {of}; bars: pages of each topic; {subtitle}"
    figure = look.canvas(title, subtitle, theme=theme, caption=caption, height=_height(len(bars) + 2), right=12)
    for name, share, color in strip:
        figure.add_bar(
            y=[""], x=[share], xaxis="x2", yaxis="y2", orientation="h", marker={"color": color, "line": {"color": look.PAPER, "width": 1}},
            hovertext=[f"{look.escape(name, 60)}: {look.percent(share)}"], hovertemplate="%{hovertext}<extra></extra>",
        )  # fmt: skip
    rows, names = list(range(len(bars))), [look.escape(name, 40) for name in bars[named]]
    figure.add_bar(
        y=rows, x=bars["size"], orientation="h", marker_color=[color for _, _, color in strip[: len(bars)]], hovertext=names,
        text=[f"{size:,.0f} · {look.percent(share)}" for size, share in zip(bars["size"], bars["share"], strict=True)],
        textposition="outside", cliponaxis=False, textfont_color=look.QUIET, hovertemplate="%{hovertext}<br>%{x:,.0f} pages<extra></extra>",
    )  # fmt: skip
    top = 1 - 1.1 / (len(bars) + 2)
    figure.update_layout(
        showlegend=False,
        barmode="stack",
        xaxis={"title_text": "pages", "rangemode": "tozero"},
        yaxis={"tickvals": rows, "ticktext": names, "range": [len(bars) - 0.5, -0.5], "showgrid": False, "tickfont_color": look.INK},
        xaxis2={"range": [0, 1], "visible": False, "anchor": "y2", "fixedrange": True},
        yaxis2={"domain": [top, 1], "visible": False, "fixedrange": True},
    )
    figure.layout.yaxis.domain = [0, top - 0.5 / (len(bars) + 2)]
    return figure


def topic_hierarchy(
    table: pd.DataFrame, *, layers: Sequence[str] = ("parent_name", "name"), theme: str = "screen", order: Sequence[str] | None = None
) -> go.Figure:
    """Topics within broader topics, each as large as its pages; a click goes in, a click on the bar above comes back.

    Parameters
    ----------
    table : DataFrame
        One row a topic of the finest layer, with the columns of `layers` and size (pages). An empty broader name hangs
        the topic at the top.
    layers : columns of names, the broadest first; two or more
    theme : screen, paper or talk
    order : topic names in the order in which they take colours; see `look.colors_of`

    Raises
    ------
    InputError
        If a column is missing or sizes are no numbers.
    """
    look.theme_of(theme)
    look.need(table, [*layers, "size"], "topic hierarchy")
    look.need_numbers(table, ["size"], "topic hierarchy")
    table = table[(table["size"] > 0) & ~table[layers[-1]].map(look.is_unclustered)]
    if table.empty:
        return look.nothing("No topic to show", theme)
    paths = [_path(row) for row in table[list(layers)].itertuples(index=False)]
    sizes: dict[tuple[str, ...], float] = {}
    for path, size in zip(paths, table["size"], strict=True):
        for depth in range(len(path) + 1):
            sizes[path[:depth]] = sizes.get(path[:depth], 0.0) + float(size)
    names = {path: look.escape(path[-1], 60) if path else "all clustered pages" for path in sizes}
    leaves = set(paths)
    heads = {path for path in sizes if path and path not in leaves}
    colors = look.colors_of(pd.Series({path[-1]: sizes[path] for path in paths}), order)
    broad = {path: look.mix(look.GREY, look.PAPER, 0.75 if not path else 0.4) for path in sizes}
    fills = {**broad, **{path: colors[path[-1]] for path in paths}}
    title, subtitle = _hierarchy_words(sizes, len(table))
    figure = look.canvas(title, subtitle, theme=theme)
    figure.add_treemap(
        ids=[_id(path) for path in sizes],
        parents=[_id(path[:-1]) if path else "" for path in sizes],
        labels=[_head(path, size / sizes[()]) if path in heads else names[path] for path, size in sizes.items()],
        customdata=list(names.values()),
        values=list(sizes.values()),
        branchvalues="total",
        marker={"colors": [fills[path] for path in sizes], "line": {"color": look.PAPER, "width": 2}, "cornerradius": 4},
        tiling={"pad": 2},
        textfont_color=[look.ink_on(fills[path]) for path in sizes],
        text=[look.percent(size / sizes[()]) for size in sizes.values()],
        texttemplate=[_tile(path, size / sizes[()]) for path, size in sizes.items()],
        hovertemplate="%{customdata}<br>%{value:,.0f} pages (%{text})<extra></extra>",
    )
    return figure.update_layout(margin={"l": 20, "b": 20}, uniformtext={"minsize": 11, "mode": "hide"})


def diversity_profile(profile: pd.DataFrame, *, theme: str = "screen") -> go.Figure:
    """The effective number of topics against how little rare ones count: a high flat curve is diverse, a steep one is skewed.

    Parameters
    ----------
    profile : DataFrame
        Columns order (of the Hill number), effective_number, low and high (its interval), and `set` where several corpora
        are compared.
    theme : screen, paper or talk

    Raises
    ------
    InputError
        If a column is missing or holds no numbers.

    References
    ----------
    Hill (1973), "Diversity and evenness", Ecology 54(2); Leinster & Cobbold (2012), Ecology 93(3), on reading such profiles.
    """
    look.theme_of(theme)
    columns = ["order", "effective_number", "low", "high"]
    look.need(profile, columns, "diversity profile")
    if profile.empty:
        return look.nothing("No topic, so no diversity", theme)
    look.need_numbers(profile, columns, "diversity profile")
    if not (profile["effective_number"] > 0).any():
        return look.nothing("No topic, so no diversity", theme)
    sets = profile["set"].astype(str) if "set" in profile.columns else pd.Series("", index=profile.index)
    curves = {name: profile[sets == name].sort_values("order") for name in dict.fromkeys(sets)}
    several = len(curves) > 1
    title, subtitle = _profile_words(curves), "effective number of topics, and its 95 % interval"
    figure = look.canvas(title, subtitle, theme=theme, height=0.85, right=18 if several else 3)
    for color, (name, curve) in zip(np.resize(look.PALETTE, len(curves)).tolist(), curves.items(), strict=True):
        figure.add_traces(_curve(curve, color, values=not several))
        if several:
            figure.add_annotation(
                x=float(curve["order"].iloc[-1]), y=float(curve["effective_number"].iloc[-1]), text=f" {look.escape(name, 22)}",
                showarrow=False, xanchor="left", font_color=look.readable_on_paper(color),
            )  # fmt: skip
    figure.update_xaxes(title_text="order: 0 counts every topic, 1 weighs it by its share, 2 hears the common ones most")
    return figure.update_yaxes(title_text="equally common topics", range=[0, 1.12 * float(profile["high"].max())])


def _height(rows: int) -> float:
    """Share of the theme's height, so that three bars are not three slabs."""
    return min(1.0, 0.16 + 0.046 * rows)


def _strip(topics: pd.DataFrame, shown: int, unclustered: float, named: str, order: Sequence[str] | None) -> list[tuple[str, float, str]]:
    """The whole corpus in one line: name, share and colour of each shown topic, then of the smaller ones and the unclustered."""
    colors = look.colors_of(topics.set_index(named)["size"], order)
    parts = [(str(n), float(s), colors[str(n)]) for n, s in zip(topics[named], topics["share"], strict=True)]
    rest = [(f"in {len(parts) - shown:,} smaller topics", sum(share for _, share, _ in parts[shown:]), REST)] if len(parts) > shown else []
    return [*parts[:shown], *rest, *([(look.UNCLUSTERED, unclustered, look.GREY)] if unclustered > 0.0005 else [])]


def _path(row: Sequence[object]) -> tuple[str, ...]:
    """From the broadest name to the topic's own; empty broader names are left out."""
    *broader, name = row
    return (*(str(b) for b in broader if not look.is_unclustered(b)), str(name))


def _id(path: tuple[str, ...]) -> str:
    """A tile's id: the length keeps a topic and a broader one of the same name apart."""
    return f"{len(path)}:" + "/".join(look.escape(name) for name in path)


def _head(path: tuple[str, ...], share: float) -> str:
    """What stands above the tiles of a broad topic: its name on one line, as far as there is room."""
    return look.escape(look.short(path[-1], treemap.letters(share)))


def _tile(path: tuple[str, ...], share: float) -> str:
    """What a tile says: its name on short lines and its share, nothing where it would be too small to read."""
    if not path:
        return "%{label}"
    if share < 0.01:
        return " "
    return "<br>".join([*(look.escape(line) for line in treemap.fitted(path[-1], share, 14, 3)), "%{text}"])


def _hierarchy_words(sizes: dict[tuple[str, ...], float], topics: int) -> tuple[str, str]:
    broad = {path[0]: size for path, size in sizes.items() if len(path) == 1}
    largest = max(broad, key=lambda name: broad[name])
    subtitle = f"{look.plural(topics, 'topic')} in {look.plural(len(broad), 'broad topic')}; area: pages; click a tile to go in"
    if len(broad) == 1:
        return f"All clustered pages belong to one broad topic, “{look.short(largest, 20)}”", subtitle
    held = look.percent(broad[largest] / sizes[()])
    return f"“{look.short(largest)}” is the largest: {held} of the clustered pages", subtitle


def _curve(curve: pd.DataFrame, color: str, *, values: bool) -> list[go.Scatter]:
    """Band, line and the three orders that have a name; `values` writes their numbers."""
    x, y = curve["order"], curve["effective_number"]
    band = go.Scatter(
        x=[*x, *x[::-1]], y=[*curve["high"], *curve["low"][::-1]], fill="toself", fillcolor=color, opacity=0.18, line_width=0,
        mode="lines", hoverinfo="skip", showlegend=False,
    )  # fmt: skip
    line = go.Scatter(
        x=x, y=y, mode="lines", line={"color": color, "width": 3}, showlegend=False,
        hovertemplate="order %{x:.2f}: as diverse as %{y:.3g} equal topics<extra></extra>",
    )  # fmt: skip
    whole = curve["order"].isin([0, 1, 2])
    points = go.Scatter(
        x=x[whole], y=y[whole], mode="markers+text" if values else "markers", text=[f"<b>{value:,.3g}</b>" for value in y[whole]],
        textposition="top right", textfont_color=look.readable_on_paper(color), hoverinfo="skip", showlegend=False, cliponaxis=False,
        marker={"color": color, "size": 11, "line": {"color": look.PAPER, "width": 2}},
    )  # fmt: skip
    return [band, line, points]


def _profile_words(curves: dict[str, pd.DataFrame]) -> str:
    def at(curve: pd.DataFrame, order: float) -> float:
        return float(np.interp(order, curve["order"], curve["effective_number"]))

    if len(curves) == 1:
        curve = next(iter(curves.values()))
        return f"{look.plural(round(at(curve, 0)), 'topic')}, and the diversity of {look.number(round(at(curve, 1)))}"
    grid = np.linspace(0, min(float(curve["order"].max()) for curve in curves.values()), 25)
    heights = {name: np.array([at(curve, order) for order in grid]) for name, curve in curves.items()}
    best = max(heights, key=lambda name: float(heights[name].mean()))
    if all((heights[best] >= other - 1e-9).all() for other in heights.values()):
        return f"“{best[: look.NAME]}” is the most diverse, however rare topics count"
    return "Which is more diverse depends on how much rare topics count"
