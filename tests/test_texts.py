"""The bundled texts: every planted truth resolves, the counts are as stated, and a broken row is named."""

import json
import re
from collections import Counter

import pytest

from hare_lab import texts
from hare_lab.errors import InputError

RARE = {"astronomy", "beekeeping", "chess", "geology", "oceanography"}
DOMINANT = {"cooking", "football", "personal-finance", "programming", "travel"}


@pytest.fixture(scope="module")
def pages():
    return texts.sample_truth()


@pytest.fixture(scope="module")
def items():
    return texts.items()


def shingles(text, n=5):
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[i : i + n]) for i in range(len(words) - n + 1)}


def jaccard(a, b):
    a, b = shingles(a), shingles(b)
    return len(a & b) / len(a | b)


def test_topics_are_uneven_on_purpose_and_all_in_the_taxonomy(pages):
    counts = Counter(page["topic"] for page in pages)
    assert set(counts) == {topic.id for topic in texts.taxonomy()}
    assert all(6 <= counts[topic] <= 8 for topic in RARE)
    assert all(40 <= counts[topic] <= 60 for topic in DOMINANT)
    assert all(counts[topic] < min(counts[d] for d in DOMINANT) for topic in set(counts) - DOMINANT)
    assert len(pages) >= 700 and len(counts) >= 30


def test_every_tier_and_voice_is_there_in_its_share(pages):
    originals = [page for page in pages if not page["duplicate_of"]]
    share = {tier: count / len(originals) for tier, count in Counter(page["tier"] for page in originals).items()}
    for tier, wanted in {"reference": 0.30, "ordinary": 0.40, "thin": 0.15, "junk": 0.15}.items():
        assert share[tier] == pytest.approx(wanted, abs=0.05)
    assert len({page["voice"] for page in pages}) >= 10
    assert len({page["language"] for page in pages}) >= 6


def test_pages_are_60_to_250_words(pages):
    lengths = [len(page["text"].split()) for page in pages if not page["duplicate_of"]]
    assert min(lengths) >= 58 and max(lengths) <= 252


def test_planted_copies_resolve_and_are_as_alike_as_their_kind_says(pages):
    by_id = {page["id"]: page for page in pages}
    copies = [page for page in pages if page["duplicate_of"]]
    kinds = Counter(page["duplicate_kind"] for page in copies)
    assert kinds["exact"] >= 40 and kinds["near"] >= 60 and kinds["semantic"] >= 40
    for copy in copies:
        original = by_id[copy["duplicate_of"]]
        assert original["duplicate_of"] is None and original["topic"] == copy["topic"]
        alike = jaccard(copy["text"], original["text"])
        low, high = {"exact": (1, 1), "near": (0.5, 0.98), "semantic": (0, 0.15)}[copy["duplicate_kind"]]
        assert low <= alike <= high, (copy["id"], alike)


def normal(text):
    return " ".join(re.findall(r"\w+", text.lower()))


def test_planted_leaks_resolve_and_verbatim_ones_are_word_for_word(pages, items):
    by_id = {item["id"]: item for item in items}
    kinds = Counter(leak["kind"] for page in pages for leak in page["leaks"])
    assert all(kinds[kind] >= 30 for kind in texts.LEAK_KINDS)
    for page in pages:
        for leak in page["leaks"]:
            item = by_id[leak["item"]]
            question = item["question"].replace("____", item["answer"])
            if leak["kind"] == "verbatim":
                assert normal(question) in normal(page["text"]) and normal(item["answer"]) in normal(page["text"]), page["id"]
            if leak["kind"] == "reworded":
                assert not shingles(question, 5) & shingles(page["text"], 5), page["id"]


def test_a_third_of_the_items_can_be_answered_from_a_reference_page(pages, items):
    by_id = {page["id"]: page for page in pages}
    answerable = [item for item in items if item["page"]]
    assert len(answerable) >= len(items) / 3
    for item in answerable:
        page = by_id[item["page"]]
        assert page["tier"] == "reference" and page["topic"] == item["topic"]
        assert item["evidence"] in page["text"], item["id"]


def test_items_are_balanced_and_have_a_twin_in_other_words(items):
    choices = [item for item in items if item["kind"] == "multiple-choice"]
    assert len(choices) >= 300 and len(items) - len(choices) >= 150
    positions = Counter(item["choices"].index(item["answer"]) for item in choices)
    assert max(positions.values()) - min(positions.values()) <= 0.05 * len(choices)
    for item in items:
        assert jaccard(item["question"], item["twin_question"]) < 0.3, item["id"]
        if item["choices"]:
            assert item["choices"] != item["twin_choices"] and set(item["choices"]) == set(item["twin_choices"])


def test_the_right_choice_is_not_given_away_by_its_length(items):
    choices = [item for item in items if item["choices"]]
    longest = sum(len(item["answer"]) == max(map(len, item["choices"])) for item in choices)
    shortest = sum(len(item["answer"]) == min(map(len, item["choices"])) for item in choices)
    assert longest <= 0.3 * len(choices) and shortest <= 0.3 * len(choices)


def test_what_the_package_sees_holds_nothing_of_the_truth():
    assert set(texts.sample_pages()[0]) == {"id", "text", "title"}


def test_personal_data_is_invented():
    for page in texts.sample_truth():
        for address in re.findall(r"[\w.+-]+@([\w.-]+\w)", page["text"]):
            assert re.search(r"(^|\.)example(\.(com|org|net))?$", address) or page["tier"] == "junk", (page["id"], address)


def test_taxonomies_hold_what_they_promise():
    assert len(texts.taxonomy(texts.DATA / "taxonomy" / "mmlu.yaml")) == 57
    assert len(texts.taxonomy()) == 36 and len({topic.parent for topic in texts.taxonomy()}) == 9


# --- replies, tools, tables ------------------------------------------------------------------------------------------


def test_replies_cover_the_rare_topics_and_name_seed_pages(pages):
    by_id = {page["id"]: page for page in pages}
    d2, d3 = (texts.replies(texts.DATA / "replies" / f"{name}.jsonl") for name in ("d2", "d3"))
    good = {name: [row for row in rows if not row["bad"]] for name, rows in (("d2", d2), ("d3", d3))}
    assert len(good["d2"]) >= 150 and len(good["d3"]) >= 250
    assert {row["topic"] for row in d2} == {row["topic"] for row in d3} == RARE
    assert sum(bool(row["bad"]) for row in d2 + d3) >= 40
    assert len({row["bad"] for row in d2 + d3 if row["bad"]}) == 8
    for row in d2 + d3:
        assert by_id[row["seed"]]["topic"] == row["topic"], row["id"]
    for row in good["d2"]:
        assert 150 <= len(row["reply"].split()) <= 400, row["id"]
    ids = {item["id"] for item in texts.items()} | {row["id"] for row in d2 + d3}
    assert all(row["about"] in ids for row in d2 + d3 if row["bad"] in ("leaked-item", "near-duplicate"))


def test_good_task_replies_parse():
    keys = {
        "multiple-choice": {"question", "options", "answer"},
        "question-answering": {"question", "answer"},
        "cloze": {"text", "answer"},
        "summarisation": {"summary"},
    }
    for row in texts.replies(texts.DATA / "replies" / "d3.jsonl"):
        if not row["bad"]:
            reply = json.loads(re.sub(r"^```(?:json)?\s*|\s*```$", "", row["reply"].strip()))
            assert set(reply) == keys[row["kind"]], row["id"]
            assert row["kind"] != "multiple-choice" or (len(set(reply["options"])) == 4 and reply["answer"] in reply["options"])


def test_requests_ask_for_valid_calls_and_no_wording_crosses_the_splits():
    apis = {api["name"]: api["parameters"] for api in texts.apis()}
    requests = texts.requests()
    counts = Counter(row["call"]["name"] if row["call"] else None for row in requests)
    assert len(apis) == 7 and all(counts[name] >= 80 for name in apis) and counts[None] >= 160
    for row in requests:
        if row["call"]:
            parameters = apis[row["call"]["name"]]
            arguments = row["call"]["arguments"]
            assert set(parameters["required"]) <= set(arguments) <= set(parameters["properties"]), row["id"]
            for name, value in arguments.items():
                allowed = parameters["properties"][name].get("enum")
                assert allowed is None or value in allowed, row["id"]
    splits = {}
    for row in requests:
        assert splits.setdefault(row["wording"], row["split"]) == row["split"], row["wording"]
        assert splits.setdefault(normal(row["text"]), row["split"]) == row["split"], row["text"]


@pytest.mark.parametrize(
    "name",
    ["table1_leaderboard", "table2_leakage", "table3_open_data", "table4_synthetic", "table5_tasks", "table7_chat", "table8_tools"],
)
def test_the_papers_tables_name_their_source(name):
    assert texts.paper_table(name)
    assert "arXiv 2406.11410v2" in (texts.DATA / "reference" / f"{name}.csv").read_text().splitlines()[0]


# --- broken rows -----------------------------------------------------------------------------------------------------

GOOD = {
    "id": "a", "text": "t", "title": "", "topic": "x", "tier": "junk", "voice": "blog", "language": "en",
    "duplicate_of": None, "duplicate_kind": None, "leaks": [], "personal_data": False,
}  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([GOOD, "{"], "line 2: not valid JSON"),
        ([GOOD, "[]"], "line 2: not a JSON object"),
        ([{**GOOD, "text": 5}], 'line 1: field "text" holds int'),
        ([{k: v for k, v in GOOD.items() if k != "tier"}], 'line 1: field "tier" is missing'),
        ([{**GOOD, "tier": "superb"}], 'line 1: field "tier" is "superb"'),
        ([GOOD, GOOD], 'line 2: field "id" repeats "a" of line 1'),
        ([{**GOOD, "leaks": ["x"]}], 'line 1: field "leaks"'),
    ],
)
def test_a_broken_row_is_named_by_file_line_and_field(tmp_path, rows, words):
    path = tmp_path / "pages.jsonl"
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    with pytest.raises(InputError) as caught:
        texts.sample_truth(path)
    assert words in str(caught.value) and str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("topics: []", "no topic"),
        ("topics: [{id: a, description: x}, {id: a, description: y}]", "twice"),
        ("topics: [{id: a}]", "no description"),
        ("topics: [{id: a, description: x, weight: -1}]", "weight"),
        (
            "topics: [{id: a, description: x, weight: 1.0e+308}, {id: b, description: y, weight: 1.0e+308}]",
            "zero or more, 1e\\+300 at most",
        ),
        (f"topics: [{{id: a, description: x, weight: 1{'0' * 400}}}]", "zero or more, 1e\\+300 at most"),
        ("topics: [{name: Science, topics: [physics, biology]}]", 'no list "topics"'),
        ("topics: [{id: caf\udce9, description: x}]", "byte 17 is not UTF-8"),
        ("[", "not valid YAML"),
        ("x: 1", 'no list "topics"'),
    ],
)
def test_a_broken_taxonomy_is_one_sentence(tmp_path, text, words):
    path = tmp_path / "t.yaml"
    path.write_text(text, errors="surrogateescape")
    with pytest.raises(InputError, match=words):
        texts.taxonomy(path)


@pytest.mark.parametrize("name", ["name: ''", "name: ' '", "name:", "name: null"])
def test_a_topic_with_a_blank_name_goes_by_its_id_and_a_blank_parent_by_none(tmp_path, name):
    path = tmp_path / "t.yaml"
    path.write_text(f"topics:\n- {{id: bread, description: baking, {name} }}\n- {name}\n  topics: [{{id: rye, description: grain}}]")
    assert [(topic.name, topic.parent) for topic in texts.taxonomy(path)] == [("bread", ""), ("rye", "")]


def test_a_folder_is_no_taxonomy(tmp_path):
    with pytest.raises(InputError, match=r"taxonomy .* can't be read \(Is a directory\); give a YAML file"):
        texts.taxonomy(tmp_path)
