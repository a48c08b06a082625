"""What cleaning and deduplication did to a corpus: how many pages each step took, and how alike pages are."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from hare_lab.figures import look


def cleaning_funnel(steps: pd.DataFrame, *, theme: str = "screen") -> go.Figure:
    """How many pages are left after each step, and how many it took.

    Parameters
    ----------
    steps : DataFrame
        One row a step, in order: step (its name), pages (left after it), removed (by it). The input may stand first, as a
        step that removed none.
    theme : screen, paper or talk

    Raises
    ------
    InputError
        If a column is missing or holds no numbers.
    """
    look.theme_of(theme)
    look.need(steps, ["step", "pages", "removed"], "cleaning funnel")
    if steps.empty:
        return look.nothing("No step to show", theme)
    look.need_numbers(steps, ["pages", "removed"], "cleaning funnel")
    left, removed = steps["pages"].to_numpy(float), steps["removed"].to_numpy(float)
    came = left + removed
    title, subtitle = _funnel_words(steps, came[0], left[-1])
    caption = f"{subtitle}. Bars: pages left after each step, and the pages that it removed"
    height = min(1.0, 0.18 + 0.075 * len(steps))  # so that three bars are not three slabs
    figure = look.canvas(title, subtitle, theme=theme, caption=caption, height=height, right=20)
    rows, names = list(range(len(steps))), [look.escape(step, 34) for step in steps["step"]]
    shares = np.divide(removed, came, out=np.zeros_like(removed), where=came > 0)
    lost = [f"−{n:,.0f} ({look.percent(share)})" if n else "" for n, share in zip(removed, shares, strict=True)]
    figure.add_bar(
        y=rows, x=left, orientation="h", marker_color=look.KEPT, hovertext=names, text=[f" {n:,.0f}" for n in left],
        hovertemplate="%{hovertext}<br>%{x:,} pages left<extra></extra>", insidetextanchor="start", textposition="inside",
        textfont_color=look.PAPER,
    )  # fmt: skip
    figure.add_bar(
        y=rows, x=removed, orientation="h", marker_color=look.LOST, hovertext=names, text=lost, cliponaxis=False, textposition="outside",
        hovertemplate="%{hovertext}<br>%{x:,} pages removed<extra></extra>", textfont_color=look.readable_on_paper(look.LOST),
    )  # fmt: skip
    figure.update_layout(barmode="stack", showlegend=False)
    figure.update_xaxes(title_text="pages", range=[0, max(came.max(), 1.0)])
    return figure.update_yaxes(tickvals=rows, ticktext=names, range=[len(rows) - 0.5, -0.5], showgrid=False, tickfont_color=look.INK)


def page_lengths(lengths: pd.DataFrame, *, at_least: int = 0, theme: str = "screen") -> go.Figure:
    """How long the pages are, and which of them a shortest length would remove.

    Parameters
    ----------
    lengths : DataFrame with a column `words`
        One row a page.
    at_least : words below which a page goes
    theme : screen, paper or talk

    Raises
    ------
    InputError
        If the column is missing or holds no numbers.
    """
    look.theme_of(theme)
    look.need(lengths, ["words"], "page lengths")
    if lengths.empty:
        return look.nothing("No page to measure", theme)
    look.need_numbers(lengths, ["words"], "page lengths")
    words = lengths["words"].to_numpy(float)
    gone = float((words < at_least).mean())
    title = f"{look.percent(gone) if gone else 'None'} of the pages are shorter than {at_least:,} words"
    subtitle = f"{look.plural(len(words), 'page')}; half of them have {np.median(words):,.0f} words or more"
    most = max(50.0, float(np.quantile(words, 0.98)))  # a few giants would flatten everybody else
    counts, edges = np.histogram(np.minimum(words, most), bins=np.arange(0, most + 10, 10))
    colors = [look.LOST if right <= at_least else look.KEPT for right in edges[1:]]
    figure = look.canvas(title, subtitle, theme=theme, height=0.75)
    figure.add_bar(
        x=(edges[1:] + edges[:-1]) / 2, y=counts, marker_color=colors, hovertemplate="about %{x:.0f} words: %{y:,} pages<extra></extra>"
    )
    if at_least:
        figure.add_vline(x=at_least, line={"color": look.INK, "width": 1.5, "dash": "dot"})
    figure.update_layout(bargap=0.06, showlegend=False)
    figure.update_xaxes(title_text="words (the last bar holds all longer pages)", range=[0, most + 10])
    return figure.update_yaxes(title_text="pages")


def similarity_histogram(similarities: pd.DataFrame, *, threshold: float | None = None, theme: str = "screen") -> go.Figure:
    """How alike pages and their nearest neighbours are, and what a threshold would call a duplicate.

    Parameters
    ----------
    similarities : DataFrame with a column `similarity`
        One row a page: how alike it and the nearest other page are, 1 for the same (a cosine may be negative).
    threshold : from which similarity on a page counts as a duplicate; None draws no line
    theme : screen, paper or talk

    Raises
    ------
    InputError
        If the column is missing or holds no numbers.
    """
    look.theme_of(theme)
    look.need(similarities, ["similarity"], "similarity histogram")
    if similarities.empty:
        return look.nothing("No page to compare", theme)
    look.need_numbers(similarities, ["similarity"], "similarity histogram")
    values = similarities["similarity"].to_numpy(float)
    limit = np.inf if threshold is None else threshold
    title = f"The median page is {np.median(values):.2f} alike to its nearest neighbour"
    if threshold is not None:
        share = float((values >= threshold).mean())
        title = f"{look.percent(share) if share else 'None'} of the pages have a neighbour at {threshold:g} or nearer"
    lowest = min(0.0, float(np.floor(10 * values.min()) / 10))
    counts, edges = np.histogram(values, bins=np.linspace(lowest, max(1.0, float(values.max())), 61))
    colors = [look.LOST if left >= limit - 1e-9 else look.KEPT for left in edges[:-1]]
    subtitle = f"{look.plural(len(values), 'page')}, each with its nearest neighbour"
    figure = look.canvas(title, subtitle, theme=theme, height=0.75)
    figure.add_bar(x=(edges[1:] + edges[:-1]) / 2, y=counts, marker_color=colors, hovertemplate="%{x:.2f}: %{y:,} pages<extra></extra>")
    if threshold is not None:
        figure.add_vline(x=threshold, line={"color": look.INK, "width": 1.5, "dash": "dot"})
    figure.update_layout(bargap=0.06, showlegend=False)
    figure.update_xaxes(title_text="similarity to the nearest other page (1: the same)", tickformat=".1f")
    return figure.update_yaxes(title_text="pages")


def _funnel_words(steps: pd.DataFrame, came: float, kept: float) -> tuple[str, str]:
    removed = steps["removed"].to_numpy(float)
    subtitle = f"{look.plural(came, 'page')} in, {look.plural(kept, 'page')} out"
    if came == 0:
        return "No page came in", subtitle
    if removed.sum() == 0:
        return f"Every page stays: {kept:,.0f}", subtitle
    step = str(steps["step"].iloc[int(removed.argmax())])
    return f"{look.percent(kept / came)} of the pages stay; “{step[: look.NAME]}” takes the most", subtitle
