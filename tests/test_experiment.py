"""The experiment itself, small: equal beginnings, equal tokens, killed and gone on with, in the background, one plan a folder."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from datasets import Dataset
from typer.testing import CliRunner

from hare_lab import evaluation, experiment, notebook, priors, texts, training
from hare_lab.errors import InputError
from hare_lab.experiment import background
from hare_lab.experiment.cells import DONE, MATERIAL, cell_folder, first_of_each
from hare_lab.experiment.conduct import CANCEL, PLAN, STARTED, STATUS
from hare_lab.machine import held
from hare_lab.run import open_run

TOPICS = {"owls": "owl night feather mouse wing barn hoot talon", "bread": "flour yeast oven crust dough salt knead loaf",
          "trains": "rail engine whistle platform ticket signal carriage steam"}  # fmt: skip


def corpus(count=240, seed=0):
    """Pages of three topics, one of them rare, every fifth a page of noise with a low quality."""
    rng = np.random.default_rng(seed)
    names = list(TOPICS)
    rows = []
    for number in range(count):
        topic = names[int(rng.choice(3, p=[0.7, 0.2, 0.1]))]
        words = TOPICS[topic].split()
        good = number % 5 > 0
        text = " ".join(rng.choice(words, 60)) if good else "".join(rng.choice(list("qzxjkvw#;|"), 300))
        rows.append({"id": f"p{number}", "text": text, "topic": topic, "quality": 0.9 if good else 0.05, "leaked": False})
    vectors = rng.normal(size=(count, 16)) + 3 * np.eye(16)[[names.index(row["topic"]) for row in rows]]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Dataset.from_list(rows), vectors.astype(np.float32)


PLANNED = experiment.Plan(
    name="tiny", hypothesis="priors predict better than chance", kind="tuning",
    arms=(experiment.Arm("random"), experiment.Arm("priors", "priors")),
    seeds=(0, 1), tokens=2_048, vocabulary=300, context=64, batch=4, sample=4, held_out=0.2, looks=4,
)  # fmt: skip


def shared(plan=PLANNED, **changes):
    pages, vectors = corpus()
    return experiment.material(replace(plan, **changes), pages, vectors, priors.default())


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Tiny models: a second thread only waits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module", autouse=True)
def runs(tmp_path_factory):
    """The list of experiments is these tests' own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARE_LAB_RUNS", str(tmp_path_factory.mktemp("runs")))
        yield


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("experiment")
    result = experiment.conduct(shared(), folder / "one", leak_test=lambda model: {"delta": 0.125})
    return folder / "one", result


def record(folder, arm, seed):
    return json.loads((cell_folder(folder, experiment.Arm(arm), seed) / DONE).read_text())


def test_what_is_held_out_is_seen_by_no_choice_and_is_clean_and_even():
    material = shared()
    inside, outside = set(material.pool["id"]), set(material.natural["id"])
    assert not inside & outside and len(inside | outside) == 240 and set(material.held["id"]) <= outside
    assert min(material.held["quality"]) > 0.5
    assert max(pd.Series(material.groups).value_counts()) <= 4 and set(material.groups) == set(TOPICS)
    for arm in (experiment.Arm("random"), experiment.Arm("priors", "priors")):
        read = set(material.parts(arm, 0)["D1"]["text"])
        assert read and not read & set(material.natural["text"])


def test_a_draw_follows_the_seed_and_a_choice_does_not():
    material = shared(tokens=500)
    for arm, same in ((experiment.Arm("random"), False), (experiment.Arm("priors", "priors"), True)):
        read = [list(material.parts(arm, seed)["D1"]["text"]) for seed in (0, 1)]
        assert (read[0] == read[1]) == same
        sizes = [len(training.encode(part, material.tokenizer)[0]) for part in read]
        assert max(sizes) <= 500


def test_the_leaked_arm_holds_its_share_of_the_benchmark():
    material = shared(tokens=20_000)
    arm = experiment.Arm("leaked", "random", leaked=0.4)
    pages = list(material.parts(arm, 0)["D1"]["text"])
    items = set(experiment.leaked_texts())
    sizes = [len(ids) for ids in material.tokenizer(pages, add_special_tokens=False)["input_ids"]]
    share = sum(size for text, size in zip(pages, sizes, strict=True) if text in items) / 20_000
    assert share == pytest.approx(0.4, abs=0.02)


@pytest.mark.parametrize("crawl", [True, False])
def test_a_leaked_set_of_fewer_pages_than_asked_for_holds_its_share_all_the_same(crawl):
    pages, vectors = corpus()
    plan = replace(PLANNED, tokens=200_000)
    material = experiment.material(plan, pages, vectors, priors.default(), crawl=pages if crawl else None)
    read = material.parts(experiment.Arm("leaked", leaked=0.2, crawl=crawl), 0)["D1"]["text"][:]
    assert material.tokens.sum() < plan.tokens / 2
    items = set(experiment.leaked_texts())
    sizes = {kind: sum(map(len, material.tokenizer([t for t in read if (t in items) == kind])["input_ids"])) for kind in (True, False)}
    assert sizes[True] / (sizes[True] + sizes[False]) == pytest.approx(0.2, abs=0.02)


def test_what_leaks_is_what_is_asked_and_what_the_leakage_test_looks_at():
    asked = {item.id for task in evaluation.bundled_tasks(limit=7, seed=3) for item in task.items}
    rows = [row for row in texts.items() if row["id"] in asked]
    assert len(rows) == 14
    told = experiment.leaked_texts(7, 3)
    assert len(told) == 21  # each question with and without its choices, each gap filled
    assert all(any(row["answer"] in text for text in told) for row in rows)
    others = [row for row in texts.items() if row["id"] not in asked]
    assert not [row for row in others if any(row["question"] in text for text in told)]


def test_a_crawl_arm_draws_from_what_came_but_never_a_copy_of_what_is_held_out():
    pages, vectors = corpus()
    loaded = Dataset.from_dict({"id": [*pages["id"], "copy"], "text": [*pages["text"], "again"]})
    material = experiment.material(PLANNED, pages, vectors, priors.default(), crawl=loaded)
    held = material.natural["text"][0]
    again = Dataset.from_dict({"id": [*pages["id"], "copy"], "text": [*pages["text"], held + " and no more"]})
    second = experiment.material(PLANNED, pages, vectors, priors.default(), crawl=again)
    assert "copy" in material.crawl["id"] and "copy" not in second.crawl["id"]
    assert not set(material.crawl["id"]) & set(material.natural["id"])
    read = second.parts(experiment.Arm("random", crawl=True), 0)["D1"]["text"]
    assert read and not set(read) & set(second.natural["text"])
    assert len(training.encode(read, second.tokenizer)[0]) <= PLANNED.tokens
    with pytest.raises(InputError, match="only random pages"):
        experiment.Arm("priors", "priors", crawl=True)


def test_synthetic_text_that_is_not_there_is_named():
    with pytest.raises(InputError, match="reads D2, but there is no synthetic text; make some"):
        shared().parts(experiment.Arm("more", "priors", ("D1", "D2")), 0)


def test_no_arm_reads_what_was_written_from_a_held_out_page_or_its_near_copy():
    pages, vectors = corpus()
    out, into = (getattr(shared(), name)["id"][0] for name in ("natural", "pool"))
    copy = dict(zip(pages["id"], pages["text"], strict=True))[out] + " and no more"
    crawl = Dataset.from_dict({"id": [*pages["id"], "copy"], "text": [*pages["text"], copy]})
    made = {"D2": Dataset.from_dict({"text": ["of it", "of its copy", "of a page that is read"], "seed": [out, "copy", into]}),
            "D3": Dataset.from_dict({"text": ["asked of it"], "seed": [out]})}  # fmt: skip
    material = experiment.material(PLANNED, pages, vectors, priors.default(), crawl=crawl, synthetic=made)
    read = material.parts(experiment.Arm("more", "priors", ("D1", "D2")), 0)["D2"]["text"]
    assert read[:] == ["of a page that is read"] and material.left_out == 3
    with pytest.raises(InputError, match=r"reads D3, but there is no synthetic text but what was written from held-out pages \(3 of it\)"):
        material.parts(experiment.Arm("more", "priors", ("D1", "D3")), 0)


def test_the_plan_stands_before_the_first_step_and_every_cell_carries_it(done):
    folder, result = done
    assert experiment.read_plan(folder / PLAN) == PLANNED
    first = min(path.stat().st_mtime for path in (folder / "cells").glob("*/cell.json"))
    assert (folder / PLAN).stat().st_mtime <= first
    assert {record(folder, arm, seed)["plan"] for arm in ("random", "priors") for seed in (0, 1)} == {PLANNED.hash}
    assert result.complete and len(result.cells) == 4 and set(result.cells["leakage_delta"]) == {0.125}


def test_arms_read_equal_tokens_and_begin_with_equal_weights(done):
    _, result = done
    assert result.cells["tokens"].nunique() == 1 and result.cells["tokens"].iloc[0] == 2_048
    material = shared()
    from hare_lab.experiment.cells import _new_model

    one, same, other = (_new_model(material, seed).state_dict() for seed in (0, 0, 1))
    assert all((one[name] == same[name]).all() for name in one)
    assert any((one[name] != other[name]).any() for name in one)


def test_a_look_reads_the_first_pages_of_each_topic():
    assert first_of_each(["a", "b", "a", "a", "b", "c"], 2) == [0, 1, 2, 4, 5]


def test_looks_fall_and_end_where_the_score_does(done):
    folder, _ = done
    for seed in (0, 1):
        looks = record(folder, "priors", seed)["looks"]
        assert [int(look[0]) for look in looks] == [512, 1024, 1536, 2048]
        assert looks[-1][1] < looks[0][1]
        assert looks[-1][1] == pytest.approx(record(folder, "priors", seed)["bits_per_byte"], rel=0.1)


def test_a_trained_cell_is_a_model_that_scores_the_same_again(done):
    from hare_lab import evaluation

    folder, _ = done
    place = cell_folder(folder, experiment.Arm("priors"), 0)
    material = shared()
    again = evaluation.page_bits(evaluation.load_model(place / "model"), material.held)
    found = evaluation.bits_per_byte(again, material.groups).macro.value
    assert found == pytest.approx(record(folder, "priors", 0)["bits_per_byte"], rel=1e-4)
    assert not (place / training.CHECKPOINTS).exists()


def test_running_it_again_trains_nothing(done):
    folder, result = done
    before = {path: path.stat().st_mtime_ns for path in (folder / "cells").glob("*/cell.json")}
    again = experiment.conduct(shared(), folder)
    assert again.verdict == result.verdict and again.cells.equals(result.cells)
    assert before == {path: path.stat().st_mtime_ns for path in before}
    assert experiment.results(folder).differences.equals(result.differences)
    assert set(experiment.progress(folder)["state"]) == {"done"}


def test_a_changed_plan_is_another_experiment(done):
    folder, _ = done
    with pytest.raises(InputError, match="a changed plan is a new experiment"):
        experiment.conduct(shared(tokens=4_096), folder)


def test_other_pages_vectors_or_priors_are_another_experiment(done, tmp_path):
    pages, vectors = corpus()
    known = experiment.material(PLANNED, pages, vectors, priors.default())
    assert known.digest == shared().digest == shared(name="another plan").digest
    dull = pages.remove_columns("quality").add_column("quality", [0.9] * len(pages))
    edited = pages.map(lambda page: {"text": page["text"].replace("owl", "bat")})
    made = Dataset.from_dict({"text": ["new"], "seed": ["elsewhere"]})
    others = [
        experiment.material(PLANNED, edited, vectors, priors.default()), experiment.material(PLANNED, dull, vectors, priors.default()),
        experiment.material(PLANNED, pages, np.roll(vectors, 1, axis=1), priors.default()),
        experiment.material(PLANNED, pages, vectors, priors.default().turned(floor=0.2)),
        experiment.material(PLANNED, pages, vectors, priors.default(), crawl=pages),
        experiment.material(PLANNED, pages, vectors, priors.default(), synthetic={"D2": made}),
        experiment.material(PLANNED, pages, vectors, priors.default(), taxonomy=texts.taxonomy()),
    ]  # fmt: skip
    assert len({material.digest for material in [known, *others]}) == 8
    folder, _ = done
    for material in others[:2]:
        with pytest.raises(InputError, match=r"the same plan on other pages, vectors or priors .*give another folder"):
            experiment.conduct(material, folder)
    assert experiment.status(folder).state == "done" and record(folder, "random", 0)["material"] == known.digest
    shutil.copytree(folder, tmp_path / "mixed")
    (tmp_path / "mixed" / MATERIAL).write_text(others[0].digest)
    with pytest.raises(InputError, match="was trained on other pages, vectors or priors"):
        experiment.results(tmp_path / "mixed")


def test_cells_of_before_their_material_was_noted_are_read_and_the_folder_notes_it(done, tmp_path):
    folder, result = done
    old = tmp_path / "old"
    shutil.copytree(folder, old)
    (old / MATERIAL).unlink()
    for path in old.glob("cells/*/cell.json"):
        path.write_text(json.dumps({key: value for key, value in json.loads(path.read_text()).items() if key != "material"}))
    assert experiment.results(old).cells.equals(result.cells)
    assert experiment.conduct(shared(), old).cells.equals(result.cells)
    assert (old / MATERIAL).read_text() == shared().digest


def test_a_cell_that_is_stopped_goes_on_to_the_same_numbers(tmp_path, done):
    whole, _ = done
    plan = replace(PLANNED, arms=PLANNED.arms[::-1])
    material = shared(plan)
    from hare_lab.experiment.cells import run_cell

    steps = []

    def stop(progress):
        steps.append(progress.step)
        return progress.step == 3

    assert run_cell(material, plan.arm("priors"), 1, tmp_path, watch=stop) is None
    assert not (cell_folder(tmp_path, plan.arm("priors"), 1) / DONE).exists()
    found = run_cell(material, plan.arm("priors"), 1, tmp_path, watch=lambda p: steps.append(p.step))
    assert steps == [1, 2, 3, 4, 5, 6, 7, 8]
    expected = record(whole, "priors", 1)
    assert found["bits_per_byte"] == pytest.approx(expected["bits_per_byte"], rel=1e-5)
    np.testing.assert_allclose([r[1] for r in found["looks"]], [r[1] for r in expected["looks"]], rtol=1e-5)


# --- workers side by side ---------------------------------------------------------------------------------------------


def met(folder, judged):
    """Who trained this cell; each worker waits in its first one for the other, so that no race decides whether it gets one."""
    (folder / f"{os.getpid()}-{time.monotonic_ns()}").touch()
    wait_for(lambda: len({path.name.split("-")[0] for path in folder.iterdir()}) == 2)
    return {"delta": float(os.getpid())}


def no_room(judged):
    raise InputError("no room for the exam")


def killed(judged):
    os.kill(os.getpid(), signal.SIGKILL)


def test_two_workers_find_what_one_finds(done, tmp_path):
    _, result = done
    heard, here = [], tmp_path / "here"
    here.mkdir()
    both = experiment.conduct(shared(), tmp_path / "out", workers=2, leak_test=partial(met, here), watch=heard.append)
    told = ["arm", "seed", "tokens", "bits_per_byte"]
    pd.testing.assert_frame_equal(both.cells[told], result.cells[told], rtol=1e-5)
    assert both.complete and heard[-1].state == "done" and heard[-1].done == 4 and heard[-1].tokens == 4 * 2_048
    workers = set(both.cells["leakage_delta"])  # each of two processes trained some, and this one none
    assert len(workers) == 2 and os.getpid() not in workers and len(list(here.iterdir())) == 4  # and no cell twice
    assert [now.tokens for now in heard] == sorted(now.tokens for now in heard)


def test_a_worker_waits_for_a_cell_that_another_has_and_takes_it_over(done, tmp_path):
    from hare_lab.experiment import workers
    from hare_lab.experiment.conduct import begin

    whole, _ = done
    material, told = shared(), []
    begin(material.plan, tmp_path)
    arm = material.plan.arm("random")
    with workers._taken(cell_folder(tmp_path, arm, 0)) as mine:
        assert mine
        workers.work(material, tmp_path, lambda news: told.append(news) or not news.arm)  # stops at the first time it only waits
    ended = [(news.arm, news.seed) for news in told if news.finished]
    assert ended == [("priors", 0), ("random", 1), ("priors", 1)] and told[-1] == workers.NOTHING
    workers.work(material, tmp_path, lambda news: told.append(news) or False)
    assert (told[-1].arm, told[-1].seed, told[-1].finished) == ("random", 0, True)
    assert record(tmp_path, "random", 0)["bits_per_byte"] == pytest.approx(record(whole, "random", 0)["bits_per_byte"], rel=1e-5)


@pytest.mark.parametrize(
    ("test", "kind", "sentence"), [(no_room, InputError, "^no room for the exam$"), (killed, RuntimeError, "signal SIGKILL.*fewer workers")]
)
def test_what_stops_a_worker_is_told_and_what_was_trained_is_kept(tmp_path, test, kind, sentence):
    with pytest.raises(kind, match=sentence):
        experiment.conduct(shared(), tmp_path, workers=2, leak_test=test)
    assert experiment.status(tmp_path).state == "failed"
    again = experiment.conduct(shared(), tmp_path)
    assert again.complete and len(again.cells) == 4


def test_workers_are_as_many_as_cores_memory_and_cells_allow(monkeypatch):
    from hare_lab.experiment import workers

    monkeypatch.setattr(workers, "cores", lambda: 8)
    monkeypatch.setattr(workers, "available_memory", lambda: 2**40)
    assert experiment.fitting(PLANNED) == 4  # cells
    monkeypatch.setattr(workers, "available_memory", lambda: 4 * 2**30)
    assert experiment.fitting(PLANNED) == 2
    monkeypatch.setattr(workers, "available_memory", lambda: 2**20)
    assert experiment.fitting(PLANNED) == 1
    with pytest.raises(InputError, match="give 1 or more"):
        experiment.conduct(shared(), "nowhere", workers=-1)


# --- a process of its own ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    """A run with prepared pages, a plan that uses it, and the environment in which both are found."""
    root = tmp_path_factory.mktemp("background")
    env = {**os.environ, "HARE_LAB_RUNS": str(root / "runs"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    pages, vectors = corpus()
    run = open_run("pages", profile="small", root=root / "runs")
    known = [topic.id for topic in texts.taxonomy()[:3]]
    names = dict(zip(TOPICS, known, strict=True))
    topics = [names[t] for t in pages["topic"]]
    run.make("prepared", lambda: pages.remove_columns("topic").add_column("topic", topics))
    run.make("vectors", lambda: vectors)
    run.make("loaded", lambda: pages.select_columns(["id", "text"]))
    plan = replace(PLANNED, run="pages", tokens=4_096, kind="confirmatory")
    return root, plan.save(root / "plan.yaml"), env


def command(env, *words):
    return subprocess.run([sys.executable, "-m", "hare_lab.cli", "experiment", *map(str, words)], capture_output=True, text=True, env=env)


def wait_for(what, seconds=400):
    end = time.monotonic() + seconds
    while not (found := what()) and time.monotonic() < end:
        time.sleep(0.1)
    assert found
    return found


def test_it_survives_a_kill_a_cancel_and_runs_to_its_end_in_the_background(planned):
    root, plan, env = planned
    out = root / "out"
    first = subprocess.Popen([sys.executable, "-m", "hare_lab.cli", "experiment", str(plan), "--out", str(out)], env=env)
    wait_for(lambda: list(out.glob("cells/*/cell.json")))
    first.send_signal(signal.SIGKILL)
    first.wait()
    kept = {path: path.read_text() for path in out.glob("cells/*/cell.json")}
    assert experiment.status(out).state == "lost"
    started = command(env, plan, "--out", out, "--background")
    assert started.returncode == 0 and "Started as process" in started.stdout
    wait_for(lambda: experiment.status(out).state == "running" and experiment.status(out).tokens)
    twice = command(env, plan, "--out", out)
    assert twice.returncode == 2 and "runs already" in twice.stderr and twice.stderr.count("\n") == 1
    assert command(env, plan, "--out", out, "--cancel").returncode == 0
    stopped = wait_for(lambda: (s := experiment.status(out)).state in ("cancelled", "done") and s)
    shown = command(env, plan, "--out", out, "--status")
    assert shown.returncode == 0 and "priors, seed 0" in shown.stdout
    finished = command(env, plan, "--out", out)
    assert finished.returncode == 0, finished.stderr
    assert experiment.status(out).state == "done" and stopped.cells == 4
    assert kept == {path: path.read_text() for path in kept}  # what stood before the kill was not made again
    report = json.loads((out / "report.json").read_text())
    assert report["complete"] and report["verdict"] in finished.stdout
    assert {"cells.parquet", "differences.html", "curves.html", "score_against_priors.html", "tokens_to_target.html"} <= {
        p.name for p in out.iterdir()
    }
    lines = (root / "runs" / "experiments.jsonl").read_text().splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["registered", "finished"]


def test_a_page_starts_it_follows_it_to_its_end_and_joins_what_runs_already(planned, tmp_path, monkeypatch):
    root, plan, env = planned
    for key in ("HF_HUB_OFFLINE", "OMP_NUM_THREADS"):
        monkeypatch.setenv(key, env[key])
    monkeypatch.setenv("HARE_LAB_RUNS", str(tmp_path / "elsewhere"))  # `runs` wins
    shown = []

    class Handle:
        def update(self, page):
            shown.append(page.data)

    monkeypatch.setattr("IPython.display.display", lambda page, display_id: Handle())
    read = replace(experiment.read_plan(plan), name="followed")
    out = tmp_path / "out"
    first = experiment.launch(read, out, runs=root / "runs")
    assert experiment.read_plan(out / PLAN) == read  # written down before the process has done anything
    wait_for(lambda: experiment.status(out).state == "running")
    assert experiment.launch(read, out, runs=root / "runs", join=True) == first
    with pytest.raises(InputError, match="runs already"):
        experiment.launch(replace(read, tokens=8_192), out, runs=root / "runs", join=True)
    notebook.follow_experiment(out, every=0.2)
    assert "done: 4 of 4 cells" in shown[-3] and "seed 1" in shown[-2] and not shown[-1]  # the table is shown once, by the notebook
    table = experiment.overview(out)
    assert table["arm"].tolist() == ["random", "priors"] and table["seed 0"].str.fullmatch(r"\d\.\d{3}").all()
    assert experiment.results(out).complete
    listed = experiment.confirmatory_runs(root / "runs")
    assert listed["name"].tolist()[-1] == "followed" and listed["verdict"].iloc[-1] != "not finished"
    assert experiment.confirmatory_runs().empty


def test_what_is_starting_is_not_started_twice_and_can_be_cancelled(tmp_path, monkeypatch):
    process = subprocess.Popen(["sleep", "600"])
    monkeypatch.setattr(background.subprocess, "Popen", lambda *_, **__: process)
    (tmp_path / CANCEL).touch()  # of an earlier run
    assert experiment.launch(PLANNED, tmp_path) == process.pid
    assert experiment.status(tmp_path).state == "starting" and not (tmp_path / CANCEL).exists()
    with pytest.raises(InputError, match="runs already"):
        experiment.launch(PLANNED, tmp_path)
    assert experiment.launch(PLANNED, tmp_path, join=True) == process.pid
    experiment.cancel(tmp_path)
    assert (tmp_path / CANCEL).exists()
    process.kill()
    process.wait()
    with pytest.raises(InputError, match="nothing to cancel"):
        experiment.cancel(tmp_path)


def test_the_folder_is_held_while_pages_are_read_and_a_cancel_that_came_meanwhile_is_heeded(tmp_path):
    def reading():
        assert held(tmp_path) and experiment.status(tmp_path).state == "starting"
        experiment.cancel(tmp_path)
        (tmp_path / STATUS).write_text(json.dumps({"state": "running"}))
        assert str(experiment.status(tmp_path)).startswith("running: asked to stop")
        return shared(seeds=(0,), tokens=512)

    (tmp_path / CANCEL).touch()  # of an earlier run: gone before `reading` asks anew
    assert not experiment.conduct(reading, tmp_path).complete and experiment.status(tmp_path).state == "cancelled"
    (tmp_path / STARTED).write_text(str(os.getpid()))  # as `launch` does, which took the old request away
    assert not experiment.conduct(shared(seeds=(0,), tokens=512), tmp_path).complete
    (tmp_path / STARTED).write_text("1")
    assert experiment.conduct(shared(seeds=(0,), tokens=512), tmp_path).complete


def test_ctrl_c_is_told_as_a_stop_and_no_failure(tmp_path):
    def pressed(now):
        if now.tokens:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        experiment.conduct(shared(seeds=(0,), tokens=512), tmp_path, watch=pressed)
    found = experiment.status(tmp_path)
    assert found.state == "cancelled" and "start it again" in found.message


def test_the_number_of_workers_goes_along_to_the_process_beside(planned, tmp_path, monkeypatch):
    from hare_lab.cli import app

    asked = []
    monkeypatch.setattr(experiment.background.subprocess, "Popen", lambda words, **_: asked.append(words) or type("P", (), {"pid": 1}))
    CliRunner().invoke(app, ["experiment", str(planned[1]), "--out", str(tmp_path), "--background", "--workers", "3"])
    assert asked[0][-2:] == ["--workers", "3"]


def test_a_job_that_fails_says_why(planned, tmp_path):
    _, plan, env = planned
    bad = replace(experiment.read_plan(plan), run="nowhere").save(tmp_path / "bad.yaml")
    assert command(env, bad, "--out", tmp_path / "out", "--background").returncode == 0
    found = wait_for(lambda: (now := experiment.status(tmp_path / "out")).state != "starting" and now)
    assert found.state == "failed" and "no run nowhere" in found.message


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--status"], "holds no experiment"),
        (["--cancel"], "nothing to cancel"),
        (["--status", "--cancel"], "exclude each other"),
        ([], "no file"),
    ],
)
def test_misuse_is_one_sentence(tmp_path, words, sentence):
    from hare_lab.cli import app

    caught = CliRunner().invoke(app, ["experiment", str(tmp_path / "none.yaml"), "--out", str(tmp_path / "out"), *words]).exception
    assert isinstance(caught, InputError) and sentence in str(caught)
    assert not (tmp_path / "out" / STATUS).exists()
