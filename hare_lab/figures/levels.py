"""Score against how many human priors were at work: Figure 1 of the HARE paper, with intervals and a mark for who read the exam."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from hare_lab.figures import look


def score_against_priors(
    arms: pd.DataFrame, *, score: str = "score", unit: str = "score", chance: float | None = None, theme: str = "screen"
) -> go.Figure:
    """How good a model is against how many human priors chose its pages, with the ones that read the benchmark marked.

    Parameters
    ----------
    arms : DataFrame
        One row an arm: arm, level (human priors at work), leaked (bool), the column `score` (higher is better), and low and high of
        it where known: an interval that is missing, infinite or of no width is not drawn. A column `leakage_delta`, where there is
        one, is what the model-side test says.
    score, unit : the column, and what its axis says
    chance : what guessing reaches, where the score is one that a guess can reach
    theme : screen, paper or talk

    Raises
    ------
    InputError
        If a column is missing or holds no numbers.

    References
    ----------
    Figure 1 of the HARE paper (arXiv 2406.11410).
    """
    look.theme_of(theme)
    look.need(arms, ["arm", "level", "leaked", score], "score against priors")
    if arms.empty:
        return look.nothing("No arm to show", theme)
    look.need_numbers(arms, ["level", score], "score against priors")
    title = _priors_title(arms, score, chance)
    tested = "leakage_delta" in arms
    if {"low", "high"} <= set(arms.columns):
        known = np.isfinite(arms["low"]) & np.isfinite(arms["high"]) & (arms["low"] < arms["high"])
        arms = arms.assign(low=arms["low"].where(known), high=arms["high"].where(known))
    else:
        known = pd.Series(False, index=arms.index)
    none = "" if known.all() else ", none where seeds are few or equal"
    lines = f"lines: 95\u00a0% intervals{none}" if known.any() else "too few seeds for an interval"
    read = "orange diamonds have read the benchmark" if arms["leaked"].any() else "no arm read the benchmark"
    subtitle = f"Points: means over seeds; {lines}; {read}"
    figure = look.canvas(title, subtitle, theme=theme, height=0.85, right=3 if chance is None else 10)
    text = look.theme_of(theme).text
    place = arms.groupby("level").cumcount() - (arms.groupby("level")["arm"].transform("size") - 1) / 2
    arms = arms.assign(x=arms["level"] + 0.13 * place)  # arms of one level stand side by side
    for leaked, group in arms.groupby(arms["leaked"].astype(bool)):
        color = look.LOST if leaked else look.KEPT
        bars = {}
        if {"low", "high"} <= set(group.columns):
            up, down = (group["high"] - group[score]).to_numpy(float), (group[score] - group["low"]).to_numpy(float)
            bars = {"error_y": {"type": "data", "array": _finite(up), "arrayminus": _finite(down), "thickness": 1.6, "width": 0}}
        delta = [f"<br>leakage test: {v:+.3f}" for v in group["leakage_delta"]] if tested else [""] * len(group)
        figure.add_scatter(
            x=group["x"], y=group[score], mode="markers", showlegend=False, **bars,
            marker={"size": text, "color": color, "symbol": "diamond" if leaked else "circle"},
            hovertext=[f"{look.escape(a, look.NAME)}{d}" for a, d in zip(group["arm"], delta, strict=True)],
            hovertemplate="%{hovertext}<br>%{y:.3f}<extra></extra>",
        )  # fmt: skip
    if chance is not None:
        words = {"text": "guessing", "showarrow": False, "xanchor": "left", "xshift": 0.3 * text}
        figure.add_hline(y=chance, line={"color": look.INK, "width": 1.5, "dash": "dot"})
        figure.add_annotation(x=1, xref="paper", y=chance, font={"size": round(0.9 * text), "color": look.INK}, **words)
    low, high = _whiskers(arms, score)
    ends = (float(arms["x"].min()) - 0.3, float(arms["x"].max()) + 0.3)
    bottom, top = (float(edge([*whiskers, *([] if chance is None else [chance])])) for edge, whiskers in ((np.min, low), (np.max, high)))
    pad = 0.06 * (top - bottom) or 1e-3
    highest = _name_points(figure, arms, low, high, ends, pad, chance)
    beside = " (arms of one level stand side by side)" if arms["level"].duplicated().any() else ""
    figure.update_xaxes(title_text=f"human priors at work in the choice of pages{beside}", range=ends, dtick=1)
    return figure.update_yaxes(title_text=look.escape(unit), range=[bottom - pad, max(top, highest) + pad])


def _whiskers(arms: pd.DataFrame, score: str) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper end of each arm's interval; the point itself where there is none."""
    value = arms[score].to_numpy(float)
    low, high = (arms[c].to_numpy(float) if c in arms else value for c in ("low", "high"))
    return np.where(np.isfinite(low), low, value), np.where(np.isfinite(high), high, value)


def _name_points(
    figure: go.Figure, arms: pd.DataFrame, low: np.ndarray, high: np.ndarray, ends: tuple[float, float], line: float, chance: float | None
) -> float:
    """Each arm's name above its own whisker, tied to it by dots; on the side where it stands lower, above what is in the way.

    From the right to the left, so that a name passes over those of its neighbours. `line` is the height of one in units of the score;
    returns how high the highest stands.
    """
    theme = look.theme_of(figure.layout.meta["theme"])
    size = round(0.9 * theme.text)
    letter = 0.56 * size * (ends[1] - ends[0]) / (theme.width - 9 * theme.text)
    x, names = arms["x"].to_numpy(float), [look.escape(name, 20) for name in arms["arm"]]
    taken = [(at - 0.3 * letter, at + 0.3 * letter, a, b) for at, a, b in zip(x, low, high, strict=True)]
    taken += [] if chance is None else [(*ends, chance, chance)]
    order = np.argsort(-x, kind="stable")
    for turn, arm in enumerate(order):
        lines = [(x[other], x[other], high[other], math.inf) for other in order[turn + 1 :]]  # of those that have no name yet
        wide = letter * (len(arms["arm"].iloc[arm][:20]) + 1)
        sides = [side for side in ((x[arm], x[arm] + wide), (x[arm] - wide, x[arm])) if ends[0] <= side[0] and side[1] <= ends[1]]
        tries = [(*side, y - 0.5 * line, y + 0.5 * line) for y in high[arm] + line * np.arange(0.8, 80, 0.4) for side in sides or [ends]]
        box = next((box for box in tries if not _hits([*taken, *lines], *box)), tries[0])
        y, right = (box[2] + box[3]) / 2, box[0] < x[arm]
        taken += [box, (x[arm], x[arm], high[arm], y)]
        start, end = high[arm] + 0.5 * line, y + 0.4 * line  # a gap and dots, so that no one takes it for a part of the whisker
        figure.add_shape(type="line", x0=x[arm], x1=x[arm], y0=start, y1=end, line={"color": look.GREY, "width": 1.5, "dash": "dot"})
        color = look.readable_on_paper(look.LOST) if arms["leaked"].iloc[arm] else look.INK
        figure.add_annotation(
            x=x[arm], y=y, text=names[arm], showarrow=False, xanchor="right" if right else "left", xshift=-3 if right else 3,
            font={"size": size, "color": color},
        )  # fmt: skip
    return float(max(box[3] for box in taken))


def _hits(taken: list[tuple[float, float, float, float]], left: float, right: float, low: float, high: float) -> bool:
    """Whether a box overlaps one that is taken; each is left, right, low, high."""
    return any(left < b and a < right and low < d and c < high for a, b, c, d in taken)


def _priors_title(arms: pd.DataFrame, score: str, chance: float | None = None) -> str:
    leaked = arms["leaked"].astype(bool)
    clean = arms[~leaked]
    best = arms.iloc[int(arms[score].to_numpy(float).argmax())]
    if chance is not None and "low" in arms:  # below guessing there is no better and no worse
        sure = arms["low"] > chance
        if not sure.any():
            return "No arm scores surely above guessing"
        if not sure[~leaked].any():
            return "Only who has read the benchmark scores surely above guessing"
    if bool(best["leaked"]):
        return f"“{str(best['arm'])[: look.NAME]}” scores best, for it has read the benchmark"
    if len(clean) > 2 and clean["level"].nunique() > 1:
        slope = float(np.corrcoef(clean["level"], clean[score])[0, 1]) if float(np.ptp(clean[score])) else 0.0
        return (
            "More priors, better score"
            if slope > 0.5
            else "More priors, worse score"
            if slope < -0.5
            else "More priors do not make the score better"
        )
    return f"“{str(best['arm'])[: look.NAME]}” scores best"


def _finite(values: np.ndarray) -> list[Any]:
    return [float(v) if math.isfinite(v) else 0.0 for v in values]
