"""The priors file: what is written is what is read, and every mistake is named with its line."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hare_lab import priors
from hare_lab.errors import InputError
from hare_lab.leakage import benchmark_files, load_items

NAMES = st.text(st.characters(categories=("Ll", "Lu", "Nd")), min_size=1, max_size=12)


@given(
    weights=st.dictionaries(NAMES, st.floats(0.01, 1e6), max_size=5),
    tokens=st.integers(1, 10**12),
    near=st.floats(0, 1),
    languages=st.lists(st.sampled_from(["en", "de", "no", "fr"]), unique=True),
)
def test_what_is_saved_is_what_is_loaded(tmp_path_factory, weights, tokens, near, languages):
    statement = priors.Priors(topics=weights, tokens=tokens, languages=tuple(languages), duplication=priors.Duplication(near=near))
    path = tmp_path_factory.mktemp("priors") / "p.yaml"
    assert priors.load(statement.save(path)).to_dict() == statement.to_dict()


def test_the_bundled_statement_is_valid_and_finds_its_taxonomy():
    statement = priors.default()
    assert statement.find(statement.taxonomy).exists()
    assert statement.languages == ("en",)


def test_files_beside_the_statement_are_found_wherever_it_goes(tmp_path):
    (tmp_path / "mine").mkdir()
    for name in ("topics.yaml", "good.jsonl", "exam.jsonl"):
        (tmp_path / "mine" / name).write_text("")
    (tmp_path / "mine" / "p.yaml").write_text(
        "taxonomy: topics.yaml\nquality: {good: good.jsonl}\nleakage: {benchmarks: [exam.jsonl, benchmark/items.jsonl, hf:a/b]}\n"
    )
    moved = priors.load(priors.load(tmp_path / "mine" / "p.yaml").save(tmp_path / "elsewhere.yaml"))
    assert moved.find(moved.taxonomy) == tmp_path / "mine" / "topics.yaml"
    assert moved.find(moved.quality.good) == tmp_path / "mine" / "good.jsonl"
    assert moved.leakage.benchmarks == (str(tmp_path / "mine" / "exam.jsonl"), "benchmark/items.jsonl", "hf:a/b")
    assert all(moved.find(name).exists() for name in moved.leakage.benchmarks[:2])
    with pytest.raises(InputError, match="neither beside the priors file nor in"):
        moved.find("nowhere.yaml")


def test_folders_and_globs_beside_the_statement_are_found_too(tmp_path):
    (tmp_path / "ex[a]ms" / "sample").mkdir(parents=True)
    for name in ("one.jsonl", "two.jsonl"):
        (tmp_path / "ex[a]ms" / name).write_text('{"question": "Which of these is it, ' + name + '?"}')
    for benchmarks in (".", "*.jsonl", "../ex?a]ms/t*.jsonl"):
        (tmp_path / "ex[a]ms" / "p.yaml").write_text(f'quality: {{good: sample}}\nleakage: {{benchmarks: ["{benchmarks}"]}}\n')
        moved = priors.load(priors.load(tmp_path / "ex[a]ms" / "p.yaml").save(tmp_path / "elsewhere.yaml"))
        assert len(load_items(*benchmark_files(moved))) == (1 if "t*" in benchmarks else 2)
        assert moved.quality.good == "sample"  # the bundled pages, whatever lies beside the file
    with pytest.raises(InputError, match="neither beside the priors file nor in"):
        moved.find("no*where.jsonl")


def test_a_threshold_without_end_is_kept(tmp_path):
    statement = priors.Priors(quality=priors.Quality(rules={"gopher_words": float("inf")}))
    assert priors.load(statement.save(tmp_path / "p.yaml")) == statement


def test_the_heaviest_weights_still_have_a_sum():
    heavy = priors.HEAVIEST
    statement = priors.Priors(topics={f"topic {n}": heavy for n in range(1_000)}, mixture=priors.Mixture(heavy, heavy, heavy))
    assert math.isfinite(sum(statement.topics.values())) and math.isfinite(sum(vars(statement.mixture).values()))


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("name: x\ntokenz: 5\n", 2, "tokenz"),
        ("name: x\ntokens: many\n", 2, "whole number"),
        ("tokens: -3\n", 1, "above 0"),
        ("tokens: true\n", 1, "whole number"),
        ("name: x\ntopics:\n  bread: 1\n  war: -2\n", 4, "topics.war"),
        ("topics:\n  bread: .nan\n", 2, "topics.bread"),
        ("topics:\n  bread: 1\n  war: 1.0e+308\n", 3, "topics.war"),
        ("topics:\n  bread: .inf\n", 2, "topics.bread"),
        (f"topics:\n  bread: {10**400}\n", 2, "topics.bread"),
        ("mixture:\n  D1: 1.0e+308\n  D2: 1.0e+308\n", 2, "mixture.D1"),
        ("topics: [bread]\n", 1, "names with numbers"),
        ("\nquality:\n  floor: 7\n", 3, "between 0 and 1"),
        ("cleaning:\n  links: burn\n", 2, "cut, keep"),
        ("languages: en\n", 1, "list"),
        ("name: a\nname: b\n", 2, "twice"),
        ("mixture:\n  D1: 1\n  D4: 1\n", 3, "D4"),
        ("name: [a\n", 2, "YAML"),
        ("tokens: 5\nname: 2024-02-30\n", 2, "no timestamp of YAML's"),
        ("tokens: !x 3\n", 1, "no !x of YAML's"),
        ("tokens: !!int ''\n", 1, "no int of YAML's"),
        ("quality:\n  floor: !!bool maybe\n", 2, "no bool of YAML's"),
    ],
)
def test_a_mistake_is_named_in_one_sentence_with_its_line(tmp_path, text, line, word):
    path = tmp_path / "p.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        priors.load(path)
    message = str(caught.value)
    assert f"line {line}:" in message and word in message and "\n" not in message


def test_a_missing_file_is_named():
    with pytest.raises(InputError, match=r"nowhere\.yaml"):
        priors.load("nowhere.yaml")
