"""What fine-tuning does: how each score moved, with how sure that is."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from hare_lab.figures import look


def tuning_effect(effect: pd.DataFrame, *, theme: str = "screen") -> go.Figure:
    """The change of each score by tuning, the reader's tasks above, the paper's below; where a line misses zero, it is sure.

    Parameters
    ----------
    effect : DataFrame
        As `evaluation.tuning_effect` gives it: task, origin (yours or paper), before, after, change, low, high, sure; shares from 0 to 1.
        Where `items` says of how many questions, so does the figure.
    theme : screen, paper or talk

    Raises
    ------
    InputError
        If a column is missing or holds no numbers.
    """
    look.theme_of(theme)
    look.need(effect, ["task", "origin", "before", "after", "change", "low", "high", "sure"], "tuning effect")
    if effect.empty:
        return look.nothing("No score to show", theme)
    look.need_numbers(effect, ["before", "after", "change", "low", "high"], "tuning effect")
    rows = effect.reset_index(drop=True)
    subtitle = "Change of each score by tuning, in points; lines: 95\u00a0% intervals; grey: may be chance"
    figure = look.canvas(_title(rows), subtitle, theme=theme, height=min(1.2, 0.32 + 0.075 * len(rows)), right=2)
    text = look.theme_of(theme).text
    figure.add_vline(x=0, line={"color": look.INK, "width": 1.5})
    own = rows["origin"] == "yours"
    place = rows.index.to_numpy(float) + 0.6 * (~own).to_numpy(float) * own.any()  # a gap between the reader's and the paper's
    for y, row in zip(place, rows.itertuples(), strict=True):
        color = look.QUIET if not row.sure else look.KEPT if float(row.change) > 0 else look.LOST  # type: ignore[arg-type]
        task = look.escape(row.task, look.NAME)
        figure.add_scatter(
            x=[100 * float(row.low), 100 * float(row.high)], y=[y, y], mode="lines", line={"color": color, "width": 3},  # type: ignore[arg-type]
            hoverinfo="skip",
        )  # fmt: skip
        figure.add_scatter(
            x=[100 * float(row.change)], y=[y], mode="markers", marker={"size": 0.85 * text, "color": color},  # type: ignore[arg-type]
            hovertemplate=f"{task}: %{{x:+.1f}} points<extra></extra>",
        )  # fmt: skip
        count = f"   n = {float(row.items):,.0f}" if "items" in rows.columns else ""  # type: ignore[arg-type]
        figure.add_annotation(
            x=1, xref="paper", y=y, xanchor="right", showarrow=False, bgcolor=look.PAPER,
            text=f"{100 * float(row.before):.1f} → {100 * float(row.after):.1f}\u00a0%{count}",  # type: ignore[arg-type]
            font={"size": round(0.9 * text), "color": look.INK},
        )  # fmt: skip
    names = [look.escape(task, look.NAME) for task in rows["task"]]
    names = [name if mine else f"<i>{name}</i>, paper" for name, mine in zip(names, own, strict=True)]
    least, most = min(0.0, 100 * float(rows["low"].min())), max(0.0, 100 * float(rows["high"].max()))
    wide = max(most - least, 1e-6)
    figure.update_layout(showlegend=False)
    figure.update_xaxes(title_text="points more after tuning", range=[least - 0.06 * wide, most + 0.5 * wide], tickformat="+")
    return figure.update_yaxes(
        tickvals=place.tolist(), ticktext=names, range=[place[-1] + 0.6, -0.6], showgrid=False, tickfont_color=look.INK
    )


def _title(rows: pd.DataFrame) -> str:
    mine = rows[rows["origin"] == "yours"]
    whose = "your" if len(mine) else "the paper's"
    mine = mine if len(mine) else rows
    up, down = (int((mine["sure"].astype(bool) & (sign * mine["change"] > 0)).sum()) for sign in (1, -1))
    of = look.number(len(mine))
    if not up and not down and len(mine) == 1:
        return f"{look.sentence(whose)} score may not have moved by tuning"
    if not up and not down:
        return f"Tuning surely moved none of {whose} {of} scores"
    said = [f"raised {look.number(up)}"] * bool(up) + [f"lowered {look.number(down)}"] * bool(down)
    return f"Tuning surely {' and '.join(said)} of {whose} {of} scores"
