"""Leakage: what is planted is found in each of its guises, what is natural is not, and a model that read the exam betrays itself."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from hare_lab import figures, leakage, texts
from hare_lab.dedup.words import WordHashes, words
from hare_lab.errors import InputError
from hare_lab.leakage.kernels import align
from hare_lab.leakage.report import MOST
from hare_lab.leakage.reworded import Vectors, forms, unit
from hare_lab.leakage.sequences import sequences, spans
from hare_lab.leakage.windows import WORDS, windows
from hare_lab.priors import DATA, Leakage

ROOT = Path(__file__).parent.parent
VOCABULARY = sorted({"".join(letters) for letters in np.random.default_rng(0).choice(list("bcdfglmnprst"), (3_000, 6))})


def pages(found):
    return Dataset.from_dict({"id": [f"p{row}" for row in range(len(found))], "text": list(found)})


def prose(rng, count):
    return " ".join(rng.choice(VOCABULARY, count))


def questions(count, seed=0, length=20):
    rng = np.random.default_rng(seed)
    return leakage.load_items([{"id": f"q{n}", "question": prose(rng, length), "answer": prose(rng, 3)} for n in range(count)])


def best(found, row):
    """The hits of a page, item to (how, overlap)."""
    mine = found.hits[found.hits["id"] == f"p{row}"]
    return {item: (how, overlap) for item, how, overlap in zip(mine["item"], mine["how"], mine["overlap"], strict=True)}


# --- items -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "question", "choices", "answer"),
    [
        ({"question": "Which?", "choices": ["a b", "c d"], "answer": "c d"}, "Which?", ("a b", "c d"), "c d"),
        ({"text": "Question: Which?\nAnswer:", "choices": ["x", "y"], "gold": 1}, "Which?", ("x", "y"), "y"),
        ({"question": "Which?", "choices": {"text": ["x", "y"], "label": ["A", "B"]}, "answerKey": "B"}, "Which?", ("x", "y"), "y"),
        ({"query": "Which?", "options": '["x", "y"]', "answer": 0}, "Which?", ("x", "y"), "x"),
        ({"text": "Context: Rain.\nChoices:\nA. wet\nB. dry\nAnswer:", "choices": ["A", "B"], "gold": 1}, "Rain.", ("wet", "dry"), "dry"),
        ({"query": "Which?", "choices": np.array(["x y", "z"]), "answer": 0}, "Which?", ("x y", "z"), "x y"),
        ({"problem": "2 + 2 =", "answer": "4"}, "2 + 2 =", (), "4"),
        ({"sentence": "only a text", "answer": None, "choices": None}, "only a text", (), ""),
        # the six exams of the paper, as their files hold them
        ({"question": "Which?", "subject": "law", "choices": ["w", "x", "y", "z"], "answer": 3}, "Which?", ("w", "x", "y", "z"), "z"),
        ({"id": "a", "question": {"stem": "Which?", "choices": [{"text": "x", "label": "1"}, {"text": "y", "label": "2"}]},
          "answerKey": "2"}, "Which?", ("x", "y"), "y"),
        ({"question": "Why?", "mc1_targets": {"choices": ["so", "no"], "labels": [0, 1]}}, "Why?", ("so", "no"), "no"),
        ({"question": "Why?", "mc1_targets": {"so": 1, "no": 0}}, "Why?", ("so", "no"), "so"),
        ({"Type": "A", "Question": "Why?", "Best Answer": "so", "Correct Answers": "so; thus"}, "Why?", (), "so"),
        ({"sentence": "Ann, not Eve, so _ ate.", "option1": "Ann", "option2": "Eve", "answer": "1"}, "Ann, not Eve, so _ ate.",
         ("Ann", "Eve"), "Ann"),
        ({"ctx": "She sits", "endings": ["and flies.", "and reads."], "label": "1"}, "She sits", ("and flies.", "and reads."),
         "and reads."),
        ({"question": "2 + 2?", "answer": "2 + 2 = 4\n#### 4"}, "2 + 2?", (), "2 + 2 = 4\n#### 4"),
        # passages, and what else is common
        ({"context": "Rain fell.", "question": "What fell?", "answers": {"text": ["Rain", "rain"], "answer_start": [0, 0]}},
         "Rain fell.\nWhat fell?", (), "Rain"),
        ({"article": "Rain fell.", "question": "It _ .", "options": ["fell", "rose"], "answer": "B"}, "Rain fell.\nIt _ .",
         ("fell", "rose"), "rose"),
        ({"passage": "Passage: Rain fell.", "question": "did rain fall", "answer": True}, "Rain fell.\ndid rain fall", (), ""),
        ({"question": "Rain fell. What fell?", "context": "Rain fell."}, "Rain fell. What fell?", (), ""),
        ({"goal": "Boil", "sol1": "heat it", "sol2": "cool it", "label": 1}, "Boil", ("heat it", "cool it"), "cool it"),
        ({"question": "Six times seven?", "answer": 42.0}, "Six times seven?", (), "42"),
        ({"sentence": "a film seen", "label": 1}, "a film seen", (), ""),
        ({"question": "Which?", "options": {"A": "x", "B": "y"}, "answer": "B"}, "Which?", ("x", "y"), "y"),
        ({"question": "Which?", "choices": ["x", "y", "z"], "label": "3"}, "Which?", ("x", "y", "z"), "z"),
        ({"question": "Which?", "choices": ["3", "4"], "answer": 4}, "Which?", ("3", "4"), "4"),
        ({"QUESTION": "Which?", "A": "x", "B": "y", "Answer": "(B)"}, "Which?", ("x", "y"), "y"),
        ({"question_stem": "Which?", "choices": {"text": np.array(["x", "y"]), "label": np.array(["A", "B"])}, "answerKey": "B"},
         "Which?", ("x", "y"), "y"),
        ({"instruction": "Translate.", "input": "chat", "output": "cat"}, "Translate.\nchat", (), "cat"),
    ],
)  # fmt: skip
def test_items_of_every_common_shape_are_read(row, question, choices, answer):
    items = leakage.load_items([row])
    assert (items.questions, items.choices, items.answers) == ((question,), (choices,), (answer,))


SQUAD = {"version": "1.1", "data": [{"title": "Rain", "paragraphs": [
    {"context": "Rain fell on the hill.", "qas": [
        {"id": "a", "question": "What fell?", "answers": [{"answer_start": 0, "text": "Rain"}, {"answer_start": 0, "text": "Rain fell"}]},
        {"id": "b", "question": "Where?", "answers": [{"answer_start": 13, "text": "the hill"}]}]},
    {"context": "Snow lay.", "qas": [{"question": "Who?", "answers": [], "is_impossible": True}, {"question": "Why?", "answers": []}]},
]}]}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "content", "ids", "told"),
    [
        *[("dev.json", json.dumps(SQUAD, indent=indent), ["a", "b", "dev.json#1.1.2.1", "dev.json#1.1.2.2"],
           ["Rain fell on the hill.\nWhat fell?", "Rain fell on the hill.\nWhere?", "Snow lay.\nWho?", "Snow lay.\nWhy?"])
          for indent in (None, 2)],
        ("tasks.json", json.dumps({"name": "x", "examples": [{"input": "One and one?", "target": "two"}]}, indent=1), ["tasks.json#1.1"],
         ["One and one? two"]),
        ("list.json", json.dumps([{"question": "Which?", "answer": "this"}], indent=1), ["list.json#0"], ["Which? this"]),
        ("test.csv", '"Which, now?",0,4,2,6,B\nWhat?,x,y,z,w,D\n', ["test.csv#1", "test.csv#2"], ["Which, now? 4", "What? w"]),
        ("named.csv", "question,A,B,C,D,answer\nWhat?,x,y,z,w,D\n", ["named.csv#2"], ["What? w"]),
        ("open.csv", "id,question,A,B,C,D\nq1,What?,x,y,z,w\n", ["q1"], ["What?"]),
        ("one.json", json.dumps({"question": "Which?", "answer": "this", "data": [{"input": ""}]}), ["one.json#1"], ["Which? this"]),
    ],
)  # fmt: skip
def test_raw_files_of_benchmarks_are_read(tmp_path, name, content, ids, told):
    (tmp_path / name).write_text(content)
    items = leakage.load_items(tmp_path / name)
    assert list(items.ids) == ids
    if name == "dev.json":
        assert list(items.questions) == told and items.answers == ("Rain", "the hill", "", "")
    else:
        assert [items.told(row) for row in range(len(items))] == told


def test_articles_in_memory_are_read_as_their_file_is():
    assert leakage.load_items(SQUAD["data"]).ids == ("a", "b", "row 0.2.1", "row 0.2.2")


def test_an_answer_stands_in_the_blank():
    assert leakage.load_items([{"question": "A ____ keeps time.", "answer": "metronome"}]).told(0) == "A metronome keeps time."
    one = {"sentence": "Ann ate, as _ was hungry.", "option1": "Ann", "option2": "Eve", "answer": "2"}
    assert leakage.load_items([one]).told(0) == "Ann ate, as Eve was hungry."
    assert leakage.load_items([{"prompt": "for _ in x:", "answer": "pass"}]).told(0) == "for _ in x: pass"


@pytest.mark.parametrize(
    ("question", "answer", "told"),
    [
        ("Is North up?", "No", "Is North up? No"),
        ("Rain or snow, what is white?", "snow", "Rain or snow, what is white?"),
        ("北京在哪里", "北京", "北京在哪里"),
    ],
)
def test_only_an_answer_whose_words_the_question_holds_is_not_said_again(question, answer, told):
    assert leakage.load_items([{"question": question, "answer": answer}]).told(0) == told


def test_a_benchmark_that_counts_its_choices_from_one_does_so_in_every_item():
    offered = {"answerA": "ill", "answerB": "well", "answerC": "out"}
    rows = [{"context": f"Ann, {n}.", "question": "How?", **offered, "label": n} for n in "123"]
    assert leakage.load_items(rows).answers == ("ill", "well", "out")
    assert leakage.load_items([{**row, "label": int(row["label"]) - 1} for row in rows]).answers == ("ill", "well", "out")


def test_a_page_that_holds_the_passage_of_an_item_leaks():
    rng = np.random.default_rng(0)
    passage = prose(rng, 60)
    for name in ("passage", "context", "article"):
        items = leakage.load_items([{name: passage, "question": "Does it rain?", "answer": True}])
        assert leakage.find(pages([f"{prose(rng, 40)} {passage} {prose(rng, 40)}"]), items).leaked == 1


def test_benchmarks_with_one_file_name_are_called_by_their_folders_too(tmp_path):
    for place in ("a/gsm/test.jsonl", "b/gsm/test.jsonl", "arc/test.jsonl", "one/mmlu.jsonl"):
        file = tmp_path / place
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps({"question": f"Which {place}?"}))
    assert leakage.load_items(tmp_path / "a" / "gsm" / "test.jsonl").benchmarks == ("test",)
    two = leakage.load_items(tmp_path / "a/gsm/test.jsonl", tmp_path / "arc/test.jsonl")
    assert two.benchmarks == ("gsm/test", "arc/test") and two.ids == ("test.jsonl#1",) * 2
    assert leakage.load_items(tmp_path).benchmarks == ("a/gsm/test", f"{tmp_path.name}/arc/test", "b/gsm/test", "mmlu")


def test_an_id_that_its_benchmark_had_before_gets_its_row():
    rows = [{"id": "a", "question": "Which?"}, {"id": "a", "question": "Which?"}, {"id": "a", "question": "What?"},
            {"id": "a", "benchmark": "other", "question": "What?"}]  # fmt: skip
    items = leakage.load_items(rows)
    assert list(zip(items.benchmarks, items.ids, strict=True)) == [("items", "a"), ("items", "a~2"), ("other", "a")]


def test_the_bundled_benchmark_is_read_whole():
    items = leakage.load_items(DATA / "benchmark" / "items.jsonl")
    assert items.ids == tuple(item["id"] for item in texts.items())
    assert set(items.benchmarks) == {"items"} and all(items.answers)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ('{"id": "1", "body": "x"}\n', r"no item has a text; .*question.*this benchmark has: id, body"),
        ('{"question": ""}\n{"question": "  "}\n', "no item has a text"),
        ("", "no item has a text"),
        ('{"question": "good"}\n{broken\n', r"line 2: not valid JSON .*mend or remove"),
        ('{"article": "Rain fell.", "questions": ["Where?"]}\n', r'line 1: "questions" holds a list; write a row for each question'),
        (json.dumps({f"q{n}": 0 for n in range(500)}), r"this benchmark has: q0, q1, .* \.\.\.\)$"),
    ],
)
def test_a_benchmark_without_text_or_with_a_broken_line_is_named(tmp_path, content, sentence):
    path = tmp_path / "exam.jsonl"
    path.write_text(content)
    with pytest.raises(InputError, match=sentence) as raised:
        leakage.load_items(path)
    assert "exam.jsonl" in str(raised.value)


@pytest.mark.parametrize("missing", [None, "", float("nan"), pd.NA])
def test_items_without_an_id_are_told_apart_by_their_place(missing):
    rows = [{"id": 0, "question": "Which?"}, *({"id": missing, "benchmark": missing, "question": f"Which {n}?"} for n in range(2))]
    items = leakage.load_items(rows)
    assert items.ids == ("0", "row 1", "row 2") and set(items.benchmarks) == {"items"}


@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_notebook_shows_some_items_of_a_benchmark_of_any_length(count):
    import hare_lab

    cells = json.loads((ROOT / "notebooks" / "05_leakage.ipynb").read_text(encoding="utf-8"))["cells"]
    code = next("".join(cell["source"]) for cell in cells if "items.table()" in "".join(cell["source"]))
    exec(code, {"hare": hare_lab, "items": questions(count)})


def test_a_data_frame_is_rows_in_memory():
    rows = [{"id": 7, "question": "Which?", "choices": ["x", "y"], "answer": 1}, {"question": "What?"}]
    items = leakage.load_items(pd.DataFrame(rows, index=[3, 3]))
    assert (items.ids, items.answers, items.choices) == (("7", "row 1"), ("y", ""), (("x", "y"), ()))
    with pytest.raises(InputError, match=r"row 0 is a str; give each as a dictionary"):
        leakage.load_items(["Which?"])


def test_no_benchmark_at_all_is_named():
    with pytest.raises(InputError, match="name at least one file"):
        leakage.load_items()


def test_an_item_has_as_many_words_as_the_search_sees():
    items = leakage.load_items([{"question": "北京是中华人民共和国的首都在华北平原北部哪里呢"}])
    assert items.words().tolist() == [len(words(items.told(0)))]
    found = leakage.find(pages([f"so {items.told(0)} there"]), items)
    assert found.leaked == 1 and (found.short_items, found.unseen_items) == (0, 0)


# --- words and where they stand ---------------------------------------------------------------------------------------


@given(st.text(alphabet="ab Éß½ﬁ.'x 北京e\u0301\n", max_size=60))
def test_every_word_is_found_where_it_stands(text):
    places = spans(text)
    assert len(places) == len(words(text))
    for (start, end), word in zip(places, words(text), strict=True):
        assert 0 <= start < end <= len(text)
        assert word[0] in "".join(words(text[start:end])) or not text.isascii()


@settings(max_examples=300)
@given(st.text(st.characters() | st.sampled_from("a ½ﬁİßｶﾞﾎﾟ각\u1100\u1161\u11a8\u1025\u102e\u0301\u0323\u0344\u09c7\u09be\u0fb2\u0f81กี่")))
def test_the_words_of_a_hostile_text_stand_where_it_is_said(text):
    found = words(text)
    places = spans(text)
    assert len(places) == len(found)
    assert all(word in words(text[start:end]) for word, (start, end) in zip(found, places, strict=True))


def test_a_copy_beside_half_width_letters_is_shown_whole():
    items = questions(1)
    (hit,) = leakage.find(pages([f"ｶﾞｽ ﾎﾞﾝﾍﾞ \u1025\u102e {items.told(0)} ﾎﾞ"]), items).hits.to_dict("records")
    assert hit["found"] == items.told(0)


def test_runs_stay_inside_their_text():
    both = sequences(["a b c d", "c d e", "x"], WordHashes())
    keys, starts = both.runs(3)
    assert starts.tolist() == [0, 1, 4] and len(set(keys.tolist())) == 3


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=12), st.lists(st.integers(0, 4), min_size=1, max_size=12))
def test_an_alignment_matches_equal_words_in_order(page, item):
    matched = align(np.array(page, np.uint64), np.array(item, np.uint64), np.ones(len(item), np.float32))
    places = matched[matched >= 0]
    assert (np.diff(places) > 0).all()
    assert all(page[place] == item[at] for at, place in enumerate(matched.tolist()) if place >= 0)
    assert (matched >= 0).any() == bool(set(page) & set(item))


# --- the two paths of words -------------------------------------------------------------------------------------------


def test_a_verbatim_item_is_found_where_it_stands_and_nowhere_else():
    items, rng = questions(50), np.random.default_rng(1)
    texts_ = [prose(rng, 200) for _ in range(20)]
    texts_[7] = f"{prose(rng, 80)} {items.told(3)} {prose(rng, 80)}"
    found = leakage.find(pages(texts_), items)
    (hit,) = found.hits.to_dict("records")
    assert (hit["id"], hit["item"], hit["how"], hit["overlap"]) == ("p7", "q3", "ngram", 1.0)
    assert texts_[7][hit["start"] : hit["end"]] == items.told(3) == hit["found"]
    assert found.pages()["leaked"][:] == [row == 7 for row in range(20)]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_an_item_with_one_word_in_seven_changed_is_found(seed):
    items, rng = questions(30), np.random.default_rng(seed)
    told = items.told(int(rng.integers(30))).split()
    for place in rng.choice(len(told), round(0.15 * len(told)), replace=False):
        told[place] = "another"
    found = leakage.find(pages([f"{prose(rng, 60)} {' '.join(told)} {prose(rng, 60)}"]), items)
    assert found.leaked == 1 and found.hits["overlap"].iloc[0] >= 0.7


def test_a_common_phrase_is_no_leak():
    items = leakage.load_items(
        [{"question": f"Which of the following is the best way to {prose(np.random.default_rng(n), 9)}?"} for n in range(40)]
    )
    found = leakage.find(pages(["I wonder which of the following is the best way to go home, and so does she, I think."]), items)
    assert found.leaked == 0 and len(found.hits) == 0


def test_one_run_of_a_long_item_is_a_hit_but_no_leak():
    items = questions(1, length=200)
    part = " ".join(items.questions[0].split()[50:65])
    found = leakage.find(pages([f"{prose(np.random.default_rng(9), 40)} {part} there"]), items)
    assert found.hits["how"].tolist() == ["ngram"] and found.leaked == 0
    assert found.hits["overlap"].iloc[0] == pytest.approx(15 / 200, abs=0.01)


def test_a_question_alone_is_a_leak_however_long_its_answer():
    rng = np.random.default_rng(4)
    items = leakage.load_items([{"question": prose(rng, 20), "answer": prose(rng, 200)}])
    assert leakage.find(pages([f"well {items.questions[0]} who knows"]), items).hits["overlap"].tolist() == [1.0]


def test_a_short_item_is_found_as_a_whole_only():
    items = questions(1, length=6)
    whole, half = items.told(0), " ".join(items.told(0).split()[:7])
    found = leakage.find(pages([f"so {whole} there", f"so {half} there"]), items)
    assert found.hits["id"].tolist() == ["p0"] and found.short_items == 1


def test_case_and_punctuation_do_not_hide_a_leak():
    items = questions(5)
    loud = " -- ".join(items.told(2).upper().split())
    assert best(leakage.find(pages([loud]), items), 0)["q2"] == ("ngram", 1.0)


def test_the_n_of_the_kind_counts():
    items = questions(3)
    nine = " ".join(items.questions[1].split()[:9])
    assert len(leakage.find(pages([nine]), items, Leakage(crawl_n=13)).hits) == 0
    assert leakage.find(pages([nine]), items, Leakage(task_n=8), kind="task").hits["how"].tolist() == ["ngram"]


def test_a_page_that_is_the_benchmark_leaks_every_item():
    items = questions(200)
    found = leakage.find(pages([" ".join(items.told(row) for row in range(200))]), items)
    assert found.hits["item"].nunique() == 200 and (found.hits["overlap"] == 1).all()
    assert found.pages()["repeated"][0] > 0.4


def test_pages_without_words_and_in_any_script_pass_through():
    items = questions(3)
    found = leakage.find(pages(["", "…", "北京 是", "e\u0301 " * 30, "\t\n"]), items)
    assert found.leaked == 0 and len(found.pages()) == 5


@pytest.mark.parametrize("lettered", [True, False])
def test_a_short_question_is_found_with_its_choices_where_its_answer_stands_apart(lettered):
    rng = np.random.default_rng(3)
    rows = [{"id": f"q{n}", "question": prose(rng, 5), "choices": [prose(rng, 1) for _ in range(4)], "answer": 2} for n in range(30)]
    items = leakage.load_items(rows)
    shown = [f"{letter}. {choice}" if lettered else choice for letter, choice in zip("ABCD", items.choices[7], strict=True)]
    dump = f"{prose(rng, 40)} {items.questions[7]} {' '.join(shown)} Answer: C {prose(rng, 40)}"
    found = leakage.find(pages([dump, f"{prose(rng, 40)} {items.questions[7]} {prose(rng, 40)}"]), items)
    (hit,) = found.hits.to_dict("records")
    assert (hit["id"], hit["item"], hit["how"], hit["overlap"]) == ("p0", "q7", "ngram", 1.0)
    assert hit["found"].startswith(items.questions[7]) and hit["found"].endswith(items.choices[7][-1]) and found.unseen_items == 0


def test_a_dump_with_a_word_in_eight_changed_is_found_by_its_choices():
    rng = np.random.default_rng(5)
    rows = [{"id": f"q{n}", "question": prose(rng, 6), "choices": [prose(rng, 3) for _ in range(4)], "answer": 0} for n in range(30)]
    told = f"{rows[4]['question']} {' '.join(f'{letter}) {text}' for letter, text in zip('abcd', rows[4]['choices'], strict=True))}".split()
    for place in (3, 12, 19):
        told[place] = "another"
    found = leakage.find(pages([f"{prose(rng, 40)} {' '.join(told)} Answer: a"]), leakage.load_items(rows))
    assert list(best(found, 0)) == ["q4"] and best(found, 0)["q4"][0] == "edited"


def test_what_very_many_items_share_is_a_hit_of_none_and_counts_for_those_that_stand_there():
    rng, preamble = np.random.default_rng(6), prose(np.random.default_rng(7), 30)
    rows = [{"id": f"q{n}", "question": f"{preamble} {prose(rng, 10)}"} for n in range(200)]
    items = leakage.load_items(rows)
    found = leakage.find(pages([f"so {preamble} there"] * 20 + [f"so {rows[3]['question']} there"]), items)
    assert [(hit["id"], hit["item"], hit["overlap"]) for hit in found.hits.to_dict("records")] == [("p20", "q3", 1.0)]
    few = leakage.find(pages([f"so {preamble} there"]), items.select(range(60)))
    assert len(few.hits) == 60


def test_one_row_for_a_page_and_an_item():
    items = questions(4)
    twice = f"{items.told(0)} and again {items.told(0)}"
    hits = leakage.find(pages([twice]), items).hits
    assert len(hits) == 1 and hits["found"].iloc[0] == items.told(0)


# --- appendix A.4 -----------------------------------------------------------------------------------------------------


def test_the_repetition_rate_is_the_share_of_own_runs():
    items = leakage.load_items([{"question": "a b c d e f g h"}])
    rates = leakage.shares(["a b c d x", "a b c d e f g h", "x y z", "a b"], items, sizes=(3, 4))
    assert rates["3"].tolist() == [pytest.approx(2 / 3), 1, 0, 0] and rates["4"].tolist() == [0.5, 1, 0, 0]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.sampled_from("abc"), max_size=15).map(" ".join), min_size=1, max_size=5), st.floats(0, 1))
def test_the_funnel_accounts_for_every_text(found, overlap):
    rates = leakage.shares(found, leakage.load_items([{"question": "a b c a b c a b c"}]), sizes=(2, 4))
    assert ((rates >= 0) & (rates <= 1)).all(axis=None)
    steps = leakage.funnel(rates, overlap)
    assert steps["n"].tolist() == [2, 4] and (steps["texts"] == len(found)).all()
    assert (steps["gone"] <= steps["shared"]).all() and (steps["shared"] <= steps["texts"]).all()
    assert steps["gone"].tolist() == [sum(rate > overlap for rate in rates[n]) for n in ("2", "4")]
    assert leakage.funnel(rates, 0)["gone"].tolist() == steps["shared"].tolist()


def test_an_n_that_was_not_counted_is_named():
    items = questions(1)
    with pytest.raises(InputError, match="compared at n = 4, 5"):
        figures.repetition_funnel(leakage.funnel(leakage.shares(["a"], items, sizes=(4, 5)), 0.5), n=13)
    with pytest.raises(InputError, match="at least 1 word"):
        leakage.shares(["a"], items, sizes=(0,))


# --- other words ------------------------------------------------------------------------------------------------------


@given(st.text(alphabet="ab .!?\n", max_size=300))
def test_windows_hold_every_word_once_and_few_enough(text):
    cut = windows([text])
    assert " ".join(cut.texts).split() == text.split()
    assert all(0 < len(part.split()) <= WORDS for part in cut.texts)
    assert all(text[start:end] == part for start, end, part in zip(cut.start, cut.end, cut.texts, strict=True))


def told_anew(rng, count=20):
    """Items, pages that tell each in another order with its choices, and made-up vectors that put the two near."""
    items = leakage.load_items(
        [{"id": f"q{n}", "question": prose(rng, 15), "choices": [prose(rng, 3) for _ in range(4)], "answer": 1} for n in range(count)]
    )
    shuffled = []
    for row in range(count):
        asked = rng.permutation(items.questions[row].split()[:6]).tolist()
        shuffled.append(" ".join(["so", *asked, *" ".join(reversed(items.choices[row])).split()]))
    cut = windows(shuffled)
    places = unit(rng.normal(size=(count, 32)))
    near = unit(places[cut.page] + 0.1 * rng.normal(size=(len(cut), 32)))
    return items, shuffled, Vectors(cut, near, (places, places, places))


def test_items_told_anew_are_found_by_vectors_and_words_together():
    items, shuffled, vectors = told_anew(np.random.default_rng(0))
    found = leakage.find(pages(shuffled), items, vectors=vectors)
    assert (found.hits["how"] == "reworded").all() and found.hits["certain"].all()
    assert found.hits["item"].tolist() == [f"q{n}" for n in range(20)] and found.leaked == 20
    assert len(leakage.find(pages(shuffled), items).hits) == 0


def test_vectors_alone_or_words_alone_are_not_enough():
    rng = np.random.default_rng(0)
    items, shuffled, vectors = told_anew(rng)
    far = Vectors(vectors.windows, unit(rng.normal(size=vectors.pages.shape)), vectors.items)
    assert len(leakage.find(pages(shuffled), items, vectors=far).hits) == 0
    others = [prose(rng, 18) for _ in range(20)]
    cut = windows(others)
    same_subject = Vectors(cut, unit(vectors.items[0][cut.page] + 0.15 * rng.normal(size=(len(cut), 32))), vectors.items)
    assert len(leakage.find(pages(others), items, vectors=same_subject).hits) == 0


def test_a_page_that_teaches_the_fact_does_not_go():
    items = leakage.load_items(
        [
            {
                "question": "Which organ makes the hormone insulin in the body?",
                "choices": ["liver", "heart", "pancreas", "spleen"],
                "answer": 2,
            }
        ]
    )
    text = "The hormone insulin is made by an organ of the body, the pancreas."
    vectors = Vectors(windows([text]), np.ones((1, 1)), (np.ones((1, 1)),) * 3)
    found = leakage.find(pages([text]), items, vectors=vectors)
    assert found.hits["certain"].tolist() == [False] and found.leaked == 0


def test_vectors_of_other_pages_are_named():
    items, shuffled, vectors = told_anew(np.random.default_rng(0), count=3)
    with pytest.raises(InputError, match="vectors are of other pages"):
        leakage.find(pages(shuffled[:1]), items, vectors=vectors)


def test_an_item_has_three_forms():
    asked, told, offered = forms(leakage.load_items([{"question": "Which?", "choices": ["x", "y"], "answer": "y"}]))
    assert (asked, told, offered) == (["Which?"], ["Which? y"], ["Which?\nx\ny"])


# --- report, figures, command -----------------------------------------------------------------------------------------


def test_hostile_text_is_escaped_and_both_sides_are_marked():
    evil = "<script>alert(1)</script> what is the name of this very long and hostile question here"
    found = leakage.find(pages([f"so {evil} yes"]), leakage.load_items([{"id": "<i>", "benchmark": "<b>", "question": evil}]))
    shown = leakage.side_by_side(found.hits)._repr_html_() + found._repr_html_()
    assert "<script" not in shown and "<i>" not in shown and shown.count("<mark") >= 20


@pytest.mark.parametrize(("first", "last"), [(0, 60), (450, 510), (700, 760), (840, 900), (500, 900)])
def test_what_is_marked_of_a_long_item_is_what_was_copied(first, last):
    told = np.random.default_rng(3).permutation(VOCABULARY)[:900].tolist()
    copied = " ".join(told[first:last])
    hit = {"id": "p", "benchmark": "b", "item": "i", "how": "ngram", "overlap": 0.1, "found": copied, "text": " ".join(told),
           "choices": ""}  # fmt: skip
    page, item = re.findall(r"<div style[^>]*>(.*?)</div>", leakage.side_by_side(pd.DataFrame([hit]))._repr_html_(), re.DOTALL)
    said = [re.findall("<mark[^>]*>(.*?)</mark>", side) for side in (page, item)]
    if len(copied) <= MOST:
        assert said == [told[first:last]] * 2 and page.count("…") == 0
    else:
        assert len(said[0]) > 180 and len(set(said[0]) ^ set(said[1])) <= 2  # but for halves of words at the cut
    assert item.startswith("…") == (first > 0) and item.count("…") >= 1


def test_the_table_has_the_same_columns_of_text_with_hits_and_without():
    items = questions(5)
    some, none = (leakage.find(pages([text]), items).hits for text in (items.told(0), "nothing"))
    assert len(some) == 1 and len(none) == 0
    said = ["id", "benchmark", "item", "found", "text", "choices"]
    assert none[said].dtypes.to_dict() == some[said].dtypes.to_dict()


def test_the_choices_are_shown_and_marked_where_they_are_what_the_page_shares():
    rng = np.random.default_rng(3)
    items = leakage.load_items([{"question": prose(rng, 6), "choices": [prose(rng, 2) for _ in range(4)], "answer": 2} for _ in range(9)])
    dump, told = f"{prose(rng, 40)} {items.lettered(7)} Answer: C", f"{prose(rng, 40)} {items.told(6)} {prose(rng, 40)}"
    found = leakage.find(pages([dump, told]), items)
    assert found.hits["text"].tolist() == [items.told(7), items.told(6)]
    assert found.hits["choices"].tolist() == ["\n".join(items.choices[row]) for row in (7, 6)]
    shown = [leakage.side_by_side(found.hits.iloc[[row]])._repr_html_() for row in (0, 1)]
    sides = [re.findall(r"<div style[^>]*>(.*?)</div>", html, re.DOTALL)[1] for html in shown]
    marked = [re.findall("<mark[^>]*>(.*?)</mark>", side) for side in sides]
    assert set(marked[0]) == set(f"{items.questions[7]} {' '.join(items.choices[7])}".split())
    assert items.choices[6][0] not in re.sub("<[^>]*>", "", sides[1]) and set(marked[1]) == set(items.told(6).split())


@pytest.mark.parametrize(("ways", "says"), [(["", ""], "None of 2 pages holds"), (["ngram", ""], "One of 2 pages holds"),
                                            (["ngram", "edited"], "Two of 2 pages hold")])  # fmt: skip
def test_pages_that_leak_are_counted_on_the_map(ways, says):
    places = pd.DataFrame({"x": [0.0, 1], "y": [0.0, 1], "title": "a", "snippet": "", "source": "", "topic": "t"})
    assert figures.leaks_on_map(places, ways).layout.meta["title"].startswith(f"{says} a benchmark item")


@pytest.mark.parametrize(("overlap", "gone", "says"), [
    (0.5, 3, "Three of 90 texts go at n = 4; 80 share a run with an item"), (0.0, 80, "80 of 90 texts go at n = 4; all that share a run"),
    (0.95, 0, "None of 90 texts goes at n = 4; 80 share a run with an item"),
])  # fmt: skip
def test_the_repetition_funnel_stacks_what_goes_and_what_stays_at_any_threshold(overlap, gone, says):
    rates = pd.DataFrame({"4": [0.01] * 77 + [0.9] * 3 + [0.0] * 10, "8": 0.0})
    drawn = figures.repetition_funnel(leakage.funnel(rates, overlap), n=4, overlap=overlap)
    assert drawn.layout.meta["title"] == says
    assert [tuple(bar.y) for bar in drawn.data] == [(gone, 0), (80 - gone, 0)] and drawn.layout.yaxis.range[1] > 80
    assert [note.text for note in drawn.layout.annotations] == [f"<b>{gone} of 80</b>", "0 of 0"]


def test_a_single_leak_is_one():
    counts = pd.DataFrame({"benchmark": ["b"], "how": ["ngram"], "pages": [1]})
    assert figures.leak_counts(counts, pages=9).layout.meta["title"] == "One leak in 9 pages: copied"


def test_benchmarks_beyond_the_twelfth_are_counted_and_share_a_bar():
    counts = pd.DataFrame({"benchmark": [f"b{n:02}" for n in range(30)], "how": "ngram", "pages": [20] * 12 + [10] * 18})
    drawn = figures.leak_counts(counts)
    assert drawn.layout.meta["title"].startswith("420 leaks")
    assert drawn.layout.yaxis.ticktext[-2:] == ("b11", "18 more") and drawn.data[0].x[-1] == 180


def test_the_report_is_json_and_counts_what_leaks():
    items = questions(5)
    found = leakage.find(pages([items.told(0), "nothing"]), items)
    record = json.loads(json.dumps(found.to_dict()))
    assert record["leaked"] == 1 and record["by"] == [{"benchmark": "items", "how": "ngram", "pages": 1, "items": 1}]


def test_every_hit_says_whether_its_page_goes():
    items = questions(1, length=300)
    told = items.questions[0].split()
    part = " ".join([*told[100:130], *prose(np.random.default_rng(9), 90).split()])
    found = leakage.find(pages([" ".join(told[100:130]), part, "nothing"]), items)
    table = found.table()
    assert dict(zip(table["id"], table["leaked"], strict=True)) == {"p0": True, "p1": False}
    assert len(leakage.find(pages(["nothing"]), items).table()) == 0


def test_a_page_that_is_a_part_of_an_item_goes_and_is_counted_apart():
    items = questions(1, length=300)
    told = items.questions[0].split()
    found = leakage.find(pages([" ".join(told[100:130]), items.told(0), "nothing"]), items)
    assert found.pages()["leaked"][:] == [True, True, False] and found.hits["overlap"].min() < 0.2
    assert "2 of 3 pages go: 1 hold more than 50% of an item, 1 repeat items in more than 50% of their own" in found.summary()
    assert dict(found._rows())["other pages, more of whose own n-grams stand in items"] == 1
    assert found.counts()[["how", "pages"]].to_numpy().tolist() == [["ngram", 1], ["repeated", 1]]
    assert leakage.ways(found.hits, found.pages()) == ["repeated", "ngram", ""]
    alone = leakage.find(pages([" ".join(told[100:130])]), items)
    assert alone.figure().layout.meta["title"] == "One leak in 1 page: excerpted"
    places = pd.DataFrame({"x": [0.0], "y": [0.0], "title": "a", "snippet": "", "source": "", "topic": "t"})
    shown = figures.leaks_on_map(places, leakage.ways(alone.hits, alone.pages())).layout.meta["title"]
    assert shown.startswith("One of 1 page holds a benchmark item or is part of one")


@pytest.mark.parametrize("theme", ["screen", "paper", "talk"])
def test_figures_draw_and_say_what_they_show(theme):
    counts = pd.DataFrame({"benchmark": ["<b>", "x"], "how": ["ngram", "reworded"], "pages": [3, 1]})
    drawn = figures.leak_counts(counts, pages=9, theme=theme)
    assert "Four leaks in 9 pages: three of them copied" in drawn.layout.title.text and "<b>" not in str(drawn.layout.yaxis.ticktext)
    assert "No benchmark item" in figures.leak_counts(counts.head(0), theme=theme).layout.title.text
    rates = pd.DataFrame({"8": [0.0, 0.2, 0.9], "13": [0.0, 0.0, 0.6]})
    steps = leakage.funnel(rates, 0.5)
    assert "One of 3 texts goes at n = 13; all that share" in figures.repetition_funnel(steps, n=13, theme=theme).layout.title.text
    nothing = leakage.funnel(rates.head(0), 0.5)
    assert "No text to compare" in figures.repetition_funnel(nothing, n=13, theme=theme).layout.title.text
    places = pd.DataFrame({"x": [0.0, 1], "y": [0.0, 1], "title": ["a", "b"], "snippet": ["", ""], "source": ["", ""], "topic": ["t", "u"]})
    drawn = figures.leaks_on_map(places, ["ngram", ""], theme=theme)
    assert "One of 2 pages" in drawn.layout.title.text


def test_the_papers_table_and_an_own_model_in_one_figure():
    deltas = leakage.paper_deltas()
    assert len(deltas) == 80 and deltas["delta"].max() == 35.01
    own = pd.DataFrame({"model": ["mine"], "benchmark": ["items"], "delta": [40.0], "low": [30.0], "high": [50.0]})
    drawn = figures.leak_deltas(pd.concat([own, deltas]), own=["mine"])
    assert drawn.layout.title.text.startswith("<b>“mine” falls by 40 points on a paraphrase of “items”")
    assert "<b>mine</b>" in drawn.layout.yaxis.ticktext
    worse = figures.leak_deltas(own.assign(delta=-2.0))
    assert worse.layout.title.text.startswith("<b>“mine” gains 2 points on a paraphrase of “items”")


def command(*words_):
    return subprocess.run([sys.executable, "-m", "hare_lab.cli", *words_], capture_output=True, text=True, cwd=ROOT)


def test_the_command_writes_hits_and_report(tmp_path):
    item = texts.items()[0]
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text(
        "\n".join(
            json.dumps({"id": n, "text": text}) for n, text in enumerate([f"{item['question']} {item['answer']}", "no leak at all", "  "])
        )
    )
    out = tmp_path / "leaks.parquet"
    other = tmp_path / "other.csv"
    other.write_text("question,answer\nWho wrote the other exam of this very small test of ours?,nobody\n")
    done = command("leakage", str(corpus), "--benchmarks", "data/benchmark/items.jsonl", str(other), "--out", str(out), "--no-paraphrases")
    assert done.returncode == 0, done.stderr
    assert "1 of 2 pages" in done.stdout and "(1 row without usable text set aside)" in done.stdout
    written = pq.read_table(out)
    assert written["item"].to_pylist() == [item["id"]]
    assert written["leaked"].to_pylist() == [True] and written["leak"].to_pylist() == [1.0]
    report = json.loads((tmp_path / "leaks.parquet.report.json").read_text())
    assert [row["reason"] for row in report["set_aside"]] == ["empty"]
    assert report["leaked"] == 1 and report["items_in"] == len(texts.items()) + 1
    assert report["pages_that_go"] == written["id"].to_pylist()


@pytest.mark.parametrize(
    ("words_", "sentence"),
    [
        (["--benchmarks", "nowhere.jsonl", "--out", "x.parquet"], "no file or folder nowhere.jsonl"),
        (["--benchmarks", "data/taxonomy/everyday.yaml", "--out", "x.parquet"], "unknown kind of file"),
        (["--out", "x.csv"], "no .parquet at its end"),
        (["other.jsonl", "--out", "x.parquet"], "other.jsonl: one corpus at a time"),
        (["other.jsonl", "--benchmarks", "data/benchmark/items.jsonl", "--out", "x.parquet"], "other.jsonl: one corpus at a time"),
        (["--kind", "book", "--no-paraphrases", "--limit", "3", "--out", "x.parquet"], 'kind "book" is unknown'),
    ],
)
def test_bad_input_is_one_sentence_and_exit_2(words_, sentence):
    done = command("leakage", "data/sample/pages.jsonl", *words_)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and sentence in done.stderr
    assert not list(ROOT.glob("x.*"))


@pytest.mark.parametrize(
    ("words_", "sentence"),
    [
        (["--kind", "book", "--out", "x.parquet"], '--kind "book" is unknown; choose one of crawl, synthetic, task'),
        (["--no-paraphrases", "--model", "nowhere", "--out", "x.parquet"], "--model says nothing without --paraphrases"),
        (["--out", "folder.parquet"], "--out folder.parquet is a folder"),
    ],
)
def test_what_is_asked_is_checked_before_the_corpus_is_read(tmp_path, monkeypatch, words_, sentence):
    from typer.testing import CliRunner

    from hare_lab.cli import app

    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.parquet").mkdir()
    done = CliRunner().invoke(app, ["leakage", "nowhere.jsonl", *words_])
    assert isinstance(done.exception, InputError) and sentence in str(done.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["folder.parquet"]


def test_a_word_after_benchmarks_is_a_benchmark_and_never_the_corpus():
    from typer.testing import CliRunner

    from hare_lab.cli import app

    done = CliRunner().invoke(app, ["leakage", "--benchmarks", "a.jsonl", "b.jsonl", "data/sample/pages.jsonl", "--out", "x.parquet"])
    assert done.exit_code == 2 and "Missing argument 'corpus'" in done.output


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        (Dataset.from_dict({"id": [], "text": []}), "the corpus is empty"),
        (Dataset.from_dict({"id": ["a"]}), 'no column "text"'),
        (Dataset.from_dict({"id": ["a", "b"], "text": ["x", None]}), "text of row 1 holds NoneType"),
    ],
)
def test_pages_that_are_none_are_named(broken, sentence):
    with pytest.raises(InputError, match=re.escape(sentence)):
        leakage.find(broken, questions(1))


def test_every_planted_copy_of_the_sample_is_found():
    truth = texts.sample_truth()
    items = leakage.load_items(DATA / "benchmark" / "items.jsonl")
    found = leakage.find(Dataset.from_dict({"id": [p["id"] for p in truth], "text": [p["text"] for p in truth]}), items)
    hits = set(zip(found.hits["id"], found.hits["item"], strict=True))
    planted = {kind: [(p["id"], leak["item"]) for p in truth for leak in p["leaks"] if leak["kind"] == kind] for kind in texts.LEAK_KINDS}
    assert set(planted["verbatim"]) <= hits
    assert len(set(planted["edited"]) & hits) >= 0.6 * len(planted["edited"])
    natural = {p["id"] for p in truth if not p["leaks"]}
    assert len({page for page, _ in hits} & natural) <= 3


# --- the model's side -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def control():
    """A tiny model that read a small exam again and again, and its clean twin; a few seconds."""
    exam, copy = (side.select(range(0, 324, 54)) for side in leakage.twins())
    other = [page["text"] for page in texts.sample_truth()[:120] if not page["leaks"]]
    return exam, copy, leakage.tiny_pair(other, leakage.exam_texts(exam), steps=0, leaked_steps=100)


def test_a_model_that_read_the_exam_is_told_from_its_clean_twin(control):
    exam, copy, pair = control
    leaked, clean = (leakage.model_test(side, exam, copy, tokenizer=pair.tokenizer) for side in (pair.leaked, pair.clean))
    gap = leakage.difference(leaked, clean)
    assert gap.low > 0 and leaked.delta.low > 0
    assert leaked.bits_delta.low > clean.bits_delta.high  # less surprised by what it read, even where it can't recite it
    assert leaked.normalised.value == pytest.approx(leaked.delta.value / leaked.accuracy.value)
    assert leaked.delta.value == pytest.approx(leaked.accuracy.value - leaked.twin_accuracy.value)
    assert "leak" not in clean._repr_html_() and json.dumps(clean.to_dict())


def test_one_pass_agrees_with_writing_token_by_token(control):
    import torch

    exam, copy, pair = control
    said = [*leakage.exam_texts(exam), *leakage.exam_texts(copy)][::3]
    fast = leakage.ngram_accuracy(pair.leaked, pair.tokenizer, said)
    for text, share in zip(said, fast, strict=True):
        ids = torch.tensor([pair.tokenizer(text)["input_ids"]])
        right = []
        for place in np.linspace(2, ids.shape[1] - 5, 5).astype(int):
            written = pair.leaked.generate(ids[:, :place], max_new_tokens=5, min_new_tokens=5, do_sample=False)
            right.append(bool((written[0, place:] == ids[0, place : place + 5]).all()))
        assert share == pytest.approx(np.mean(right))
    assert fast.max() > 0


def test_a_saved_model_gives_the_same_as_the_loaded_one(control, tmp_path):
    exam, copy, pair = control
    pair.leaked.save_pretrained(tmp_path)
    pair.tokenizer.save_pretrained(tmp_path)
    loaded = leakage.model_test(pair.leaked, exam, copy, tokenizer=pair.tokenizer)
    assert leakage.model_test(tmp_path, exam, copy).delta == loaded.delta


def test_texts_too_short_are_counted_and_none_at_all_is_named(control):
    *_, pair = control
    short = leakage.model_test(
        pair.clean, ["x", "a somewhat longer text to complete"], ["y", "a text that is somewhat longer"], tokenizer=pair.tokenizer
    )
    assert (short.items, short.skipped) == (1, 1)
    with pytest.raises(InputError, match="no pair has 8 tokens"):
        leakage.model_test(pair.clean, ["x"], ["y"], tokenizer=pair.tokenizer)
    with pytest.raises(InputError, match="2 items and 1 paraphrases"):
        leakage.model_test(pair.clean, ["x", "z"], ["y"], tokenizer=pair.tokenizer)


@pytest.mark.parametrize("most", [1 << 9, 1 << 12, 1 << 14])
def test_no_more_is_scored_at_once_than_memory_allows_and_the_numbers_stay(control, monkeypatch, most):
    from torch.nn import functional

    from hare_lab.leakage import model_side

    exam, copy, pair = control
    said = [*leakage.exam_texts(exam), *leakage.exam_texts(copy)]
    shares, bits = model_side.read_along(pair.leaked, pair.tokenizer, said)
    loss, scored, read = functional.cross_entropy, [], []
    monkeypatch.setattr(
        functional, "cross_entropy", lambda scores, *rest, **more: scored.append(scores.numel()) or loss(scores, *rest, **more)
    )
    monkeypatch.setattr(model_side, "SCORES", most)
    hook = pair.leaked.register_forward_pre_hook(lambda _, __, given: read.append(given["input_ids"].shape), with_kwargs=True)
    few, few_bits = model_side.read_along(pair.leaked, pair.tokenizer, said)
    hook.remove()
    assert max(scored) <= most
    assert all(lines == 1 or lines * width * len(pair.tokenizer) <= most for lines, width in read)
    assert (few == shares).all() and few_bits == pytest.approx(bits, rel=1e-5)


def test_two_models_are_compared_on_the_same_pairs_only(control):
    *_, pair = control
    long, other = "a somewhat longer text to complete", "another text that is somewhat longer"

    def tested(items, copy, **asked):
        return leakage.model_test(pair.clean, items, copy, tokenizer=pair.tokenizer, **asked)

    one, two = tested(["x", long], ["y", other]), tested([other, "x"], [long, "y"])
    assert (one.kept.tolist(), two.kept.tolist()) == ([1], [0])
    with pytest.raises(InputError, match="on 1 pairs, the other on 1, and they are not the same"):
        leakage.difference(one, two)
    assert leakage.difference(one, tested([long], [other])).value == 0  # the pair that counted is the same
    with pytest.raises(InputError, match="asked for 5 tokens at 5 places, the other for 5 at 3"):
        leakage.difference(one, tested(["x", long], ["y", other], starts=3))


@pytest.mark.parametrize("asked", [{"n": 0}, {"starts": 0}, {"n": -1}])
def test_a_test_of_nothing_is_named(control, asked):
    exam, copy, pair = control
    with pytest.raises(InputError, match="give at least one of each"):
        leakage.model_test(pair.clean, exam, copy, tokenizer=pair.tokenizer, **asked)
    with pytest.raises(InputError, match="give at least one of each"):
        leakage.ngram_accuracy(pair.clean, pair.tokenizer, ["x"], **asked)


def test_a_loaded_model_without_its_tokenizer_is_named(control):
    exam, copy, pair = control
    with pytest.raises(InputError, match="a loaded model needs its tokenizer"):
        leakage.model_test(pair.clean, exam, copy)


def test_the_tokenizer_given_is_the_one_that_is_used(control, tmp_path):
    from hare_lab.leakage.control import tiny_tokenizer

    exam, copy, pair = control
    pair.leaked.save_pretrained(tmp_path)
    tiny_tokenizer(["nothing"], 257).save_pretrained(tmp_path)
    given = leakage.model_test(tmp_path, exam, copy, tokenizer=pair.tokenizer)
    assert given.accuracy == leakage.model_test(pair.leaked, exam, copy, tokenizer=pair.tokenizer).accuracy
    assert given.accuracy.value > leakage.model_test(tmp_path, exam, copy).accuracy.value
    with pytest.raises(InputError, match="but the model knows 320; give the model's own"):
        leakage.model_test(tmp_path, exam, copy, tokenizer=tiny_tokenizer(leakage.exam_texts(exam), 400))


def test_no_pair_at_all_is_named(control):
    *_, pair = control
    with pytest.raises(InputError, match="no pair has 8 tokens"):
        leakage.model_test(pair.clean, [], [], tokenizer=pair.tokenizer)


def test_of_a_long_text_the_first_1024_tokens_are_read(control, monkeypatch):
    from hare_lab.leakage import model_side

    *_, pair = control
    monkeypatch.setattr(pair.leaked.config, "max_position_embeddings", 4_096)  # so that it isn't the model that asks for no more
    long = " ".join(texts.items()[0]["question"] for _ in range(100))
    cut = pair.tokenizer.decode(pair.tokenizer(long, verbose=False)["input_ids"][:1_024])
    (shares, bits), (cut_shares, cut_bits) = (model_side.read_along(pair.leaked, pair.tokenizer, [text]) for text in (long, cut))
    assert shares == cut_shares and bits == pytest.approx(cut_bits)


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(InputError, match="give the folder of a causal language model"):
        leakage.model_test(tmp_path, ["x"], ["y"])


def test_weights_that_are_damaged_or_not_all_there_are_named(control, tmp_path):
    from safetensors.torch import load_file, save_file

    *_, pair = control
    pair.clean.save_pretrained(tmp_path)
    pair.tokenizer.save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    whole = load_file(file)
    first = next(name for name in whole if ".layers." in name)
    save_file({name: tensor for name, tensor in whole.items() if name != first}, file, {"format": "pt"})
    with pytest.raises(InputError, match=f"the weights lack 1 tensors that a causal language model needs \\({re.escape(first)} first"):
        leakage.model_test(tmp_path, ["x"], ["y"])
    file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(InputError, match="the weights are damaged"):
        leakage.model_test(tmp_path, ["x"], ["y"])


def test_an_item_without_a_twin_is_named():
    with pytest.raises(InputError, match='row 0 of the benchmark has no "twin_question"'):
        leakage.twins([{"question": "x"}])


def test_every_item_stands_beside_its_own_twin():
    exam, copy = leakage.twins()
    assert exam.ids == copy.ids and exam.answers == copy.answers
    assert not set(exam.questions) & set(copy.questions)
    assert all(set(one) == set(two) for one, two in zip(exam.choices, copy.choices, strict=True))
