"""What an experiment found: loss against tokens, differences with their intervals, and score against human priors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from scipy.special import stdtrit

from hare_lab.figures import look


def ablation_curves(curves: pd.DataFrame, *, theme: str = "screen") -> go.Figure:
    """Held-out loss against tokens read, one colour an arm: thin lines are seeds, the thick one their mean, the band its 95 % interval
    (from three seeds on).

    Parameters
    ----------
    curves : DataFrame
        One row an arm, seed and look: arm, seed, tokens, loss (bits per byte).
    theme : screen, paper or talk

    Raises
    ------
    InputError
        If a column is missing or holds no numbers.

    References
    ----------
    Figure 3 of the HARE paper (arXiv 2406.11410), which has one run a curve and no interval.
    """
    look.theme_of(theme)
    look.need(curves, ["arm", "seed", "tokens", "loss"], "ablation curves")
    if curves.empty:
        return look.nothing("No look to draw", theme)
    look.need_numbers(curves, ["tokens", "loss"], "ablation curves")
    arms = list(dict.fromkeys(curves["arm"].astype(str)))
    ends = {arm: _mean_curve(curves[curves["arm"].astype(str) == arm]) for arm in arms}
    seeds = int(curves.groupby("arm")["seed"].nunique().max())
    title = _curves_title(ends)
    band = ", band: its 95\u00a0% interval" if seeds > 2 else ""  # of two seeds it would fill the picture and say nothing
    subtitle = f"Held-out pages, every topic alike; thin: {look.plural(seeds, 'seed')}, thick: their mean{band}"
    figure = look.canvas(title, subtitle if seeds > 1 else "Held-out pages, every topic alike; one seed", theme=theme, right=16)
    for turn, arm in enumerate(arms):
        color, mine = look.PALETTE[turn % len(look.PALETTE)], curves[curves["arm"].astype(str) == arm]
        mean, name = ends[arm], look.escape(arm, look.NAME)
        if seeds > 1:
            for _, one in mine.groupby("seed"):
                figure.add_scatter(
                    x=one["tokens"], y=one["loss"], mode="lines", line={"color": color, "width": 1}, opacity=0.4, hoverinfo="skip",
                    showlegend=False,
                )  # fmt: skip
        if mean["half"].notna().all() and len(mine["seed"].unique()) > 2:
            x = [*mean["tokens"], *mean["tokens"][::-1]]
            y = [*(mean["loss"] + mean["half"]), *(mean["loss"] - mean["half"])[::-1]]
            figure.add_scatter(
                x=x, y=y, mode="lines", line={"width": 0}, fill="toself", fillcolor=color, opacity=0.13, hoverinfo="skip", showlegend=False
            )
        figure.add_scatter(
            x=mean["tokens"], y=mean["loss"], mode="lines+markers", line={"color": color, "width": 3}, marker={"size": 6}, name=name,
            hovertemplate=f"{name}: %{{y:.3f}} at %{{x:,}} tokens<extra></extra>", showlegend=False,
        )  # fmt: skip
    lowest = _name_ends(figure, ends, theme)
    span = [float(curves["loss"].min()), float(np.quantile(curves["loss"], 0.97))]  # the very first looks would flatten the rest
    pad = 0.06 * max(span[1] - span[0], 1e-3)
    figure.update_xaxes(title_text="tokens read", range=[0, 1.01 * float(curves["tokens"].max())])
    bottom = min(span[0] - pad, lowest - pad / 2)
    return figure.update_yaxes(title_text="bits per byte (lower is better)", range=[bottom, span[1] + pad], tickformat=".2f")


def arm_differences(differences: pd.DataFrame, *, ours: str, baseline: str, theme: str = "screen") -> go.Figure:
    """Every arm against the baseline, with the interval over seeds; a result against the hypothesis is as large as one for it.

    Parameters
    ----------
    differences : DataFrame
        One row an arm: arm, value (arm minus baseline, bits per byte), low, high, p_holm, seeds.
    ours, baseline : names of the two arms of the hypothesis
    theme : screen, paper or talk

    Raises
    ------
    InputError
        If a column is missing.
    """
    look.theme_of(theme)
    look.need(differences, ["arm", "value", "low", "high", "p_holm", "seeds"], "arm differences")
    if differences.empty:
        return look.nothing("No arm to compare yet", theme)
    look.need_numbers(differences, ["value"], "arm differences")
    rows = differences.sort_values("value").reset_index(drop=True)
    title = _difference_title(rows, ours, baseline)
    subtitle = "Difference in held-out bits per byte, seed by seed; lines: 95\u00a0% intervals, each by itself; p (Holm): of all together"
    height = min(1.1, 0.34 + 0.075 * len(rows))
    figure = look.canvas(title, subtitle, theme=theme, height=height, right=2)
    text = look.theme_of(theme).text
    reach = 1.25 * float(np.nanmax(np.abs(np.where(np.isfinite(rows[["low", "high"]]), rows[["low", "high"]], rows[["value", "value"]]))))
    reach = reach or 0.01
    figure.add_vline(x=0, line={"color": look.INK, "width": 1.5})
    for place, row in rows.iterrows():
        mine = row["arm"] == ours
        color = look.KEPT if mine else look.QUIET
        low, high = max(float(row["low"]), -9 * reach), min(float(row["high"]), 9 * reach)
        name, sure = look.escape(row["arm"], look.NAME), f"p = {row['p_holm']:.3f} (Holm), {look.plural(int(row['seeds']), 'seed')}"
        figure.add_scatter(
            x=[low, high], y=[place, place], mode="lines", line={"color": color, "width": 4 if mine else 2}, hoverinfo="skip"
        )
        figure.add_scatter(
            x=[row["value"]], y=[place], mode="markers", marker={"size": (1.0 if mine else 0.75) * text, "color": color},
            hovertemplate=f"{name}: %{{x:+.4f}}<br>{sure}<extra></extra>",
        )  # fmt: skip
        figure.add_annotation(
            x=1, xref="paper", y=place, xanchor="right", showarrow=False, bgcolor=look.PAPER,
            text=f"{_signed(float(row['value']))}   p (Holm) {_p(float(row['p_holm']))}",
            font={"size": round(0.85 * text), "color": look.QUIET},
        )  # fmt: skip
    ends = np.nan_to_num(rows[["value", "low", "high"]].to_numpy(float), nan=0.0, posinf=reach, neginf=-reach)
    left, right = min(0.0, float(ends.min())), max(0.0, float(ends.max()))
    span = (right - left) or reach
    names = [f"<b>{look.escape(a, look.NAME)}</b>" if a == ours else look.escape(a, look.NAME) for a in rows["arm"]]
    figure.update_layout(showlegend=False)
    where = f"bits per byte minus “{look.escape(baseline, look.NAME)}” (left of zero is better)"
    figure.update_xaxes(title_text=where, range=[left - 0.08 * span, right + 0.45 * span], tickformat="+.2f")  # numbers stand on the right
    return figure.update_yaxes(
        tickvals=list(range(len(rows))), ticktext=names, range=[len(rows) - 0.4, -0.6], showgrid=False, tickfont_color=look.INK
    )


def score_against_priors(
    arms: pd.DataFrame, *, score: str = "score", unit: str = "score", chance: float | None = None, theme: str = "screen"
) -> go.Figure:
    """How good a model is against how many human priors chose its pages, with the ones that read the benchmark marked.

    Parameters
    ----------
    arms : DataFrame
        One row an arm: arm, level (human priors at work), leaked (bool), the column `score` (higher is better), and low and high of
        it where known. A column `leakage_delta`, where there is one, is what the model-side test says.
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
    subtitle = "Each point an arm, mean of its seeds; " + (
        "orange diamonds read the benchmark" if arms["leaked"].any() else "no arm read the benchmark"
    )
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
    figure.update_xaxes(title_text="human priors at work in the choice of pages", range=ends, dtick=1)
    return figure.update_yaxes(title_text=look.escape(unit), range=[bottom - pad, max(top, highest) + pad])


def _whiskers(arms: pd.DataFrame, score: str) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper end of each arm's interval; the point itself where there is none."""
    value = arms[score].to_numpy(float)
    low, high = (arms[c].to_numpy(float) if c in arms else value for c in ("low", "high"))
    return np.where(np.isfinite(low), low, value), np.where(np.isfinite(high), high, value)


def _name_points(
    figure: go.Figure, arms: pd.DataFrame, low: np.ndarray, high: np.ndarray, ends: tuple[float, float], line: float, chance: float | None
) -> float:
    """Each arm's name above its own whisker, tied to it by a thin line; on the side where it stands lower, above what is in the way.

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
        figure.add_shape(type="line", x0=x[arm], x1=x[arm], y0=high[arm], y1=y + 0.4 * line, line={"color": look.GREY, "width": 1})
        color = look.readable_on_paper(look.LOST) if arms["leaked"].iloc[arm] else look.INK
        figure.add_annotation(
            x=x[arm], y=y, text=names[arm], showarrow=False, xanchor="right" if right else "left", xshift=-3 if right else 3,
            font={"size": size, "color": color},
        )  # fmt: skip
    return float(max(box[3] for box in taken))


def _hits(taken: list[tuple[float, float, float, float]], left: float, right: float, low: float, high: float) -> bool:
    """Whether a box overlaps one that is taken; each is left, right, low, high."""
    return any(left < b and a < right and low < d and c < high for a, b, c, d in taken)


def _mean_curve(arm: pd.DataFrame) -> pd.DataFrame:
    """Mean loss at each look, and half of Student's 95 % interval; looks that not every seed has are left out."""
    rows = arm.groupby("tokens")["loss"].agg(["mean", "std", "count"])
    rows = rows[rows["count"] == rows["count"].max()].reset_index()
    n = int(rows["count"].iloc[0])
    half = rows["std"] / math.sqrt(n) * float(stdtrit(n - 1, 0.975)) if n > 1 else pd.Series(np.nan, index=rows.index)
    return pd.DataFrame({"tokens": rows["tokens"].astype(float), "loss": rows["mean"], "half": half})


def _curves_title(ends: dict[str, pd.DataFrame]) -> str:
    last = sorted((float(curve["loss"].iloc[-1]), arm) for arm, curve in ends.items())
    if len(last) == 1:
        return f"“{last[0][1][: look.NAME]}” ends at {last[0][0]:.3f} bits per byte"
    (best, name), (worst, other) = last[0], last[-1]
    return f"“{look.short(name, 18)}” ends lowest, {worst - best:.3f} below “{look.short(other, 18)}” at the last look"


def _name_ends(figure: go.Figure, ends: dict[str, pd.DataFrame], theme: str) -> float:
    """Each arm's name at the end of its curve, moved apart where they would touch; how low the lowest stands."""
    text = look.theme_of(theme).text
    values = np.array([float(curve["loss"].iloc[-1]) for curve in ends.values()])
    spread = max(float(np.ptp(np.concatenate([c["loss"].to_numpy() for c in ends.values()]))), 1e-3)
    placed = _apart(values, 0.055 * spread)
    for turn, ((arm, curve), y) in enumerate(zip(ends.items(), placed, strict=True)):
        color = look.readable_on_paper(look.PALETTE[turn % len(look.PALETTE)])
        figure.add_annotation(
            x=float(curve["tokens"].iloc[-1]), y=y, text=look.escape(arm, 24), showarrow=False, xanchor="left", xshift=0.6 * text,
            font={"size": round(0.95 * text), "color": color},
        )  # fmt: skip
    return float(placed.min())


def _apart(values: np.ndarray, least: float) -> np.ndarray:
    """Values moved as little as it takes to stand `least` apart, in their order."""
    order = np.argsort(values, kind="stable")
    placed = values[order].astype(float)
    for _ in range(200):
        gaps = np.diff(placed)
        close = gaps < least - 1e-12
        if not close.any():
            break
        push = np.where(close, (least - gaps) / 2, 0)
        placed[:-1] -= push
        placed[1:] += push
    out = np.empty(len(values))
    out[order] = placed
    return out


def _difference_title(rows: pd.DataFrame, ours: str, baseline: str) -> str:
    mine = rows[rows["arm"] == ours]
    name, other = ours[: look.NAME], baseline[: look.NAME]
    if mine.empty:
        return f"{look.sentence(look.number(len(rows)))} arms against “{other}”"
    row = mine.iloc[0]
    if not (float(row["low"]) > 0 or float(row["high"]) < 0):
        return f"“{name}” against “{other}”: {_signed(float(row['value']))} bits per byte, not decided"
    return f"“{name}” predicts {'better' if row['value'] < 0 else 'worse'} than “{other}”: {_signed(float(row['value']))} bits per byte"


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


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "\u2212")


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"
