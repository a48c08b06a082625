"""The corpus as a map: each point a page, near pages alike.

One WebGL trace a topic for the largest, one for all the others in muted tones, one behind for what is unclustered: 50,000
points stay smooth and the legend stays short. Names are written where their topic lies, the largest first, none over another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from hare_lab.figures import look

NAMED = 20  # topics with a colour of their own in the legend and a name on the map; more can't be told apart
CANDIDATES, APART = 200, 0.07  # of the smaller topics, those this share of the map's width away from every name are named too
HEAD, TITLE, SNIPPET, SOURCE = 60, 70, 120, 50  # most characters of each in a hover
SCALE = ["#2B1A55", "#414487", "#2F6C8E", "#21908C", "#35B779", "#8ED645", "#D9D32B"]  # viridis without its palest yellow
HALO = ", ".join(["1px 1px 1px #FFF", "-1px 1px 1px #FFF", "1px -1px 1px #FFF", "-1px -1px 1px #FFF", "0 0 3px #FFF", "0 0 5px #FFF"])
LEGEND = 30.0  # its width in letters
MARKS = "marks"
REST = look.mix(look.GREY, look.INK, 0.35)  # stands for the smaller topics together
_AXES = "near pages are alike; the axes have no unit"
_TOPIC_COLUMNS = ("topic", "cluster", "nearest_cluster", "name")


def topic_map(
    points: pd.DataFrame, *, color: str = "topic", theme: str = "screen", labels: str | None = None, order: Sequence[str] | None = None
) -> go.Figure:
    """The corpus as a map: each point a page, near pages alike.

    Parameters
    ----------
    points : DataFrame
        One row a page, with columns x, y (any unit), title, snippet, source and the one to colour by. Text is cut and
        escaped here.
    color : column of `points`
        Text or whole-number clusters get a colour each (unclustered, -1 and missing: light grey, behind), other numbers
        a scale.
    theme : screen, paper or talk
    labels : column of `points`
        Whose names are written on the map. Default: `color` where it holds names, else `topic` where there is one.
    order : topic names in the order in which they take colours; see `look.colors_of`

    Raises
    ------
    InputError
        If a column is missing, or a position is not a finite number.
    """
    look.theme_of(theme)
    look.need(points, dict.fromkeys(["x", "y", "title", "snippet", "source", color, *([labels] if labels else [])]), "topic map")
    if points.empty:
        return look.nothing("No page to map", theme)
    look.need_numbers(points, ["x", "y"], "topic map")
    points = points.reset_index(drop=True)  # values and topics are matched by it, and that of joined tables repeats itself
    scaled = _is_scale(points[color], color)
    written = labels or ("topic" if scaled and "topic" in points.columns else None if scaled else color)
    topics = _names(points[written], written) if written else None
    title, subtitle = _scale_words(points, color, topics) if scaled else _topic_words(points, color)
    names = _labels(points, topics, order, tinted=not scaled and written == color) if topics is not None else []
    low, high, beyond = _frame(points, names)
    far = f"; up to {look.plural(beyond, 'page')} lie beyond the edge: drag, or scroll out" if beyond else ""
    caption = f"Each point is a page, coloured by {color}; {subtitle}{far}"
    figure = look.canvas(title, subtitle, theme=theme, caption=caption, right=13.0 if scaled else LEGEND)
    figure.add_traces(_scaled(points, color, topics) if scaled else _by_topic(points, color, order))
    hidden: dict[str, Any] = {"visible": False, "constrain": "domain"}
    figure.update_layout(xaxis=hidden, yaxis={**hidden, "scaleanchor": "x"}, margin={"l": 12, "b": 12})
    figure.layout.meta.update(labels=names, frame=(low, high), points=len(points))
    return fit(figure)


def fit(figure: go.Figure) -> go.Figure:
    """Set what depends on the canvas: the frame, point size, names that don't overlap, the legend's place; in place."""
    meta, theme = figure.layout.meta, look.theme_of(figure.layout.meta["theme"])
    margin = figure.layout.margin
    box = np.array([theme.width - margin.l - margin.r, figure.layout.height - margin.t - margin.b], dtype=float)
    low, high = np.array(meta["frame"][0]), np.array(meta["frame"][1])
    unit = float(((high - low) / box).max())  # of the map in a pixel, the same along both axes
    middle = (low + high) / 2
    for axis, centre, pixels in zip((figure.layout.xaxis, figure.layout.yaxis), middle, box, strict=True):
        axis.range = [centre - unit * pixels / 2, centre + unit * pixels / 2]
    size = float(np.clip(theme.point * (10_000 / meta["points"]) ** 0.3, 0.5 * theme.point, 2.2 * theme.point))
    for trace in figure.data:
        if trace.legendgroup == MARKS:  # rings and the like, which have a size of their own
            continue
        trace.marker.size = size * (0.8 if trace.legendgroup == look.UNCLUSTERED else 1)
    figure.layout.annotations = _place(meta["labels"], middle, unit, box, theme)
    return figure.update_layout(
        legend={"x": 1 - (margin.r - 6) / theme.width, "xref": "container", "xanchor": "left", "y": 1, "yanchor": "top"}
    )


# --- points ----------------------------------------------------------------------------------------------------------


def _by_topic(points: pd.DataFrame, color: str, order: Sequence[str] | None) -> list[go.Scattergl]:
    """Traces from the back to the front: unclustered, the small topics together, then each of the large ones."""
    names = _names(points[color], color)
    loose = names.map(look.is_unclustered)
    sizes = names.value_counts()
    colors = look.colors_of(sizes, order)
    topics = look.by_size(sizes)
    named = topics[: NAMED if len(topics) > NAMED + 1 else NAMED + 1]
    small = ~loose & ~names.isin(named)
    traces = []
    if loose.any():
        label = f"{look.percent(loose.mean())}  {look.UNCLUSTERED if color in _TOPIC_COLUMNS else 'none'}"
        traces.append(_trace(points[loose], look.GREY, label, "", rank=3, opacity=0.45).update(legendgroup=look.UNCLUSTERED))
    if small.any():
        muted = {name: look.mix(colors[name], "#B9C0C8", 0.55) for name in topics[len(named) :]}
        label = f"{len(muted):,} smaller ones: {look.percent(small.mean())}"
        heads = [look.escape(name, HEAD) for name in names[small]]
        traces.append(_trace(points[small], names[small].map(muted).tolist(), label, heads, rank=2).update(showlegend=False))
        # a legend takes the colour of a trace's first point, which is that of one small topic: a point that is nowhere has that of all
        traces.append(go.Scattergl(x=[None], y=[None], mode="markers", name=label, marker={"color": REST}, legendrank=2000))
        traces[-2].legendgroup = traces[-1].legendgroup = label  # a click on the entry hides the points
    for name in named:
        label = f"{look.percent(sizes[name] / len(points))}  {look.escape(look.short(name, 24))}"
        traces.append(_trace(points[names == name], colors[name], label, look.escape(name, HEAD), rank=1))
    return traces


def _scaled(points: pd.DataFrame, color: str, topics: pd.Series | None) -> list[go.Scattergl]:
    """One trace with a colour scale over the middle 98 % of the values (so that one outlier can't grey the rest), one for no value."""
    values = _numbers(points[color])
    known = values.notna()
    what = look.escape(color, 20)
    traces = []
    if not known.all():
        traces.append(_trace(points[~known], look.GREY, f"no {what}", "", rank=2, opacity=0.45).update(legendgroup=look.UNCLUSTERED))
    if known.any():
        heads = [f"{what} {value:,.4g}" for value in values[known]]
        if topics is not None:
            heads = [f"{look.escape(name, HEAD)} · {head}" for name, head in zip(topics[known], heads, strict=True)]
        low, high = np.quantile(values[known], [0.01, 0.99])
        trace = _trace(points[known], values[known].to_numpy("float32"), "", heads, rank=1)
        trace.marker.update(colorscale=SCALE, cmin=low, cmax=high if high > low else low + 1, colorbar={
            "title": {"text": what}, "thickness": 14, "len": 0.6, "outlinewidth": 0, "x": 1.02, "y": 1, "yanchor": "top"})  # fmt: skip
        traces.append(trace.update(showlegend=False))
    return traces


def _trace(points: pd.DataFrame, color: Any, label: str, heads: str | list[str], *, rank: int, opacity: float = 0.8) -> go.Scattergl:
    """Points of one legend entry. What their hovers share stands in the template once; the rest is kept short, so that WebGL stays fast."""
    titles, texts = _hover(points)
    head = "<b>%{meta}</b><br>" if isinstance(heads, str) else "<b>%{customdata}</b><br>"
    return go.Scattergl(
        x=points["x"].to_numpy("float32"),
        y=points["y"].to_numpy("float32"),
        mode="markers",
        marker={"color": color, "opacity": opacity, "line": {"width": 0}},
        name=label,
        legendrank=1000 * rank,
        **({"meta": heads} if isinstance(heads, str) else {"customdata": heads}),
        hovertext=titles,
        text=texts,
        hovertemplate=f"{head if heads else ''}%{{hovertext}}<br><span style='color:{look.QUIET}'>%{{text}}</span><extra></extra>",
    )


def _hover(points: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Of each page its title (the start of its text where it has none), and some of its text with the source, all escaped."""
    titles, texts = [], []
    for title, snippet, source in zip(*(look.filled(points[column]) for column in ("title", "snippet", "source")), strict=True):
        body = look.lines(str(snippet)[: 2 * SNIPPET], SNIPPET // 2, 2)
        titles.append(look.escape(title, TITLE) or look.escape(body.pop(0) if body else ""))
        texts.append("<br>".join(look.escape(part) for part in [*body, str(source)[:SOURCE]] if part))
    return titles, texts


def _is_scale(values: pd.Series, name: str) -> bool:
    """Whether a column is drawn on a scale: numbers, except flags and cluster numbers."""
    return pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values) and name not in _TOPIC_COLUMNS


def _names(values: pd.Series, column: str) -> pd.Series:
    """A column as names: missing is unclustered, a flag says which, a cluster's number says that it is one."""
    if pd.api.types.is_bool_dtype(values):
        return values.map({True: column, False: f"not {column}"})
    names = values.astype(object).where(values.notna(), look.UNCLUSTERED)
    if pd.api.types.is_numeric_dtype(values):
        return names.map(lambda value: look.UNCLUSTERED if look.is_unclustered(value) else f"cluster {int(value)}")
    return names.map(lambda value: look.UNCLUSTERED if look.is_unclustered(value) else str(value))


# --- names on the map ------------------------------------------------------------------------------------------------


def _labels(points: pd.DataFrame, topics: pd.Series, order: Sequence[str] | None, *, tinted: bool) -> list[dict[str, Any]]:
    """Name, place and colour of the topics to name: the largest, then those that lie far from all names, so that no island is nameless.

    `tinted` writes them in the colour of their points, which is theirs only where they are what the points are coloured by.
    """
    sizes = topics.value_counts()
    colors = look.colors_of(sizes, order)
    places = points[["x", "y"]].to_numpy(float)
    apart = APART * float(np.ptp(np.quantile(places, [0.01, 0.99], axis=0), axis=0).max())
    found: list[dict[str, Any]] = []
    for rank, name in enumerate(look.by_size(sizes)[:CANDIDATES]):
        x, y = _heart(places[(topics == name).to_numpy()])
        if rank >= NAMED and any(np.hypot(x - other["x"], y - other["y"]) < apart for other in found):
            continue
        parts = _written(name) or [""]
        found.append({
            "lines": [look.escape(part) for part in parts], "width": max(map(len, parts)), "pages": int(sizes[name]), "x": x, "y": y,
            "color": look.readable_on_paper(colors[name], 7) if tinted else look.INK,
        })  # fmt: skip
    return found


def _written(name: str) -> list[str]:
    """A name on two lines: of one made of terms as many whole terms as fit, of any other the beginning."""
    terms = name.split(", ")
    for count in range(len(terms), 0, -1):
        parts = look.lines(", ".join(terms[:count]), 18, 2)
        if not parts or not parts[-1].endswith("…"):
            return parts
    return look.lines(name, 18, 2)


def _heart(places: np.ndarray) -> tuple[float, float]:
    """Where a topic is at home: the median of its densest part, since the median of two islands lies in the sea between them."""
    cells = min(12, 2 + len(places) // 20)
    counts, *edges = np.histogram2d(places[:, 0], places[:, 1], bins=cells)
    around = np.pad(counts, 1)
    near = np.sum([around[i : i + cells, j : j + cells] for i in range(3) for j in range(3)], axis=0)
    best = np.unravel_index(int(np.argmax(near)), near.shape)
    low, high = (np.array([edge[np.clip(cell + step, 0, cells)] for edge, cell in zip(edges, best, strict=True)]) for step in (-1, 2))
    x, y = np.median(places[((places >= low) & (places <= high)).all(axis=1)], axis=0).tolist()
    return x, y


def _frame(points: pd.DataFrame, labels: list[dict[str, Any]]) -> tuple[list[float], list[float], int]:
    """Lower and upper corner of what the map opens on (all but the farthest pages, and every named topic), and how many lie beyond.

    A few far pages would shrink all the others to a dot.
    """
    places = points[["x", "y"]].to_numpy(float)
    corners = [*np.quantile(places, [0.01, 0.99], axis=0), *(np.array([label["x"], label["y"]]) for label in labels[:NAMED])]
    low, high = np.min(corners, axis=0), np.max(corners, axis=0)
    room = 0.05 * (high - low) + 1e-9
    beyond = int(((places < low - room) | (places > high + room)).any(axis=1).sum())
    return (low - room).tolist(), (high + room).tolist(), beyond


def _place(labels: list[dict[str, Any]], middle: np.ndarray, unit: float, box: np.ndarray, theme: look.Theme) -> list[dict[str, Any]]:
    """Write each name at its topic's middle, or as near as a free place allows; a name with none is left to the legend.

    A thin line leads from a name that stands beside its point back to it. A label with a `mark`, the radius in pixels of a ring at its
    point, stands off every such ring.
    """
    size = round(0.88 * theme.text, 1)
    points = [(np.array([label["x"], label["y"]]) - middle) / unit * [1, -1] + box / 2 for label in labels]
    taken = [(point, np.full(2, label["mark"])) for label, point in zip(labels, points, strict=True) if label.get("mark")]
    written = []
    for label, point in zip(labels, points, strict=True):
        half = np.array([label["width"] * 0.29 * size + 4, len(label["lines"]) * 0.64 * size + 2])
        shifts = _around(half + label["mark"]) if label.get("mark") else _shifts(half, label["pages"])
        shift = next((s for s in shifts if _is_free(point + s, half, taken, box)), None)
        if shift is None:
            continue
        taken.append((point + shift, half))
        led = bool((np.abs(shift) > half).any())
        place = {"ax": float(shift[0]), "ay": float(shift[1])} if led else {"xshift": float(shift[0]), "yshift": float(-shift[1])}
        written.append(
            {"x": label["x"], "y": label["y"], **place, "showarrow": led, "arrowhead": 0, "arrowwidth": 1, "arrowcolor": look.QUIET,
             "standoff": label.get("mark", 0), "text": "<br>".join(f"<b>{line}</b>" for line in label["lines"]), "captureevents": False,
             "font": {"size": size, "color": label["color"], "shadow": HALO}}
        )  # fmt: skip
    return sorted(written, key=lambda name: not name["showarrow"])  # no line over a name that stands at its point


def _shifts(half: np.ndarray, pages: int) -> list[np.ndarray]:
    """Places to try, in pixels from the middle: there (unless so few pages would be covered), then on growing rings."""
    angles = np.deg2rad([270, 90, 225, 315, 135, 45, 0, 180])
    rings = [0.5, 0.9, 1.3, 1.8] if pages >= 30 else [1.5, 2.0]
    around = [np.array([np.cos(a) * half[0] * 0.8, np.sin(a) * half[1]]) * ring for ring in rings for a in angles]
    return [np.zeros(2), *around] if pages >= 30 else around


def _around(half: np.ndarray) -> list[np.ndarray]:
    """Places to try for a name that stands off its ring: on ever wider ones, since it has to stand somewhere."""
    angles = np.deg2rad(np.arange(0, 360, 15))
    return [np.array([np.cos(a), np.sin(a)]) * (half + out) for out in range(3, 400, 12) for a in angles]


def _is_free(at: np.ndarray, half: np.ndarray, taken: list[tuple[np.ndarray, np.ndarray]], box: np.ndarray) -> bool:
    inside = bool((at >= half).all() and (at + half <= box).all())
    return inside and not any((np.abs(at - other) < half + other_half).all() for other, other_half in taken)


# --- the finding -----------------------------------------------------------------------------------------------------


def _topic_words(points: pd.DataFrame, color: str) -> tuple[str, str]:
    names = _names(points[color], color)
    sizes = names[~names.map(look.is_unclustered)].value_counts()
    noun = "topic" if color in _TOPIC_COLUMNS else f"“{color[: look.NAME]}” group"
    loose = 1 - sizes.sum() / len(names)
    parts = [_pages(points), look.plural(len(sizes), noun), *([f"{look.percent(loose)} {look.UNCLUSTERED}"] if loose else [])]
    return concentration(sizes.to_numpy(float) / len(names), noun), " · ".join([*parts, _AXES])


def concentration(shares: np.ndarray, noun: str = "topic", of: str = "all pages") -> str:
    """Who holds most of the text, as a sentence: the fewest groups with half of `of`, or how few there are."""
    shares = np.sort(shares)[::-1]
    if shares.size == 0:
        return f"No {noun} stands out: every page is unclustered"
    if shares.size == 1:
        return f"One {noun} holds {look.percent(shares[0])} of {of}"
    if shares.sum() < 0.5:
        return f"{look.number(shares.size)} {noun}s hold only {look.percent(shares.sum())} of {of}"
    few = int(np.searchsorted(np.cumsum(shares), 0.5 - 1e-9)) + 1
    few = max(few, min(3, shares.size - 1))  # three are easier to hold in mind than one, and say as much
    held = look.percent(shares[:few].sum())
    return f"{look.number(few)} of {look.number(shares.size)} {noun}s {'holds' if few == 1 else 'hold'} {held} of {of}"


def _scale_words(points: pd.DataFrame, color: str, topics: pd.Series | None) -> tuple[str, str]:
    """Which topic has most of it, where there are topics, else where the middle half of the pages lies."""
    known, what = _numbers(points[color]).dropna(), color[:20]
    if known.empty:
        return f"No page has a value of “{what}”", f"{_pages(points)} · {_AXES}"
    low, high = known.quantile([0.25, 0.75])
    title = f"Half of the pages have “{what}” between {low:,.3g} and {high:,.3g}"
    if topics is not None:
        groups = known.groupby(topics[known.index])
        solid = [n for n, size in groups.size().items() if size >= min(10, groups.size().max()) and not look.is_unclustered(n)]
        if len(solid) > 1:
            means = groups.mean().loc[pd.Index(solid)]
            title = f"“{str(means.idxmax())[: look.NAME]}” has the highest “{what}” (mean {means.max():,.3g})"
    return title, f"{_pages(points)} · {_AXES}"


def _pages(points: pd.DataFrame) -> str:
    return look.plural(len(points), "page")


def _numbers(values: pd.Series) -> pd.Series:
    """As finite numbers; anything else is missing."""
    return pd.to_numeric(values, errors="coerce").astype(float).replace([np.inf, -np.inf], np.nan)
