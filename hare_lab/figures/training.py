"""How a model learns, what its learning rate does meanwhile, and what each size of the ladder costs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from hare_lab.figures import look

# What hours mean to a person: the ticks of an axis of costs.
TIMES = {
    1 / 3600: "a second", 1 / 60: "a minute", 1.0: "an hour", 24.0: "a day", 24 * 30.4: "a month", 8_766.0: "a year",
    876_600.0: "a century", 8.766e7: "10,000 years",
}  # fmt: skip
HELD = "held out"  # pages, or conversations where a model is tuned
SMOOTH = 25  # the line is the mean over so many parts of the run; the dots behind it are the steps


def loss_curve(curve: pd.DataFrame, *, theme: str = "screen") -> go.Figure:
    """How the loss falls as a model reads: dots are steps, the line is their running mean.

    Parameters
    ----------
    curve : DataFrame
        One row a step: tokens (read so far), loss (nats a token). `run` where several models are compared; `heldout` where
        held-out pages were looked at (NaN between the looks).
    theme : screen, paper or talk

    Raises
    ------
    InputError
        If a column is missing or holds no numbers.
    """
    look.theme_of(theme)
    look.need(curve, ["tokens", "loss"], "loss curve")
    if curve.empty:
        return look.nothing("No step has been taken yet", theme)
    look.need_numbers(curve, ["tokens", "loss"], "loss curve")
    runs = curve["run"].astype(str) if "run" in curve.columns else pd.Series("loss in training", index=curve.index)
    names = list(dict.fromkeys(runs))
    title, subtitle = _curve_words(curve, runs, names)
    figure = look.canvas(title, subtitle, theme=theme, right=14 if len(names) > 1 or "heldout" in curve.columns else 0)
    for number, name in enumerate(names):
        part, color = curve[runs == name], look.FEW[number % len(look.FEW)]
        told = look.escape(name, 24)
        if len(names) == 1:
            figure.add_scatter(
                x=part["tokens"], y=part["loss"], mode="markers", marker={"color": color, "size": 4, "opacity": 0.25}, hoverinfo="skip",
                showlegend=False,
            )  # fmt: skip
        smooth = _smoothed(part)
        figure.add_scatter(
            x=smooth["tokens"], y=smooth["loss"], mode="lines", line={"color": color, "width": 3}, name=told,
            hovertemplate=f"{told}<br>%{{x:,.0f}} tokens: %{{y:.3f}}<extra></extra>",
        )  # fmt: skip
        held = part.dropna(subset=["heldout"]) if "heldout" in part.columns else part.iloc[:0]
        if len(held):
            figure.add_scatter(
                x=held["tokens"], y=held["heldout"], mode="lines+markers", line={"color": look.LOST, "width": 2, "dash": "dot"},
                marker={"size": 8}, name=HELD, hovertemplate="held out<br>%{x:,.0f} tokens: %{y:.3f}<extra></extra>",
            )  # fmt: skip
    figure.update_layout(showlegend=len(figure.data) > 2 or len(names) > 1)
    figure.update_xaxes(title_text="tokens read", rangemode="tozero")
    return figure.update_yaxes(title_text="loss, nats a token", tickformat=".1f")


def training_costs(cards: pd.DataFrame, *, here: str = "this machine", theme: str = "screen") -> go.Figure:
    """How long each size of the ladder trains, on this machine and on one large GPU.

    Parameters
    ----------
    cards : DataFrame
        One row a size, smallest first: name, parameters, tokens, hours_here, hours_gpu (as `models.cards` makes them).
    here : what to call the machine
    theme : screen, paper or talk

    Raises
    ------
    InputError
        If a column is missing or holds no numbers.
    """
    look.theme_of(theme)
    look.need(cards, ["name", "parameters", "tokens", "hours_here", "hours_gpu"], "training costs")
    if cards.empty:
        return look.nothing("No model to show", theme)
    numbers = ["parameters", "tokens", "hours_here", "hours_gpu"]
    look.need_numbers(cards, numbers, "training costs")
    title, subtitle = _cost_words(cards, here)
    figure = look.canvas(title, subtitle, theme=theme, right=12, height=min(1.0, 0.3 + 0.1 * len(cards)))
    rows = list(range(len(cards)))
    for row, (gpu, own) in enumerate(zip(cards["hours_gpu"], cards["hours_here"], strict=True)):
        figure.add_scatter(
            x=[gpu, own], y=[row, row], mode="lines", line={"color": look.GREY, "width": 3}, hoverinfo="skip", showlegend=False
        )
    for column, name, color in (("hours_gpu", "one large GPU", look.FEW[2]), ("hours_here", here, look.FEW[0])):
        told = [f"{look.escape(n, 24)} on {look.escape(name, 30)}: {time_of(h)}" for n, h in zip(cards["name"], cards[column], strict=True)]
        figure.add_scatter(
            x=cards[column], y=rows, mode="markers", marker={"color": color, "size": 14}, name=look.escape(name, 30), hovertext=told,
            hovertemplate="%{hovertext}<extra></extra>",
        )  # fmt: skip
    low, high = float(cards["hours_gpu"].min()), float(cards["hours_here"].max())
    ticks = {at: name for at, name in TIMES.items() if low / 60 < at < high * 60}
    figure.update_xaxes(
        type="log", title_text="training time", tickvals=list(ticks), ticktext=list(ticks.values()),
        range=[np.log10(low) - 0.4, np.log10(high) + 0.4],
    )  # fmt: skip
    names = [f"{look.escape(name, 20)} " for name in cards["name"]]
    return figure.update_yaxes(tickvals=rows, ticktext=names, range=[len(rows) - 0.5, -0.5], showgrid=False, tickfont_color=look.INK)


def learning_rate(rates: pd.DataFrame, *, theme: str = "screen") -> go.Figure:
    """How large a step the model takes as training goes on.

    Parameters
    ----------
    rates : DataFrame
        One row a step: step (from 1), rate; `schedule` where several are compared.
    theme : screen, paper or talk

    Raises
    ------
    InputError
        If a column is missing or holds no numbers.
    """
    look.theme_of(theme)
    look.need(rates, ["step", "rate"], "learning rate")
    if rates.empty:
        return look.nothing("No step to show", theme)
    look.need_numbers(rates, ["step", "rate"], "learning rate")
    named = rates["schedule"].astype(str) if "schedule" in rates.columns else pd.Series("learning rate", index=rates.index)
    top = rates.iloc[int(rates["rate"].to_numpy(float).argmax())]
    title = f"The rate peaks at {top['rate']:.2g} in step {top['step']:,.0f} and ends at {rates['rate'].iloc[-1]:.1g}"
    names = list(dict.fromkeys(named))
    figure = look.canvas(title, f"{rates['step'].max():,.0f} steps", theme=theme, height=0.75, right=10 if len(names) > 1 else 0)
    for number, name in enumerate(names):
        part, told = rates[named == name], look.escape(name, 24)
        figure.add_scatter(
            x=part["step"], y=part["rate"], mode="lines", line={"color": look.FEW[number % len(look.FEW)], "width": 3}, name=told,
            hovertemplate=f"{told}<br>step %{{x:,}}: %{{y:.2g}}<extra></extra>",
        )  # fmt: skip
    figure.update_layout(showlegend=len(names) > 1)
    figure.update_xaxes(title_text="step")
    return figure.update_yaxes(title_text="learning rate", rangemode="tozero", tickformat=".1e", exponentformat="power")


def time_of(hours: float) -> str:
    """Hours as a person says them, as exactly as the training card does."""
    for unit, size in (("year", 8_766.0), ("day", 24.0), ("hour", 1.0), ("minute", 1 / 60)):
        if hours >= size:
            count = f"{hours / size:,.1f}".removesuffix(".0") if hours < 10 * size else f"{hours / size:,.0f}"
            return f"{count} {unit}{'' if count == '1' else 's'}"
    return look.plural(round(hours * 3600), "second")


def _smoothed(part: pd.DataFrame) -> pd.DataFrame:
    """The running mean over a `SMOOTH`th of the run: each point the mean of the steps around it."""
    width = max(1, len(part) // SMOOTH)
    return part[["tokens", "loss"]].rolling(width, center=True, min_periods=1).mean()


def _curve_words(curve: pd.DataFrame, runs: pd.Series, names: list[str]) -> tuple[str, str]:
    """What the held-out looks say, where there are some: what is read again and again is learnt by heart, so training says less."""
    looks = {name: curve[runs == name]["heldout"].dropna().tolist() if "heldout" in curve.columns else [] for name in names}
    ends = {name: float(_smoothed(curve[runs == name])["loss"].iloc[-1]) for name in names}
    subtitle = f"{curve['tokens'].max():,.0f} tokens; a nat more is 2.7 times as surprised"
    if len(names) > 1:
        held = all(looks.values())
        best = min(names, key=lambda name: (looks[name][-1:] if held else [], ends[name]))
        where, last = (", held out", looks[best][-1]) if held else (" in training", ends[best])
        return f"“{look.short(best)}” ends lowest{where}, at {last:.2f} nats a token", subtitle
    trained = _moved(float(curve["loss"].iloc[0]), ends[names[0]])
    seen = looks[names[0]]
    if not seen:
        return f"The loss {trained} nats a token", f"from the first step to the running mean at the end; {subtitle}"
    title = f"Held out, the loss {_moved(seen[0], seen[-1])} nats a token" if len(seen) > 1 else f"Held out, the loss is {seen[0]:.2f}"
    return title, f"in training it {trained} (the first step, the running mean at the end); {subtitle}"


def _moved(first: float, last: float) -> str:
    """Whether a loss fell or rose, as far as two decimals tell."""
    if f"{first:.2f}" == f"{last:.2f}":
        return f"stayed at {last:.2f}"
    return f"{'fell' if last < first else 'rose'} from {first:.2f} to {last:.2f}"


def _cost_words(cards: pd.DataFrame, here: str) -> tuple[str, str]:
    first, last = cards.iloc[0], cards.iloc[-1]
    title = f"On {here} {first['name']} takes {time_of(first['hours_here'])}, {last['name']} {time_of(last['hours_here'])}"
    shares = (cards["tokens"] / cards["parameters"]).to_numpy(float)
    even = np.allclose(shares, shares[0], rtol=0.02)
    each = f"{shares[0]:,.0f} tokens a parameter" if even else f"{cards['tokens'].iloc[0]:,.0f} tokens each"
    return title, f"{each}; {time_of(last['hours_gpu'])} for {last['name']} on one large GPU"
