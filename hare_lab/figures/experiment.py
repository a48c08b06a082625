"""What an experiment found: loss against tokens, that curve read sideways, and differences with their intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from scipy.special import stdtrit

from hare_lab.errors import InputError
from hare_lab.figures import look


def ablation_curves(
    curves: pd.DataFrame, *, ours: str = "", baseline: str = "", order: Sequence[str] | None = None, theme: str = "screen"
) -> go.Figure:
    """Held-out loss against tokens read, one colour an arm: thin lines are seeds, the thick one their mean, the band its 95 % interval
    (from three seeds on).

    Parameters
    ----------
    curves : DataFrame
        One row an arm, seed and look: arm, seed, tokens, loss (bits per byte).
    ours, baseline : the two arms of the hypothesis, which have a colour of their own in all figures
    order : all arms in the order in which they take colours, so that figures of some of them agree; default: as they come
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
    colors = _colors(order or arms, ours, baseline)
    for arm in arms:
        color, mine = colors[arm], curves[curves["arm"].astype(str) == arm]
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
    lowest = _name_ends(figure, ends, colors, theme)
    span = [float(curves["loss"].min()), float(np.quantile(curves["loss"], 0.97))]  # the very first looks would flatten the rest
    pad = 0.06 * max(span[1] - span[0], 1e-3)
    figure.update_xaxes(title_text="tokens read", range=[0, 1.01 * float(curves["tokens"].max())])
    bottom = min(span[0] - pad, lowest - pad / 2)
    return figure.update_yaxes(title_text="bits per byte (lower is better)", range=[bottom, span[1] + pad], tickformat=".2f")


def tokens_to_target(
    curves: pd.DataFrame,
    *,
    ours: str,
    other: str,
    ratio: float,
    loss: float,
    reached: bool,
    low: float = math.nan,
    high: float = math.nan,
    theme: str = "screen",
) -> go.Figure:
    """The loss curves read sideways: how many times the tokens another arm needs for the loss that ours has.

    Parameters
    ----------
    curves : DataFrame
        One row an arm, seed and look, all at one learning rate: arm, seed, tokens, loss (bits per byte).
    ours, other : the two arms
    ratio, low, high : how many times the tokens, and its interval; where the other arm is not there yet, how many times it has read
    loss : ours at its last look, in bits per byte
    reached : whether the other arm comes to that loss
    theme : screen, paper or talk

    Raises
    ------
    InputError
        If a column is missing or holds no numbers, or an arm has no look.
    """
    look.theme_of(theme)
    look.need(curves, ["arm", "seed", "tokens", "loss"], "tokens to target")
    look.need_numbers(curves, ["tokens", "loss"], "tokens to target")
    sides = {arm: curves[curves["arm"].astype(str) == arm] for arm in (ours, other)}
    for arm, mine in sides.items():
        if mine.empty:
            raise InputError(f'tokens to target: "{arm}" has no look; give the curves of both arms')
    names = {arm: look.escape(arm, look.NAME) for arm in sides}
    if reached:
        title = f"“{look.short(other, 18)}” needs {ratio:.2f} times the tokens of “{look.short(ours, 18)}”"
        interval = f"; 95\u00a0% interval {low:.2f} to {high:.2f}" if math.isfinite(low) and math.isfinite(high) else ""
        subtitle = f"for the same held-out loss{interval}; thin lines: seeds"
    else:
        much = f"{ratio:.2f} times the tokens of" if ratio > 1.005 else "as many tokens as"
        title = f"“{look.short(other, 18)}” is not there yet with {much} “{look.short(ours, 18)}”"
        subtitle = "Dotted: the loss that it would have to reach; thin lines: seeds"
    figure = look.canvas(title, subtitle, theme=theme, right=16)
    text = look.theme_of(theme).text
    ends = {}
    for arm, color in ((other, look.QUIET), (ours, look.KEPT)):
        for _, one in sides[arm].groupby("seed"):
            figure.add_scatter(
                x=one["tokens"], y=one["loss"], mode="lines", line={"color": color, "width": 1}, opacity=0.35, hoverinfo="skip",
                showlegend=False,
            )  # fmt: skip
        ends[arm] = mean = _mean_curve(sides[arm])
        figure.add_scatter(
            x=mean["tokens"], y=mean["loss"], mode="lines+markers", line={"color": color, "width": 3}, marker={"size": 6}, name=names[arm],
            hovertemplate=f"{names[arm]}: %{{y:.3f}} at %{{x:,}} tokens<extra></extra>", showlegend=False,
        )  # fmt: skip
        own = arm == ours  # its name stands below its curve, for the dotted line begins where the curve ends
        figure.add_annotation(
            x=float(mean["tokens"].iloc[-1]), y=float(mean["loss"].iloc[-1]), text=names[arm], showarrow=False,
            xanchor="right" if own else "left", xshift=(-0.6 if own else 0.6) * text, yshift=-0.9 * text if own else 0,
            font={"size": round(0.95 * text), "color": color},
        )  # fmt: skip
    here, last = float(ends[ours]["tokens"].iloc[-1]), float(ends[other]["tokens"].iloc[-1])
    start, there = (here, here * ratio) if reached else (0.0, max(last, here))
    figure.add_shape(type="line", x0=start, x1=there, y0=loss, y1=loss, line={"color": look.INK, "width": 2, "dash": "dot"})
    if reached:
        figure.add_annotation(
            x=(here + there) / 2, y=loss, text=f"× {ratio:.2f}", showarrow=False, yanchor="top", font={"size": text, "color": look.INK}
        )
    shown = np.concatenate([end["loss"].to_numpy()[len(end) // 8 :] for end in ends.values()])  # the first looks would flatten the rest
    pad = 0.06 * max(float(np.ptp(shown)), 1e-3)
    figure.update_xaxes(title_text="tokens read", range=[0, 1.01 * max(here, last, there)])
    return figure.update_yaxes(
        title_text="bits per byte (lower is better)", range=[min(shown.min(), loss) - 2 * pad, shown.max() + pad], tickformat=".2f"
    )


def arm_differences(
    differences: pd.DataFrame, *, ours: str, baseline: str, order: Sequence[str] | None = None, theme: str = "screen"
) -> go.Figure:
    """Every arm against the baseline, with the interval over seeds; a result against the hypothesis is as large as one for it.

    Parameters
    ----------
    differences : DataFrame
        One row an arm: arm, value (arm minus baseline, bits per byte), low, high, p_holm, seeds.
    ours, baseline : names of the two arms of the hypothesis
    order : all arms in the order in which they take colours, as for `ablation_curves`; default: as they come
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
    colors = _colors(order or list(differences["arm"]), ours, baseline)
    for place, row in rows.iterrows():
        mine, color = row["arm"] == ours, colors[row["arm"]]
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


def _colors(arms: Sequence[str], ours: str, baseline: str) -> dict[str, str]:
    """One colour an arm, the same in every figure that is told the same arms: ours blue, the baseline grey, the others in their order."""
    others = [arm for arm in arms if arm not in (ours, baseline)]
    return {arm: look.PALETTE[1 + at % (len(look.PALETTE) - 1)] for at, arm in enumerate(others)} | {ours: look.KEPT, baseline: look.QUIET}


def _name_ends(figure: go.Figure, ends: dict[str, pd.DataFrame], colors: dict[str, str], theme: str) -> float:
    """Each arm's name at the end of its curve, moved apart where they would touch; how low the lowest stands."""
    text = look.theme_of(theme).text
    values = np.array([float(curve["loss"].iloc[-1]) for curve in ends.values()])
    spread = max(float(np.ptp(np.concatenate([c["loss"].to_numpy() for c in ends.values()]))), 1e-3)
    placed = _apart(values, 0.055 * spread)
    for (arm, curve), y in zip(ends.items(), placed, strict=True):
        color = look.readable_on_paper(colors[arm])
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


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "\u2212")


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"
