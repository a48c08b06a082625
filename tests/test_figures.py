"""Figures: what they say is what the data say, text stays text, and every eye can tell the colours apart."""

import itertools
import json
import re

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hare_lab import figures
from hare_lab.errors import InputError
from hare_lab.figures import export, look, maps, treemap

HOSTILE = [
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "<b>bold</b>",
    '<img src=x onerror="alert(1)">',
    "<a href='javascript:alert(1)'>here</a>",
    "%{x} and %{meta}",
    "costs $5 or \\alpha$",
    "reversed \u202e and \x00 nothing",
]


def make_points(count=300, topics=6, seed=0):
    rng = np.random.default_rng(seed)
    topic = rng.choice(topics, count, p=np.arange(topics, 0, -1) / (topics * (topics + 1) / 2))
    places = 10 * rng.normal(size=(topics, 2))[topic] + rng.normal(size=(count, 2))
    names = [f"topic {t}" for t in topic]
    return pd.DataFrame({
        "x": places[:, 0], "y": places[:, 1], "title": [f"Page {i}" for i in range(count)], "snippet": "some words " * 30,
        "source": "made up", "topic": names, "quality": rng.uniform(size=count),
    })  # fmt: skip


def make_table(sizes, total=None):
    total = total or sum(sizes)
    return pd.DataFrame({
        "name": [f"topic {i}" for i in range(len(sizes))], "size": sizes, "share": [size / total for size in sizes],
        "parent_name": [f"group {i % 3}" for i in range(len(sizes))],
    })  # fmt: skip


def make_steps():
    return pd.DataFrame({"step": ["loaded", "clean", "near copies"], "pages": [1000, 900, 870], "removed": [0, 100, 30]})


def make_profile(name="", height=10.0):
    orders = np.linspace(0, 3, 7)
    values = 1 + (height - 1) * np.exp(-orders / 2)
    frame = pd.DataFrame({"order": orders, "effective_number": values, "low": values * 0.9, "high": values * 1.1})
    return frame.assign(set=name) if name else frame


ALL = {
    "topic_map": (figures.topic_map, make_points),
    "topic_sizes": (figures.topic_sizes, lambda: make_table([50, 30, 20, 5])),
    "topic_hierarchy": (figures.topic_hierarchy, lambda: make_table([50, 30, 20, 5])),
    "cleaning_funnel": (figures.cleaning_funnel, make_steps),
    "diversity_profile": (figures.diversity_profile, make_profile),
    "similarity_histogram": (figures.similarity_histogram, lambda: pd.DataFrame({"similarity": np.linspace(0, 1, 50)})),
    "page_lengths": (figures.page_lengths, lambda: pd.DataFrame({"words": range(500)})),
}
each = pytest.mark.parametrize(("draw", "data"), ALL.values(), ids=ALL)


def title(figure):
    return re.sub("<.*?>", "", figure.layout.title.text)


def shown_texts(value):
    """Every string of a figure that a browser renders as markup."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key not in ("meta", "template", "ids", "parents") or (key == "meta" and isinstance(inner, str)):
                yield from shown_texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from shown_texts(inner)
    elif isinstance(value, str):
        yield value


# --- every figure ----------------------------------------------------------------------------------------------------


@each
def test_a_figure_has_a_finding_a_subtitle_and_a_caption(draw, data):
    figure = draw(data())
    assert isinstance(figure, go.Figure)
    assert len(title(figure)) > 10 and figure.layout.title.subtitle.text
    assert len(title(figure)) <= look.TITLE
    assert title(figure)[:20] in figure.layout.meta["caption"]


@each
def test_no_data_gives_a_sentence(draw, data):
    figure = draw(data().head(0))
    assert title(figure).startswith("No ")
    assert len(figure.data) == 0


@each
def test_one_row_gives_a_figure(draw, data):
    assert len(draw(data().tail(1)).data) >= 1


@each
@pytest.mark.parametrize("theme", figures.THEMES)
def test_a_theme_sets_the_sizes_now_or_later(draw, data, theme):
    now = draw(data(), theme=theme)
    later = figures.themed(figures.from_json(draw(data()).to_json()), theme)
    assert (now.layout.width, now.layout.height) == (later.layout.width, later.layout.height)
    assert now.layout.template.layout.font.size == later.layout.template.layout.font.size == figures.THEMES[theme].text
    assert json.loads(now.to_json())["layout"] == json.loads(later.to_json())["layout"]


@each
def test_an_unknown_theme_is_named(draw, data):
    with pytest.raises(InputError, match="screen, paper, talk"):
        draw(data(), theme="poster")


@each
def test_a_missing_column_is_named(draw, data):
    table = data()
    for column in set(table.columns) & {"x", "snippet", "topic", "size", "share", "pages", "removed", "low", "similarity", "words"}:
        if (draw, column) == (figures.topic_hierarchy, "share"):
            continue
        with pytest.raises(InputError, match=rf"column {column} is missing"):
            draw(table.drop(columns=column))


@each
def test_numbers_that_are_none_are_named(draw, data):
    table = data()
    column = next(c for c in ("x", "size", "pages", "low", "similarity", "words") if c in table.columns)
    table[column] = table[column].astype(float)
    table.loc[table.index[0], column] = np.nan
    with pytest.raises(InputError, match=rf"column {column} holds nan in row 0"):
        draw(table)


@each
def test_drawing_changes_neither_data_nor_later_figures(draw, data):
    table = data()
    before = table.copy(deep=True)
    assert draw(table).to_json() == draw(table).to_json()
    pd.testing.assert_frame_equal(table, before)


# --- text stays text -------------------------------------------------------------------------------------------------


@given(st.text(), st.one_of(st.none(), st.integers(1, 50)))
def test_escaped_text_is_one_line_of_no_markup(text, length):
    safe = figures.escape(text, length)
    assert not re.search(r"[<>$\x00-\x1f]", safe) and "%{" not in safe
    safe.encode("utf-8")


@pytest.mark.parametrize("text", HOSTILE)
def test_no_markup_of_a_page_reaches_a_figure(text):
    points = make_points(40, 2)
    points[["title", "snippet", "source", "topic"]] = text
    table = make_table([50, 30]).assign(name=text, parent_name=text)
    steps = make_steps().assign(step=text)
    drawn = [
        figures.topic_map(points),
        figures.topic_map(points.rename(columns={"quality": text}), color=text),
        figures.topic_sizes(table),
        figures.topic_hierarchy(table),
        figures.cleaning_funnel(steps),
        figures.diversity_profile(pd.concat([make_profile(text), make_profile(text + "2")])),
    ]
    ours = re.compile(
        r"</?b>|<br>|<span style='color:#[0-9A-F]{6}'>|</span>|<extra></extra>|%\{(x|y|label|text|meta|customdata|hovertext|value)[^}]*\}"
    )
    for figure in drawn:
        for shown in shown_texts(json.loads(figure.to_json())):
            left = ours.sub("", shown)
            assert "<" not in left.replace("<=", ""), shown
            assert "%{" not in left and "$" not in left and "\u202e" not in left, shown


@pytest.mark.parametrize("text", HOSTILE)
def test_the_exported_page_holds_a_caption_as_text_and_data_as_data(text):
    points = make_points(40, 2)
    points[["title", "topic"]] = text
    page = figures.html(figures.topic_map(points), caption=text, cdn=True)
    assert page.count("<script") == page.count("</script>") == 3  # plotly's configuration, plotly, the figure
    assert "<img" not in page and "javascript:alert(1)'>" not in page
    assert "default-src 'none'" in page


# --- colours ---------------------------------------------------------------------------------------------------------

# Machado, Oliveira & Fernandes (2009), severity 1, on linear RGB.
EYES = {
    "all": np.eye(3),
    "no red": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]),
    "no green": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]),
    "no blue": np.array([[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]),
}
# Ottosson (2020), OKLab: a space in which equal distances look equal.
TO_CONES = [
    [0.4122214708, 0.5363325363, 0.0514459929],
    [0.2119034982, 0.6806995451, 0.1073969566],
    [0.0883024619, 0.2817188376, 0.6299787005],
]
TO_LAB = [
    [0.2104542553, 0.7936177850, -0.0040720468],
    [1.9779984951, -2.4285922050, 0.4505937099],
    [0.0259040371, 0.7827717662, -0.8086757660],
]


def seen(color, eye):
    channels = np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return np.array(TO_LAB) @ np.cbrt(np.array(TO_CONES) @ np.clip(EYES[eye] @ linear, 0, 1))


@pytest.mark.parametrize("eye", EYES)
@pytest.mark.parametrize(("palette", "distance"), [(look.FEW, 0.07), (look.PALETTE, 0.05)])
def test_every_eye_tells_the_colours_apart(eye, palette, distance):
    nearest = min(float(np.linalg.norm(seen(a, eye) - seen(b, eye))) for a, b in itertools.combinations(palette, 2))
    assert nearest >= distance  # 0.02 is about what two patches side by side need


@pytest.mark.parametrize("color", [*look.PALETTE, look.GREY])
def test_names_in_a_topics_colour_read_on_white(color):
    assert look.contrast(look.readable_on_paper(color)) >= 4.5


def test_contrast_is_that_of_wcag():
    assert look.contrast("#000000") == pytest.approx(21)
    assert look.contrast("#777777") == pytest.approx(4.48, abs=0.01)


def test_a_topic_keeps_its_colour_in_every_figure():
    points = make_points(300, 8)
    sizes = points["topic"].value_counts()
    table = pd.DataFrame({"name": sizes.index, "size": sizes.to_numpy(), "share": sizes.to_numpy() / 300, "parent_name": "all"})
    on_map = {trace.meta: trace.marker.color for trace in figures.topic_map(points).data}
    bars = figures.topic_sizes(table).data[-1]
    tiles = figures.topic_hierarchy(table).data[0]
    assert on_map == dict(zip(bars.hovertext, bars.marker.color, strict=True))
    assert on_map == {label: color for label, color in zip(tiles.labels, tiles.marker.colors, strict=True) if label in on_map}
    assert len(set(on_map.values())) == 8


def test_an_order_pins_colours_across_subsets():
    order = [f"topic {i}" for i in range(6)]
    some = make_table([50, 30, 20]).iloc[[2, 0]]
    assert list(figures.topic_sizes(some, order=order).data[-1].marker.color) == [look.PALETTE[0], look.PALETTE[2]]


@given(st.text(min_size=1))
def test_a_name_alone_always_has_the_same_colour(name):
    assert figures.color_of(name) == figures.color_of(name) in (*look.PALETTE, look.GREY)
    assert figures.color_of(name, [name]) in (look.PALETTE[0], look.GREY)


@pytest.mark.parametrize("name", ["unclustered", -1, "-1", None, float("nan"), ""])
def test_what_is_in_no_topic_is_grey(name):
    assert figures.color_of(name) == look.GREY


# --- the map ---------------------------------------------------------------------------------------------------------


def test_every_page_is_on_the_map_once():
    points = make_points(500, 40)
    points.loc[:99, "topic"] = None
    points.loc[100:149, "topic"] = "-1"
    figure = figures.topic_map(points)
    assert sum(np.isfinite(np.array(trace.x, float)).sum() for trace in figure.data) == 500
    assert {type(trace).__name__ for trace in figure.data} == {"Scattergl"}
    assert len(figure.data) == maps.NAMED + 3  # the largest topics, the smaller ones together, their entry in the legend, the unclustered
    entry = figure.data[2]
    assert entry.marker.color == maps.REST and entry.name.startswith("18 smaller ones: ") and not figure.data[1].showlegend
    assert len(figure.data[0].x) == 150 and figure.data[0].marker.color == look.GREY  # behind all others


def test_the_title_says_how_concentrated_the_corpus_is():
    points = make_points(100, 1)
    points["topic"] = ["a"] * 40 + ["b"] * 20 + ["c"] * 10 + ["d"] * 10 + ["unclustered"] * 20
    figure = figures.topic_map(points)
    assert title(figure) == "Three of four topics hold 70\u00a0% of all pages"
    assert "20\u00a0% unclustered" in figure.layout.title.subtitle.text
    assert "no unit" in figure.layout.meta["caption"]


@given(st.lists(st.floats(0.001, 1), min_size=1, max_size=60), st.floats(0, 1))
def test_a_concentration_is_never_claimed_that_the_shares_lack(weights, clustered):
    shares = np.array(weights) / sum(weights) * clustered
    words = maps.concentration(shares)
    claimed = re.search(r"([\d.]+)\u00a0%", words)
    assert words.count("topic") == 1
    assert not claimed or float(claimed[1]) <= 100 * shares.sum() + 0.51


@pytest.mark.parametrize("theme", figures.THEMES)
def test_names_on_the_map_do_not_overlap(theme):
    figure = figures.topic_map(make_points(3_000, 30), theme=theme)
    boxes = []
    for note in figure.layout.annotations:
        lines = [re.sub("<.*?>", "", line) for line in note.text.split("<br>")]
        (x0, x1), (y0, y1) = figure.layout.xaxis.range, figure.layout.yaxis.range
        wide = figure.layout.width - figure.layout.margin.l - figure.layout.margin.r
        high = figure.layout.height - figure.layout.margin.t - figure.layout.margin.b
        right, up = (note.ax, -note.ay) if note.showarrow else (note.xshift, note.yshift)
        centre = ((note.x - x0) / (x1 - x0) * wide + right, (note.y - y0) / (y1 - y0) * high + up)
        boxes.append((centre, max(map(len, lines)) * 0.5 * note.font.size, len(lines) * 1.2 * note.font.size))
    assert len(boxes) >= 10
    for (one, w, h), (other, v, k) in itertools.combinations(boxes, 2):
        assert abs(one[0] - other[0]) >= (w + v) / 2 or abs(one[1] - other[1]) >= (h + k) / 2 - 1


def test_both_axes_have_the_same_scale():
    figure = figures.topic_map(make_points())
    wide = figure.layout.width - figure.layout.margin.l - figure.layout.margin.r
    high = figure.layout.height - figure.layout.margin.t - figure.layout.margin.b
    assert np.ptp(figure.layout.xaxis.range) / wide == pytest.approx(np.ptp(figure.layout.yaxis.range) / high)


def test_a_name_stands_on_its_topic_and_not_between_its_islands():
    points = make_points(200, 1)
    points["x"] = np.r_[np.zeros(110), np.full(90, 100.0)] + np.random.default_rng(0).normal(size=200)
    [label] = figures.topic_map(points).layout.meta["labels"]
    assert abs(label["x"]) < 2


def test_pages_beyond_the_edge_are_counted():
    points = make_points(1_000)
    assert "beyond" not in figures.topic_map(points).layout.meta["caption"]
    points.loc[:2, "x"] = 1e6
    figure = figures.topic_map(points)
    assert "up to 3 pages lie beyond the edge" in figure.layout.meta["caption"]
    assert figure.layout.xaxis.range[1] < 1e3


def test_numbers_are_drawn_on_a_scale_and_missing_ones_in_grey():
    points = make_points()
    points.loc[:9, "quality"] = np.nan
    figure = figures.topic_map(points, color="quality")
    assert [len(trace.x) for trace in figure.data] == [10, 290]
    assert figure.data[1].marker.colorbar.title.text == "quality"
    assert "highest “quality”" in title(figure) and len(figure.layout.annotations) > 0


def test_flags_and_cluster_numbers_are_groups():
    points = make_points().assign(leak=lambda p: p["quality"] > 0.5, cluster=lambda p: p["topic"].str[-1].astype(int) - 1)
    assert {trace.meta for trace in figures.topic_map(points, color="leak").data} == {"leak", "not leak"}
    clusters = figures.topic_map(points, color="cluster")
    assert clusters.data[0].marker.color == look.GREY and "cluster 0" in {trace.meta for trace in clusters.data}


def test_a_repeated_index_changes_no_figure():
    table = pd.DataFrame({"name": list("abc"), "before": [0.2, 0.3, 0.5], "after": [0.5, 0.3, 0.2], "wanted": 0.3}, index=[0, 0, 0])
    opinions = pd.DataFrame({"opinion": ["a", "b"], "adds": [1.0, -2.0]}, index=[0, 0])
    points = pd.concat([make_points(), make_points(seed=1)])
    assert list(figures.composition(table).layout.yaxis.ticktext) == ["c", "b", "a"]
    assert title(figures.quality_reasons(opinions, quality=0.5)) == "Its b speaks most against this page"
    for draw, data in (
        (figures.composition, table), (lambda found: figures.quality_reasons(found, quality=0.5), opinions),
        (lambda found: figures.topic_map(found, color="quality"), points),
    ):  # fmt: skip
        assert draw(data).to_json() == draw(data.reset_index(drop=True)).to_json()


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
def test_a_page_without_title_and_source_is_named_by_the_start_of_its_text(missing):
    points = make_points(20, 1).assign(title=pd.Series([missing] * 20, dtype=object), source=pd.Series([missing] * 20, dtype=object))
    [trace] = figures.topic_map(points).data
    assert trace.hovertext[0].startswith("some words") and trace.text[0].endswith("some…")


@pytest.mark.parametrize(
    ("draw", "data"),
    [
        (figures.page_lengths, lambda found: pd.DataFrame({"words": found})),
        (figures.topic_map, lambda found: make_points(2).assign(x=found)),
    ],
)
def test_a_missing_whole_number_is_named(draw, data):
    with pytest.raises(InputError, match="holds <NA> in row 1; it must hold finite numbers"):
        draw(data(pd.array([10, pd.NA], dtype="Int64")))


def test_a_hover_is_short_whatever_the_page():
    points = make_points(20, 1).assign(title="t" * 5_000, snippet="s" * 5_000, source="u" * 5_000)
    [trace] = figures.topic_map(points).data
    assert max(map(len, trace.hovertext)) <= 100 and max(map(len, trace.text)) <= 250


def test_a_page_of_50_000_points_stays_below_20_megabytes():
    points = make_points(20_000, 60)
    assert len(figures.html(figures.topic_map(points))) < 4.9e6 + 15e6 * 20_000 / 50_000  # plotly.js, and a share of the points


def test_identical_places_give_a_map():
    assert len(figures.topic_map(make_points().assign(x=1.0, y=2.0)).data) == 6


# --- the others ------------------------------------------------------------------------------------------------------


def test_topic_sizes_show_the_unclustered_share_and_gather_the_small():
    sizes = list(range(60, 0, -1))
    figure = figures.topic_sizes(make_table(sizes, total=2 * sum(sizes)))
    strip = [trace for trace in figure.data if trace.xaxis == "x2"]
    assert sum(trace.x[0] for trace in strip) == pytest.approx(1)
    assert strip[-1].x[0] == pytest.approx(0.5) and "unclustered" in strip[-1].hovertext[0]
    assert list(figure.data[-1].x) == sizes[: len(figure.data[-1].x)]
    assert "smaller topics" in figure.layout.title.subtitle.text


def test_a_row_of_unclustered_pages_is_no_topic():
    table = make_table([50, 30, 20]).assign(cluster=[0, 1, -1])
    figure = figures.topic_sizes(table)
    assert list(figure.data[-1].x) == [50, 30]
    assert "2 topics" in figure.layout.title.subtitle.text


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=30))
def test_tiles_of_a_hierarchy_add_up(sizes):
    tiles = figures.topic_hierarchy(make_table(sizes)).data[0]
    values = dict(zip(tiles.ids, tiles.values, strict=True))
    for parent in set(tiles.parents) - {""}:
        assert values[parent] == sum(v for i, v in values.items() if tiles.parents[tiles.ids.index(i)] == parent)
    assert len(set(tiles.ids)) == len(tiles.ids)


def test_a_tile_says_what_it_has_room_for_and_its_hover_the_whole_name():
    name, broad = "a, sentencetransformer_of_many_letters, b", "a broad topic, with a name, that goes on"
    table = make_table([96, 4]).assign(parent_name=["all", broad])
    table.loc[1, "name"] = name
    tiles = figures.topic_hierarchy(table).data[0]
    at = list(tiles.customdata).index(name)
    lines = tiles.texttemplate[at].split("<br>")[:-1]
    assert max(len(word) for line in lines for word in line.split()) <= treemap.letters(0.04) == 16 and "…" in "".join(lines)
    assert "a broad topic…" in tiles.labels and broad in tiles.customdata and broad not in tiles.labels
    assert "%{customdata}" in tiles.hovertemplate


def test_a_hierarchy_takes_three_layers_and_a_topic_named_as_its_group():
    table = make_table([5, 4, 3]).assign(top=["a", "a", "b"], parent_name=["topic 0", "", "c"])
    tiles = figures.topic_hierarchy(table, layers=("top", "parent_name", "name")).data[0]
    assert list(tiles.labels).count("topic 0") == 2 and tiles.values[0] == 12


def test_the_funnel_says_what_stays_and_what_took_most():
    figure = figures.cleaning_funnel(make_steps())
    assert title(figure) == "87\u00a0% of the pages stay; “clean” takes the most"
    assert figure.data[1].text[1] == "−100 (10\u00a0%)"


def test_a_profile_says_how_diverse():
    assert title(figures.diversity_profile(make_profile())) == "10 topics, and the diversity of six"


def test_a_profile_of_no_topic_says_so():
    nought = make_profile().assign(effective_number=0.0, low=0.0, high=0.0)
    assert title(figures.diversity_profile(nought)) == "No topic, so no diversity"
    assert title(figures.diversity_profile(pd.concat([nought.assign(set="a"), make_profile("b")]))).startswith("“b” is the most diverse")


def test_profiles_are_compared():
    above = pd.concat([make_profile("crawl", 10), make_profile("curated", 20)])
    assert "“curated” is the most diverse" in title(figures.diversity_profile(above))
    flat = make_profile("flat").assign(effective_number=6.0)
    assert "depends on" in title(figures.diversity_profile(pd.concat([make_profile("steep"), flat])))


def test_a_threshold_says_how_many_have_a_copy():
    values = pd.DataFrame({"similarity": [0.1] * 90 + [0.95] * 10})
    assert title(figures.similarity_histogram(values, threshold=0.9)).startswith("10\u00a0% of the pages have a neighbour at 0.9")


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (0, "0\u00a0%"),
        (1, "100\u00a0%"),
        (0.0001, "under 0.1\u00a0%"),
        (0.004, "0.4\u00a0%"),
        (0.604, "60\u00a0%"),
        (0.99999, "99.9\u00a0%"),
    ],
)
def test_a_share_is_said_as_it_is(share, words):
    assert look.percent(share) == words


@given(st.text(), st.integers(5, 30), st.integers(1, 3))
def test_lines_are_few_and_short(text, width, most):
    found = look.lines(text, width, most)
    assert len(found) <= most and all(0 < len(line) <= 2 * width for line in found)


@given(st.lists(st.text("abcdefg", min_size=1, max_size=36), min_size=1, max_size=6))
def test_a_word_is_broken_only_where_it_is_longer_than_two_lines(words):
    assert " ".join(look.lines(" ".join(words), 18, 99)).split() == words


@given(st.lists(st.text("abcdefg", min_size=1, max_size=30), min_size=1, max_size=4, unique=True))
def test_a_name_on_the_map_is_made_of_whole_terms(terms):
    written = ", ".join(maps._written(", ".join(terms))).replace(",,", ",").split(", ")
    assert written[0] == terms[0] and written == terms[: len(written)]


# --- what a title may claim ------------------------------------------------------------------------------------------


def subtitle(figure):
    return re.sub("<.*?>", "", figure.layout.title.subtitle.text)


def test_the_best_of_the_largest_topics_is_not_called_the_best_of_all():
    pages = pd.DataFrame({"topic": ["a"] * 30 + ["b"] * 20 + ["c"], "quality": [0.6] * 30 + [0.4] * 20 + [0.9]})
    assert title(figures.quality_by_topic(pages, most=2)) == "Of the 2 largest, “a” reads best, “b” worst"
    assert title(figures.quality_by_topic(pages)) == "“c” reads best, “b” worst"
    long = pages.assign(topic=pages["topic"].map(lambda name: f"{name}bcdefgh, " * 4))
    assert title(figures.quality_by_topic(long, most=2)).endswith("worst")
    fills = [trace.line.color for trace in figures.quality_by_topic(pages, order=["c", "b", "a"]).data if trace.fill]
    assert fills == [look.PALETTE[at] for at in (0, 2, 1)]


@given(st.text(), st.integers(2, 40))
def test_a_short_name_is_as_short_as_asked(name, length):
    assert len(look.short(name, length)) <= length


def test_a_short_name_ends_with_a_whole_term():
    assert look.short("diet, fat, protein", 12) == "diet, fat…" and look.short("personal finance", 12) == "personal…"


def make_calls(tuned, retrieval):
    return pd.DataFrame({
        "api": ["x", "y"], "origin": "yours", "requests": [100, 20], "tuned": tuned, "tuned_low": 0.0, "tuned_high": 100.0,
        "retrieval": retrieval, "retrieval_low": 0.0, "retrieval_high": 100.0,
    })  # fmt: skip


def test_calls_are_compared_in_all_and_called_undecided_where_chance_may_be_all():
    ahead_on_one_of_two = figures.calls_beside_paper(make_calls([30.0, 50.0], [35.0, 40.0]))
    assert title(ahead_on_one_of_two) == "Tuned gets 40 of your 120 requests right, the rules 43: not decided"
    assert "retrieval and rules" in ahead_on_one_of_two.data[1].name
    assert title(figures.calls_beside_paper(make_calls([90.0, 90.0], [10.0, 10.0]))).endswith("the rules 12")


@pytest.mark.parametrize(("last", "said"), [(5.02, "rose from 4.91 to 5.02"), (4.5, "fell from 4.91 to 4.50"), (4.914, "stayed at 4.91")])
def test_a_curve_says_what_was_held_out(last, said):
    steps = np.arange(100)
    curve = pd.DataFrame({"tokens": 512 * steps, "loss": np.linspace(9.07, 3, 100), "heldout": np.nan})
    curve.loc[[50, 99], "heldout"] = [4.91, last]
    figure = figures.loss_curve(curve)
    assert title(figure) == f"Held out, the loss {said} nats a token" and "held out" in {trace.name for trace in figure.data}
    assert "in training it fell from 9.07" in subtitle(figure)
    assert title(figures.loss_curve(curve.drop(columns="heldout"))).startswith("The loss fell from 9.07 to 3.0")


@pytest.mark.parametrize("theme", figures.THEMES)
def test_every_hole_has_its_name_and_the_frame_is_around_them(theme):
    points = make_points(2_000, 20)
    rng = np.random.default_rng(0)
    x, y = np.array([[3.0], [1.0]]) + rng.uniform(-0.4, 0.4, (2, 10))
    holes = pd.DataFrame({"topic": range(10), "name": [f"a long name {i}" for i in range(10)], "x": x, "y": y, "wanted": 0.1, "have": 0.0})
    figure = figures.holes_map(points, holes, theme=theme)
    assert len(figure.layout.annotations) == 10 and all(note.showarrow for note in figure.layout.annotations)
    assert np.ptp(figure.layout.xaxis.range) < 0.5 * np.ptp(points["x"])
    listed = figure.layout.legend.title.text.split("<br>")[1:11]
    assert listed == [f"a long name {i}: 0\u00a0% of 10\u00a0%" for i in range(10)]


def make_bits(pages):
    return pd.DataFrame({
        "model": "m", "group": list("abcd"), "bits_per_byte": [1.0, 2.0, 3.0, 4.0], "low": 0.5, "high": 4.5, "pages": pages,
    })  # fmt: skip


def test_topics_of_few_pages_are_not_ranked_and_have_no_interval():
    figure = figures.bits_by_topic(make_bits([1, 9, 5, 4]))
    assert title(figure) == "Hardest: “c”; easiest: “b”"
    assert list(np.isnan(figure.data[0].error_x.array)) == [True, False, False, True] and "n = 9" in figure.layout.yaxis.ticktext[1]
    assert title(figures.bits_by_topic(make_bits([1, 9, 4, 4]))) == "Too few held-out pages to rank the topics"


def test_the_plane_says_how_many_methods_no_other_beats():
    plane = pd.DataFrame({"method": ["priors", "a", "b", "c"], "budget": 10, "quality": [0.5, 0.6, 0.4, 0.4], "diversity": [5.0, 4, 6, 3]})
    figure = figures.quality_diversity(plane)
    assert title(figure) == "No other method beats the priors on both; true of three of the four"
    assert "10 tokens each" in subtitle(figure)
    assert "better and more diverse than every other" in title(figures.quality_diversity(plane.iloc[[0, 3]]))


def test_every_arm_has_its_name_at_its_own_point():
    arms = pd.DataFrame({
        "arm": [f"arm {i}" for i in range(6)], "level": [0, 1, 1, 1, 1, 4], "leaked": False, "low": 0.1, "high": 0.3,
        "score": [0.24, 0.2, 0.21, 0.2, 0.22, 0.2],
    })  # fmt: skip
    figure = figures.score_against_priors(arms, chance=0.25)
    names = {note.text: note for note in figure.layout.annotations if note.text != "guessing"}
    places = dict(zip(figure.data[0].hovertext, figure.data[0].x, strict=True))
    assert {name: note.x for name, note in names.items()} == places and not any(note.bgcolor for note in names.values())
    assert figure.layout.xaxis.range[1] < 4.5 and len({(note.x, note.y) for note in names.values()}) == 6


def test_an_interval_of_no_width_is_no_whisker_and_a_name_is_tied_by_dots():
    arms = pd.DataFrame({
        "arm": ["a", "b", "c"], "level": [0, 1, 1], "leaked": False, "score": 0.2, "low": [0.2, 0.1, np.nan], "high": [0.2, 0.3, np.nan],
    })  # fmt: skip
    figure = figures.score_against_priors(arms)
    up, x = figure.data[0].error_y.array, figure.data[0].x
    assert list(np.round(up, 3)) == [0, 0.1, 0] and "none where seeds are few or equal" in subtitle(figure)
    assert "side by side" in figure.layout.xaxis.title.text
    ties = {shape.x0: shape for shape in figure.layout.shapes}
    assert all(tie.line.dash == "dot" for tie in ties.values()) and ties[x[1]].y0 > 0.3  # it begins above the whisker, at a gap
    assert "too few seeds" in subtitle(figures.score_against_priors(arms.iloc[[0, 2]]))


def test_names_on_a_map_of_leaks_do_not_take_the_colours_of_leaks():
    points = make_points(200, 3)
    figure = figures.leaks_on_map(points, ["ngram"] * 20 + [""] * 180)
    assert {note.font.color for note in figure.layout.annotations} == {look.INK}


def make_gaps(have):
    names = [f"topic {number}" for number in range(len(have))]
    return pd.DataFrame({"topic": names, "name": names, "wanted": 0.04, "have": have, "low": have, "high": have})


@pytest.mark.parametrize(
    ("have", "says"),
    [
        ([0.01, 0.02], "“topic 0” has 25\u00a0% of what was wanted, the least of 2 topics"),
        ([0.0, 0.05], "One of two topics has no page"),
        ([0.05, 0.04], "Every topic has what was wanted"),
    ],
)
def test_a_treemap_names_the_topic_that_lacks_most(have, says):
    figure = figures.coverage_treemap(make_gaps(have).assign(parent=""))
    assert title(figure) == says
    tiles = figure.data[0]
    framed = [name for name, color in zip(tiles.customdata, tiles.marker.line.color, strict=True) if color == look.INK]
    assert framed == (["topic 0"] if "least of" in says else []) and ("framed: topic 0" in subtitle(figure)) == bool(framed)


@pytest.mark.parametrize(("better", "says"), [(0, "None of two gaps is"), (1, "One of two gaps is"), (2, "Two of two gaps are")])
def test_gaps_that_closed_are_counted(better, says):
    topics = pd.DataFrame({"name": ["a", "b"], "wanted": 0.5, "before": 0.2, "after": [0.3 if row < better else 0.1 for row in range(2)]})
    assert title(figures.coverage_before_after(topics)) == f"{says} smaller than before"


@pytest.mark.parametrize(("average", "says"), [(10.0, "is ahead of none of the paper's two"), (35.0, "is ahead of one of the paper's two")])
def test_a_model_behind_all_others_is_ahead_of_none(average, says):
    board = pd.DataFrame({"model": ["a", "b", "m"], "origin": ["paper", "paper", "yours"], "average": [40.0, 30.0, average]})
    assert says in title(figures.leaderboard(board))


def test_a_bar_is_cut_only_where_it_would_flatten_the_others():
    assert max(figures.wanted_and_have(make_gaps([0.01] * 20 + [0.063])).data[0].x) == 0.063
    assert max(figures.wanted_and_have(make_gaps([0.01] * 20 + [0.8])).data[0].x) < 0.8


def test_a_share_beyond_the_axis_is_no_dot():
    table = pd.DataFrame({"name": list("abcd"), "before": [0.8, 0.05, 0.05, 0.05], "after": [0.0, 0.1, 0.1, 0.1], "wanted": 0.1})
    arrows = [trace for trace in figures.composition(table).data if trace.marker.symbol == "triangle-right-open"]
    assert [list(trace.customdata) for trace in arrows] == [[0.8]] and arrows[0].text[0] == "80\u00a0%"


def make_scores(low, high):
    return pd.DataFrame({"model": "m", "task": ["a", "b"], "value": 0.2, "low": low, "high": high, "chance": 0.25, "items": 1324})


def test_a_score_below_guessing_is_said_to_be():
    figure = figures.task_scores(make_scores([0.1, 0.1], [0.24, 0.4]))
    assert title(figure) == "No score is surely above guessing, one surely below"
    assert [note.text for note in figure.layout.annotations] == ["20.0\u00a0%   n = 1,324"] * 2


def test_ties_among_reasons_are_named():
    steps = pd.DataFrame({"step": ["replies", "schema", "off topic"], "pages": [100, 95, 90], "removed": [0, 5, 5]})
    figure = figures.synthesis_funnel(steps)
    assert title(figure) == "90 of 100 replies stay; two reasons take the most" and "“schema”, “off topic”" in subtitle(figure)
    assert "“schema” takes the most" in title(figures.synthesis_funnel(steps.assign(removed=[0, 5, 4])))


def test_text_on_a_tile_is_ink_or_paper_whichever_reads():
    assert all(look.contrast(look.ink_on(color), color) >= 4 for color in look.PALETTE)
    tiles = figures.coverage_treemap(make_gaps([0.01, 0.01, 0.02, 0.3]).assign(parent="")).data[0]
    assert tiles.textfont.color[1] == look.INK


def test_a_series_of_many_benchmarks_does_not_pile_up_at_zero():
    deltas = pd.DataFrame({"model": "m", "benchmark": list("abcd"), "delta": 0.0})
    assert len({trace.y[0] for trace in figures.leak_deltas(deltas).data}) == 4


def test_an_opinion_of_nought_has_no_sign():
    opinions = pd.DataFrame({"opinion": ["a", "b"], "adds": [-0.5, -0.0002]})
    assert list(figures.quality_reasons(opinions, quality=0.5).data[0].text) == ["\u22120.50", "0.00"]


def test_curves_are_compared_at_their_last_look():
    curves = pd.DataFrame({"arm": ["a", "a", "b", "b"], "seed": 0, "tokens": [1, 2, 1, 2], "loss": [3.0, 2.0, 3.0, 2.5]})
    assert title(figures.ablation_curves(curves)) == "“a” ends lowest, 0.500 below “b” at the last look"


def test_shares_say_of_what():
    assert title(figures.topic_sizes(make_table([50, 30, 20, 5]), of="the clustered pages")).endswith("of the clustered pages")
    assert title(figures.topic_hierarchy(make_table([50, 30, 20, 5]))).endswith("of the clustered pages")


# --- export ----------------------------------------------------------------------------------------------------------


def test_a_page_stands_alone_with_its_caption():
    figure = figures.topic_map(make_points(30, 2))
    page = figures.html(figure, "What & why")
    assert "<figcaption>What &amp; why</figcaption>" in page and 'aria-label="What &amp; why"' in page
    assert not re.search(r'<script[^>]+src=|<link[^>]+href="http', page)
    assert page == figures.html(figure, "What & why")
    assert "Each point is a page" in figures.html(figure)


def test_any_plotly_figure_can_be_exported_and_themed():
    plain = go.Figure(go.Bar(x=[1], y=[2]))
    assert "<figcaption>" in figures.html(plain, "A bar")
    assert figures.themed(plain, "talk").layout.template.layout.font.size == figures.THEMES["talk"].text


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"data": [{"type": "nothing"}]}', '{"data": 3}'])
def test_what_is_no_figure_is_refused(text):
    with pytest.raises(InputError, match="no stored plotly figure"):
        figures.from_json(text)


def test_a_picture_without_a_browser_says_what_to_install(monkeypatch):
    monkeypatch.setattr(export, "has_browser", lambda: False)
    with pytest.raises(InputError, match=r"pip install kaleido.*Chromium"):
        figures.image(go.Figure())


def test_an_unknown_format_is_named():
    with pytest.raises(InputError, match="png, svg or pdf"):
        figures.image(go.Figure(), "gif")


@pytest.mark.skipif(not figures.has_browser(), reason="needs kaleido and a Chromium or Chrome")
def test_a_picture_is_drawn_where_there_is_a_browser():
    picture = figures.image(figures.cleaning_funnel(make_steps()), "png", theme="talk", scale=1)
    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    assert int.from_bytes(picture[16:20]) == figures.THEMES["talk"].width
