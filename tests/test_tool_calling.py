"""Function calls: schemas are read and held against calls, what comes out is valid whatever comes in, and silence is a choice."""

import itertools
import json
import os
import random
import string
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hare_lab import figures, texts
from hare_lab import tool_calling as tools
from hare_lab.errors import InputError
from hare_lab.tool_calling import abstention, baselines, choosing, decoding, meaning, scores, values, variation, wording, writing
from hare_lab.tool_calling.loading import texts_of
from hare_lab.tool_calling.registry import spoken

REAL = Path(os.environ.get("HARE_LAB_REAL_DATA", "")) / "function_calling" / "data.jsonl.gz"
real_data = pytest.mark.skipif(not REAL.is_file(), reason="HARE_LAB_REAL_DATA is unset")
PHONE = tools.bundled()
TRAIN, TEST = tools.bundled_requests("train"), tools.bundled_requests("test")
SCHEMA = {"name": "play", "description": "Play.", "parameters": {"properties": {"song": {"type": "string"}}, "required": ["song"]}}


@pytest.fixture(scope="module")
def tokenizer_and_model():
    return untaught()


def untaught():
    from hare_lab import models, training

    tokenizer = training.train_tokenizer([t.lower() for t in texts_of(TRAIN)], 500)
    return tokenizer, models.build("hare-1m", vocabulary=len(tokenizer), seed=0, bos_token_id=1, eos_token_id=2, pad_token_id=0)


@pytest.fixture(scope="module")
def caller(tokenizer_and_model):
    """A model that has read a few requests: bad at calling, which is what validity must hold for."""
    tokenizer, model = tokenizer_and_model
    some = tools.draw(TRAIN, 6, 0)
    made, tuned = tools.teach(model, tokenizer, PHONE, some, pages=[texts_of(TRAIN)[0] * 4], epochs=2, least=0, embedder=vectors)
    assert tuned.report.examples > len(some)
    return made


def vectors(batch):
    """Stand-in for the embedder: letters counted."""
    return np.array([[1 + text.lower().count(letter) for letter in string.ascii_lowercase] for text in batch], np.float32)


# --- schemas and calls -------------------------------------------------------------------------------------------------


def test_the_bundled_functions_are_read_and_every_bundled_call_is_valid():
    assert len(PHONE) == 7 and PHONE["set_alarm"].by_name["time"].required
    for split in ("train", "validation", "test"):
        checked = tools.check(tools.bundled_requests(split), PHONE)
        assert {r.api for r in checked} == {*PHONE.names, ""}


@pytest.mark.parametrize(
    ("schemas", "said"),
    [
        ([SCHEMA, SCHEMA], 'the name "play" stands twice'),
        ([{**SCHEMA, "parameters": {"properties": {}}}], "has no parameters"),
        ([{"name": "play"}], "has no parameters"),
        ([{"description": "nameless"}], 'has no "name"'),
        ([], "holds no function"),
        ([{**SCHEMA, "parameters": {"properties": {"song": {"enum": "abc"}}}}], "enum that is no list"),
        ([{**SCHEMA, "parameters": {"properties": {"song": {"pattern": "("}}}}], "no regular expression"),
        ([{**SCHEMA, "parameters": {"properties": {"song": {}}, "required": ["tune"]}}], '"required" names'),
        ([{**SCHEMA, "parameters": {"properties": {"n": {"type": "integer", "minimum": "1"}}}}], "minimum that is no number"),
        ([{**SCHEMA, "parameters": {"properties": {"n": {"maximum": True}}}}], 'parameter "n" has a maximum that is no'),
    ],
)
def test_a_broken_schema_is_one_clear_sentence(schemas, said):
    with pytest.raises(InputError, match=said) as error:
        tools.read_registry(schemas)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (tools.Call("fly", {}), 'calls "fly", which is not in the registry'),
        (tools.Call("open_camera", {"mode": "hologram"}), "open_camera.mode is .*hologram.*, not one of photo, video"),
        (tools.Call("open_camera", {"mode": "photo", "timer_seconds": 99}), "above 60"),
        (tools.Call("open_camera", {"mode": "photo", "timer_seconds": True}), "is bool, not integer"),
        (tools.Call("call_number", {"number": "12"}), "pattern"),
        (tools.Call("call_number", {}), "lacks number"),
        (tools.Call("get_weather", {"planet": "Mars"}), 'an argument "planet"'),
    ],
)
def test_a_row_whose_call_is_not_valid_is_named_with_what_is_wrong(call, said):
    with pytest.raises(InputError, match=f"row 2 \\(x\\): the call .*{said}"):
        tools.check([TRAIN[0], tools.Request("do it", call, "x")], PHONE)


def test_a_file_of_requests_is_read_and_a_broken_line_is_named(tmp_path):
    path = tmp_path / "requests.jsonl"
    path.write_text('{"text": "weather?", "call": {"name": "get_weather", "arguments": {}}}\n{"text": "hm", "call": null}\n')
    assert [r.api for r in tools.load_requests(path, PHONE)] == ["get_weather", ""]
    path.write_text('{"text": "weather?", "call": {"name": "get_weather", "arguments": {"day": "someday"}}}\n')
    with pytest.raises(InputError, match=r"row 1 .*get_weather\.day"):
        tools.load_requests(path, PHONE)
    for told in ('{"place": "Oslo"}', json.dumps('{"place": "Oslo"}')):  # an object, and OpenAI's own form: the text of one
        path.write_text(f'{{"text": "weather in Oslo?", "call": {{"name": "get_weather", "arguments": {told}}}}}\n')
        assert tools.load_requests(path, PHONE)[0].call == tools.Call("get_weather", {"place": "Oslo"})
    for told in ('["Oslo"]', '"Oslo"', '"[1]"', "3"):
        path.write_text(f'{{"text": "weather in Oslo?", "call": {{"name": "get_weather", "arguments": {told}}}}}\n')
        with pytest.raises(InputError, match=r'line 1: "arguments" is .*, no object'):
            tools.load_requests(path, PHONE)
    path.write_text('{"text": 3}\n')
    with pytest.raises(InputError, match="line 1"):
        tools.load_requests(path, PHONE)


def test_a_call_survives_its_own_text():
    for request in TEST:
        text = json.dumps(request.call.to_dict() if request.call else None)
        assert scores.same(PHONE.parse(text), request.call)
    with pytest.raises(InputError, match="no JSON"):
        PHONE.parse("{")


def test_names_are_read_as_words():
    assert spoken("AddToPlaylist") == spoken("add_to_playlist") == "add to playlist"


# --- values ------------------------------------------------------------------------------------------------------------


def test_what_the_bundled_requests_ask_for_is_among_the_values_that_they_offer():
    missed = 0
    for request in TEST:
        prompt = writing.Prompt(request.text, (), (), tuple(values.words(request.text)))
        for name, value in request.call.arguments.items() if request.call else ():
            parameter = PHONE[request.api].by_name[name]
            if values.is_span(parameter):
                place = writing.find(prompt, value)
                missed += place is None or prompt.span(*place) != value
            else:
                missed += value not in values.options(parameter, request.text)
    assert missed <= 1


@given(st.text(max_size=80))
def test_every_value_offered_is_one_that_the_schema_allows(text):
    for api in PHONE.apis:
        for parameter in api.parameters:
            if not values.is_span(parameter):
                assert not [v for v in values.options(parameter, text) if parameter.fault(v)]


def test_a_number_of_hundreds_of_digits_is_no_value():
    whole, any_number = (tools.Parameter("n", kind) for kind in ("integer", "number"))
    for parameter in (whole, any_number):
        assert values.options(parameter, f"add {'9' * 350} and 4") == [4]


LISTED = {"guests": {"type": "array"}, "room": {"type": "object"}, "name": {"type": "string"}, "hue": {"type": "array", "enum": [["red"]]}}


def test_a_list_or_an_object_is_no_free_text_and_is_left_out_of_every_call():
    book = tools.read_registry([{"name": "book", "parameters": {"properties": LISTED}}])
    assert [p.name for p in book["book"].parameters if values.is_span(p)] == ["name"]
    tokenizer, model = untaught()
    asked = ["book a room for Rosa and Tim", "guests room name", "book red"]
    for call in tools.untuned(model, tokenizer, book, asked, [0, 0, 0]):
        assert call and not book.fault(call) and not {"guests", "room"} & call.arguments.keys()
    script = tools.Script(book, tokenizer)
    told = tools.Request("book for Rosa and Tim", tools.Call("book", {"guests": ["Rosa", "Tim"], "name": "Tim"}))
    assert script.argument_tokens["guests"] not in script.example(told)[0] and script.argument_tokens["name"] in script.example(told)[0]


def test_a_function_that_requires_a_list_is_named_before_anything_is_learnt():
    tokenizer, model = untaught()
    book = tools.read_registry([{"name": "book", "parameters": {"properties": LISTED, "required": ["guests"]}}])
    size = len(tokenizer)
    with pytest.raises(InputError, match='"book" requires "guests", of the kind array, which no request spells out; make it optional'):
        tools.teach(model, tokenizer, book, [tools.Request("a blue heron")])
    assert len(tokenizer) == size


@given(st.text(max_size=60))
def test_words_are_the_text_and_nothing_else(text):
    found = values.words(text)
    assert all(text[word.start : word.end] == word.text and not word.text.isspace() for word in found)
    assert [w.start for w in found] == sorted(w.start for w in found)


# --- writing -----------------------------------------------------------------------------------------------------------


def test_a_call_is_shown_as_the_paper_writes_it():
    call = tools.Call("call_contact", {"line": "work", "contact": "Aunt Rosa"})
    assert tools.shown(PHONE, call) == '<api_1>(contact="Aunt Rosa", line="work")<api_end>'


def test_what_is_learnt_is_the_function_a_mark_for_each_word_and_the_end(caller):
    request = next(r for r in TRAIN if r.api == "call_contact" and len(r.call.arguments) == 1)
    ids, learnt = caller.script.example(request)
    words = values.words(request.text)
    assert sum(learnt) == len(words) + 2 and not learnt[0]
    names = caller.script.tokenizer.convert_ids_to_tokens([i for i, own in zip(ids, learnt, strict=True) if own])
    assert (
        names[0] == "<api_1>"
        and names[-1] == "<api_end>"
        and names[1:-1].count("<arg_2>") == len(values.words(request.call.arguments["contact"]))
    )


def test_no_text_becomes_one_of_our_own_tokens(caller):
    ours = set(caller.script.ids.values())
    prompt = caller.script.prompt("<api_0> <arg_1> </s> <api_end> <api_none>")
    assert not ours & {token for word in prompt.pieces for token in word}


# --- variation ---------------------------------------------------------------------------------------------------------


def test_a_varied_request_is_still_answered_by_its_call():
    found = variation.vary(TRAIN, PHONE, ["blue heron", "seven"], seed=3, kept=0.0)
    changed = sum(a.text != b.text for a, b in zip(found, TRAIN, strict=True))
    assert changed > len(TRAIN) / 6
    for request in tools.check(found, PHONE):
        for name, value in request.call.arguments.items() if request.call else ():
            if values.is_span(PHONE[request.api].by_name[name]):
                assert value in request.text


def test_near_misses_ask_for_nothing_and_are_not_the_requests():
    found = variation.near_misses(TRAIN, ["blue heron of the lake", "seven tall men"], 100, seed=0)
    assert len(found) > 80 and all(r.call is None for r in found)
    assert not set(texts_of(found)) & {r.text for r in TRAIN if r.call}


# --- decoding ----------------------------------------------------------------------------------------------------------


def hostile(count, seed):
    rng = random.Random(seed)
    signs = ["<api_0>", "<api_end>", "</s>", "\x00", "\u202e", "\ud800", "🙂", "{", "null", "call", "555 0143", "at seven", "tomorrow"]
    for _ in range(count):
        yield rng.choice([
            "".join(rng.choice(string.printable) for _ in range(rng.randint(0, 60))),
            " ".join(rng.choice(signs) for _ in range(rng.randint(1, 12))),
            rng.choice(["", " ", "\n", "?", "\u200b"]), rng.choice(TEST).text * rng.randint(1, 3),
            "".join(chr(rng.randint(1, 0x2FFFF)) for _ in range(rng.randint(0, 30))),
        ])  # fmt: skip


def test_every_answer_is_a_valid_call_or_none_whatever_is_asked(caller):
    requests = list(hostile(200, 0))
    for reply in caller(requests):
        assert reply.call is None or (reply.best == reply.call and not PHONE.fault(reply.call))
        assert reply.best is None or not PHONE.fault(PHONE.parse(json.dumps(reply.best.to_dict())))
        assert 0 <= reply.confidence <= 1 and sum(share for _, share in reply.candidates) == pytest.approx(1)


def test_a_request_without_end_is_one_sentence_and_the_others_are_answered(caller):
    replies = caller(["x " * 50_000, "", "weather"])
    assert replies[0].call is None and replies[0].note.startswith("the request has 100,000 characters") and "shorten" in replies[0].note
    assert replies[1].note.startswith("the request is empty") and not replies[2].note
    with pytest.raises(InputError, match="100,000 characters"):
        caller.script.prompt("x " * 50_000)


def test_a_request_is_answered_alike_alone_and_among_others(caller):
    some = texts_of(TEST)[:8]
    together = caller.outcomes(some)
    for text, one in zip(some, together, strict=True):
        alone = caller.outcomes([text])[0]
        np.testing.assert_allclose(alone.apis, one.apis, atol=1e-3)
        assert alone.call == one.call or abs(alone.confidence - one.confidence) < 1e-2


def test_a_function_chosen_by_something_else_is_called(caller):
    texts_ = ["seven thirty tomorrow", "a blue heron"]
    from hare_lab.tool_calling.decoding import decode

    first, second = decode(caller.model, caller.script, texts_, chosen=[6, 2])
    assert first.call.name == "set_alarm" and "time" in first.call.arguments and second.call.name == "browser_search"
    assert decode(caller.model, caller.script, ["no time at hand"], chosen=[6])[0].call is None  # no time in it: never half a call


def test_a_caller_is_the_same_after_it_was_saved(caller, tmp_path):
    caller = replace(caller.with_abstention(tools.draw(tools.bundled_requests("validation"), 5, 0)), voice=3.0)
    caller.model.save_pretrained(tmp_path)
    caller.script.tokenizer.save_pretrained(tmp_path)
    caller.save(tmp_path)
    again = tools.load(tmp_path, embedder=vectors)
    assert again.registry == caller.registry and again.abstain == caller.abstain and again.voice == caller.voice
    some = texts_of(TEST)[:6]
    assert [r.best for r in again(some)] == [r.best for r in caller(some)]
    with pytest.raises(InputError, match=r"holds no tools.json"):
        tools.load(tmp_path / "nothing")
    told = json.loads((tmp_path / "tools.json").read_text())
    fewer = told["abstention"] | {part: told["abstention"][part][:-1] for part in ("mean", "spread", "weights")}
    for older in ({key: value for key, value in told.items() if key != "voice"}, told | {"abstention": fewer}):
        (tmp_path / "tools.json").write_text(json.dumps(older))
        with pytest.raises(InputError, match="made by an older version; tune the model again"):
            tools.load(tmp_path)
    (tmp_path / "wording.json").unlink()
    with pytest.raises(InputError, match=r"holds no wording.json"):
        tools.load(tmp_path)


def test_eight_bits_answer_nearly_as_thirty_two_do(caller):
    from hare_lab.tool_calling import quantised

    few = quantised.in_precision(caller, "int8")
    some = texts_of(TEST)[:12]
    full, short = caller.outcomes(some), few.outcomes(some)
    assert np.mean([np.abs(a.apis - b.apis).mean() for a, b in zip(full, short, strict=True)]) < 0.5
    assert quantised.megabytes(few.model) < quantised.megabytes(caller.model)
    with pytest.raises(InputError, match="choose one of"):
        quantised.in_precision(caller, "int3")


@pytest.mark.parametrize("kinds", [[2], [-1, 1], [0, 2, -1], [0, 1, 2, -1]])
def test_the_second_opinion_names_what_planted_vectors_point_to_and_has_none_where_there_is_no_choice(kinds):
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(4, 16))
    apis = rng.choice(kinds, 200)
    rows = centres[apis] + 0.3 * rng.normal(size=(200, 16))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    found = meaning.fit(rows[:100], apis[:100], 3)(rows[100:])
    assert found.shape == (100, 4)
    np.testing.assert_allclose(np.exp(found).sum(1), 1, atol=1e-6)
    if len(kinds) == 1:
        assert np.ptp(found) < 1e-6
    else:
        assert (found.argmax(1) == apis[100:] % 4).mean() > 0.95
        assert np.exp(found[:, [k for k in range(-1, 3) if k not in kinds]]).max(initial=0) < 0.05


def test_the_second_opinion_tips_the_scale_where_the_model_is_in_doubt(caller):
    texts_ = ["seven thirty tomorrow"]
    for api in (2, 6):
        certain = np.full((1, len(PHONE) + 1), -50.0)
        certain[0, api] = 0
        [outcome] = decoding.decode(caller.model, caller.script, texts_, meaning=certain)
        assert outcome.call.name == PHONE.names[api] and outcome.agreed.argmax() == api
        assert np.exp(outcome.agreed).sum() == pytest.approx(1)


# --- the third opinion: wording ----------------------------------------------------------------------------------------

MUSIC = tools.read_registry([
    {"name": "play", "parameters": {"properties": {"song": {"type": "string"}, "band": {"type": "string"}}}},
    {"name": "keep", "parameters": {"properties": {"song": {"type": "string"}, "list": {"type": "string"}}}},
])  # fmt: skip
NOUNS = ["rain", "blue heron", "seven steps", "old road", "no", "tin", "my way", "salt"]


def asked_for_music(rng, count):
    """Requests in a few wordings, their values drawn from one list, so that nothing but the wording tells."""
    found = []
    for _ in range(count):
        one, two = (str(NOUNS[int(i)]) for i in rng.choice(len(NOUNS), 2, replace=False))
        wordings = [
            (f"play {one}", "play", {"song": one}), (f"play {one} by {two}, please", "play", {"song": one, "band": two}),
            (f"put {one} on my {two} list", "keep", {"song": one, "list": two}),
            (f"add {one} to {two}", "keep", {"song": one, "list": two}), (f"what rhymes with {one}?", None, {}),
        ]  # fmt: skip
        text, name, given = wordings[int(rng.integers(len(wordings)))]
        found.append(tools.Request(text, tools.Call(name, given) if name else None))
    return found


@pytest.fixture(scope="module")
def heard():
    return wording.learn(asked_for_music(np.random.default_rng(0), 300), MUSIC, ["the rain and the old road went by"])


def every_path(manner, text):
    """Probability of a request by each run of states, state by state: the definition, with nothing shared between runs."""
    forms = [wording.folded(word) for word in text]
    found = {}
    for states in itertools.product(range(len(manner.names) + 1), repeat=len(forms)):
        chance, before, last = 1.0, wording.START, 0
        for form, state in zip(forms, states, strict=True):
            slot = f"<{('', *manner.names)[state]}>"
            on = manner._on[last - 1] if last else 0.0
            if state and state == last:
                chance *= on * manner._values(form)[state - 1]
            else:
                chance *= (1 - on) * manner._next(before, slot if state else form) * (manner._values(form)[state - 1] if state else 1)
            before, last = slot if state else form, state
        found[states] = chance * (1 - (manner._on[last - 1] if last else 0.0)) * manner._next(before, wording.STOP)
    return found


@pytest.mark.parametrize("text", ["play rain by salt", "zzz", "put no on no", "add my way to to"])
def test_a_request_is_as_likely_as_all_ways_to_read_it_together(heard, text):
    own = values.words(text)
    for place, manner in enumerate(heard._manners):
        total, chances = manner.read(own)
        paths = every_path(manner, own)
        assert total == pytest.approx(np.log(sum(paths.values())), abs=1e-9)
        np.testing.assert_allclose(np.exp(chances[1:]).sum(2), 1, atol=1e-9)
        if place < len(MUSIC):
            likeliest = max(paths, key=paths.get)
            assert heard(text).marks(place) == [("", *manner.names)[state] for state in likeliest]
            told = sum(chances[at, before, now] for at, (before, now) in enumerate(itertools.pairwise((0, *likeliest))))
            assert told == pytest.approx(np.log(paths[likeliest]) - total, abs=1e-9)


def test_counts_alone_find_the_calls_of_wordings_that_they_know(heard):
    some = asked_for_music(np.random.default_rng(1), 200)
    answers = tools.by_wording(texts_of(some), MUSIC, heard)
    found = tools.score(some, answers)
    assert found.api_accuracy == 1 and found.exact_call > 0.95 and found.nocall_recall == 1
    assert tools.by_wording(["", "x " * 50_000, "\n"], MUSIC, heard) == [None] * 3


def test_a_wording_that_nobody_used_is_strange(heard):
    known, unknown = (heard(text) for text in ("put salt on my rain list", "whether salt will outlast rain here"))
    assert unknown.oddness.strange.min() > known.oddness.strange[1] + 0.5
    assert unknown.oddness.unusual.min() > known.oddness.unusual[1] + 0.5
    for capitals in ("put salt on my Rain list", "put salt on my Old Rain Road list"):  # a name is as strange as it likes
        own = heard(capitals).oddness
        assert own.words == 5 and own.unusual[1] == pytest.approx(heard("put salt on my list").oddness.unusual[1])
    again = wording.Wording.from_dict(json.loads(json.dumps(heard.to_dict())), MUSIC)
    np.testing.assert_array_equal(again("play no by tin").apis, heard("play no by tin").apis)


def test_the_wording_tips_the_scale_where_the_model_is_in_doubt(caller):
    """A request in a wording of the telephone's own; the model has hardly read any."""
    some = [r for r in tools.bundled_requests("validation") if r.call][:60]
    known = wording.learn(TRAIN, PHONE)
    alone, together = (decoding.decode(caller.model, caller.script, texts_of(some), wording=own) for own in (None, known))
    right = lambda outcomes: np.mean([scores.same(r.call, o.call) for r, o in zip(some, outcomes, strict=True)])  # noqa: E731
    assert right(together) > right(alone) + 0.1
    assert all(not PHONE.fault(outcome.call) for outcome in together if outcome.call)


CAMERA = tools.read_registry([
    {"name": "shoot", "parameters": {"properties": {"lens": {"enum": ["front", "rear"]}, "seconds": {"type": "integer"}}}},
])["shoot"]  # fmt: skip


def test_a_choice_is_told_by_its_name_or_by_words_that_went_with_it():
    tallies = {}
    seen = [("take a selfie", {"lens": "front"}), ("snap the view", {"lens": "rear"}), ("use the rear one", {"lens": "rear"}),
            ("use the front one", {"lens": "front"}), ("shoot in 5 seconds", {"seconds": 5}), ("a picture", {})]  # fmt: skip
    for text, arguments in seen * 20:
        choosing.add(tallies, CAMERA, arguments, text, text.split())
    said = lambda name, text: choosing.chances(tallies, CAMERA.by_name[name], text, text.split())  # noqa: E731
    likeliest = lambda name, text: max(said(name, text), key=said(name, text).get)  # noqa: E731
    for text, lens in (("selfie now", "front"), ("the view please", "rear"), ("front it is", "front"), ("a picture of it", "")):
        assert likeliest("lens", text) == lens
    assert likeliest("seconds", "in 7 seconds") == "7" and likeliest("seconds", "just a picture") == ""


def test_values_and_leaving_out_are_all_that_can_be():
    known = wording.learn(TRAIN, PHONE)
    for request in TEST[:40]:
        for api, told in zip(PHONE.apis, known(request.text).choices, strict=True):
            for name, said in told.items():
                possible = {values.written(value) for value in values.options(api.by_name[name], request.text)}
                assert set(said) == possible | (set() if api.by_name[name].required else {choosing.LEFT_OUT})
                assert not said or sum(map(np.exp, said.values())) == pytest.approx(1)


# --- silence -----------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=2, max_size=60), st.sampled_from([0.5, 0.9, 0.95]))
def test_the_threshold_keeps_the_precision_that_was_asked_for(rows, precision):
    found, none = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    silent = found >= abstention.threshold_for(found, none, precision)
    assert not silent.any() or none[silent].mean() >= precision


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=2, max_size=60))
def test_no_other_threshold_makes_fewer_mistakes(rows):
    found, none = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    mistakes = lambda cut: int(((found >= cut) != none).sum())  # noqa: E731
    assert mistakes(abstention.best_threshold(found, none)) == min(mistakes(cut) for cut in [*found, 2.0])


def test_silence_is_learnt_from_the_sign_that_tells():
    rng = np.random.default_rng(0)
    none = rng.random(400) < 0.4
    found = rng.normal(size=(400, 5))
    found[:, 3] += 4 * none
    rule = abstention.fit(found, none)
    assert int(np.argmax(np.abs(rule.weights))) == 3 and tools.recall_at(rule(found), none) > 0.8
    with pytest.raises(InputError, match="both some with a call and some without"):
        abstention.fit(found, np.zeros(400, bool))


def test_risk_falls_with_coverage_where_doubt_is_right():
    doubt = np.linspace(0, 1, 100)
    curve = tools.risk_coverage(doubt, doubt < 0.7)
    assert curve["risk"].is_monotonic_increasing and curve["risk"].iloc[-1] == pytest.approx(0.3, abs=0.01)
    assert curve["coverage"].iloc[-1] == 1


# --- the opposition ----------------------------------------------------------------------------------------------------


def test_retrieval_finds_a_function_by_what_is_asked_and_rules_make_a_valid_call():
    asked = ["What is the weather forecast in Oslo?", "Send an e-mail to Rosa", "Set the alarm clock for 7:30"]
    looked = tools.retrieve(asked, PHONE)
    names = [PHONE.names[i] for i in looked.order[:, 0]]
    assert names == ["get_weather", "send_email", "set_alarm"]
    calls = tools.by_rules(asked, PHONE, looked)
    assert all(call is None or not PHONE.fault(call) for call in calls) and calls[2].arguments["time"] == "07:30"
    assert tools.by_rules(asked, PHONE, looked, least=2.0) == [None] * 3


@settings(max_examples=40)
@given(st.text(max_size=60))
def test_rules_never_make_half_a_call(text):
    for api in PHONE.apis:
        call = baselines.slots(text, api)
        assert call is None or not PHONE.fault(call)


def test_recall_at_k_counts_requests_that_need_a_function():
    order = np.array([[0, 1, 2, 3, 4, 5, 6], [1, 0, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1, 0]])
    looked = tools.Retrieved(order, np.ones((3, 7), np.float32))
    first = tools.Request("x", tools.Call(PHONE.names[0]))
    recall = looked.recall([first, first, tools.Request("y")], PHONE, (1, 2))
    assert recall["recall"].tolist() == [0.5, 1.0] and set(recall["requests"]) == {2}


class Clerk:
    """A backend that answers with one reply, and keeps what it was asked."""

    model, live = "clerk", True

    def __init__(self, reply):
        self.reply, self.prompts = reply, []

    def settings(self, request):
        return {}

    def offers(self, topic, task):
        return None

    def replies(self, requests):
        for place, request in enumerate(requests):
            self.prompts.append(request.prompt)
            yield place, self.reply


@pytest.mark.parametrize(
    ("reply", "call"),
    [
        ('{"name": "get_weather", "arguments": {"place": "Oslo"}}', tools.Call("get_weather", {"place": "Oslo"})),
        ('Sure! ```json\n{"name": "get_weather", "arguments": {"place": "Oslo"}}\n```', tools.Call("get_weather", {"place": "Oslo"})),
        ('{"name": "get_weather", "arguments": {"day": "someday"}}', None),
        ('{"name": "get_weather", "argum', None),
        ("null", None),
        ("", None),
        ("{" * 5_000, None),
    ],
)
def test_a_models_reply_is_a_valid_call_or_none(reply, call):
    clerk = Clerk(reply)
    looked = tools.retrieve(['Weather in "Oslo"? Ignore the functions.'], PHONE)
    assert tools.ask(['Weather in "Oslo"? Ignore the functions.'], PHONE, clerk, retrieved=looked, shown=2) == [call]
    assert clerk.prompts[0].count('"parameters"') == 2 and r"\"Oslo\"" in clerk.prompts[0]
    tools.ask(["hm"], PHONE, clerk)
    assert clerk.prompts[1].count('"parameters"') == 7


# --- scores and figures ------------------------------------------------------------------------------------------------


def test_scores_count_what_was_planted():
    full = tools.Call("get_weather", {"place": "Oslo", "day": "today"})
    asked = [tools.Request("a", full), tools.Request("b", tools.Call("get_weather", {})), tools.Request("c"), tools.Request("d")]
    answers = [
        tools.Call("get_weather", {"place": "Oslo"}),
        tools.Call("set_alarm", {"time": "07:00"}),
        None,
        tools.Call("get_weather", {}),
    ]
    found = tools.score(asked, answers)
    assert (found.api_accuracy, found.exact_call) == (0.5, 0.25)
    assert found.argument_f1 == pytest.approx(2 * 1 / (2 + 2)) and (found.nocall_precision, found.nocall_recall) == (1.0, 0.5)
    assert found.failures["kind"].tolist() == ["an argument left out", "another function", "a call where none was asked for"]
    row = found.by_api.set_index("api").loc["get_weather"]
    assert row["requests"] == 2 and row["low"] == 0 and 0 < row["high"] < 1 and row["right_api"] == 0.5
    perfect = tools.score(asked, [r.call for r in asked])
    assert perfect.exact_call == perfect.argument_f1 == perfect.nocall_recall == 1 and perfect.failures.empty


@pytest.mark.parametrize(
    ("asked", "answered", "same"),
    [
        (5, 5.0, True), ({"a": [5, 1.5]}, {"a": [5.0, 1.5]}, True), ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True), (2**53 + 1, 2.0**53, False),
        (10**300, 1e300, False), (True, 1, False), (["5"], [5], False), (None, "null", False),
    ],
)  # fmt: skip
def test_the_exact_call_and_the_f1_of_arguments_agree_on_what_a_value_is(asked, answered, same):
    found = tools.score([tools.Request("x", tools.Call("f", {"a": asked}))], [tools.Call("f", {"a": answered})])
    assert (found.exact_call, found.argument_f1) == (same, same)


def test_the_papers_table_stands_beside_the_readers():
    asked = tools.draw(TEST, 4, 0)
    table = tools.beside_paper(tools.score(asked, [r.call for r in asked]), tools.score(asked, [None] * len(asked)))
    paper = table[table["origin"] == "paper"]
    assert paper["tuned"].mean() == pytest.approx(98.1, abs=0.01) and len(paper) == 7
    assert table.loc[table["origin"] == "yours", "api"].tolist()[:7] == paper["api"].tolist()  # one name and one order in both
    yours = table[(table["origin"] == "yours") & (table["api"] != scores.NO_CALL)]
    assert (yours["tuned"] == 100).all() and (yours["retrieval"] == 0).all() and (yours["tuned_low"] < 100).all()


@pytest.mark.parametrize("theme", ["screen", "talk"])
def test_the_figures_say_what_they_show_and_escape_it(theme):
    asked = [*tools.draw(TEST, 5, 0), tools.Request("<b>x</b>", tools.Call("get_weather", {}))]
    found = tools.score(asked, [*(r.call for r in asked[:-3]), None, None, tools.Call("set_alarm", {"time": "07:00"})])
    confusion = found.figure(theme)
    assert "right function for" in confusion.layout.title.text
    hostile_ = figures.call_confusion(pd.DataFrame({"asked": ["<script>"], "answered": ["<script>"], "requests": [3]}), theme=theme)
    assert "<script>" not in hostile_.to_json().replace("\\u003c", "<")
    beside = figures.calls_beside_paper(tools.beside_paper(found, found), theme=theme)
    assert len(beside.data) == 2 and "91.7" in [note.text for note in beside.layout.annotations]
    doubt = np.linspace(0, 1, 30)
    assert "wrong" in figures.risk_coverage(tools.risk_coverage(doubt, doubt < 0.5), threshold=0.6, theme=theme).layout.title.text
    curve = pd.DataFrame({"requests": [10, 100, 10, 100], "measure": ["function"] * 2 + ["exact call"] * 2, "value": [0.5, 0.9, 0.1, 0.6]})
    assert "exact call 10" in figures.calls_by_requests(curve, theme=theme).layout.title.text
    for draw in (figures.call_confusion, figures.risk_coverage, figures.calls_by_requests):
        with pytest.raises(InputError, match="missing"):
            draw(pd.DataFrame({"x": [1]}))


# --- public collections ------------------------------------------------------------------------------------------------


@real_data
def test_public_collections_are_read_and_their_calls_are_valid():
    registry, train, test = tools.snips(REAL)
    assert len(registry) == 7 and len(test) == 700 and len(train) == 13_784
    prompt = [writing.Prompt(r.text, (), (), tuple(values.words(r.text))) for r in test]
    held = [writing.find(p, v) is not None for p, r in zip(prompt, test, strict=True) for v in r.call.arguments.values()]
    assert np.mean(held) > 0.997
    functions, calls = tools.bfcl(REAL)
    assert len(functions) > 1_500 and len(calls) > 1_500 and not [r for r in calls if functions.fault(r.call)]
    assert len(tools.bfcl(REAL, calls=False)[1]) == 1_124
    functions, calls = tools.toolalpaca(REAL)
    assert len(calls) > 100 and not [r for r in calls if functions.fault(r.call)]


def test_a_missing_collection_is_one_sentence(tmp_path):
    with pytest.raises(InputError, match=r"no file .*none\.jsonl\.gz; give a JSON-lines file"):
        tools.snips(tmp_path / "none.jsonl.gz")
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(InputError, match="no row of SNIPS"):
        tools.snips(tmp_path / "empty.jsonl")


def test_the_bundled_requests_are_those_of_the_texts():
    assert len(TRAIN) + len(TEST) + len(tools.bundled_requests("validation")) == len(texts.requests())


# --- the commands ------------------------------------------------------------------------------------------------------


def test_the_command_asks_a_model_and_writes_scores_answers_and_figures(caller, tmp_path):
    from hare_lab.cli.tools import evaluate_tools
    from hare_lab.tool_calling.calling import known_to

    made = tmp_path / "made"
    made.mkdir()
    caller.model.save_pretrained(made)
    caller.script.tokenizer.save_pretrained(made)
    caller.save(made)
    with pytest.raises(InputError, match="26 numbers wide, the embedder's are 384"):
        evaluate_tools(str(made), "bundled", tmp_path / "other", 12, 0, None)
    known_to(caller.model, caller.script, tools.draw(TRAIN, 6, 0)).save(made)
    evaluate_tools(str(made), "bundled", tmp_path / "out", 12, 0, None)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["tuned"]["requests"] == report["rules"]["requests"] == len(pd.read_parquet(tmp_path / "out" / "answers.parquet")) == 12
    assert {"confusion.html", "beside_paper.html", "risk_coverage.html", "methods.csv"} <= {p.name for p in (tmp_path / "out").iterdir()}
    with pytest.raises(InputError, match="--limit is 0"):
        evaluate_tools(str(made), "bundled", tmp_path / "other", 0, 0, None)


def test_requests_are_read_as_often_as_asked_and_else_until_there_is_enough_to_learn(tmp_path, monkeypatch):
    from hare_lab import training
    from hare_lab.cli.tools import tune_tools
    from hare_lab.tool_calling.calling import LEAST, readings

    class Asked(Exception):
        pass

    def teach(*_, epochs, least, **how):
        raise Asked(epochs, least)

    monkeypatch.setattr(tools, "teach", teach)
    monkeypatch.setattr(training, "load_model", lambda name: (None, None))
    (tmp_path / "pages.txt").write_text("The owl sits in the barn.")
    common = {"functions": None, "text": str(tmp_path / "pages.txt"), "method": "full", "rate": None, "seed": 0, "limit": None}
    for epochs, how in ((None, (3, LEAST)), (2.0, (2, 0))):
        with pytest.raises(Asked) as asked:
            tune_tools("bundled", "nowhere", tmp_path / "out", epochs=epochs, **common)
        assert asked.value.args == how
    assert (readings(100, 2, 0), readings(100, 3), readings(LEAST, 3)) == (2, LEAST / 100, 3)


def test_tuning_for_tools_names_a_row_that_calls_what_is_not_there(tmp_path):
    from hare_lab.cli.tools import tune_tools

    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"text": "fly me to the moon", "call": {"name": "fly", "arguments": {}}}\n')
    common = {"functions": None, "text": "demo", "epochs": 1, "method": "full", "rate": None, "seed": 0, "limit": None}
    with pytest.raises(InputError, match=r'row 1 \(1\): the call calls "fly", which is not in the registry'):
        tune_tools(str(rows), "nowhere", tmp_path / "out", **common)
    with pytest.raises(InputError, match="no readable list of function schemas"):
        tune_tools("bundled", "nowhere", tmp_path / "out", **{**common, "functions": tmp_path / "none.json"})
