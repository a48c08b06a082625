"""How text is written for the gaps: the pipeline with its counts, what the filters took, what was closed, what it is made of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from hare_lab.figures import look

ROWS = 14  # topics that a figure names


def synthesis_pipeline(stages: pd.DataFrame, *, theme: str = "screen") -> go.Figure:
    """From the gaps to accepted text, each stage with its count (the HARE paper's figure 2a, live).

    Parameters
    ----------
    stages : DataFrame with the columns stage, count, unit, note
        One row a stage, in order: its name, how many, of what, and a few words on what it does. The last row is what stays.
    theme : screen, paper or talk

    Raises
    ------
    InputError
        If a column is missing or a count is no number.
    """
    sizes = look.theme_of(theme)
    look.need(stages, ["stage", "count", "unit", "note"], "synthesis pipeline")
    if stages.empty:
        return look.nothing("No stage to show", theme)
    look.need_numbers(stages, ["count"], "synthesis pipeline")
    first, last = stages.iloc[0], stages.iloc[-1]
    title = f"{look.number(float(first['count']))} {first['unit']} become {last['count']:,.0f} {last['unit']}"
    figure = look.canvas(title, "Each box is a step, with what came out of it", theme=theme, height=0.5)
    for at, row in enumerate(stages.itertuples(index=False)):
        final = at == len(stages) - 1
        fill = look.KEPT if final else look.mix(look.KEPT, look.PAPER, 0.88)
        ink, quiet = (look.PAPER, look.PAPER) if final else (look.INK, look.QUIET)
        figure.add_shape(
            type="rect", x0=at + 0.06, x1=at + 0.94, y0=0, y1=1, fillcolor=fill, line={"color": look.KEPT, "width": 1.5}, layer="below"
        )
        note = "<br>".join(look.escape(line) for line in look.lines(str(row.note), 20, 4))
        for y, text, size, color in (
            (0.86, f"<b>{look.escape(row.stage, 18)}</b>", sizes.text, ink),
            (0.64, f"<b>{row.count:,.0f}</b>", round(1.45 * sizes.text), ink),
            (0.48, look.escape(row.unit, 20), round(0.86 * sizes.text), quiet),
            (0.2, note, round(0.78 * sizes.text), quiet),
        ):
            figure.add_annotation(x=at + 0.5, y=y, text=text, showarrow=False, font={"size": size, "color": color}, yanchor="middle")
        if not final:
            figure.add_annotation(
                x=at + 1.07, ax=at + 0.93, y=0.5, ay=0.5, xref="x", yref="y", axref="x", ayref="y", text="", showarrow=True, arrowhead=2,
                arrowwidth=2, arrowcolor=look.INK,
            )  # fmt: skip
    figure.update_xaxes(range=[0, len(stages)], visible=False, fixedrange=True)
    return figure.update_yaxes(range=[-0.05, 1.05], visible=False, fixedrange=True)


def synthesis_funnel(steps: pd.DataFrame, *, theme: str = "screen") -> go.Figure:
    """Why replies were rejected: one bar a reason, in the order in which the filters ask.

    Parameters
    ----------
    steps : DataFrame with the columns step, pages, removed
        The replies stand first and remove none; then each reason with what it removed and what was left.
    theme : screen, paper or talk

    Raises
    ------
    InputError
        If a column is missing or holds no numbers.
    """
    look.theme_of(theme)
    look.need(steps, ["step", "pages", "removed"], "synthesis funnel")
    if steps.empty or steps["pages"].iloc[0] == 0:
        return look.nothing("No reply came in", theme)
    look.need_numbers(steps, ["pages", "removed"], "synthesis funnel")
    came, stayed = float(steps["pages"].iloc[0]), float(steps["pages"].iloc[-1])
    gone = steps[steps["removed"] > 0]
    if gone.empty:
        return look.nothing(f"Every reply stays: {came:,.0f}", theme)
    most = [f"“{look.short(step)}”" for step in gone.loc[gone["removed"] == gone["removed"].max(), "step"]]
    takes = f"{most[0]} takes the most" if len(most) == 1 else f"{look.number(len(most))} reasons take the most"
    title = f"{stayed:,.0f} of {came:,.0f} replies stay; {takes}"
    tied = f" · the most: {', '.join(most)}" if 1 < len(most) < 5 else ""
    subtitle = f"Rejected replies, each for the first reason that applies, in the filters' order{tied}"
    figure = look.canvas(title, subtitle, theme=theme, height=min(1.0, 0.25 + 0.065 * len(gone)))
    rows, names = list(range(len(gone))), [look.escape(step, 34) for step in gone["step"]]
    figure.add_bar(
        y=rows, x=gone["removed"], orientation="h", marker_color=look.LOST, hovertext=names, cliponaxis=False, textposition="outside",
        text=[f"{n:,.0f} · {look.percent(n / came)}" for n in gone["removed"]], textfont_color=look.readable_on_paper(look.LOST),
        hovertemplate="%{hovertext}<br>%{x:,} replies<extra></extra>",
    )  # fmt: skip
    longest = float(gone["removed"].max())
    figure.update_xaxes(title_text="replies rejected", range=[0, 1.2 * longest], dtick=1 if longest <= 10 else None)
    return figure.update_yaxes(tickvals=rows, ticktext=names, range=[len(rows) - 0.5, -0.5], showgrid=False, tickfont_color=look.INK)


def coverage_before_after(topics: pd.DataFrame, *, theme: str = "screen") -> go.Figure:
    """How far each gap was closed: the share of a topic before and after, and what the priors want.

    Parameters
    ----------
    topics : DataFrame with the columns name, wanted, before, after
        Shares of the corpus's tokens, 0 to 1; one row a topic.
    theme : screen, paper or talk

    Raises
    ------
    InputError
        If a column is missing or holds no numbers.
    """
    sizes = look.theme_of(theme)
    look.need(topics, ["name", "wanted", "before", "after"], "coverage before and after")
    if topics.empty:
        return look.nothing("No topic was worked on", theme)
    look.need_numbers(topics, ["wanted", "before", "after"], "coverage before and after")
    shown = topics.head(ROWS)
    before, after, wanted = (100 * shown[column].to_numpy(float) for column in ("before", "after", "wanted"))
    better = int((topics["after"] > topics["before"]).sum())
    title = f"{look.sentence(look.among(better, len(topics), 'gap'))} {'is' if better < 2 else 'are'} smaller than before"
    subtitle = "Share of each topic in the corpus's tokens, before and after the accepted text is added"
    figure = look.canvas(title, subtitle, theme=theme, height=min(1.0, 0.22 + 0.08 * len(shown)), right=18)
    rows, names = np.arange(len(shown)), [look.escape(name, 34) for name in shown["name"]]
    for low, high, row in zip(before, after, rows, strict=True):
        figure.add_scatter(
            x=[low, high], y=[row, row], mode="lines", line={"color": look.GREY, "width": 5}, showlegend=False, hoverinfo="skip"
        )
    marks: list[tuple[str, np.ndarray, str, str]] = [
        ("before", before, look.LOST, "circle"),
        ("after", after, look.KEPT, "circle"),
        ("wanted by the priors", wanted, look.INK, "line-ns"),
    ]
    for label, values, color, symbol in marks:
        width = 3 if symbol == "line-ns" else 0
        figure.add_scatter(
            x=values, y=rows, mode="markers", name=label, hovertext=names,
            hovertemplate=f"%{{hovertext}}<br>%{{x:.2f}} % {label}<extra></extra>",
            marker={"color": color, "size": sizes.text, "symbol": symbol, "line": {"color": color, "width": width}},
        )  # fmt: skip
    figure.update_xaxes(title_text="share of tokens, %", rangemode="tozero", tickformat=".1f")
    return figure.update_yaxes(tickvals=rows, ticktext=names, range=[len(rows) - 0.5, -0.5], showgrid=False, tickfont_color=look.INK)


def synthesis_composition(parts: pd.DataFrame, *, theme: str = "screen", order: Sequence[str] | None = None) -> go.Figure:
    """What the accepted text is made of: tokens by kind of text, in the colours of the topics (the paper's figure 2b, in small).

    Parameters
    ----------
    parts : DataFrame with the columns task, kind, topic, tokens
        One row a task, kind and topic.
    theme : screen, paper or talk
    order : topics in the order in which they take colours; see `look.colors_of`

    Raises
    ------
    InputError
        If a column is missing or holds no numbers.
    """
    look.theme_of(theme)
    look.need(parts, ["task", "kind", "topic", "tokens"], "synthesis composition")
    if parts.empty or not parts["tokens"].sum():
        return look.nothing("Nothing was accepted", theme)
    look.need_numbers(parts, ["tokens"], "synthesis composition")
    by_task = parts.groupby("task")["tokens"].sum()
    kinds = parts.groupby(["task", "kind"])["tokens"].sum().reset_index().sort_values(["task", "tokens"], ascending=[True, False])
    colors = look.colors_of(parts.groupby("topic")["tokens"].sum(), order)
    largest = str(by_task.idxmax())
    title = f"{look.percent(float(by_task.max() / by_task.sum()))} of the new tokens are {_TASKS.get(largest, largest)}"
    figure = look.canvas(
        title, "Tokens by kind of text, coloured by topic", theme=theme, height=min(1.0, 0.3 + 0.06 * len(kinds)), right=14
    )
    names = {
        (task, kind): f"{look.escape(task)} · {look.escape(kind, 24)}" for task, kind in zip(kinds["task"], kinds["kind"], strict=True)
    }
    place = {key: at for at, key in enumerate(names)}
    for topic in look.by_size(parts.groupby("topic")["tokens"].sum()):
        mine = parts[parts["topic"] == topic]
        figure.add_bar(
            y=[place[key] for key in zip(mine["task"], mine["kind"], strict=True)], x=mine["tokens"], orientation="h",
            name=look.escape(topic, 24), marker={"color": colors[topic], "line": {"color": look.PAPER, "width": 1}},
            hovertemplate=f"{look.escape(topic, 40)}<br>%{{x:,}} tokens<extra></extra>",
        )  # fmt: skip
    figure.update_layout(barmode="stack", legend={"traceorder": "normal"})
    figure.update_xaxes(title_text="tokens", rangemode="tozero")
    return figure.update_yaxes(
        tickvals=list(place.values()),
        ticktext=list(names.values()),
        range=[len(place) - 0.5, -0.5],
        showgrid=False,
        tickfont_color=look.INK,
    )


_TASKS = {"D2": "running text (D2)", "D3": "task items (D3)"}
