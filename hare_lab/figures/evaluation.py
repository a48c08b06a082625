"""How good are the models: bits per byte by topic, scores against chance, and the paper's table with the reader's model in it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from hare_lab.figures import look

FEW_PAGES = 5  # of fewer the mean says little and a bootstrapped interval less
FEW_QUESTIONS = 10  # of fewer nothing is called sure; the same as `evaluation.scores.FEW`
MOST_GROUPS = 24  # rows of a figure that can be read; beyond it those whose models differ least are left out


def bits_by_topic(bits: pd.DataFrame, *, theme: str = "screen") -> go.Figure:
    """Bits per byte of each topic's held-out pages, one dot a model, with 95 % intervals. Left is better.

    Parameters
    ----------
    bits : DataFrame
        One row a topic and model: model, group, bits_per_byte, low, high; no interval (NaN) draws a hollow dot. Where `pages` says
        how many a topic has, those of fewer than FEW_PAGES have no interval and are not ranked.
    theme : screen, paper or talk

    Raises
    ------
    InputError
        If a column is missing or holds no numbers.
    """
    look.theme_of(theme)
    look.need(bits, ["model", "group", "bits_per_byte", "low", "high"], "bits by topic")
    if bits.empty:
        return look.nothing("No topic to show", theme)
    look.need_numbers(bits, ["bits_per_byte"], "bits by topic")
    models = list(dict.fromkeys(bits["model"].astype(str)))
    pages = bits.groupby("group")["pages"].max() if "pages" in bits.columns else None
    if pages is not None:
        few = bits["pages"] < FEW_PAGES
        bits = bits.assign(low=bits["low"].mask(few), high=bits["high"].mask(few))
    wide = bits.pivot_table(index="group", columns="model", values="bits_per_byte", sort=False)[models]
    cut = len(wide) - MOST_GROUPS
    if cut > 0:
        spread = (wide.max(axis=1) - wide.min(axis=1)) if len(models) > 1 else wide[models[0]].sub(wide[models[0]].median()).abs()
        wide = wide.loc[spread.sort_values(ascending=False).index[:MOST_GROUPS]]
    wide = wide.sort_values(models[-1])
    title = _bits_title(wide if pages is None else wide[(pages[wide.index] >= FEW_PAGES).to_numpy()], models, len(wide))
    lone = bits[bits["group"].isin(wide.index)]["low"].isna().any()
    hollow = "a single page" if pages is None else f"fewer than {look.number(FEW_PAGES)} pages, no interval and no rank"
    subtitle = "Held-out pages; lines: 95\u00a0% intervals over the pages" + (f"; hollow: {hollow}" if lone else "")
    subtitle += f"; {cut} topics that differ least left out" if cut > 0 else ""
    height = min(1.25, 0.3 + 0.032 * len(wide))
    figure = look.canvas(
        title, subtitle, theme=theme, caption=f"Bits per byte by topic, lower is better. {subtitle}", height=height, right=2
    )
    place = {name: row for row, name in enumerate(wide.index)}
    for turn, model in enumerate(models):
        own = bits[(bits["model"].astype(str) == model) & bits["group"].isin(wide.index)]
        offset = 0.22 * (turn - (len(models) - 1) / 2) if len(models) > 1 else 0.0
        x, low, high = (own[c].to_numpy(float) for c in ("bits_per_byte", "low", "high"))
        figure.add_scatter(
            x=x, y=[place[g] + offset for g in own["group"]], mode="markers", name=look.escape(model, look.NAME),
            marker={"size": 0.65 * look.theme_of(theme).text, "color": look.FEW[turn % len(look.FEW)],
                    "symbol": ["circle-open" if np.isnan(v) else "circle" for v in low]},
            error_x={"type": "data", "array": high - x, "arrayminus": x - low, "thickness": 1.6, "width": 0},
            hovertext=[f"{look.escape(g, look.NAME)}: {v:.3f} bits per byte{_between(a, b)}"
                       for g, v, a, b in zip(own["group"], x, low, high, strict=True)],
            hovertemplate="%{hovertext}<extra></extra>",
        )  # fmt: skip
    figure.update_layout(showlegend=len(models) > 1, legend=_above())
    figure.update_xaxes(title_text="bits per byte (lower is better)", tickformat=".2f")
    counts = ["" if pages is None else f"  n = {pages[name]:,.0f}" for name in wide.index]
    names = [look.escape(look.short(name)) + count for name, count in zip(wide.index, counts, strict=True)]
    return figure.update_yaxes(
        tickvals=list(place.values()), ticktext=names, range=[len(wide) - 0.4, -0.6], gridcolor=look.RULE, tickfont_color=look.INK
    )


def task_scores(scores: pd.DataFrame, *, theme: str = "screen") -> go.Figure:
    """Scores on tasks, each beside what guessing reaches.

    Parameters
    ----------
    scores : DataFrame
        One row a model and task: model, task, value, low, high, chance (all shares from 0 to 1). Where `items` says how many questions
        a task has, a score of fewer than FEW_QUESTIONS is a hollow dot and counts as neither above nor below guessing.
    theme : screen, paper or talk

    Raises
    ------
    InputError
        If a column is missing or holds no numbers.
    """
    look.theme_of(theme)
    look.need(scores, ["model", "task", "value", "low", "high", "chance"], "task scores")
    if scores.empty:
        return look.nothing("No score to show", theme)
    look.need_numbers(scores, ["value", "low", "high", "chance"], "task scores")
    models, tasks = list(dict.fromkeys(scores["model"].astype(str))), list(dict.fromkeys(scores["task"].astype(str)))
    few = scores["items"] < FEW_QUESTIONS if "items" in scores.columns else pd.Series(False, index=scores.index)
    above = ~few & (scores["low"] > scores["chance"])
    below = int((~few & (scores["high"] < scores["chance"])).sum())
    title = f"{_all(int(above.sum()), len(scores))} surely above guessing" + (f", {look.number(below)} surely below" if below else "")
    subtitle = "Share of right answers; lines: 95\u00a0% intervals; dark ticks: guessing"
    subtitle += "; n: questions" if "items" in scores.columns else ""
    subtitle += f"; hollow: fewer than {look.number(FEW_QUESTIONS)}, too few to say" if few.any() else ""
    figure = look.canvas(title, subtitle, theme=theme, height=min(1.1, 0.3 + 0.09 * len(tasks)), right=17)
    text = look.theme_of(theme).text
    place = {task: row for row, task in enumerate(tasks)}
    for task, group in scores.groupby("task", sort=False):
        row = place[str(task)]
        chance = float(group["chance"].iloc[0])
        figure.add_scatter(
            x=[chance, chance], y=[row - 0.36, row + 0.36], mode="lines", line={"color": look.INK, "width": 2.5}, showlegend=False,
            hovertemplate="guessing: %{x:.1%}<extra></extra>",
        )  # fmt: skip
    for turn, model in enumerate(models):
        own = scores[scores["model"].astype(str) == model]
        offset = 0.5 / len(models) * (turn - (len(models) - 1) / 2)
        x, low, high = (own[c].to_numpy(float) for c in ("value", "low", "high"))
        y = [place[str(t)] + offset for t in own["task"]]
        figure.add_scatter(
            x=x, y=y, mode="markers", name=look.escape(model, look.NAME),
            marker={"size": 0.75 * text, "color": look.FEW[turn % len(look.FEW)],
                    "symbol": ["circle-open" if hollow else "circle" for hollow in few[own.index]]},
            error_x={"type": "data", "array": high - x, "arrayminus": x - low, "thickness": 1.8, "width": 0},
            hovertext=[look.escape(t, look.NAME) for t in own["task"]], hovertemplate="%{hovertext}: %{x:.1%}<extra></extra>",
        )  # fmt: skip
        counts = [f"   n = {n:,.0f}" for n in own["items"]] if "items" in own.columns else [""] * len(own)
        for at, value, count in zip(y, x, counts, strict=True):
            figure.add_annotation(
                x=1, xref="paper", y=at, xanchor="left", xshift=0.5 * text, showarrow=False, text=f"{100 * value:.1f}\u00a0%{count}",
                font={"size": round(0.9 * text), "color": look.INK},
            )  # fmt: skip
    figure.update_layout(showlegend=len(models) > 1, legend=_above())
    most = max(float(scores["high"].max()), float(scores["chance"].max()))
    figure.update_xaxes(title_text="right answers", tickformat=".0%", range=[0, min(1.02, 1.05 * most + 0.02)])
    names = [look.escape(task, look.NAME) for task in tasks]
    return figure.update_yaxes(
        tickvals=list(place.values()), ticktext=names, range=[len(tasks) - 0.45, -0.55], showgrid=False, tickfont_color=look.INK
    )


def leaderboard(table: pd.DataFrame, *, theme: str = "screen") -> go.Figure:
    """Table 1 of the paper as a picture: models by their average, the reader's own and guessing among them.

    Parameters
    ----------
    table : DataFrame
        What `evaluation.leaderboard` returns: model, origin (paper, yours or chance), then scores in percent, empty where not asked.
    theme : screen, paper or talk

    Raises
    ------
    InputError
        If a column is missing.
    """
    look.theme_of(theme)
    look.need(table, ["model", "origin"], "leaderboard")
    if table.empty:
        return look.nothing("No model to show", theme)
    columns = [c for c in table.columns if c not in ("model", "origin")]
    values = table[columns].to_numpy(float)
    title, subtitle = _board_words(table, columns)
    figure = look.canvas(title, subtitle, theme=theme, height=min(1.2, 0.3 + 0.055 * len(table)), right=1)
    models = np.where((table["origin"] == "chance").to_numpy()[:, None], np.nan, values)  # guessing is no model to be shaded
    low, high = np.where(np.isnan(models), np.inf, models).min(axis=0), np.where(np.isnan(models), -np.inf, models).max(axis=0)
    spread = np.where(high > low, high - low, 1.0)
    shade = 0.55 * (models - low) / spread  # each column by itself: 60 on WinoGrande is not 60 on GSM8K
    figure.add_heatmap(
        z=shade, x=list(range(len(columns))), y=list(range(len(table))), zmin=0, zmax=1, showscale=False, xgap=2, ygap=2,
        colorscale=[[0, look.PAPER], [1, look.KEPT]], hoverinfo="skip",
    )  # fmt: skip
    text = look.theme_of(theme).text
    for row, (origin, cells) in enumerate(zip(table["origin"], values, strict=True)):
        for column, cell in enumerate(cells):
            said = "–" if np.isnan(cell) else f"{cell:.1f}"
            figure.add_annotation(
                x=column, y=row, text=f"<b>{said}</b>" if origin == "yours" else said, showarrow=False,
                font={"size": round(0.92 * text), "color": look.QUIET if np.isnan(cell) or origin == "chance" else look.INK},
            )  # fmt: skip
        if origin == "yours":
            frame = {"color": look.LOST, "width": 2.5}
            figure.add_shape(type="rect", x0=-0.5, x1=len(columns) - 0.5, y0=row - 0.47, y1=row + 0.47, line=frame)
    names = [_row_name(model, origin) for model, origin in zip(table["model"], table["origin"], strict=True)]
    for column, head in enumerate(columns):  # as a row of the picture: an axis on top would run into the title
        said = (
            "<br>".join(look.escape(part) for part in look.lines(str(head).replace("-", " - "), 13, 2))
            .replace(" - ", "-")
            .replace(" -", "-")
        )
        figure.add_annotation(x=column, y=-0.98, text=said, showarrow=False, font={"size": round(0.92 * text), "color": look.QUIET})
    figure.update_xaxes(visible=False)
    return figure.update_yaxes(
        tickvals=list(range(len(table))), ticktext=names, range=[len(table) - 0.5, -1.5], showgrid=False, tickfont_color=look.INK
    )


def _bits_title(wide: pd.DataFrame, models: list[str], topics: int) -> str:
    """The finding, from topics with pages enough; `topics` says how many there are in all."""
    if len(wide) < min(2, topics):
        return "Too few held-out pages to rank the topics"
    if len(models) == 1 and len(wide) == 1:
        return f"“{look.short(wide.index[0], 26)}” costs {wide[models[0]].iloc[0]:.2f} bits per byte"
    if len(models) == 1:
        hard, easy = look.short(wide.index[-1], 26), look.short(wide.index[0], 26)
        return f"Hardest: “{hard}”; easiest: “{easy}”"
    means = wide.mean().sort_values()
    best, other = look.short(means.index[0], 16), look.short(means.index[1], 16)
    wins = int((wide[means.index[0]] < wide[means.index[1]]).sum())
    return f"“{best}” predicts better than “{other}” on {wins} of {len(wide)} topics"


def _all(count: int, of: int) -> str:
    if count == of:
        return "The score is" if of == 1 else f"All {look.number(of)} scores are"
    return (
        "No score is" if count == 0 else f"{look.sentence(look.number(count))} of {look.number(of)} scores {'is' if count == 1 else 'are'}"
    )


def _board_words(table: pd.DataFrame, columns: list[Any]) -> tuple[str, str]:
    subtitle = "Scores in percent as the paper prints them; –: not measured; the darker, the better within a column"
    yours = table[table["origin"] == "yours"]
    if yours.empty:
        return "Models of about a billion parameters, by their average", subtitle
    name = look.short(yours["model"].iloc[0], 20)
    average = yours["average"].iloc[0] if "average" in table else float("nan")
    if average == average:
        paper = table.loc[table["origin"] == "paper", "average"]
        below = int((paper < average).sum())
        count = look.number(below) if below else "none"
        return f"“{name}” is ahead of {count} of the paper's {look.number(len(paper))} models", subtitle
    asked = [column for column in columns if column != "average"]
    measured = int(yours[asked].iloc[0].notna().sum())
    return f"“{name}” beside the paper's models: {look.among(measured, len(asked), 'score')} measured", subtitle


def _row_name(model: object, origin: object) -> str:
    name = look.escape(model, look.NAME)
    return f"<b>{name}</b>" if origin == "yours" else f"<i>{name}</i>" if origin == "chance" else name


def _between(low: float, high: float) -> str:
    return "" if np.isnan(low) else f"<br>{low:.3f} to {high:.3f}"


def _above() -> dict[str, Any]:
    return {"orientation": "h", "x": 1, "xanchor": "right", "y": 1.0, "yanchor": "bottom"}
