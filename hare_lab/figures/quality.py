"""How good the pages are: which rules they fail, how quality spreads within topics, and why a page scored as it did."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from hare_lab.figures import look

RIDGES = 14  # topics that still read on a slide
BARS = 16


def rule_failures(table: pd.DataFrame, *, pages: int, theme: str = "screen") -> go.Figure:
    """How many pages each rule fails, and how many fail no other.

    Parameters
    ----------
    table : DataFrame
        One row a rule: rule, family, pages (that fail it) and alone (of these, those that fail no other).
    pages : pages in all
    theme : screen, paper or talk

    Raises
    ------
    InputError
        If a column is missing or holds no numbers.
    """
    look.theme_of(theme)
    look.need(table, ["rule", "family", "pages", "alone"], "rule failures")
    look.need_numbers(table, ["pages", "alone"], "rule failures")
    failing = table[table["pages"] > 0].sort_values("pages", ascending=False, kind="stable")
    if failing.empty:
        return look.nothing(f"All {pages:,} pages pass every rule", theme)
    shown = failing.head(BARS)
    first = shown.iloc[0]
    name = str(first["rule"]).replace("_", " ")[: look.NAME]
    title = f"“{name}” drops the most pages: {look.percent(first['pages'] / max(pages, 1))}"
    rest = f"; {look.plural(len(failing) - len(shown), 'rule')} with fewer not shown" if len(failing) > len(shown) else ""
    subtitle = f"of {look.plural(pages, 'page')}; light: pages that fail other rules too{rest}"
    figure = look.canvas(
        title, subtitle, theme=theme, caption=f"Pages that fail each rule, {subtitle}", height=_height(len(shown)), right=10
    )
    families = list(dict.fromkeys(table["family"]))
    colors = [look.FEW[families.index(family) % len(look.FEW)] for family in shown["family"]]
    rows, names = list(range(len(shown))), [look.escape(str(name).replace("_", " "), 40) for name in shown["rule"]]
    shared = shown["pages"].to_numpy(float) - shown["alone"].to_numpy(float)
    figure.add_bar(
        y=rows, x=shown["alone"], orientation="h", marker_color=colors, hovertext=names, showlegend=False,
        hovertemplate="%{hovertext}<br>%{x:,} pages fail only this<extra></extra>",
    )  # fmt: skip
    figure.add_bar(
        y=rows, x=shared, orientation="h", marker_color=[look.mix(color, look.PAPER, 0.55) for color in colors], hovertext=names,
        text=[f"{n:,.0f}" for n in shown["pages"]], textposition="outside", cliponaxis=False, showlegend=False, textfont_color=look.QUIET,
        hovertemplate="%{hovertext}<br>%{x:,} pages fail others too<extra></extra>",
    )  # fmt: skip
    for family in dict.fromkeys(shown["family"]):
        color = look.FEW[families.index(family) % len(look.FEW)]
        figure.add_bar(y=[None], x=[None], marker_color=color, name=look.escape(family), orientation="h")
    figure.update_layout(barmode="stack", legend={"x": 1, "xanchor": "right", "y": 0.02, "yanchor": "bottom", "traceorder": "normal"})
    figure.update_xaxes(title_text="pages that fail", range=[0, 1.08 * float(shown["pages"].max())])
    return figure.update_yaxes(tickvals=rows, ticktext=names, range=[len(rows) - 0.4, -0.6], showgrid=False, tickfont_color=look.INK)


def quality_by_topic(
    pages: pd.DataFrame, *, floor: float | None = None, theme: str = "screen", most: int = RIDGES, order: Sequence[str] | None = None
) -> go.Figure:
    """How quality spreads within each topic: a ridge for each, the best topic on top.

    Parameters
    ----------
    pages : DataFrame
        One row a page: topic (its name) and quality (0 to 1).
    floor : score below which a page is left out; None draws no line
    theme : screen, paper or talk
    most : topics to show, the largest ones
    order : topic names in the order in which they take colours; see `look.colors_of`

    Raises
    ------
    InputError
        If a column is missing or quality holds no numbers.
    """
    look.theme_of(theme)
    look.need(pages, ["topic", "quality"], "quality by topic")
    if pages.empty:
        return look.nothing("No page to score", theme)
    look.need_numbers(pages, ["quality"], "quality by topic")
    named = pages[~pages["topic"].map(look.is_unclustered)]
    sizes = named.groupby("topic")["quality"].size()
    large = look.by_size(sizes)[:most]
    if not large:
        return look.nothing("No topic to show", theme)
    middles = named[named["topic"].isin(large)].groupby("topic")["quality"].median().sort_values(ascending=False, kind="stable")
    names = [str(name) for name in middles.index]
    colors = look.colors_of(sizes, order)
    title = _best_and_worst(names, len(sizes))
    left = (
        f"the {len(names)} largest of {look.plural(len(sizes), 'topic')}" if len(sizes) > len(names) else look.plural(len(names), "topic")
    )
    dotted = "" if floor is None else f"; dotted: the floor of the priors, {floor:g}"
    subtitle = f"how the pages of {left} score; line: the median of a topic{dotted}"
    figure = look.canvas(title, subtitle, theme=theme, caption=f"Density of quality within each topic: {subtitle}", height=1.0)
    grid = np.linspace(0, 1, 121)
    for row, name in enumerate(names):
        values = named.loc[named["topic"] == name, "quality"].to_numpy(float)
        heights = _density(values, grid)
        top = 1.7 * heights / max(heights.max(), 1e-9) * min(1.0, 0.35 + len(values) / 60)  # a topic of a few pages stays low
        base = float(len(names) - 1 - row)
        hover = f"{look.escape(name, 60)}: {len(values):,} pages, median {np.median(values):.2f}"
        figure.add_scatter(x=grid, y=np.full(len(grid), base), mode="lines", line_width=0, hoverinfo="skip", showlegend=False)
        figure.add_scatter(
            x=grid, y=base + top, mode="lines", fill="tonexty", fillcolor=_see_through(colors[name]),
            line={"color": colors[name], "width": 2},
            hoveron="fills+points", text=hover, hoverinfo="text", showlegend=False,
        )  # fmt: skip
        middle = float(np.median(values))
        figure.add_scatter(
            x=[middle, middle], y=[base, base + float(np.interp(middle, grid, top))], mode="lines", hoverinfo="skip", showlegend=False,
            line={"color": look.INK, "width": 2},
        )  # fmt: skip
    if floor is not None:
        figure.add_vline(x=floor, line={"color": look.INK, "width": 1.5, "dash": "dot"})
    labels = [look.escape(look.short(name, 34)) for name in names]
    figure.update_xaxes(title_text="quality (share of the pool that reads worse)", range=[0, 1], tickformat=".1f")
    return figure.update_yaxes(
        tickvals=[len(names) - 1 - row for row in range(len(names))], ticktext=labels, range=[-0.25, len(names) + 0.9], showgrid=False,
        tickfont_color=look.INK,
    )  # fmt: skip


def quality_reasons(opinions: pd.DataFrame, *, quality: float, theme: str = "screen") -> go.Figure:
    """What speaks for a page and what against: each opinion's part of its score.

    Parameters
    ----------
    opinions : DataFrame with columns opinion and adds (to the page's score, before calibration)
    quality : the page's score
    theme : screen, paper or talk

    Raises
    ------
    InputError
        If a column is missing or holds no numbers.
    """
    look.theme_of(theme)
    look.need(opinions, ["opinion", "adds"], "quality reasons")
    look.need_numbers(opinions, ["adds"], "quality reasons")
    if opinions.empty:
        return look.nothing("No opinion was heard", theme)
    ranked = opinions.iloc[np.argsort(-opinions["adds"].abs().to_numpy(float), kind="stable")]  # by place: an index may repeat itself
    first = ranked.iloc[0]
    title = f"Its {str(first['opinion'])[: look.NAME]} speaks most {'for' if first['adds'] > 0 else 'against'} this page"
    subtitle = f"quality {quality:.2f}; what each opinion says, as far as it counts, before calibration"
    figure = look.canvas(title, subtitle, theme=theme, height=_height(len(ranked)), right=4)
    rows, names = list(range(len(ranked))), [look.escape(name, 30) for name in ranked["opinion"]]
    figure.add_bar(
        y=rows, x=ranked["adds"], orientation="h", hovertext=names,
        marker_color=[look.KEPT if v > 0 else look.LOST for v in ranked["adds"]],
        text=[_adds(v) for v in ranked["adds"]], textposition="outside", cliponaxis=False, textfont_color=look.QUIET,
        hovertemplate="%{hovertext}: %{x:+.2f}<extra></extra>",
    )  # fmt: skip
    reach = 1.2 * max(float(ranked["adds"].abs().max()), 0.5)
    figure.add_vline(x=0, line={"color": look.INK, "width": 1})
    figure.update_layout(showlegend=False)
    figure.update_xaxes(title_text="against the page (left), for it (right)", range=[-reach, reach], tickformat=".1f")
    return figure.update_yaxes(tickvals=rows, ticktext=names, range=[len(rows) - 0.4, -0.6], showgrid=False, tickfont_color=look.INK)


def _height(rows: int) -> float:
    """Share of the theme's height, so that three bars are not three slabs."""
    return min(1.0, 0.2 + 0.048 * rows)


def _density(values: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """A smooth histogram on 0..1, mirrored at its ends so that nothing leaks out."""
    width = max(0.04, 0.9 * float(np.std(values)) * len(values) ** -0.2)
    mirrored = np.concatenate([values, -values, 2 - values])
    density: np.ndarray = np.exp(-0.5 * ((grid[:, None] - mirrored[None]) / width) ** 2).sum(axis=1) / (
        len(values) * width * np.sqrt(2 * np.pi)
    )
    return density


def _best_and_worst(names: list[str], topics: int) -> str:
    """Which of the shown topics reads best, which worst; among how many, where smaller ones may read better still."""
    if len(names) == 1:
        return "One topic"
    among = f"Of the {len(names)} largest, " if topics > len(names) else ""
    room = (look.TITLE - len(f"{among}“” reads best, “” worst")) // 2
    return f"{among}“{look.short(names[0], room)}” reads best, “{look.short(names[-1], room)}” worst"


def _adds(value: float) -> str:
    """What an opinion adds, with its sign; no sign before a nought."""
    return "0.00" if abs(value) < 0.005 else f"{value:+.2f}".replace("-", "\u2212")


def _see_through(color: str) -> str:
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.55)"
