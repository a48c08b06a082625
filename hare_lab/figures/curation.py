"""What did choosing do? The composition and the map before and after, and how every method trades quality for diversity."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from hare_lab.figures import look

ROWS = 18  # topics that still read on a slide
CLOSE = 0.02  # a composition within two points of the priors
OURS = "priors"
OTHER = "other"  # what pages of no topic are called
_BEFORE = look.mix(look.GREY, look.INK, 0.25)


def composition(table: pd.DataFrame, *, theme: str = "screen") -> go.Figure:
    """What share of the tokens each topic had, has, and was meant to have.

    Parameters
    ----------
    table : DataFrame
        One row a topic: `name` (or `topic`), `before`, `after` and `wanted`, shares from 0 to 1. The topics whose share changes most are
        drawn. The row of pages in no topic, OTHER, is drawn but not counted.
    theme : screen, paper or talk

    Raises
    ------
    InputError
        If a column is missing or holds no numbers.
    """
    look.theme_of(theme)
    look.need(table, ["before", "after", "wanted"], "composition")
    named = "name" if "name" in table.columns else "topic"
    look.need(table, [named], "composition")
    if table.empty:
        return look.nothing("No topic to compare", theme)
    look.need_numbers(table, ["before", "after", "wanted"], "composition")
    change = (table["after"] - table["before"]).abs()
    shown = table.iloc[np.argsort(-change.to_numpy(float), kind="stable")[:ROWS]]  # by place: an index may repeat itself
    shown = shown.iloc[np.argsort(-shown["before"].to_numpy(), kind="stable")]
    topics = table[table[named] != OTHER]
    close = int(((topics["after"] - topics["wanted"]).abs() <= CLOSE).sum())
    told = f"; the {len(shown)} rows that change most" if len(shown) < len(table) else ""
    told += f"; “{OTHER}”: pages of no topic" if (shown[named] == OTHER).any() else ""
    subtitle = f"{close} of {look.plural(len(topics), 'topic')} within 2 points of the priors{told}"
    caption = f"Share of the tokens of each topic before and after the choice, and what the priors ask for; {subtitle}"
    figure = look.canvas(
        _change(topics if len(topics) else table, named),
        subtitle,
        theme=theme,
        caption=caption,
        height=min(1.0, 0.24 + 0.044 * len(shown)),
        right=11,
    )
    rows, names = list(range(len(shown))), [look.escape(name, 34) for name in shown[named]]
    values = shown[["before", "after", "wanted"]].to_numpy(float)
    edge = _edge(values) or 1.0
    ends = np.column_stack([np.minimum(values[:, :2], edge), np.full(len(shown), np.nan)]).ravel()
    figure.add_scatter(
        x=ends, y=np.repeat(rows, 3), mode="lines", line={"color": look.GREY, "width": 3}, hoverinfo="skip", showlegend=False
    )
    wanted = {"symbol": "line-ns", "size": 20, "line": {"width": 2.5, "color": look.INK}}
    dots = {column: {"color": color, "size": 13} for column, color in (("before", _BEFORE), ("after", look.KEPT))}
    for column, label, marker in (("wanted", "asked for", wanted), *((column, column, dot) for column, dot in dots.items())):
        share = shown[column].to_numpy(float)
        open_arrow = {"symbol": "triangle-right-open", "size": 16, "color": marker.get("color", look.INK), "line": {"width": 2.5}}
        for beyond, drawn in ((False, marker), (True, open_arrow)):  # beyond the axis a share is no dot, which would look like one there
            which = (share > edge) == beyond
            if not which.any():
                continue
            figure.add_scatter(
                x=np.minimum(share, edge)[which], y=np.array(rows)[which], mode="markers+text", marker=drawn, name=label, cliponaxis=False,
                showlegend=not beyond, hovertext=np.array(names)[which], customdata=share[which], textfont_color=look.QUIET,
                text=[look.percent(value) if beyond else "" for value in share[which]], textposition="top left",
                hovertemplate=f"%{{hovertext}}<br>{label}: %{{customdata:.1%}}<extra></extra>",
            )  # fmt: skip
    figure.update_layout(legend={"y": 1, "yanchor": "top"})
    reach = [-0.025 * edge, 1.025 * edge]  # so that a dot at nought stays off its name
    figure.update_xaxes(title_text="share of the tokens", tickformat=".0%", range=reach)
    return figure.update_yaxes(tickvals=rows, ticktext=names, range=[len(rows) - 0.5, -0.5], showgrid=False, tickfont_color=look.INK)


def before_after_map(points: pd.DataFrame, *, theme: str = "screen", color: str = "topic", order: Sequence[str] | None = None) -> go.Figure:
    """All pages and the chosen ones on one layout, side by side: is anything left out, and is anything still crowded?

    Parameters
    ----------
    points : DataFrame
        One row a page, with columns x, y (any unit), `kept` (bool) and the one to colour by.
    color : column of names; a topic has the same colour in both halves
    order : topic names in the order in which they take colours; see `look.colors_of`

    Raises
    ------
    InputError
        If a column is missing, or a position is not a finite number.
    """
    look.theme_of(theme)
    look.need(points, ["x", "y", "kept", color], "map before and after")
    if points.empty:
        return look.nothing("No page to map", theme)
    look.need_numbers(points, ["x", "y"], "map before and after")
    kept = points["kept"].to_numpy(bool)
    names = points[color].astype(str)
    colors = look.colors_of(names.value_counts(), order)
    colors |= {name: look.GREY for name in colors if name == OTHER}
    chosen, whole = (part[part != OTHER].nunique() for part in (names[kept], names))
    title = f"{look.percent(float(kept.mean()))} of the pages, from {chosen:,} of {look.plural(whole, 'topic')}, are chosen"
    subtitle = "near pages are alike, the axes have no unit; right in pale grey: what was left out"
    caption = f"Left: every page; right: the chosen ones on the same map; colour: {color}"
    figure = look.canvas(title, subtitle, theme=theme, caption=caption)
    size = look.theme_of(theme).point * float(np.clip((10_000 / len(points)) ** 0.3, 0.5, 1.6))
    panels = (("before", 1, np.ones(len(points), bool), True), ("left out", 2, ~kept, False), ("after", 2, kept, True))
    for label, at, which, colored in panels:
        part = points[which]
        figure.add_scattergl(
            x=part["x"].to_numpy("float32"), y=part["y"].to_numpy("float32"), mode="markers", xaxis=f"x{at}", yaxis=f"y{at}",
            showlegend=False,
            marker={"color": names[which].map(colors).tolist() if colored else look.RULE, "size": size, "opacity": 0.8}, name=label,
            text=[look.escape(name, 60) for name in names[which]], hovertemplate="%{text}<extra></extra>",
        )  # fmt: skip
    for label, left, count in (("before", 0.0, len(points)), ("after", 0.51, int(kept.sum()))):
        figure.add_annotation(
            x=left, y=1, xref="paper", yref="paper", xanchor="left", yanchor="top", showarrow=False,
            text=f"<b>{label}</b>: {look.plural(count, 'page')}",
        )  # fmt: skip
    low, high = (points[["x", "y"]].quantile(q).to_numpy(float) for q in (0.003, 0.997))
    room = 0.05 * (high - low) + 1e-9
    low, high = low - room, high + room
    common = {"showticklabels": False, "showgrid": False, "title": None}
    figure.update_layout(
        xaxis={**common, "domain": [0, 0.49], "range": [low[0], high[0]]},
        xaxis2={**common, "domain": [0.51, 1], "range": [low[0], high[0]], "matches": "x"},
        yaxis={**common, "range": [low[1], high[1]], "domain": [0, 0.94]},
        yaxis2={**common, "range": [low[1], high[1]], "domain": [0, 0.94], "anchor": "x2", "matches": "y"},
        margin={"l": 20, "b": 16},
    )
    return figure


def quality_diversity(plane: pd.DataFrame, *, budget: float | None = None, theme: str = "screen") -> go.Figure:
    """Every method as a point, its other budgets as a curve: up is better, right is more diverse.

    Parameters
    ----------
    plane : DataFrame
        One row a method and budget: `method`, `budget` (tokens), `quality` and `diversity`.
    budget : the one drawn as a point; None takes the middle one
    theme : screen, paper or talk

    Raises
    ------
    InputError
        If a column is missing or holds no numbers.
    """
    look.theme_of(theme)
    columns = ["budget", "quality", "diversity"]
    look.need(plane, ["method", *columns], "quality and diversity")
    if plane.empty:
        return look.nothing("No method to compare", theme)
    look.need_numbers(plane, columns, "quality and diversity")
    budgets = np.sort(plane["budget"].unique())
    at = budgets[len(budgets) // 2] if budget is None else budgets[np.argmin(np.abs(budgets - budget))]
    points = plane[plane["budget"] == at]
    subtitle = f"{float(at):,.0f} tokens each; the curves are budgets from {budgets[0]:,.0f} to {budgets[-1]:,.0f}"
    figure = look.canvas(_finding(points), subtitle, theme=theme, right=17)
    methods = sorted(plane["method"].unique(), key=lambda name: (name != OURS, name))
    for method, color in zip(methods, np.resize(look.PALETTE, len(methods)).tolist(), strict=True):
        curve = plane[plane["method"] == method].sort_values("budget")
        large = np.where(curve["budget"] == at, 17.0 if method == OURS else 13.0, 4.0)
        figure.add_scatter(
            x=curve["diversity"], y=curve["quality"], mode="lines+markers", name=look.escape(method, 22), cliponaxis=False,
            line={"color": color, "width": 3 if method == OURS else 1.5}, marker={"size": large, "color": color, "opacity": 1},
            customdata=curve["budget"], legendrank=1 if method == OURS else 2,
            hovertemplate=f"{look.escape(method, 22)}<br>%{{customdata:,}} tokens: quality %{{y:.3f}}, diversity %{{x:.1f}}<extra></extra>",
        )  # fmt: skip
    figure.update_xaxes(title_text="diversity: effective number of different pages (Vendi score)", tickformat=",")
    return figure.update_yaxes(title_text="mean quality by token", tickformat=".2f")


def _edge(values: np.ndarray) -> float:
    """Where the axis ends: at the greatest share, or well before one that would press all others together."""
    greatest = np.sort(values.max(axis=1))[::-1]
    rest = float(greatest[min(2, len(greatest) - 1)])
    return float(greatest[0]) if greatest[0] <= 4 * rest or rest == 0 else 1.6 * rest


def _change(table: pd.DataFrame, named: str) -> str:
    """The largest change in one sentence."""
    change = table["after"] - table["before"]
    row = table.iloc[int(change.abs().to_numpy().argmax())]
    how = "falls" if row["after"] < row["before"] else "rises"
    name = str(row[named])[: look.NAME]
    return f"“{name}” {how} from {look.percent(row['before'])} to {look.percent(row['after'])} of the tokens"


def _finding(points: pd.DataFrame) -> str:
    ours = points[points["method"] == OURS]
    if ours.empty:
        return f"“{points['method'].iloc[int(points['quality'].to_numpy().argmax())]}” chooses the best pages"
    quality, diversity = float(ours["quality"].iloc[0]), float(ours["diversity"].iloc[0])
    others = points[points["method"] != OURS]
    ahead = others[(others["quality"] >= quality) & (others["diversity"] >= diversity)]
    if len(ahead):
        return f"“{ahead['method'].iloc[0]}” is at least as good and as diverse as the priors"
    free = _unbeaten(points)
    if free == 1:
        return "The priors are better and more diverse than every other method"
    return f"No other method beats the priors on both; true of {look.number(free)} of the {look.number(len(points))}"


def _unbeaten(points: pd.DataFrame) -> int:
    """How many methods no other equals on both and beats on one."""
    values = points[["quality", "diversity"]].to_numpy(float)
    beats = np.all(values[None] >= values[:, None], axis=2) & np.any(values[None] > values[:, None], axis=2)
    return int((~np.any(beats, axis=1)).sum())
