"""Every notebook runs, offline, in the small profile, and what it wrote is checked; so are its controls and its prose."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from datasets import Dataset

from hare_lab import notebook, texts
from hare_lab.priors import load as load_priors
from hare_lab.run import notebooks, read_run

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.timeout(2_400)  # twelve notebooks: minutes on an idle machine, many more on a busy one


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """One run of all notebooks from the command line, as `make run` does it, in a folder of its own."""
    folder = tmp_path_factory.mktemp("runs")
    env = {**os.environ, "HARE_LAB_RUNS": str(folder), "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    words = [sys.executable, "-m", "hare_lab.cli", "run", "--profile", "small", "--name", "test"]
    finished = subprocess.run(words, env=env, capture_output=True, text=True, timeout=2_300)
    assert finished.returncode == 0, finished.stderr
    return read_run(folder / "test")


def test_every_notebook_was_executed_to_its_end(done):
    for path in notebooks():
        cells = nbformat.read(done.folder / "notebooks" / path.name, as_version=4).cells
        assert all(cell.execution_count for cell in cells if cell.cell_type == "code"), path.name


def test_pages_and_removed_partition_what_was_loaded(done):
    came = set(done.load("loaded")["id"]) | set(done.load("unusable")["id"])
    pages, removed = set(done.load("pages")["id"]), set(done.load("removed")["id"])
    assert pages | removed == came and not pages & removed
    assert all(done.load("removed")["reason"])


def test_every_planted_exact_copy_and_nearly_every_near_copy_is_found(done):
    found = {kind: hits / planted for kind, hits, planted in texts.planted_copies_found(done.load("removed")["id"], texts.sample_truth())}
    assert found["exact"] == 1 and found["near"] >= 0.95


def test_the_map_separates_the_bundled_topics(done):
    """Bundled pages of one topic mostly share a cluster's neighbourhood: the purity of clusters is far above chance."""
    topic = {f"sample#{page['id']}": page["topic"] for page in texts.sample_truth() if page["tier"] != "junk"}
    mapped = done.load("mapped").to_pandas()
    known = mapped[mapped["id"].isin(list(topic))].assign(topic=lambda frame: frame["id"].map(topic))
    largest = known.groupby("nearest_cluster")["topic"].agg(lambda found: found.value_counts().iloc[0]).sum()
    assert largest / len(known) > 0.3
    assert (mapped["nearest_cluster"] >= 0).all() and (mapped["cluster"] >= -1).all()


def test_every_page_has_a_unit_vector(done):
    vectors = done.load("vectors")
    assert len(vectors) == len(done.load("mapped"))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)


def test_every_page_has_a_score_and_the_tiers_of_the_bundled_pages_stand_in_order(done):
    scores = done.load("scores").to_pandas()
    assert scores["id"].tolist() == list(done.load("mapped")["id"]) and scores["quality"].between(0, 1).all()
    tier = {f"sample#{page['id']}": page["tier"] for page in texts.sample_truth()}
    means = scores.groupby(scores["id"].map(tier))["quality"].mean()[list(texts.TIERS)]
    assert means.is_monotonic_decreasing and means["reference"] - means["junk"] > 0.4
    failed = scores["rules_failed"].str.contains("gopher_words")
    assert ((scores["gopher_words"] < 50) == failed).all() and done.load("quality").pages == len(scores)


def test_every_page_has_a_topic_and_the_planted_rare_topics_are_the_widest_gaps(done):
    placed, gaps = done.load("placed"), done.load("gaps")
    assert list(placed["id"]) == list(done.load("mapped")["id"]) and set(placed["topic"]) <= set(gaps["topic"])
    assert set(gaps["topic"][:5]) == {"astronomy", "beekeeping", "chess", "geology", "oceanography"}
    truth = {f"sample#{page['id']}": page["topic"] for page in texts.sample_truth()}
    right = [truth[page] == topic for page, topic in zip(placed["id"], placed["topic"], strict=True) if page in truth]
    assert np.mean(right) > 0.75


def test_every_gap_that_was_written_for_is_smaller_and_bad_replies_went(done):
    synthesis, accepted, rejected = (done.load(name) for name in ("synthesis", "synthetic", "synthetic_rejected"))
    assert set(synthesis.topics["topic"]) == {"astronomy", "beekeeping", "chess", "geology", "oceanography"}
    assert (synthesis.topics["after"] > synthesis.topics["before"]).all() and synthesis.recorded
    judged = {name: (gone, of) for name, gone, of in texts.planted_replies_judged(accepted, rejected)}
    good_gone, good = judged.pop("good")
    assert good > 250 and good_gone / good < 0.05
    assert all(gone == of for name, (gone, of) in judged.items() if name != "near-duplicate"), judged


def test_a_model_was_trained_that_learnt_and_can_be_loaded(done):
    report, model = done.load("training"), done.load("model")
    assert report.finished and report.last_loss < report.first_loss - 0.5 and report.heldout_loss < report.first_loss
    assert report.data in (done.folder / model["folder"] / "README.md").read_text()
    assert (done.folder / model["folder"] / "model.safetensors").exists()
    assert list(done.load("cards")["name"])[-1] == "hare-1.1b"
    assert {"training_costs", "loss_curve"} <= {path.stem for path in (done.folder / "figures").glob("*.csv")}


def test_the_model_is_judged_on_pages_it_never_read_and_every_score_has_its_chance(done):
    bits, scores = done.load("bits"), done.load("task_scores")
    assert 1 < bits.macro.low <= bits.macro.value <= bits.macro.high < 8 and bits.unfaithful == 0
    trained_on = done.load("curated").train_test_split(test_size=0.05, seed=done.seed)["train"]
    assert not set(done.load("page_bits")["id"]) & set(trained_on["id"])
    assert [score.task for score in scores.scores] == ["bundled-choice", "bundled-cloze", "my_questions"]
    assert all(score.chance == 0.25 and 0 < score.stderr < 0.1 for score in scores.scores[:2])
    assert scores["my_questions"].items == 3
    board = pd.read_csv(done.folder / "figures" / "leaderboard.csv").set_index("origin")
    assert board.loc["yours", "MMLU"] != board.loc["yours", "MMLU"] and board.loc["yours", "bundled-choice"] > 0
    assert {"bits_by_topic", "task_scores", "leaderboard"} <= {path.stem for path in (done.folder / "figures").glob("*.csv")}


def test_the_experiment_ran_every_cell_of_its_plan_at_equal_tokens_and_is_listed(done):
    plan, result = done.load("plan"), done.load("experiment")
    assert result.complete and len(result.cells) == len(plan["arms"]) * len(plan["seeds"])
    assert {"random", "quality only", "diversity only", "priors", "D1+D2", "D1+D2+D3", "leaked"} <= {arm["name"] for arm in plan["arms"]}
    assert result.cells["tokens"].nunique() == 1 and set(result.cells[result.cells["leaked"]]["arm"]) == {"leaked"}
    assert set(result.differences["arm"]) == {arm["name"] for arm in plan["arms"]} - {plan["baseline"]}
    assert (result.differences["p_holm"] >= result.differences["p"] - 1e-12).all()
    listed = [json.loads(line) for line in (done.folder.parent / "experiments.jsonl").read_text().splitlines()]
    assert [row["event"] for row in listed] == ["registered", "finished"] and listed[0]["plan"] == result.plan
    assert {"arm_differences", "ablation_curves", "score_against_priors", "tokens_to_target"} <= {
        path.stem for path in (done.folder / "figures").glob("*.csv")
    }


def test_the_concise_set_spends_its_budget_on_what_the_priors_ask_for_and_on_no_leak(done):
    prepared, choices, curated = (done.load(name) for name in ("prepared", "choices", "curated"))
    report = done.load("curation")
    assert list(choices["id"]) == prepared["id"][:] and choices["reason"].str.len().min() > 10
    assert curated["id"][:] == list(choices["id"][choices["kept"]]) and not any(curated["leaked"])
    assert 0.995 * report.budget <= sum(curated["tokens"]) <= report.budget
    fair = report.topics[report.topics["gap_tokens"] == 0]
    assert (fair["after"] - fair["wanted"]).abs().max() <= 0.02 and report.quality > report.quality_before
    gaps = done.load("gaps_left").sort_values("gaps_left", ascending=False)
    assert set(gaps["topic"].head(5)) == {"astronomy", "geology", "oceanography", "beekeeping", "chess"}  # planted rare
    assert load_priors(done.folder / "my_priors.yaml").topics["cooking"] == 3
    figures = json.loads((done.folder / "manifest.json").read_text())["figures"]
    assert {"composition", "curation_funnel", "map_before_after", "quality_diversity"} <= set(figures)


def test_a_model_learns_from_calls_and_what_it_answers_is_valid_and_counted(done):
    from hare_lab import tool_calling

    learnt, scores, looked = (done.load(name) for name in ("tool_tuning", "tool_scores", "tool_lookup"))
    assert learnt.finished and learnt.training.last_loss < learnt.training.first_loss - 2
    test = tool_calling.bundled_requests("test")
    assert scores.requests == len(test) == scores.by_api["requests"].sum() == scores.confusion["requests"].sum()
    assert len(scores.failures) == round((1 - scores.exact_call) * len(test)) and looked.api_accuracy > 0.5
    assert done.load("tool_recall")["recall"].is_monotonic_increasing and len(done.load("tool_answers")) == len(test)
    caller = tool_calling.load(done.folder / done.load("tool_model")["folder"])
    assert caller.registry == tool_calling.bundled() and caller.abstain is not None
    assert done.load("tuning").finished and (done.folder / done.load("chat_model")["folder"] / "model.safetensors").exists()


def test_every_figure_is_saved_with_its_data_caption_and_provenance(done):
    manifest = json.loads((done.folder / "manifest.json").read_text())
    assert {
        "tour_map",
        "tour_sizes",
        "tour_funnel",
        "cleaning_funnel",
        "topic_map",
        "leak_counts",
        "leaks_on_map",
        "leak_deltas",
        "topic_hierarchy",
        "diversity_profile",
        "rule_failures",
        "quality_reasons",
        "quality_by_topic",
        "wanted_and_have",
        "coverage_treemap",
        "holes_map",
        "subject_coverage",
        "synthesis_funnel",
        "synthesis_pipeline",
        "synthesis_coverage",
        "synthesis_composition",
        "tuning_curve",
        "tuning_effect",
        "call_confusion",
        "calls_beside_paper",
        "risk_coverage",
    } <= set(manifest["figures"])
    for name, about in manifest["figures"].items():
        assert about["caption"] and about["inputs"], name
        assert len(pd.read_csv(done.folder / "figures" / f"{name}.csv")) > 0
        assert "plotly" in (done.folder / "figures" / f"{name}.html").read_text()[:200_000].lower()


def test_a_second_run_makes_nothing_again(done):
    before = {name: done.entry(name).made for name in ("loaded", "clean", "vectors", "cluster", "topics")}
    done.execute(next(path for path in notebooks() if path.name.startswith("02")))
    assert {name: done.entry(name).made for name in before} == before


def test_an_executed_notebook_opens_trusted_and_holds_no_half_drawn_bar(done):
    from nbformat.sign import NotebookNotary

    for path in sorted((done.folder / "notebooks").glob("*.ipynb")):
        page = nbformat.read(path, as_version=4)
        assert NotebookNotary().check_signature(page), path.name
        shown = [
            str(output.get("data", {}).get("text/plain", output.get("text", "")))
            for cell in page.cells
            for output in cell.get("outputs", [])
        ]
        assert not [text for text in shown if "%|" in text], path.name


def test_every_copied_question_is_found_and_its_page_goes(done):
    leaks, leakage, mapped = done.load("leaks"), done.load("leakage").to_pandas(), done.load("mapped")
    assert leakage["id"].tolist() == list(mapped["id"])
    found = set(zip(leaks["id"].str.rpartition("#")[2], leaks["item"], strict=True))
    planted = {(page["id"], leak["item"]) for page in texts.sample_truth() for leak in page["leaks"] if leak["kind"] == "verbatim"}
    there = {(page, item) for page, item in planted if f"sample#{page}" in set(leakage["id"])}
    assert len(there) > 20 and there <= found
    assert leakage["leaked"].tolist() == (leakage["leak"] > done.priors.leakage.overlap).tolist()
    pages = dict(zip(mapped["id"], mapped["text"], strict=True))
    assert all(
        pages[id][start:end] == text for id, start, end, text in zip(leaks["id"], leaks["start"], leaks["end"], leaks["found"], strict=True)
    )


# --- notebook 03 on other corpora -------------------------------------------------------------------------------------


def judging(folder, found, priors=None):
    """A run of these texts that came as far as notebook 03, and a function that executes it and gives the text that each cell shows."""
    from hare_lab.run import open_run

    run = open_run("small", profile="small", corpus="mine.jsonl", priors=priors, root=folder)
    rows = {"id": [f"p{n}" for n in range(len(found))], "text": found, "title": [f"<b>{n}" for n in range(len(found))]}
    mapped = Dataset.from_dict({**rows, "nearest_cluster": [n % 2 for n in range(len(found))]})
    vectors = np.random.default_rng(0).normal(size=(len(found), 384)).astype(np.float32)
    clusters = pd.DataFrame({"cluster": [0, 1], "name": ["even", "odd"], "size": [1, 1]})
    run.make("mapped", lambda: mapped)
    run.make("vectors", lambda: vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    run.make("topics", lambda: clusters)

    def shown():
        (page,) = [path for path in notebooks() if path.name.startswith("03")]
        cells = nbformat.read(run.execute(page), as_version=4).cells
        return ["\n".join(str(out.get("data", "")) for out in cell.get("outputs", [])) for cell in cells]

    return run, shown


def plain(count):
    pages = [page["text"].replace("?", ".") for page in texts.sample_truth() if page["language"] == "en"]
    return pages[:count]


@pytest.mark.parametrize("count", [3, 120])
def test_notebook_03_judges_a_corpus_that_asks_nothing_however_small(tmp_path, count):
    _, shown = judging(tmp_path, plain(count))
    cells = shown()
    (best,) = [cell for cell in cells if "rules_failed</th>" in cell and "quality</th>" in cell]
    assert best.count("<tr>") == 1 + min(count, 6) and re.search(r">[01]\.\d{3}<", best)
    assert any("your taste is left out here" in cell for cell in cells)


def test_notebook_03_learns_a_taste_from_the_pages_that_ask_most_and_least(tmp_path):
    _, shown = judging(tmp_path, [text + " Why?" * (n % 3) for n, text in enumerate(plain(120))])
    assert any("Taught with **30** pages that ask" in cell for cell in shown())


def test_notebook_03_scores_again_when_a_good_page_was_changed_in_its_place(tmp_path):
    good, statement = tmp_path / "good.jsonl", tmp_path / "mine.yaml"
    pages = [{"text": page["text"]} for page in texts.sample_pages()][-30:]
    statement.write_text("name: mine\nquality:\n  good: good.jsonl\n  rules: {c4_sentences: 17, fineweb_repeated_chars: .inf}\n")
    good.write_text("".join(json.dumps(page) + "\n" for page in pages))
    run, shown = judging(tmp_path / "runs", plain(60), statement)
    cells = shown()
    made = run.entry("scores").made
    # the control starts at the thresholds of the priors, so that nothing has changed yet
    assert any("sentences: 17, repeated: 1 (" in cell and "0 pages fall that passed, and 0 pass" in cell for cell in cells)
    shown()
    assert run.entry("scores").made == made
    good.write_text("".join(json.dumps(page) + "\n" for page in [{"text": "Another page, that is good."}, *pages[1:]]))
    shown()
    assert run.entry("scores").made != made


# --- what the notebooks call ------------------------------------------------------------------------------------------


def test_numbers_in_prose_are_filled_in_and_text_is_shown_letter_by_letter():
    said = notebook.say("**{n}** of {share:.0%} in {name}", n=12345, share=0.256, name="<b>*x*</b>").data
    assert said == "**12,345** of 26% in &lt;b&gt;\\*x\\*&lt;/b&gt;"


def test_a_control_shows_its_figure_at_once_and_replaces_it_when_moved(monkeypatch):
    import plotly.graph_objects as go
    import plotly.io
    from ipywidgets import IntSlider

    shown = []

    class Handle:
        def update(self, bundle, raw):
            shown.append(bundle)

    def display(bundle, *, raw, display_id=False):
        shown.append(bundle)
        return Handle() if display_id else None

    monkeypatch.setattr("IPython.display.display", display)
    monkeypatch.setattr(plotly.io.renderers, "default", "plotly_mimetype")
    slider = IntSlider(value=3, min=0, max=9)
    notebook.control(lambda k: go.Figure(layout_title_text=f"figure of {k}", layout_height=321), k=slider)
    slider.value = 7
    controls, first, between, second = shown
    assert controls["text/plain"].startswith("k: 3 (") and "application/vnd.jupyter.widget-view+json" in controls
    titles = [bundle["application/vnd.plotly.v1+json"]["layout"]["title"]["text"] for bundle in (first, second)]
    assert titles == ["figure of 3", "figure of 7"]
    assert list(between) == ["text/html"] and "321px" in between["text/html"]  # JupyterLab's renderer would keep the first


def test_what_a_control_shows_under_its_figure_moves_with_it(monkeypatch):
    import plotly.graph_objects as go
    import plotly.io
    from ipywidgets import IntSlider

    under = []

    class Handle:
        def update(self, shown, raw=False):
            under.extend([] if raw else [shown.data])

    def display(shown, *, raw=False, display_id=False):
        under.extend([] if raw else [shown.data])
        return Handle() if display_id else None

    monkeypatch.setattr("IPython.display.display", display)
    monkeypatch.setattr(plotly.io.renderers, "default", "plotly_mimetype")
    slider = IntSlider(value=3, min=0, max=9)
    notebook.control(lambda k: (go.Figure(), notebook.table([[f"<page {k}>"]])), k=slider)
    slider.value = 7
    assert ["&lt;page 3&gt;" in under[0], "&lt;page 7&gt;" in under[1], len(under)] == [True, True, 2]


def test_what_a_reader_clicks_is_what_is_graded(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda bundle, raw: shown.append(bundle))
    made = []
    from ipywidgets import ToggleButtons

    class Buttons(ToggleButtons):
        def __init__(self, **given):
            super().__init__(**given)
            made.append(self)

    monkeypatch.setattr("ipywidgets.ToggleButtons", Buttons)
    grades = notebook.grade(
        Dataset.from_dict({"id": ["a", "b"], "text": ["<script>x</script>", "fine"], "title": ["", ""], "source": ["", ""]})
    )
    made[0].value, made[1].value = "bad", "good"
    assert grades == {"a": False, "b": True}
    made[1].value = "not graded"
    assert grades == {"a": False} and shown[0]["text/plain"].startswith("2 pages to grade")


@pytest.mark.parametrize(("rows", "sentence"), [(["bread " * 30, "water " * 30], ""), (["too short"] * 3, "Cleaning left no page")])
def test_the_first_notebook_takes_two_rows_and_says_so_where_none_stays(tmp_path, rows, sentence):
    (tmp_path / "few.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in rows))
    (tmp_path / "any.yaml").write_text("languages: []\n")
    words = ["run", "--corpus", str(tmp_path / "few.jsonl"), "--priors", str(tmp_path / "any.yaml"), "--profile", "small", "--only", "01"]
    env = {**os.environ, "HARE_LAB_RUNS": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    finished = subprocess.run([sys.executable, "-m", "hare_lab.cli", *words, "--name", "few"], env=env, capture_output=True, text=True)
    assert finished.returncode == (2 if sentence else 0) and sentence in finished.stderr


def test_a_missing_input_is_one_sentence_in_a_notebook_and_names_its_maker(tmp_path):
    import nbclient

    begin = f'import hare_lab as hare\nrun = hare.notebook.begin("new", {str(tmp_path)!r}, "small", 0, "demo", "")'
    page = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in (begin, 'run.load("pages")')])
    with pytest.raises(nbclient.exceptions.CellExecutionError):
        nbclient.NotebookClient(page, kernel_name="python3").execute()
    (error,) = page.cells[1].outputs
    assert error.ename == "MissingArtifactError" and error.traceback == [error.evalue]
    assert "notebook 01 makes it" in error.evalue and "run.compute_missing('pages')" in error.evalue


def test_a_page_and_its_changes_are_escaped():
    hostile = "<script>alert(1)</script> and some words"
    before = Dataset.from_dict({"id": ["<i>"], "text": [hostile + " cut"], "title": ["<b>"], "source": ["s"]})
    after = Dataset.from_dict({"id": ["<i>"], "text": [hostile]})
    for shown in (notebook.page(before[0]).data, notebook.before_after(before, after).data):
        assert "<script>" not in shown and "<i>" not in shown and "&lt;script&gt;" in shown
    assert "<del" in notebook.before_after(before, after).data


@pytest.mark.parametrize("at", [0, 50_000, 99_999])
def test_a_change_is_shown_wherever_it_stands_in_a_long_page(at):
    words = [f"w{n}" for n in range(100_000)]
    before, after = (
        Dataset.from_dict({"id": ["a"], "text": [" ".join([*words[:at], *new, *words[at + 1 :]])], "title": [""], "source": [""]})
        for new in (["cut"], [])
    )
    shown = notebook.before_after(before, after).data
    assert "cut</del>" in shown.replace(" ", "") and len(shown) < 5_000
