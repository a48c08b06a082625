"""The run folder: work is done once, a kill leaves nothing half-made, and the manifest says where each thing came from."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from datasets import Dataset

from hare_lab.corpus import LoadReport
from hare_lab.errors import InputError, MissingArtifactError
from hare_lab.priors import Priors
from hare_lab.run import MAKERS, Run, execution, notebooks, open_run, provenance, read_run, storage
from hare_lab.run.reports import decode


@pytest.fixture
def run(tmp_path):
    return open_run("t", profile="small", root=tmp_path)


def counting(value):
    calls = []

    def build():
        calls.append(1)
        return value

    build.calls = calls
    return build


@pytest.mark.parametrize(
    "value",
    [
        Dataset.from_dict({"id": ["a", "b"], "text": ["x", "ÿ\u0000"]}),
        Dataset.from_dict({"id": ["a", "b"], "text": ["x", "y"]}).select([1]),
        Dataset.from_dict({"id": ["a"], "text": ["x"]}).select([]),
        np.arange(12, dtype=np.float32).reshape(3, 4),
        pd.DataFrame({"cluster": [1, 2], "name": ["a", "b"]}),
        {"n": 3, "names": ["ü"]},
    ],
    ids=["dataset", "selected", "no rows", "array", "table", "json"],
)
def test_an_artifact_comes_back_as_it_went_in(run, value):
    back = run.make("thing", lambda: value)
    if isinstance(value, np.ndarray):
        np.testing.assert_array_equal(back, value)
    elif isinstance(value, pd.DataFrame):
        pd.testing.assert_frame_equal(back, value)
    else:
        assert list(back) == list(value)


def test_a_run_is_read_with_its_own_priors_and_left_as_it_is(tmp_path):
    made = open_run("t", profile="small", root=tmp_path, seed=3, priors=Priors(tokens=777, topics={"chess": 2.0}))
    record = (made.folder / "run.json").read_bytes()
    (made.folder / "run.json").chmod(0o444)
    assert read_run(made.folder) == made
    assert (made.folder / "run.json").read_bytes() == record


def test_a_report_comes_back_with_its_table_and_its_class(run):
    report = LoadReport(source="<x>", rows=3, pages=2, unusable=1, reasons={"empty": 1}, files=1, words=9)
    back = run.make("loading", lambda: report)
    assert back == report and back._repr_html_() == report._repr_html_()


@pytest.mark.parametrize("name", ["os:system", "hare_lab.run.storage:remove"])
def test_a_stored_report_can_name_no_foreign_class(name):
    with pytest.raises(ValueError, match="names"):
        decode({"__class__": name, "fields": {}})


def test_a_step_runs_again_only_when_what_it_depends_on_changes(run):
    build = counting({"n": 1})
    for params in ({"k": 1}, {"k": 1}, {"k": 2}, {"k": 2}):
        run.make("thing", build, params=params)
    assert len(build.calls) == 2


def test_a_changed_input_changes_everything_after_it(run):
    run.make("a", lambda: {"v": 1}, params={"x": 1})
    after = counting({"w": 1})
    run.make("b", after, inputs=["a"])
    run.make("a", lambda: {"v": 2}, params={"x": 2})
    run.make("b", after, inputs=["a"])
    run.make("a", lambda: {"v": 2}, params={"x": 3})  # other parameters, the same content: nothing after it changes
    run.make("b", after, inputs=["a"])
    assert len(after.calls) == 2


def test_the_key_covers_the_source_of_the_modules_that_a_step_runs_and_their_libraries():
    sources, libraries = provenance(("priors",))
    assert set(sources) == {"priors", "yaml_files", "whole_files"} and "PyYAML" in libraries


def test_a_replaced_artifact_leaves_no_file_behind(run):
    for k in range(3):
        run.make("thing", lambda k=k: np.full(k + 1, k), params={"k": k})
    assert len(list((run.folder / "artifacts").iterdir())) == 1
    assert len(list((run.folder / "entries").iterdir())) == 1


def test_the_manifest_tells_what_each_artifact_was_made_from(run):
    run.make("a", lambda: {"v": 1})
    run.make("b", lambda: {"w": 1}, inputs=["a"], params={"k": 5})
    manifest = json.loads((run.folder / "manifest.json").read_text())
    assert manifest["artifacts"]["b"]["inputs"]["a"] == manifest["artifacts"]["a"]["content"]
    assert manifest["artifacts"]["b"]["params"] == {"k": 5}


def test_a_missing_artifact_names_the_notebook_that_makes_it(run):
    with pytest.raises(MissingArtifactError, match="notebook 01"):
        run.load("pages")


def test_a_full_disk_is_one_sentence_and_keeps_what_was_there(run, monkeypatch):
    run.make("thing", lambda: {"v": 1}, params={"k": 1})

    def full(value, path):
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(storage.WRITERS, "json", full)
    with pytest.raises(InputError, match="No space left"):
        run.make("thing", lambda: {"v": 2}, params={"k": 2})
    assert run.load("thing") == {"v": 1}
    assert len(list((run.folder / "artifacts").iterdir())) == 1


KILLED = """
import sys, numpy as np
from hare_lab.run import open_run
run = open_run("k", profile="small", root=sys.argv[1])
for k in range(10_000):
    run.make(("x", "y"), lambda: (np.full(50_000, k), np.full(50_000, k)), params={"k": k})
    print(k, flush=True)
"""


def test_kill_9_at_any_moment_leaves_only_whole_artifacts(tmp_path):
    for last, wait in ((0, 0.0), (1, 0.02), (2, 0.08)):
        with subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True) as child:
            while child.stdout.readline().strip() != str(last):
                assert child.poll() is None
            time.sleep(wait)
            child.kill()
            assert child.wait() == -signal.SIGKILL
        run = open_run("k", profile="small", root=tmp_path)
        for name in ("x", "y"):
            value = run.load(name)
            assert value.shape == (50_000,) and (value == value[0]).all() and value[0] >= last
            assert run.entry(name).content == storage.content_hash(run.folder / run.entry(name).file)
        assert run.make("z", lambda: {"ok": 1}) == {"ok": 1}


def test_a_run_is_reopened_with_its_own_settings(tmp_path):
    first = open_run("again", profile="small", seed=7, corpus="x.jsonl", root=tmp_path)
    second = read_run(first.folder)
    assert (second.profile, second.seed, second.corpus) == (first.profile, 7, "x.jsonl")


@pytest.mark.parametrize(("name", "profile", "word"), [("../up", "small", "letters"), ("ok", "huge", "small, laptop, gpu")])
def test_a_bad_name_or_profile_is_one_sentence(tmp_path, name, profile, word):
    with pytest.raises(InputError, match=word):
        open_run(name, profile=profile, root=tmp_path)


def test_what_is_missing_is_computed_without_touching_what_is_there(tmp_path, monkeypatch):
    ran = []
    monkeypatch.setattr(Run, "execute", lambda self, notebook, profile=None: ran.append((notebook.name[:2], profile)))
    this = open_run("one", root=tmp_path)
    for name, maker in MAKERS.items():
        if maker in ("01", "02"):
            this.make(name, lambda: {"made": "large"})
    this.compute_missing("gaps")
    this.compute_missing("pages")
    assert ran == [("03", "small"), ("04", "small")]


def test_a_notebook_that_broke_off_goes_on_in_the_runs_own_profile_and_the_run_keeps_it(tmp_path, monkeypatch):
    def execute(self, notebook, profile=None):
        opened = open_run(self.name, profile=profile, root=tmp_path)  # as its second cell does
        for name in (name for name, maker in MAKERS.items() if maker == notebook.name[:2]):
            opened.make(name, lambda: {"pages": opened.profile.pages}, params={"pages": opened.profile.pages})

    monkeypatch.setattr(Run, "execute", execute)
    this = open_run("one", root=tmp_path)
    this.make("loaded", lambda: {"pages": this.profile.pages}, params={"pages": this.profile.pages})
    this.compute_missing("vectors")
    assert [this.load(name)["pages"] for name in ("loaded", "pages", "vectors")] == [10_000, 10_000, 1_500]
    assert read_run(this.folder) == this
    assert json.loads((this.folder / "manifest.json").read_text())["run"]["profile"]["name"] == "laptop"


def test_ctrl_c_leaves_no_half_of_a_page(run, monkeypatch):
    def interrupted(page, aside, *_, **__):
        shutil.copy(page, aside)
        raise KeyboardInterrupt

    monkeypatch.setattr("papermill.execute_notebook", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run.execute(notebooks()[0])
    assert list((run.folder / "notebooks").iterdir()) == []


def test_pages_of_other_priors_are_named_after_a_run_of_some(tmp_path, monkeypatch, capsys):
    from hare_lab import cli

    monkeypatch.setenv("HARE_LAB_RUNS", str(tmp_path))
    monkeypatch.setattr("papermill.execute_notebook", lambda page, aside, *_, **__: shutil.copy(page, aside))
    monkeypatch.setattr(execution, "_sign", lambda page: None)
    (tmp_path / "mine.yaml").write_text("tokens: 1000")
    cli.run(name="one", only="04,05,06")
    assert "left as they were" not in capsys.readouterr().out
    cli.run(name="one", only="06", priors=tmp_path / "mine.yaml")
    assert "Of other priors, and left as they were: notebooks 04,05;" in capsys.readouterr().out


def test_a_read_only_disk_is_one_sentence(run, monkeypatch):
    def refused(path, mode="w", *args, **kwargs):
        if mode == "r":
            return whole(path, mode, *args, **kwargs)
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    whole = Path.open
    monkeypatch.setattr(Path, "open", refused)
    monkeypatch.setattr(Path, "unlink", lambda path, missing_ok: refused(path))
    root = run.folder.parent
    for write in (lambda: run.record("note", {}), lambda: run.make("thing", lambda: {"v": 1}), lambda: open_run("t", root=root)):
        with pytest.raises(InputError, match=r"can't be written.*Read-only file system"):
            write()


def test_a_selection_of_more_than_two_gigabytes_of_text_is_kept(run):
    pages = Dataset(pa.table({"text": pa.chunked_array([pa.array(["x" * 2**24])] * 129)}), fingerprint="many")  # one text, 129 times
    assert [len(text) for text in run.make("pages", lambda: pages.select([0, 128]))["text"]] == [2**24] * 2


CELLS = """
run_name = ""
---
from pathlib import Path; from hare_lab.errors import InputError
print("begun by", run_name)
---
state = Path("state").read_text()
if state == "ours": raise InputError("say more")
print(1 / int(state))
"""


def test_a_cell_that_fails_is_one_sentence_its_page_is_kept_and_the_run_goes_on_afterwards(tmp_path, monkeypatch, capsys):
    import nbformat

    from hare_lab import cli

    first, *others = (nbformat.v4.new_code_cell(source.strip()) for source in CELLS.split("---"))
    first.metadata["tags"] = ["parameters"]
    page = nbformat.v4.new_notebook(cells=[first, *others], metadata={"language_info": {"name": "python"}})
    nbformat.write(page, tmp_path / "01_trial.ipynb")
    monkeypatch.setattr(execution, "NOTEBOOKS", tmp_path)
    monkeypatch.setenv("HARE_LAB_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    monkeypatch.setattr(sys, "argv", ["hare-lab", "run", "--name", "t", "--profile", "small"])
    for state, status, said in (
        ("0", 2, "hare-lab: 01_trial.ipynb, cell 4: ZeroDivisionError: division by zero\n"),
        ("ours", 2, "hare-lab: 01_trial.ipynb, cell 4: say more\n"),
        ("8", 0, ""),
    ):
        (tmp_path / "state").write_text(state)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert (ended.value.code or 0, capsys.readouterr().err) == (status, said)
        (kept,) = (tmp_path / "runs" / "t" / "notebooks").iterdir()
        assert kept.name == "01_trial.ipynb" and "begun by t" in kept.read_text() and ("0.125" in kept.read_text()) == (status == 0)


def test_a_figure_is_drawn_again_in_the_format_that_its_name_ends_in(run, tmp_path):
    from hare_lab import cli, figures

    table = pd.DataFrame({"id": ["a"], "words": [12]})
    run.save_figure("lengths", figures.page_lengths(table), table, "How long pages are.")
    cli.figure("lengths", run=str(run.folder), out=tmp_path / "new" / "lengths.html")
    assert "plotly" in (tmp_path / "new" / "lengths.html").read_text()[:100_000].lower()
    with pytest.raises(InputError, match=r"lengths.png ends in .png and --format says html"):
        cli.figure("lengths", run=str(run.folder), format="html", out=tmp_path / "lengths.png")


def test_what_a_killed_command_left_beside_its_file_is_swept_away(tmp_path):
    from hare_lab.cli.results import result_file

    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True)
    left, other = (tmp_path / f".s.parquet.{number}.part" for number in (ended.stdout.strip(), os.getppid()))
    left.touch(), other.touch()
    with result_file(tmp_path / "s.parquet") as asides:
        for aside in asides:
            aside.write_text("x")
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([other.name, "s.parquet", "s.parquet.report.json"])
