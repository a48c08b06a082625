"""The house itself: it opens at once, its pins agree, its words are clean, and bad usage is one sentence and exit 2."""

import ast
import importlib
import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
import yaml

import hare_lab
from hare_lab.bars import bar
from hare_lab.errors import InputError
from hare_lab.report_base import html_table, plain

ROOT = Path(__file__).parent.parent
LOCK = dict(re.findall(r"^([\w.-]+)==([\w.]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE))


def command(*words, **kwargs):
    return subprocess.run([sys.executable, "-m", "hare_lab.cli", *words], capture_output=True, text=True, cwd=ROOT, **kwargs)


def work(words, times=3):
    """Seconds of processor time, which others on the same cores hardly change."""
    found = []
    for _ in range(times):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *words], check=True, capture_output=True, cwd=ROOT)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(found)


def test_the_package_opens_at_once():
    heavy = work(["-c", "import pandas"], times=1)
    assert work(["-c", "import hare_lab"]) < heavy / 4
    assert work(["-m", "hare_lab.cli", "--help"]) < heavy / 2


@pytest.mark.parametrize("name", hare_lab.MODULES)
def test_every_module_is_there_and_says_what_it_answers(name):
    assert len(importlib.import_module(f"hare_lab.{name}").__doc__.splitlines()[0]) > 20


def test_an_unknown_module_is_named():
    with pytest.raises(AttributeError, match="its modules are"):
        _ = hare_lab.nonsense


@pytest.mark.parametrize("opened", ["import hare_lab", "from hare_lab.cli import app; app(['--help'], standalone_mode=False)"])
def test_neither_the_package_nor_its_help_loads_anything_heavy(opened):
    heavy = "torch datasets numpy pandas scipy plotly sklearn umap transformers"
    script = f"import sys; {opened}; print([m for m in {heavy.split()!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_folder_named_coverage_where_one_works_is_no_package_to_numba(tmp_path):
    (tmp_path / "coverage").mkdir()
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", "import hare_lab, numba"], check=True, cwd=tmp_path, env=env)


def test_modules_import_only_what_stands_above_them():
    """The order of the design: a module imports only modules before it in this list."""
    order = [
        "errors", "machine", "bars", "json_lines", "whole_files", "report_base", "yaml_files", "priors", "run", "figures", "texts",
        "choices", "marks", "tokenizing", "pretrained", "corpus", "dedup", "embedding", "clustering", "topics", "diversity", "quality",
        "coverage", "leakage", "curation", "synthesis", "models", "training", "evaluation", "experiment", "tool_calling", "scale",
    ]  # fmt: skip

    above = {name: set(order[:position]) for position, name in enumerate(order)}
    above["figures"] = {"errors"}
    for name in order:
        folder = ROOT / "hare_lab" / name
        for file in [*folder.rglob("*.py"), folder.with_suffix(".py")]:
            if file.exists():
                found = set(re.findall(r"^\s*(?:from|import) hare_lab\.(\w+)", file.read_text(), re.MULTILINE))
                found |= {
                    m
                    for line in re.findall(r"^\s*from hare_lab import ([\w, ]+)", file.read_text(), re.MULTILINE)
                    for m in line.split(", ")
                }
                lazy = {"figures"}  # a report draws itself, and only then imports the figures
                assert found - {name} - above[name] - lazy == set(), file


def test_the_environments_pins_are_the_locks():
    wanted = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    pins = dict(entry.split("=")[:2] for entry in wanted if isinstance(entry, str) and "=" in entry)
    assert LOCK["torch"] == pins["pytorch-cpu"] and pins["python"] == "3.11"
    assert next(entry["pip"] for entry in wanted if isinstance(entry, dict)) == ["-r requirements.lock", "-e . --no-deps"]


def test_the_lock_holds_every_dependency_and_no_cuda():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = project["dependencies"] + [d for extra in project["optional-dependencies"].values() for d in extra]
    names = {re.split(r"[<>=\[ ]", entry)[0].lower().replace("_", "-") for entry in asked}
    assert names <= {name.lower().replace("_", "-") for name in LOCK}
    assert not [name for name in LOCK if name.startswith(("nvidia", "cuda", "triton"))]


def test_every_table_in_the_pages_is_the_one_that_was_measured(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    pages = importlib.import_module("_pages")
    drawn = {"summary": pages.summary(), "headlines": pages.headlines()}
    shown = set()
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for name, text in re.findall(r"<!-- table: (\w+) -->\n(.*?)<!-- end -->", page.read_text(encoding="utf-8"), re.DOTALL):
            measured = drawn.get(name) or (ROOT / "benchmarks" / "results" / f"{name}.md").read_text(encoding="utf-8")
            assert text == measured, f"{page.name}: {name}"
            shown.add(name)
    assert shown >= {*drawn, "quality", "experiment"}
    measured = json.loads((ROOT / "benchmarks" / "results" / "experiment.json").read_text(encoding="utf-8"))["measures"]
    (nearest,) = (row["how"] for row in measured if row["id"] == "experiment.bpb_to_best_single_factor")
    assert nearest.startswith("ours minus likeness-only")  # as the headlines say in words


def test_a_row_of_another_run_keeps_that_runs_stamp(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    common = importlib.import_module("_common")
    monkeypatch.setattr(common, "RESULTS", tmp_path)
    plain_row = {"value": 1.0, "interval": None, "unit": "", "target": None, "better": "higher", "holds": None, "how": ""}
    kept, again = ({"id": name, **plain_row} for name in ("x.kept", "x.taken_again"))
    stamp = {"date": "2001-01-01", "commit": "aaa", "machine": "old"}
    (tmp_path / "x.json").write_text(json.dumps({**stamp, "measures": [kept, again]}))
    rows = [*common.earlier("x", lambda name: name == "x.kept"), again]
    record = {"date": "2002-02-02", "commit": "bbb", "machine": "new", "versions": {"python": "3"}, "measures": rows}
    foot = common.table(record).splitlines()[-1]
    assert foot.startswith("Measured 2002-02-02 at commit bbb on new") and foot.endswith("`x.kept`, 2001-01-01 at commit aaa on old.")
    (tmp_path / "x.json").write_text(json.dumps(record))
    later = common.earlier("x", lambda name: True)  # the stamp of a row that was kept before is still its own
    assert [one["measured"]["commit"] for one in later] == ["aaa", "bbb"] and common.earlier("nothing", lambda name: True) == []


def test_notebooks_are_thin_and_stored_without_outputs():
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = nbformat.read(path, as_version=4).cells
        code = [cell for cell in cells if cell.cell_type == "code"]
        assert len(cells) <= 26 and not any(cell.outputs or cell.execution_count for cell in code), path
        assert "parameters" in code[0].metadata["tags"] and code[0].source.count("import ") == 1
        assert any("notebook.control(" in cell.source for cell in code), f"{path} has no control"
        assert "## Exercises" in "".join(cell.source for cell in cells)
        for body in re.findall(r"^def .*\n((?:[ \t]+.*\n?)*)", "\n\n".join(cell.source for cell in code), re.MULTILINE):
            assert body.count("\n") <= 10, path


def _lost(source: str) -> list[str]:
    """Calls whose answer is for showing, but which no `display` and no end of the cell shows."""
    tree = ast.parse(source)
    bare = [node for node in ast.walk(tree) if isinstance(node, ast.Expr) and node is not tree.body[-1]]
    return [said for node in bare if re.match(r"hare\.(notebook\.(say|table|page|before_after)|figures\.\w+)\(", said := ast.unparse(node))]


def test_nothing_that_a_notebook_says_is_lost():
    assert _lost("hare.notebook.say('a')\nfor x in y:\n    hare.notebook.table(x)") == ["hare.notebook.say('a')", "hare.notebook.table(x)"]
    assert _lost("display(hare.notebook.say('a'))\nhare.notebook.say('b')") == []
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for cell in nbformat.read(path, as_version=4).cells:
            assert cell.cell_type != "code" or not _lost(cell.source), path


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["map", "nowhere.jsonl", "--out", "x"], "no file or folder nowhere.jsonl"),
        (["map", "demo", "--out", "x", "--limit", "0"], "Invalid value for '--limit'"),
        (["map", "demo", "--out", "x", "--priors", "nowhere.yaml"], "no file nowhere.yaml"),
        (["run", "--profile", "huge"], 'profile "huge" is unknown'),
        (["run", "--only", "99"], "is no notebook's number"),
        (["bench", "speed"], 'no benchmark "speed"'),
        (["bench", "crawl_pool"], 'no benchmark "crawl_pool"'),
        (["bench", "../hare_lab/cli"], 'no benchmark "../hare_lab/cli"'),
        (["figure", "map", "--run", "no-such-run"], "no run no-such-run"),
        (["run", "--corpus", "nowhere.jsonl"], "no file or folder nowhere.jsonl"),
        (["run", "--corpus", "-"], "save it to a file"),
        (["map", "demo"], "Missing option '--out'"),
        (["map", "demo", "--out", "x", "--limit", "abc"], "'--limit'"),
        (["map", "demo", "--out", "x", "--seed", "-1"], "'--seed'"),
        (["map", "demo", "--out", "README.md/x"], "can't be written (Not a directory)"),
        (["map", "demo", "--out", "README.md"], "is a file; give a folder"),
        (["curate", "demo", "--out", "x.parquet", "--tokens", "0"], "--tokens 0 leaves no room"),
        (["curate", "demo", "--out", "x"], "has no .parquet at its end"),
        (["curate", "demo", "--out", "x.parquet", "--method", "best"], "--method best is unknown; choose one of priors"),
        (["curate", "demo", "--out", "x.parquet", "--engine", "spark"], "choose local or ray"),
        (["curate", "nowhere.jsonl", "--out", "x.parquet"], "no file or folder nowhere.jsonl"),
        (["nonsense"], "No such command 'nonsense'"),
        (["train", "demo", "--out", "x", "--background", "--priors", "nowhere.yaml"], "no file nowhere.yaml"),
        (["evaluate", "m", "--out", "x", "--tasks", "bundled", "--group", "topic"], "--group says nothing without --pages"),
        (["evaluate", "m", "--out", "x", "--tools", "bundled", "--column", "body"], "--column says nothing without --pages"),
        (["evaluate", "m", "--out", "x", "--model", "e"], "--model says nothing without --tools"),
        (["evaluate", "m", "n", "--out", "x", "--tasks", "bundled"], "n: one model at a time"),
        (["coverage", "demo", "--reference", "data/taxonomy/everyday.yaml", "--by", "topic", "--out", "x"], "--by says nothing without"),
    ],
)
def test_bad_usage_is_one_sentence_and_exit_2(tmp_path, words, sentence):
    done = command(*words, env={**os.environ, "HARE_LAB_RUNS": str(tmp_path)})
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and sentence in done.stderr and done.stderr.startswith("hare-lab: ")


def test_bad_usage_leaves_a_run_as_it_was(tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from hare_lab import cli
    from hare_lab.run import open_run

    monkeypatch.setenv("HARE_LAB_RUNS", str(tmp_path))
    settings = open_run("mine", profile="small", seed=5, corpus="a.jsonl").folder / "run.json"
    before = settings.read_text()
    done = CliRunner().invoke(cli.app, ["run", "--name", "mine", "--only", "99"])
    assert isinstance(done.exception, InputError) and settings.read_text() == before


def test_what_a_benchmark_lacks_is_bad_input(monkeypatch):
    from hare_lab import cli

    def lacks(script, run_name):
        sys.exit(f"{Path(script).name}: no data")

    monkeypatch.setattr("runpy.run_path", lacks)
    monkeypatch.setattr(sys, "argv", ["hare-lab", "bench", "texts"])
    monkeypatch.setattr(sys, "path", [*sys.path])
    with pytest.raises(InputError, match=r"texts\.py: no data"):
        cli.bench("texts")


@pytest.mark.parametrize(("terminal", "told", "shown"), [(True, "", True), (True, "1", False), (False, "", False)])
def test_a_bar_shows_where_a_person_looks_on_and_nobody_forbids_it(monkeypatch, capsys, terminal, told, shown):
    monkeypatch.setenv("TQDM_DISABLE", told)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    assert list(bar([1, 2], told="cleaning", unit="pages", delay=0)) == [1, 2]
    assert ("cleaning: " in capsys.readouterr().err) is shown


def test_a_bar_shows_in_a_notebook(monkeypatch):
    import tqdm.auto
    import tqdm.notebook

    made = []
    fake = type("tqdm", (), {"__init__": lambda self, *_, **how: made.append(how["disable"]), "__module__": "tqdm.notebook"})
    monkeypatch.setattr(tqdm.auto, "tqdm", fake)
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    bar([1], told="x", unit="pages")
    assert made == [False]


def test_no_words_at_all_show_the_help():
    assert "Commands:" in command().stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_an_output_that_is_full_is_no_traceback():
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([sys.executable, "-m", "hare_lab.cli", "doctor"], stdout=full, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    assert done.returncode == 2 and "No space left on device" in done.stderr and "Traceback" not in done.stderr


def doctor_where(change, *options):
    """The command `doctor` in a process where something is not as it should be."""
    script = f"from unittest.mock import Mock\nfrom hare_lab import cli, doctor, errors\n{change}\ncli.main()"
    return subprocess.run([sys.executable, "-c", script, *options, "doctor"], capture_output=True, text=True, cwd=ROOT)


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        ("KeyboardInterrupt", 130, "hare-lab: stopped; nothing was written\n"),
        ("BrokenPipeError", 1, ""),
        ("BrokenPipeError(32, 'Broken pipe')", 1, ""),
        ("MemoryError", 2, "hare-lab: the memory ran out; pass --limit to read fewer pages\n"),
        ("OSError(5, 'Input/output error', 'x.bin')", 2, "hare-lab: x.bin can't be read or written (Input/output error); check that"),
    ],
)
def test_what_ends_a_command_is_a_status_and_at_most_one_sentence(error, status, said):
    done = doctor_where(f"doctor.examine = Mock(side_effect={error})")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (status, "", 1 if said else 0) and done.stderr.startswith(said)


@pytest.mark.parametrize("error", ["MemoryError", "OSError(5, 'Input/output error', 'x.bin')", "errors.InputError('no')"])
def test_debug_shows_the_traceback_of_an_error(error):
    done = doctor_where(f"doctor.examine = Mock(side_effect={error})", "--debug")
    assert done.returncode == 1 and done.stderr.startswith("Traceback") and error.split("(")[0] in done.stderr


@pytest.mark.parametrize(("needed", "status"), [(True, 2), (False, 0)])
def test_the_doctor_ends_with_2_only_where_something_needed_is_missing(needed, status):
    packages = "doctor.NEEDED, doctor.OPTIONAL = ('typer', 'no-such-one'), {}" if needed else "doctor.OPTIONAL = {'no-such-one': 'x'}"
    done = doctor_where(f"{packages}; doctor.examine = doctor._packages")
    assert done.returncode == status and "--  no-such-one" in done.stdout
    assert ("something that the workbench needs is missing" in done.stderr) == needed and done.stderr.count("\n") == needed


def test_values_become_plain_and_are_escaped():
    assert json.dumps(plain({"a": (1, Path("x")), 2: {3.5}})) == '{"a": [1, "x"], "2": [3.5]}'
    numbers = plain({"a": float("nan"), "b": [np.float32("inf"), np.float64(0.5)], "c": np.array([[1.5, np.nan]])})
    assert json.dumps(numbers, allow_nan=False) == '{"a": null, "b": [null, 0.5], "c": [[1.5, null]]}'
    assert "<b>" not in html_table([["<b>", 1234567]]) and "1,234,567" in html_table([["<b>", 1234567]])
