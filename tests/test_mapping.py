"""The whole map from the command line: what it writes, and that nothing is lost or half-written when the input is bad."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hare_lab import texts

ROOT = Path(__file__).parent.parent
FILES = {"pages.parquet", "removed.parquet", "vectors.npy", "topics.parquet", "topic_map.html", "report.json"}


def hare(*words, stdin=None):
    quiet = os.environ | {"TQDM_DISABLE": "1"}  # on a busy machine a bar would stand among the sentences
    command = [sys.executable, "-m", "hare_lab.cli", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, input=stdin, cwd=ROOT, env=quiet)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    path = tmp_path_factory.mktemp("corpus") / "pages.jsonl"
    rows = [{"id": page["id"], "text": page["text"], "title": page["title"]} for page in texts.sample_truth()[:240]]
    hostile = {
        "id": "hostile",
        "title": "<img src=x onerror=alert(1)>",
        "text": "</script><script>alert(2)</script> " + rows[0]["text"][::-1],
    }
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, hostile, {"id": "null", "text": None}]))
    return path


def test_a_map_holds_all_that_the_contract_names(corpus, tmp_path):
    out = tmp_path / "map"
    done = hare("map", corpus, "--out", out)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in out.iterdir()} == FILES
    pages, removed = pd.read_parquet(out / "pages.parquet"), pd.read_parquet(out / "removed.parquet")
    assert len(pages) + len(removed) == 242 and not set(pages["id"]) & set(removed["id"])
    assert np.load(out / "vectors.npy").shape == (len(pages), 384)
    table = pd.read_parquet(out / "topics.parquet")
    assert set(pages["cluster"]) - {-1} <= set(table["cluster"]) and table["name"].is_unique
    report = json.loads((out / "report.json").read_text())
    assert report["load"]["rows"] == 242
    assert report["diversity"]["unclustered"] == pytest.approx((pages["cluster"] < 0).mean()) != 0
    page = (out / "topic_map.html").read_text()
    assert "<img src=x" not in page and "<script>alert(2)" not in page


def test_one_page_and_many_copies_of_one_page_are_maps_too(tmp_path):
    text = texts.sample_truth()[3]["text"]
    for count in (1, 300):
        done = hare("map", "-", "--out", tmp_path / str(count), stdin=(json.dumps({"text": text}) + "\n") * count)
        assert done.returncode == 0, done.stderr
        assert len(pd.read_parquet(tmp_path / str(count) / "pages.parquet")) == 1
        assert len(pd.read_parquet(tmp_path / str(count) / "removed.parquet")) == count - 1


@pytest.mark.parametrize(
    ("content", "words"), [("", "no usable text"), ('{"body": "x"}\n', "--column"), ('{"text": "too short"}\n', "no page is left")]
)
def test_a_bad_corpus_is_one_sentence_and_leaves_the_old_result_alone(tmp_path, content, words):
    path, out = tmp_path / "bad.jsonl", tmp_path / "out"
    path.write_text(content)
    out.mkdir()
    (out / "pages.parquet").write_text("the result of yesterday")
    done = hare("map", path, "--out", out)
    assert done.returncode == 2 and words in done.stderr and done.stderr.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []
    assert (out / "pages.parquet").read_text() == "the result of yesterday"


def test_two_maps_into_one_folder_and_the_leavings_of_a_killed_one_do_not_mix(corpus, tmp_path):
    out, left = tmp_path / "out", tmp_path / ".out.4194304.part"
    left.mkdir()
    words = [sys.executable, "-m", "hare_lab.cli", "map", str(corpus), "--out", str(out), "--limit"]
    both = [subprocess.Popen([*words, limit], cwd=ROOT, stdout=subprocess.DEVNULL) for limit in ("40", "60")]
    assert [process.wait() for process in both] == [0, 0]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    rows = json.loads((out / "report.json").read_text())["load"]["rows"]
    assert len(pd.read_parquet(out / "pages.parquet")) + len(pd.read_parquet(out / "removed.parquet")) == rows
    assert len(np.load(out / "vectors.npy")) == len(pd.read_parquet(out / "pages.parquet"))


def test_a_disk_that_fills_up_while_results_are_written_is_one_sentence_and_keeps_the_old_result(corpus, tmp_path):
    from hare_lab.cli.results import results
    from hare_lab.errors import InputError

    out = tmp_path / "out"
    out.mkdir()
    (out / "report.json").write_text("yesterday")
    with pytest.raises(InputError, match=r"out can't be written \(No space left on device\); free some space"), results(out) as folder:
        (folder / "report.json").write_text("half")
        raise OSError(28, "No space left on device")
    assert (out / "report.json").read_text() == "yesterday" and [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_doctor_finds_what_the_tests_run_on():
    done = hare("doctor")
    assert done.returncode == 0, done.stdout
    assert "all-MiniLM-L6-v2" in done.stdout and "ok  weights" in done.stdout
