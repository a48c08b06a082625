"""How well are functions called: what was asked against what was answered, the paper's table, what silence buys, what data buys."""

from __future__ import annotations

import math
import re

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from hare_lab.figures import look

NO_CALL = "no call"
RULES = "retrieval and rules"  # what the reader's tuned model stands beside; the paper has retrieval only


def call_confusion(confusion: pd.DataFrame, *, theme: str = "screen") -> go.Figure:
    """Which function was asked for, and which was called.

    Parameters
    ----------
    confusion : DataFrame
        One row a pair: asked, answered, requests.
    theme : screen, paper or talk

    Raises
    ------
    InputError
        If a column is missing or holds no numbers.
    """
    look.theme_of(theme)
    look.need(confusion, ["asked", "answered", "requests"], "confusion of calls")
    if confusion.empty:
        return look.nothing("No request to show", theme)
    look.need_numbers(confusion, ["requests"], "confusion of calls")
    found = sorted({*confusion["asked"].astype(str), *confusion["answered"].astype(str)}, key=lambda name: (name == NO_CALL, name))
    wide = confusion.pivot_table(index="asked", columns="answered", values="requests", aggfunc="sum", fill_value=0)
    wide = wide.reindex(index=found, columns=found, fill_value=0)
    counts = wide.to_numpy(float)
    wide = wide[counts.sum(1) > 0]
    counts = counts[counts.sum(1) > 0]
    right = sum(wide.loc[name, name] for name in wide.index)
    title = f"The right function for {look.percent(right / counts.sum())} of {counts.sum():,.0f} requests"
    figure = look.canvas(
        title, _worst(wide), theme=theme, caption="Rows: asked for; columns: answered", height=min(1.15, 0.34 + 0.075 * len(wide)), right=1
    )
    shares = counts / counts.sum(1, keepdims=True)
    wrong = np.array([[name != other for other in wide.columns] for name in wide.index])
    figure.add_heatmap(
        z=np.where(wrong, -np.sqrt(shares), np.sqrt(shares)), x=list(range(len(found))), y=list(range(len(wide))), zmin=-1, zmax=1, zmid=0,
        showscale=False, xgap=2, ygap=2, colorscale=[[0, look.LOST], [0.5, look.PAPER], [1, look.KEPT]],
        hovertext=[[f"{look.escape(a, 30)} asked, {look.escape(b, 30)} answered: {n:,.0f}" for b, n in zip(wide.columns, row, strict=True)]
                   for a, row in zip(wide.index, counts, strict=True)], hovertemplate="%{hovertext}<extra></extra>",
    )  # fmt: skip
    text = look.theme_of(theme).text
    for row in range(len(wide)):
        for column in range(len(found)):
            if counts[row, column]:
                dark = shares[row, column] > 0.3
                figure.add_annotation(
                    x=column, y=row, text=f"{counts[row, column]:,.0f}", showarrow=False,
                    font={"size": round(0.95 * text), "color": look.PAPER if dark else look.INK},
                )  # fmt: skip
    ticks = ["<br>".join(look.escape(part) for part in look.lines(_spaced(name), 12, 3)) for name in found]
    figure.update_xaxes(tickvals=list(range(len(found))), ticktext=ticks, title_text="answered", showgrid=False, tickangle=0)
    names = [look.escape(_spaced(name), look.NAME) for name in wide.index]
    return figure.update_yaxes(
        tickvals=list(range(len(wide))), ticktext=names, range=[len(wide) - 0.5, -0.5], showgrid=False, tickfont_color=look.INK,
        title_text="asked for",
    )  # fmt: skip


def calls_beside_paper(table: pd.DataFrame, *, theme: str = "screen") -> go.Figure:
    """The paper's Table 8 and the reader's own: tuned against retrieval, function by function, with 95 % intervals.

    Parameters
    ----------
    table : DataFrame
        What `tool_calling.beside_paper` returns: api, origin (paper or yours), requests, and tuned, retrieval in percent with their
        _low and _high; empty where there is none.
    theme : screen, paper or talk

    Raises
    ------
    InputError
        If a column is missing.
    """
    look.theme_of(theme)
    look.need(table, ["api", "origin", "requests", "tuned", "tuned_low", "tuned_high"], "calls beside the paper")
    if table.empty:
        return look.nothing("No function to show", theme)
    title, subtitle = _paper_words(table)
    caption = f"{subtitle} (the paper has 50 requests a function and prints none)"
    figure = look.canvas(title, subtitle, theme=theme, caption=caption, height=min(1.25, 0.36 + 0.05 * (len(table) + 2)), right=13)
    rows: list[tuple[float, pd.Series]] = []
    names: list[tuple[float, str]] = []
    place = 0.0
    for origin in ("paper", "yours"):
        own = table[table["origin"] == origin]
        if own.empty:
            continue
        names.append((place, f"<b>{'the paper' if origin == 'paper' else 'yours'}</b>"))
        place += 1
        for _, entry in own.iterrows():
            rows.append((place, entry))
            names.append((place, look.escape(_spaced(entry["api"]).lower(), look.NAME)))
            place += 1
        place += 0.4
    text = look.theme_of(theme).text
    for column, told, color, shift in (
        ("tuned", "tuned, a token a function", look.KEPT, -0.14),
        ("retrieval", "retrieval" if (table["origin"] == "paper").all() else f"retrieval; yours: {RULES}", look.LOST, 0.14),
    ):
        if column not in table.columns:
            continue
        shown = [(at + shift, e) for at, e in rows if pd.notna(e[column])]
        x, low, high = (np.array([float(e[c]) for _, e in shown]) for c in (column, f"{column}_low", f"{column}_high"))
        figure.add_scatter(
            x=x, y=[at for at, _ in shown], mode="markers", name=told, marker={"size": 0.7 * text, "color": color},
            error_x={"type": "data", "array": high - x, "arrayminus": x - low, "thickness": 1.6, "width": 0},
            hovertext=[f"{look.escape(e['api'], 30)}, {_told(column, e['origin'])}: {v:.1f} % of {e['requests']}"
                       for (_, e), v in zip(shown, x, strict=True)],
            hovertemplate="%{hovertext}<extra></extra>",
        )  # fmt: skip
        for at, entry in ((at, e) for at, e in rows if pd.notna(e[column])):  # the numbers, in two columns on the right
            figure.add_annotation(
                x=1, xref="paper", y=at, xanchor="right", xshift=(3 if shift < 0 else 6.3) * text, showarrow=False,
                text=f"{entry[column]:.1f}", font={"size": round(0.9 * text), "color": look.readable_on_paper(color)},
            )  # fmt: skip
    figure.update_layout(showlegend=True, legend={"orientation": "h", "x": 1, "xanchor": "right", "y": 1, "yanchor": "bottom"})
    figure.update_xaxes(title_text="right calls, percent", range=[-2, 103])
    return figure.update_yaxes(
        tickvals=[at for at, _ in names],
        ticktext=[name for _, name in names],
        range=[place - 0.6, -0.6],
        showgrid=False,
        tickfont_color=look.INK,
    )


def risk_coverage(curve: pd.DataFrame, *, threshold: float | None = None, theme: str = "screen") -> go.Figure:
    """What silence buys: the share of wrong calls when only the surest requests are answered.

    Parameters
    ----------
    curve : DataFrame
        coverage, risk (both 0 to 1), threshold, as `tool_calling.risk_coverage` makes it.
    threshold : the one that was chosen on validation requests, marked
    theme : screen, paper or talk

    Raises
    ------
    InputError
        If a column is missing or holds no numbers.
    """
    look.theme_of(theme)
    look.need(curve, ["coverage", "risk", "threshold"], "risk and coverage")
    if curve.empty:
        return look.nothing("No request to show", theme)
    look.need_numbers(curve, ["coverage", "risk", "threshold"], "risk and coverage")
    full = float(curve["risk"].iloc[-1])
    answered = curve[curve["threshold"] < threshold] if threshold is not None else curve
    at = answered.iloc[-1] if len(answered) else curve.iloc[0]
    title = f"Answering {look.percent(at['coverage'])} of the requests, {look.percent(at['risk'])} of the calls are wrong"
    subtitle = f"Answering all of them: {look.percent(full)}; the dot is the threshold chosen on other requests"
    figure = look.canvas(
        title, subtitle if threshold is not None else f"{len(curve):,} requests, the surest first", theme=theme, height=0.8, right=1
    )
    figure.add_scatter(
        x=curve["coverage"], y=curve["risk"], mode="lines", line={"color": look.KEPT, "width": 3}, showlegend=False,
        hovertemplate="%{x:.0%} answered: %{y:.1%} wrong<extra></extra>",
    )  # fmt: skip
    if threshold is not None:
        figure.add_scatter(
            x=[at["coverage"]], y=[at["risk"]], mode="markers", marker={"color": look.LOST, "size": look.theme_of(theme).text},
            showlegend=False,
            hovertemplate="the chosen threshold: %{x:.0%} answered, %{y:.1%} wrong<extra></extra>",
        )  # fmt: skip
    figure.update_xaxes(title_text="requests answered with a call", tickformat=".0%", range=[0, 1.02])
    return figure.update_yaxes(title_text="calls that are wrong", tickformat=".0%", rangemode="tozero")


def calls_by_requests(curve: pd.DataFrame, *, theme: str = "screen") -> go.Figure:
    """How many training requests it takes: each measure against their number.

    Parameters
    ----------
    curve : DataFrame
        One row a number of requests and measure: requests, measure, value; low and high where there is an interval.
    theme : screen, paper or talk

    Raises
    ------
    InputError
        If a column is missing or holds no numbers.
    """
    look.theme_of(theme)
    look.need(curve, ["requests", "measure", "value"], "calls by requests")
    if curve.empty:
        return look.nothing("No training to show", theme)
    look.need_numbers(curve, ["requests", "value"], "calls by requests")
    measures = list(dict.fromkeys(curve["measure"].astype(str)))
    last = curve[curve["measure"] == measures[-1]].sort_values("requests")
    first_, last_ = last.iloc[0], last.iloc[-1]
    grown = f"{look.percent(first_['value'])} to {look.percent(last_['value'])}"
    title = f"From {first_['requests']:,.0f} to {last_['requests']:,.0f} requests: {measures[-1]} {grown}"
    figure = look.canvas(title, "Training requests; test requests are the same throughout", theme=theme, height=0.85, right=11)
    for number, name in enumerate(measures):
        own = curve[curve["measure"] == name].sort_values("requests")
        error = None
        if {"low", "high"} <= set(own.columns):
            error = {
                "type": "data",
                "array": own["high"] - own["value"],
                "arrayminus": own["value"] - own["low"],
                "thickness": 1.4,
                "width": 0,
            }
        figure.add_scatter(
            x=own["requests"], y=own["value"], mode="lines+markers", name=look.escape(name, 24), error_y=error,
            line={"color": look.FEW[number % len(look.FEW)], "width": 3}, marker={"size": 9},
            hovertemplate=f"{look.escape(name, 24)}<br>%{{x:,}} requests: %{{y:.1%}}<extra></extra>",
        )  # fmt: skip
    ticks = sorted(set(curve["requests"]))
    figure.update_xaxes(type="log", title_text="training requests", tickvals=ticks, ticktext=[f"{tick:,.0f}" for tick in ticks])
    return figure.update_yaxes(title_text="share of test requests", tickformat=".0%", range=[0, 1.03])


def _spaced(name: str) -> str:
    """A function's name as words."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", str(name)).replace("_", " ")


def _worst(wide: pd.DataFrame) -> str:
    wrong = [(float(wide.loc[a, b]), str(a), str(b)) for a in wide.index for b in wide.columns if a != b]
    count, asked, answered = max(wrong, default=(0.0, "", ""))
    if not count:
        return "Rows: what was asked for; columns: what was answered; nothing was mistaken"
    return f"Most often mistaken: {_spaced(asked)[:30]} for {_spaced(answered)[:30]}, {look.plural(count, 'time')}"


def _paper_words(table: pd.DataFrame) -> tuple[str, str]:
    subtitle = "Percent of right calls; lines: 95\u00a0% intervals (Wilson)"
    yours = table[table["origin"] == "yours"]
    if yours.empty or "retrieval" not in yours or yours["retrieval"].isna().all():
        return "The paper's tuned model beats retrieval on most functions", subtitle
    both = yours.dropna(subset=["retrieval"])
    of = float(both["requests"].sum())
    tuned, rules = (round(float((both[column] * both["requests"]).sum()) / 100) for column in ("tuned", "retrieval"))
    sure = "" if _differ(tuned / of, rules / of, of) else ": not decided"
    return f"Tuned gets {tuned:,} of your {of:,.0f} requests right, the rules {rules:,}{sure}", subtitle


def _differ(one: float, other: float, of: float) -> bool:
    """Whether two shares of `of` requests surely differ: the pooled z test of two proportions at 5 %, as if each had answered others."""
    pooled = (one + other) / 2
    return abs(one - other) > 1.96 * math.sqrt(2 * pooled * (1 - pooled) / of)


def _told(column: str, origin: str) -> str:
    return "tuned" if column == "tuned" else RULES if origin == "yours" else "retrieval"
