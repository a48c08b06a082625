"""Which pages give a benchmark away, and what do the deltas of trained models say?"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from hare_lab.errors import InputError
from hare_lab.figures import look

WAYS = {"ngram": ("copied", look.FEW[3]), "edited": ("edited", look.FEW[1]), "reworded": ("reworded", look.FEW[0]),
        "repeated": ("excerpted", look.FEW[2])}  # fmt: skip
MOST = 12  # benchmarks that have a bar of their own


def leak_counts(counts: pd.DataFrame, *, pages: int = 0, theme: str = "screen") -> go.Figure:
    """How many pages hold items of each benchmark, and in which way; the benchmarks beyond the largest `MOST` are one bar.

    Parameters
    ----------
    counts : DataFrame with columns benchmark, how (ngram, edited, reworded, repeated), pages
    pages : how many pages were looked at; 0 leaves that out
    theme : screen, paper or talk

    Raises
    ------
    InputError
        If a column is missing or holds no numbers.
    """
    look.theme_of(theme)
    look.need(counts, ["benchmark", "how", "pages"], "leak counts")
    among = f" in {look.plural(pages, 'page')}" if pages else ""
    if counts.empty:
        return look.nothing(f"No benchmark item is given away{among}", theme)
    look.need_numbers(counts, ["pages"], "leak counts")
    table = counts.pivot_table(index="benchmark", columns="how", values="pages", aggfunc="sum", fill_value=0)
    table = table.loc[table.sum(axis=1).sort_values(ascending=False).index]
    total = {way: int(table[way].sum()) for way in WAYS if way in table.columns}
    most = max(total, key=lambda way: total[way])
    leaks = sum(total.values())
    which = WAYS[most][0] if leaks == 1 else f"{look.number(total[most])} of them {WAYS[most][0]}"
    title = f"{look.number(leaks)} leak{'' if leaks == 1 else 's'}{among}: {which}"
    said = {"ngram": "a run of words in common", "edited": "words in order, some changed", "reworded": "other words",
            "repeated": "much of the page stands in items"}  # fmt: skip
    subtitle = " · ".join(f"{WAYS[way][0]}: {said[way]}" for way in total)
    if len(table) > MOST:
        rest = table.iloc[MOST:].sum().to_frame(f"{len(table) - MOST:,} more").T
        table = pd.concat([table.iloc[:MOST], rest])
    figure = look.canvas(title, subtitle, theme=theme, height=min(1.0, 0.22 + 0.08 * len(table)), right=11)
    names = [look.escape(name, 28) for name in table.index]
    for way in total:
        values = table[way].to_numpy(float)
        figure.add_bar(
            y=list(range(len(names))), x=values, orientation="h", name=WAYS[way][0], marker_color=WAYS[way][1], hovertext=names,
            text=[f"{value:,.0f}" if value else "" for value in values], textposition="inside", insidetextanchor="middle",
            textangle=0, hovertemplate="%{hovertext}<br>%{x:,} pages " + WAYS[way][0] + "<extra></extra>",
        )  # fmt: skip
    figure.update_layout(barmode="stack", bargap=0.45, legend={"x": 1.01, "y": 1, "xanchor": "left", "traceorder": "normal"})
    figure.update_xaxes(title_text="pages; one that gives items away in two ways counts twice")
    return figure.update_yaxes(
        tickvals=list(range(len(names))), ticktext=names, range=[len(names) - 0.5, -0.5], showgrid=False, tickfont_color=look.INK
    )


def repetition_funnel(steps: pd.DataFrame, *, n: int, overlap: float = 0.5, theme: str = "screen") -> go.Figure:
    """What the rule of the paper's appendix A.4 removes: the texts that share a run of n words with an item, and of these those that go.

    Parameters
    ----------
    steps : DataFrame as `leakage.funnel` returns it
        One row an n: n, texts (all of them), shared (those with any run of n words that stands in an item), gone (those with more than
        `overlap` of their runs).
    n : the n that is chosen, in full colour
    overlap : the share above which a text goes, 0 to 1
    theme : screen, paper or talk

    Raises
    ------
    InputError
        If a column is missing or holds no numbers, or there is no row for n.
    """
    look.theme_of(theme)
    look.need(steps, ["n", "texts", "shared", "gone"], "repetition funnel")
    look.need_numbers(steps, ["n", "texts", "shared", "gone"], "repetition funnel")
    if n not in set(steps["n"]):
        raise InputError(f"n is {n}; the texts were compared at n = {', '.join(map(str, steps['n']))}")
    chosen = steps[steps["n"] == n].iloc[0]
    if not chosen["texts"]:
        return look.nothing("No text to compare", theme)
    gone, shared = int(chosen["gone"]), int(chosen["shared"])
    count, verb = look.sentence(look.number(gone)) if gone else "None", "goes" if gone < 2 else "go"
    others = f"{look.number(shared)} share{'s' if shared == 1 else ''} a run with an item"
    title = (
        f"{count} of {look.plural(chosen['texts'], 'text')} {verb} at n = {n}; {'all that share a run' if 0 < gone == shared else others}"
    )
    subtitle = f"orange: more than {look.percent(overlap)} of the text’s runs stand in items, so it goes · grey: fewer do, and it stays"
    figure = look.canvas(title, subtitle, theme=theme, height=0.72)
    for column, name, color in ((steps["gone"], "go", look.LOST), (steps["shared"] - steps["gone"], "share a run and stay", look.GREY)):
        figure.add_bar(
            x=steps["n"], y=column, showlegend=False, hovertemplate="n = %{x}: %{y:,} texts " + name + "<extra></extra>",
            marker_color=[color if here == n else look.mix(color, look.PAPER, 0.5) for here in steps["n"]],
        )  # fmt: skip
    between = "<br>of " if steps["shared"].max() >= 1_000 else " of "  # long numbers would run into each other
    for here, left, of in zip(steps["n"], steps["gone"], steps["shared"], strict=True):
        told, color = f"{left:,}{between}{of:,}", look.INK if here == n else look.QUIET
        figure.add_annotation(
            x=here, y=of, yanchor="bottom", showarrow=False, text=f"<b>{told}</b>" if here == n else told, font_color=color
        )  # fmt: skip
    figure.update_layout(barmode="stack", bargap=0.3)
    ticks = [f"<b>{here}</b>" if here == n else str(here) for here in steps["n"]]
    figure.update_xaxes(title_text="n: words of a run", tickvals=list(steps["n"]), ticktext=ticks, showgrid=False)
    return figure.update_yaxes(title_text="texts that share a run", range=[0, 1.15 * max(1, int(steps["shared"].max()))])


def leaks_on_map(points: pd.DataFrame, leak: Sequence[str], *, theme: str = "screen") -> go.Figure:
    """The corpus as a map on which the pages that hold a benchmark item stand out.

    Parameters
    ----------
    points : DataFrame as `topic_map` takes it
    leak : for each page how it leaks: "ngram", "edited", "reworded", "repeated" (much of the page stands in items), or "" for not at all
    theme : screen, paper or talk
    """
    from hare_lab.figures.maps import topic_map

    names = [WAYS[way][0] if way in WAYS else look.UNCLUSTERED for way in leak]
    if len(names) != len(points):
        raise InputError(f"leaks on the map: {len(names):,} entries for {len(points):,} pages; give one a page")
    shown = points.assign(leak=names)
    figure = topic_map(
        shown, color="leak", labels="topic" if "topic" in points else None, theme=theme, order=[name for name, _ in WAYS.values()]
    )
    colors = dict(WAYS.values())
    for trace in figure.data:
        found = next((name for name in colors if trace.name and trace.name.endswith(name)), "")
        if found:
            trace.marker.color = colors[found]
            trace.marker.size = 2 * float(trace.marker.size)
        elif trace.name:
            trace.name = trace.name.replace("none", "no leak")
    count = sum(name != look.UNCLUSTERED for name in names)
    topics = len({topic for topic, name in zip(shown["topic"], names, strict=True) if name != look.UNCLUSTERED}) if "topic" in shown else 0
    spread = f", in {look.plural(topics, 'topic')}" if topics else ""
    holders = look.sentence(look.number(count)) if count else "None"
    part = f" or {'is' if count < 2 else 'are'} part of one" if "repeated" in leak else ""
    title = f"{holders} of {look.plural(len(names), 'page')} {'holds' if count < 2 else 'hold'} a benchmark item{part}{spread}"
    subtitle = "coloured: pages that leak · grey: pages that don't · near pages are alike; the axes have no unit"
    figure.layout.meta.update(title=title, subtitle=subtitle, caption=f"{title}. {look.sentence(subtitle)}.")
    return figure.update_layout(title={"text": f"<b>{look.escape(title, look.TITLE)}</b>", "subtitle": {"text": look.escape(subtitle)}})


def leak_deltas(deltas: pd.DataFrame, *, own: Sequence[str] = (), theme: str = "screen") -> go.Figure:
    """How much better each model completes a benchmark than a paraphrased copy of it: the paper's table 2, and your own models.

    Parameters
    ----------
    deltas : DataFrame with columns model, benchmark, delta (points), and perhaps low, high (an interval)
    own : models to set apart from the paper's
    theme : screen, paper or talk

    Raises
    ------
    InputError
        If a column is missing or holds no numbers.
    """
    look.theme_of(theme)
    look.need(deltas, ["model", "benchmark", "delta"], "leak deltas")
    if deltas.empty:
        return look.nothing("No model was tested", theme)
    look.need_numbers(deltas, ["delta"], "leak deltas")
    models = list(dict.fromkeys(deltas["model"]))
    rows = {model: at for at, model in enumerate([m for m in models if m in own] + [m for m in models if m not in own])}
    top = deltas.iloc[int(deltas["delta"].to_numpy(float).argmax())]
    model, benchmark = look.short(top["model"], 20), look.short(top["benchmark"], 12)
    title = f"“{model}” {'gains' if top['delta'] < 0 else 'falls by'} {abs(top['delta']):.3g} points on a paraphrase of “{benchmark}”"
    subtitle = "each dot: a model on a benchmark; right of zero it completes the benchmark better than a paraphrased copy"
    figure = look.canvas(title, subtitle, theme=theme, height=min(1.4, 0.42 + 0.07 * len(rows)), right=15)
    benchmarks = list(dict.fromkeys(deltas["benchmark"]))
    tested = deltas.groupby("model")["benchmark"]
    dodge = 0.7 * ((tested.cumcount() + 0.5) / tested.transform("size") - 0.5)  # many lie at zero, one over the other
    deltas = deltas.assign(row=deltas["model"].map(rows) + dodge)
    for at, benchmark in enumerate(benchmarks):
        part = deltas[deltas["benchmark"] == benchmark]
        bars = None
        if {"low", "high"} <= set(part.columns) and part["low"].notna().any():
            bars = {"type": "data", "symmetric": False, "array": (part["high"] - part["delta"]).fillna(0),
                    "arrayminus": (part["delta"] - part["low"]).fillna(0), "thickness": 2}  # fmt: skip
        figure.add_scatter(
            x=part["delta"], y=part["row"], mode="markers", error_x=bars,
            name=look.escape(benchmark, 20),
            marker={"size": 10, "color": look.PALETTE[at % len(look.PALETTE)], "symbol": at % 8, "line": {"color": look.PAPER, "width": 1}},
            customdata=[look.escape(model, 40) for model in part["model"]],
            hovertemplate="%{customdata}, " + look.escape(benchmark, 20) + ": %{x:.2f} points<extra></extra>",
        )  # fmt: skip
    figure.add_vline(x=0, line={"color": look.INK, "width": 1.5, "dash": "dot"})
    if own:
        figure.add_hrect(
            y0=-0.5, y1=sum(model in own for model in models) - 0.5, fillcolor=look.GREY, opacity=0.25, line_width=0, layer="below"
        )
    figure.update_xaxes(title_text="delta of the 5-gram accuracy, in points (0: as good on either, clean or both copies read)")
    names = [f"<b>{look.escape(model, 26)}</b>" if model in own else look.escape(model, 26) for model in rows]
    figure.update_layout(legend={"x": 1.02, "y": 1, "xanchor": "left"})
    return figure.update_yaxes(tickvals=list(rows.values()), ticktext=names, range=[len(rows) - 0.5, -0.5], tickfont_color=look.INK)
