"""What an experiment concludes from numbers: properties of the statistics, planted truths, plans, the list of runs, and the figures."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from hare_lab import experiment, figures
from hare_lab.cli.experiment import write
from hare_lab.errors import InputError
from hare_lab.experiment import registry
from hare_lab.experiment.cells import cell_folder
from hare_lab.experiment.conduct import begin
from hare_lab.experiment.report import assemble

numbers = st.floats(-1e3, 1e3)


# --- differences ------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.dictionaries(st.integers(0, 20), st.tuples(numbers, numbers), min_size=2, max_size=8))
def test_a_paired_difference_is_the_t_test_of_scipy(cells):
    one, other = ({seed: pair[k] for seed, pair in cells.items()} for k in (0, 1))
    gaps = np.array([one[s] - other[s] for s in cells])
    assume(gaps.std() > 1e-6)
    found, theirs = experiment.paired_difference(one, other), stats.ttest_rel(list(one.values()), list(other.values()))
    assert found.value == pytest.approx(gaps.mean()) and found.p == pytest.approx(theirs.pvalue, abs=1e-9)
    assert (found.low, found.high) == pytest.approx(tuple(theirs.confidence_interval()), rel=1e-6, abs=1e-9)
    assert found.decided == (found.p < 0.05) or found.p == pytest.approx(0.05, abs=1e-6)
    back = experiment.paired_difference(other, one)
    assert (back.value, back.low, back.high) == pytest.approx((-found.value, -found.high, -found.low))


def test_only_seeds_that_both_have_are_compared_and_one_seed_decides_nothing():
    gap = experiment.paired_difference({0: 1.0, 1: 2.0, 9: 50.0}, {0: 0.5, 1: 1.25, 7: -9.0})
    assert gap.seeds == 2 and gap.value == pytest.approx(0.625)
    alone = experiment.paired_difference({3: 1.0}, {3: 0.0})
    assert not alone.decided and alone.p == 1 and alone.high == math.inf
    with pytest.raises(InputError, match="share no seed"):
        experiment.paired_difference({0: 1.0}, {1: 1.0})


def test_what_all_seeds_share_cancels_in_pairs():
    rng = np.random.default_rng(0)
    weights = rng.normal(0, 1, 5)  # what the seed does to every arm
    one, other = ({s: 1.6 + weights[s] + gap + rng.normal(0, 0.005) for s in range(5)} for gap in (-0.05, 0))
    assert experiment.paired_difference(one, other).high < 0


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_raises_p_values_keeps_their_order_and_is_no_stricter_than_bonferroni(p):
    adjusted = experiment.holm(p)
    assert (adjusted >= np.array(p) - 1e-15).all() and (adjusted <= np.minimum(1, np.array(p) * len(p)) + 1e-12).all()
    order = np.argsort(p, kind="stable")
    assert (np.diff(adjusted[order]) >= -1e-15).all()
    assert adjusted[order[0]] == pytest.approx(min(1, p[order[0]] * len(p)))


def test_holm_s_own_example():
    assert experiment.holm([0.01, 0.04, 0.03, 0.005]).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_keeps_false_alarms_rare_where_nothing_differs():
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(400):
        base = dict(enumerate(rng.normal(size=4)))
        p = [experiment.paired_difference(dict(enumerate(rng.normal(size=4))), base).p for _ in range(5)]
        alarms += bool((experiment.holm(p) < 0.05).any())
    assert alarms / 400 < 0.075


# --- tokens to target -------------------------------------------------------------------------------------------------


def curve(scale=1.0, looks=12, top=400_000, noise=0.0, rng=None):
    """A power law that needs `scale` times the tokens of the plain one for the same loss."""
    tokens = top * np.arange(1, looks + 1) / looks
    loss = 1 + 4 * (tokens / scale / 1e4) ** -0.35 + (rng.normal(0, noise, looks) if rng is not None else 0)
    return list(zip(tokens.tolist(), loss.tolist(), strict=True))


@settings(max_examples=40, deadline=None)
@given(st.floats(1.0, 3.0))
def test_a_planted_saving_is_found(scale):
    found = experiment.tokens_to_target({0: curve()}, {0: curve(scale, looks=40, top=1_600_000)}, resamples=10)
    assert found.reached and found.ratio == pytest.approx(scale, rel=0.02) and found.low == found.high == pytest.approx(found.ratio)


def test_an_arm_that_is_worse_needs_less_than_its_own_tokens_of_the_other():
    found = experiment.tokens_to_target({0: curve(2.0)}, {0: curve(1.0)}, resamples=10)
    assert found.reached and found.ratio == pytest.approx(0.5, rel=0.05)


def test_a_target_that_is_never_reached_is_said_to_be_so_without_an_interval():
    found = experiment.tokens_to_target({0: curve()}, {0: curve(3.0)}, resamples=10)
    assert not found.reached and found.ratio == pytest.approx(1.0) and found.share_reached == 0
    assert str(found) == "not reached with 1.00 times the tokens"


@settings(deadline=None)
@given(st.floats(0.1, 10), st.floats(0.1, 50))
def test_the_unit_of_tokens_and_the_scale_of_the_loss_change_no_ratio(unit, factor):
    ours, other = curve(), curve(1.7, looks=30, top=1_200_000)
    scaled = [[(unit * t, factor * loss) for t, loss in c] for c in (ours, other)]
    plain = experiment.tokens_to_target({0: ours}, {0: other}, resamples=2).ratio
    assert experiment.tokens_to_target({0: scaled[0]}, {0: scaled[1]}, resamples=2).ratio == pytest.approx(plain, rel=1e-6)


@settings(deadline=None)
@given(st.lists(st.floats(0.5, 5), min_size=2, max_size=15), st.floats(0.5, 5))
def test_a_curve_first_reaches_a_loss_between_the_looks_around_it(losses, target):
    tokens = np.arange(1.0, len(losses) + 1) * 1000
    at, reached = experiment.tokens_at(tokens, np.array(losses), target)
    below = [t for t, loss in zip(tokens, losses, strict=True) if loss <= target]
    assert reached == bool(below)
    if below:
        assert max(tokens[0], below[0] - 1000) - 1e-6 <= at <= below[0] + 1e-6
    else:
        assert at == tokens[-1]


def test_the_interval_over_seeds_holds_the_truth_about_as_often_as_it_says():
    rng, below, above = np.random.default_rng(0), 0, 0
    for trial in range(40):
        ours = {s: curve(noise=0.004, rng=rng) for s in range(5)}
        other = {s: curve(1.8, looks=30, top=1_200_000, noise=0.004, rng=rng) for s in range(5)}
        found = experiment.tokens_to_target(ours, other, seed=trial, resamples=300)
        below, above = below + (found.low > 1.8), above + (found.high < 1.8)
    assert min(below, above) > 0 and (below + above) / 40 <= 0.25  # the bootstrap of five seeds is too narrow; docs/experiment.md says so


def test_curves_that_cannot_be_compared_are_named():
    with pytest.raises(InputError, match="curves of ours"):
        experiment.tokens_to_target({0: []}, {0: curve()})
    with pytest.raises(InputError, match="curves of the other arm"):
        experiment.tokens_to_target({0: curve()}, {0: curve(), 1: curve(looks=5)})


# --- plans ------------------------------------------------------------------------------------------------------------

PLAN = """
name: trial
hypothesis: priors predict better than chance
arms:
  - {name: random, method: random}
  - {name: priors, method: priors}
  - {name: all, method: priors, parts: [D1, D2, D3]}
  - {name: leaked, method: random, leaked: 0.3}
  - {name: long, method: random, budget: 3, crawl: false}
seeds: [0, 1]
more_seeds: [2]
tokens: 1000
"""


def written(tmp_path, text=PLAN, name="plan.yaml"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_plan_reads_writes_and_knows_its_cells(tmp_path):
    plan = experiment.read_plan(written(tmp_path))
    assert experiment.read_plan(plan.save(tmp_path / "again.yaml")) == plan
    assert len(plan.cells()) == 5 * 2 + 2 and plan.cells()[-1] == (plan.arm("priors"), 2)
    assert [arm.name for arm, seed in plan.cells() if seed == 2] == ["random", "priors"]
    assert [plan.arm(name).level for name in ("random", "priors", "all")] == [0, 2, 4] and plan.tokens_of(plan.arm("long")) == 3000
    assert "priors predict better" in plan._repr_html_()


@pytest.mark.parametrize(
    "change",
    [("seeds: [0, 1]", "seeds: [0, 3]"), ("tokens: 1000", "tokens: 1001"), ("name: trial", "name: trial2"), ("leaked: 0.3", "leaked: 0.2"),
     ("better than chance", "worse than chance")],
)  # fmt: skip
def test_whatever_changes_in_a_plan_changes_its_hash(tmp_path, change):
    other = written(tmp_path, PLAN.replace(*change), "other.yaml")
    assert experiment.read_plan(other).hash != experiment.read_plan(written(tmp_path)).hash


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("method: priors}", "method: magic}"), r'plan.yaml line 6: "method" of arm "priors" is "magic"'),
        (("name: priors,", "name: random,"), '"arms" has "random" twice'),
        (("method: priors}", "method: priors, budget: 2}"), '"priors" and "random" are to be compared'),
        (("leaked: 0.3", "leaked: 1.0"), '"leaked" of arm "leaked" is 1.0'),
        (("[D1, D2, D3]", "[D2]"), '"parts" of arm "all"'),
        (("seeds: [0, 1]", "seeds: []"), "at least one seed"),
        (("more_seeds: [2]", "more_seeds: [1]"), "no seed twice"),
        (("tokens: 1000", "tokens: 0"), '"tokens" is 0'),
        (("tokens: 1000", "tokens: many"), "must be a whole number"),
        (("name: random, ", "name: random, crawl: maybe, "), '"crawl" must be true or false'),
        (("tokens: 1000", "model: huge"), 'model "huge" is unknown'),
        (("tokens: 1000", "ours: nobody"), '"ours" is "nobody", which is no arm'),
        (("tokens: 1000", "tasks: [mmlu]"), '"tasks" names "mmlu"'),
        (("tokens: 1000", "kind: hopeful"), '"kind" must be one of confirmatory, tuning'),
        (("hypothesis:", "guess:"), 'unknown key "guess"'),
        (("hypothesis: priors predict better than chance", ""), 'plan lacks "hypothesis"'),
        (("name: random, ", ""), 'lacks "name"'),
    ],
)
def test_a_plan_with_a_mistake_is_one_sentence(tmp_path, change, sentence):
    with pytest.raises(InputError, match=sentence) as caught:
        experiment.read_plan(written(tmp_path, PLAN.replace(*change, 1)))
    assert "\n" not in str(caught.value)


def test_two_arms_never_share_a_folder(tmp_path):
    arms = [experiment.Arm(name) for name in ("a b", "a-b", "a/b", "../a")]
    places = {cell_folder(tmp_path, arm, 0) for arm in arms}
    assert len(places) == 4 and all(place.parent == tmp_path / "cells" for place in places)


# --- the list of runs -------------------------------------------------------------------------------------------------


def test_every_confirmatory_run_stays_listed_and_a_resumed_one_is_listed_once(tmp_path, monkeypatch):
    monkeypatch.setenv("HARE_LAB_RUNS", str(tmp_path))
    plan = experiment.read_plan(written(tmp_path))
    tuning = experiment.read_plan(written(tmp_path, PLAN + "kind: tuning\n", "tuning.yaml"))
    for _ in range(2):
        registry.register(plan, tmp_path / "one")
    registry.register(plan, tmp_path / "two")
    registry.register(tuning, tmp_path / "three")
    registry.finish(plan, tmp_path / "one", "priors predicts worse than random")
    with (tmp_path / registry.FILE).open("a") as file:
        file.write('{"event": "regis')  # killed while it wrote
    registry.finish(plan, tmp_path / "one", "a second verdict counts for nothing")
    registry.register(plan, tmp_path / "four")
    found = experiment.confirmatory_runs()
    assert [p.rsplit("/", 1)[1] for p in found["folder"]] == ["one", "two", "four"]
    assert found["verdict"].tolist() == ["priors predicts worse than random", "not finished", "not finished"]


def test_a_run_in_a_folder_named_from_here_is_listed_as_finished(tmp_path, monkeypatch):
    monkeypatch.setenv("HARE_LAB_RUNS", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    plan = experiment.read_plan(written(tmp_path))
    begin(plan, Path("one"))
    registry.finish(plan, Path("one"), "not decided")
    assert experiment.confirmatory_runs()["verdict"].tolist() == ["not decided"]


# --- the verdict ------------------------------------------------------------------------------------------------------


def records(plan, gap, noise=0.002):
    rng = np.random.default_rng(0)
    found = []
    for arm, seed in plan.cells():
        score = 1.6 + 0.1 * seed + (gap if arm.name == "priors" else 0) + rng.normal(0, noise)
        total = plan.tokens_of(arm)
        looks = [[total * k / 10, score + 2 / k, 1e-3] for k in range(1, 11)]
        found.append(
            {"plan": plan.hash, "arm": arm.name, "seed": seed, "level": arm.level, "leaked": arm.leaked > 0, "tokens": total,
             "looks": looks, "bits_per_byte": score, "natural": score, "train_loss": 3.0, "wall_seconds": 60.0, "repeats": {"D1": 1.5},
             "scores": [{"task": "bundled-choice", "value": 0.3}], "leakage": {"delta": 0.5 if arm.leaked else 0.0}}
        )  # fmt: skip
    return found


@pytest.mark.parametrize(
    ("gap", "word"), [(-0.05, "priors predicts better than random"), (0.05, "priors predicts worse than random"), (0.0, "not decided")]
)
def test_the_verdict_is_as_plain_against_the_hypothesis_as_for_it(tmp_path, gap, word):
    plan = experiment.read_plan(written(tmp_path))
    result = assemble(plan, records(plan, gap))
    assert result.complete and word in result.verdict and word in result._repr_html_()
    title = figures.arm_differences(result.differences, ours="priors", baseline="random").layout.title.text
    assert {"better": "better", "worse": "worse", "not": "not decided"}[word.split()[2] if gap else "not"] in title
    assert result.arms().set_index("arm").loc["leaked", "leakage_delta"] == 0.5
    assert result.arms().set_index("arm").loc["all", "bundled-choice"] == 0.3


def test_an_arm_that_reads_more_is_not_set_beside_those_of_equal_tokens(tmp_path):
    plan = experiment.read_plan(written(tmp_path))
    result = assemble(plan, [{**record, "bits_per_byte": 0.1} if record["arm"] == "long" else record for record in records(plan, -0.05)])
    assert list(result.differences["arm"]) == ["priors", "all", "leaked"]
    assert set(result.scored()["arm"]) == {"random", "priors", "all", "leaked"}
    assert set(result.arms()["arm"]) == set(result.curves["arm"]) == {arm.name for arm in plan.arms}
    assert result.target and result.longest == "long"  # its curve is what it is for
    picture = result.target_figure()
    assert "“long”" in picture.layout.title.text and f"{result.target.ratio:.2f} times" in picture.layout.title.text


def test_a_score_has_an_interval_only_over_three_seeds_that_differ(tmp_path):
    plan = experiment.read_plan(written(tmp_path))
    alike = records(plan, 0.0)
    apart = [{**one, "scores": [{"task": "bundled-choice", "value": 0.3 + 0.02 * one["seed"]}]} for one in alike]
    two = [one for one in apart if one["seed"] in plan.seeds[:2]]
    for cells, known in ((apart, True), (alike, False), (two, False)):
        scored = assemble(plan, cells).scored().head(2)  # random and priors, which have a third seed
        assert (scored[["low", "high"]].notna() == known).all(axis=None) and scored["score"].notna().all()


@pytest.mark.parametrize("reached", [True, False])
def test_the_picture_of_the_tokens_leads_from_our_last_look_to_where_the_other_arm_has_its_loss(reached):
    falls = pd.DataFrame(
        [("ours", s, t, 3 - t / 100, True) for s in (0, 1) for t in (50, 100)]
        + [("random", s, t, 3 - t / 200, True) for s in (0, 1) for t in (50, 100, *((200,) if reached else ()))],
        columns=["arm", "seed", "tokens", "loss", "constant"],
    )
    found = experiment.tokens_to_target(*({s: [(50, 3 - 50 / d), (100, 3 - 100 / d), *more] for s in (0, 1)} for d, more in
                                          ((100, ()), (200, ((200, 2.0),) if reached else ()))))  # fmt: skip
    picture = figures.tokens_to_target(
        falls, ours="ours", other="random", ratio=found.ratio, low=found.low, high=found.high, loss=found.target_loss, reached=found.reached
    )
    (way,) = picture.layout.shapes
    assert (way.x0, way.x1, way.y0, way.y1) == pytest.approx((100, 200, 2, 2) if reached else (0, 100, 2, 2)) and found.reached is reached
    assert ("needs 2.00 times" if reached else "not there yet") in picture.layout.title.text
    with pytest.raises(InputError, match='"else" has no look'):
        figures.tokens_to_target(falls, ours="ours", other="else", ratio=1.0, loss=2.0, reached=False)


def test_the_longest_run_of_the_baseline_is_where_its_tokens_are_read_off_and_the_decay_is_left_out(tmp_path):
    plan = experiment.read_plan(written(tmp_path))
    result = assemble(plan, records(plan, -0.05))
    assert not result.curves[result.curves["arm"] == "long"]["constant"].all()
    assert result.target.target_tokens == 800  # of 1,000: the last fifth decays
    assert "so far" in assemble(plan, records(plan, -0.05)[:6]).verdict


def test_one_seed_or_no_baseline_is_said(tmp_path):
    plan = experiment.read_plan(written(tmp_path))
    assert "one seed decides nothing" in assemble(plan, records(plan, -0.05)[:5]).verdict
    assert assemble(plan, records(plan, -0.05)[1:3]).verdict == "nothing to compare yet"
    assert json.dumps(assemble(plan, records(plan, 0.1)).to_dict())


def test_an_experiment_that_was_cancelled_before_its_first_cell_was_done_says_so(tmp_path):
    result = assemble(experiment.read_plan(written(tmp_path)), [])
    write(result, tmp_path)
    assert result.arms().empty and result.scored().empty and "nothing to compare yet" in result._repr_html_()
    assert json.loads((tmp_path / "report.json").read_text())["verdict"] == "nothing to compare yet"


# --- figures ----------------------------------------------------------------------------------------------------------


def drawn_curves(arms=("random", "<b>ours"), seeds=3):
    rng = np.random.default_rng(0)
    rows = [
        (a, s, 1e4 * t, 2 - 0.3 * np.log(t) - 0.05 * k + rng.normal(0, 0.01))
        for k, a in enumerate(arms)
        for s in range(seeds)
        for t in range(1, 9)
    ]
    return pd.DataFrame(rows, columns=["arm", "seed", "tokens", "loss"])


def test_curves_name_their_arms_escaped_and_show_every_seed():
    figure = figures.ablation_curves(drawn_curves())
    thin = [trace for trace in figure.data if trace.line.width == 1]
    assert len(thin) == 6 and "ends lowest" in figure.layout.title.text
    assert {note.text for note in figure.layout.annotations} == {"random", "&lt;b&gt;ours"}
    assert len(figures.ablation_curves(drawn_curves(seeds=1)).data) == 2


def test_an_arm_has_one_colour_in_every_figure(tmp_path):
    result = assemble(experiment.read_plan(written(tmp_path)), records(experiment.read_plan(written(tmp_path)), -0.05))
    drawn = result.curves_figure(["random", "priors", "all"])
    curves = {trace.name: trace.line.color for trace in drawn.data if trace.name}
    dots = [trace for trace in result.figure().data if trace.mode == "markers"]
    rows = dict(zip(result.differences.sort_values("value")["arm"], (trace.marker.color for trace in dots), strict=True))
    sideways = {trace.name: trace.line.color for trace in result.target_figure().data if trace.name}
    assert (curves["priors"], curves["all"]) == (rows["priors"], rows["all"]) and len({*curves.values(), *rows.values()}) == 4
    assert sideways["priors"] == curves["priors"] and sideways["long"] == curves["random"]  # long is random, for longer


def test_names_at_the_ends_never_touch():
    from hare_lab.figures.experiment import _apart

    values = np.array([1.0, 1.0, 1.001, 1.5, 1.0])
    placed = _apart(values, 0.1)
    assert np.diff(np.sort(placed)).min() > 0.099 and (np.argsort(placed, kind="stable") == np.argsort(values, kind="stable")).all()


def test_a_leaked_arm_that_scores_best_is_called_what_it_is():
    arms = pd.DataFrame(
        {"arm": ["random", "priors", "cheat"], "level": [0, 2, 0], "leaked": [False, False, True], "score": [0.26, 0.3, 0.5],
         "leakage_delta": [0.0, 0.01, 0.4], "low": [0.2, 0.25, 0.45], "high": [0.3, 0.35, float("inf")]}
    )  # fmt: skip
    assert "has read the benchmark" in figures.score_against_priors(arms).layout.title.text
    assert "scores best" in figures.score_against_priors(arms.iloc[:2]).layout.title.text


def test_figures_of_nothing_say_so_and_missing_columns_are_named():
    for draw, frame in (
        (figures.ablation_curves, drawn_curves()),
        (lambda f: figures.arm_differences(f, ours="a", baseline="b"), assemble_differences()),
        (figures.score_against_priors, pd.DataFrame({"arm": ["a"], "level": [1], "leaked": [False], "score": [1.0]})),
    ):
        assert draw(frame.iloc[:0]).layout.title.text
        with pytest.raises(InputError, match="column"):
            draw(frame.drop(columns=frame.columns[0]))


def assemble_differences():
    return pd.DataFrame({"arm": ["a"], "value": [0.1], "low": [-math.inf], "high": [math.inf], "p_holm": [1.0], "seeds": [1]})


def test_an_endless_interval_is_drawn_to_the_edge():
    assert figures.arm_differences(assemble_differences(), ours="a", baseline="b").layout.xaxis.range[0] > -10
