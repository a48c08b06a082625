"""Servers and models that write: concurrency, retries, rate, keys, kills. Each answer is paid for once and none is lost."""

import itertools
import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from serving import Served, opened, tiny_model

from hare_lab import priors, texts
from hare_lab.coverage import from_taxonomy
from hare_lab.errors import InputError
from hare_lab.leakage import load_items
from hare_lab.synthesis import Context, Endpoint, Local, Request, RequestCache, Settings, Thresholds, read_prompts, synthesize

ROOT = Path(__file__).parent.parent


def bytes_of(found):
    return [len(text.encode()) for text in found]


def request(kind="explainer", prompt="Write.", draw=0):
    task = "D2" if kind in texts.D2_KINDS else "D3"
    return Request("chess", task, kind, "general", "applied", "p1", prompt, (10, 40), draw)


def stub_vectors(found):
    """Unit vectors that depend on the text alone; no model."""
    rows = np.array([np.random.default_rng(list(text.encode())).normal(size=16) for text in found], np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def where():
    pages = {f"p{n}": f"Page {n} is about a game in which page {n} moves diagonally, or so they say in town {n}." for n in range(8)}
    return Context(
        pages=pages, vectors=stub_vectors(pages.values()), placed=["chess"] * 4 + ["geology"] * 4,
        benchmark=load_items([{"question": "Which piece jumps over the others on the board?", "answer": "the knight"}]),
        reference=from_taxonomy(texts.taxonomy(), model=stub_vectors), prompts=read_prompts(), priors=priors.default(), embed=stub_vectors,
    )  # fmt: skip


@pytest.fixture(scope="module")
def gaps():
    rows = [
        (t, t.title(), f"About {t}.", 0.5, 0.1, 800, 50_000, pages) for t, pages in (("chess", ["p1", "p2"]), ("geology", ["p5", "p6"]))
    ]
    return pd.DataFrame(rows, columns=["topic", "name", "description", "wanted", "have", "tokens", "gap_tokens", "nearest"])


def asks(count):
    return [request(prompt=f"prompt {n}") for n in range(count)]


def server(door, tmp_path, **more):
    words = {"concurrency": 4, "timeout": 1.0, "retries": 4, "pause": 0.02, "cache": RequestCache(door.url, tmp_path)}
    return Endpoint(door.url, "tiny", **(words | more))


def echo(prompt):
    return f"reply to {prompt}"


def test_requests_run_at_once_and_a_second_run_pays_nothing(tmp_path):
    def slowly(prompt):
        time.sleep(0.05)
        return echo(prompt)

    with opened(slowly) as door:
        backend = server(door, tmp_path)
        found = dict(backend.replies([*asks(12), *asks(12)]))
        assert found == {n: echo(f"prompt {n % 12}") for n in range(24)}
        assert 2 <= door.most_at_once <= 4 and sum(door.asked.values()) == 12
        assert dict(backend.replies(asks(12))) == {n: echo(f"prompt {n}") for n in range(12)}
        assert sum(door.asked.values()) == 12
        backend._cache.close()


@pytest.mark.parametrize("how", ["html", "half", "empty", "strange", "500", "429", "slow", "drip", "cut"])
def test_what_passes_is_tried_again_and_paid_once(how, tmp_path):
    with opened(echo, lambda prompt, times: how if times < 1 and prompt.endswith(("1", "3")) else None) as door:
        backend = server(door, tmp_path, timeout=0.5)
        assert dict(backend.replies(asks(5))) == {n: echo(f"prompt {n}") for n in range(5)}
        assert door.asked["prompt 1"] == 2 and door.asked["prompt 0"] == 1
        assert set(door.answered.values()) == {1}
        backend._cache.close()


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("html", "sends HTML as the body"),
        ("half", "sends half a JSON as the body"),
        ("empty", "sends nothing as the body"),
        ("strange", "sends a body that is no chat completion"),
        ("500", "answers 500"),
        ("slow", "no reply within 0.2 s"),
        ("drip", "no whole reply within 0.2 s"),
        ("401", "answers 401 (no: Bearer none); put a valid key into HARE_LAB_API_KEY"),
    ],
)
def test_a_server_that_never_answers_is_one_sentence(how, sentence, tmp_path, monkeypatch):
    monkeypatch.delenv("HARE_LAB_API_KEY", raising=False)
    with opened(echo, lambda prompt, times: how) as door:
        backend = server(door, tmp_path, timeout=0.2, retries=1)
        with pytest.raises(InputError, match=re.escape(sentence)) as error:
            list(backend.replies(asks(3)))
        assert "\n" not in str(error.value) and door.url in str(error.value)
        backend._cache.close()


def test_a_server_that_refuses_is_one_sentence_and_what_came_is_kept(tmp_path):
    with opened(echo) as door:
        backend = server(door, tmp_path, retries=1)
        assert len(list(backend.replies(asks(3)))) == 3
    with pytest.raises(InputError, match=r"can't be reached \(.*refused.*3 replies are kept"):
        list(backend.replies(asks(6)))
    assert dict(backend.replies(asks(3))) == {n: echo(f"prompt {n}") for n in range(3)}  # from the cache, with no server
    backend._cache.close()


def test_one_prompt_that_a_server_never_answers_costs_only_itself(tmp_path):
    with opened(echo, lambda prompt, times: "half" if prompt == "prompt 2" else None) as door:
        backend = server(door, tmp_path, concurrency=1, retries=1)
        found = dict(backend.replies(asks(5)))
        assert found[2] == "" and found[4] == echo("prompt 4")
        backend._cache.close()


def test_no_more_requests_a_minute_than_stated(tmp_path):
    with opened(echo) as door:
        backend = server(door, tmp_path, per_minute=1200)  # one in 50 ms
        start = time.monotonic()
        list(backend.replies(asks(8)))
        assert time.monotonic() - start >= 7 * 0.05
        backend._cache.close()


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("localhost:8000", "is no address"),
        ("ftp://host/v1", "is no address"),
        ("http://user:sk-planted@host/v1", "holds a user, key or query"),
        ("http://host/v1?api_key=sk-planted", "holds a user, key or query"),
    ],
)
def test_an_address_that_is_none_or_holds_a_key_is_refused_without_repeating_it(url, sentence):
    with pytest.raises(InputError, match=sentence) as error:
        Endpoint(url, "tiny")
    assert "sk-planted" not in str(error.value)


def test_the_key_is_sent_and_is_nowhere_else(tmp_path, monkeypatch, caplog, gaps, where):
    secret = "sk-planted-0123456789"
    monkeypatch.setenv("HARE_LAB_API_KEY", secret)
    caplog.set_level("DEBUG")

    def leaky(prompt):
        return f"The rook takes {secret}. " * 40

    with opened(leaky, lambda prompt, times: "500" if times == 0 else None) as door:
        backend = server(door, tmp_path / "cache")
        made = synthesize(gaps[gaps["topic"] == "chess"], where, backend, tokens=2000, count=bytes_of, shares={"D2": 1}, limit=2)
        assert all(h.get("authorization", h.get("Authorization")) == f"Bearer {secret}" for h in door.headers) and door.headers
        kept = backend._cache.path.read_text()
        backend._cache.close()
    shown = json.dumps([[*made.accepted], [*made.rejected], made.report.to_dict()]) + made.report._repr_html_() + kept
    assert secret not in shown and secret not in caplog.text and "[key]" in kept
    with opened(leaky, lambda prompt, times: "401") as door:
        backend = server(door, tmp_path / "other")
        with pytest.raises(InputError, match=r"answers 401 \(no: Bearer \[key\]\)"):
            list(backend.replies(asks(1)))
        backend._cache.close()


def test_openais_key_goes_to_openai_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-theirs")
    monkeypatch.delenv("HARE_LAB_API_KEY", raising=False)
    with opened(echo) as door:
        backend = server(door, tmp_path)
        list(backend.replies(asks(1)))
        assert "sk-theirs" not in str(door.headers)
        backend._cache.close()


CLIENT = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from test_synthesis_servers import Endpoint, RequestCache, asks
backend = Endpoint({url!r}, "tiny", concurrency=3, pause=0.02, cache=RequestCache("m", Path({cache!r})))
for place, reply in backend.replies(asks({count})):
    print(place, flush=True)
"""


def test_a_client_killed_midway_goes_on_and_pays_only_for_what_was_on_its_way(tmp_path):
    count, told, asked, held = 30, threading.Event(), itertools.count(), queue.Queue()

    def until_told(prompt):
        if next(asked) >= 12:
            held.put(prompt)
            told.wait()
        return echo(prompt)

    with opened(until_told) as door:
        script = CLIENT.format(tests=str(ROOT / "tests"), url=door.url, cache=str(tmp_path), count=count)
        client = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=ROOT)
        for _ in range(12):
            assert client.stdout.readline()
        on_their_way = {held.get(timeout=60) for _ in range(3)}
        client.send_signal(signal.SIGKILL)
        client.wait()
        assert sum(door.asked.values()) == 15
        told.set()
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, timeout=120)
        assert sorted(int(line) for line in done.stdout.split()) == list(range(count))
        assert door.asked == {f"prompt {n}": 1 + (f"prompt {n}" in on_their_way) for n in range(count)}


# --- real models ------------------------------------------------------------------------------------------------------

ANYTHING = Thresholds(slack=1e9, near=0.9, known=1.1, elsewhere=9.0, quality=-1.0, support=-2.0)  # a tiny model writes nonsense


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("model"))


def test_transformers_serve_killed_and_started_again_midway_loses_and_doubles_nothing(model, tmp_path, gaps, where):
    """Concurrent requests to a real server that dies and comes back, some answers slow or broken: each is paid for once."""
    served = Served(model)
    served.start()
    dead = []

    def misbehave(prompt, times):
        if len(door.answered) >= 8 and not dead:  # in the middle the power goes, and comes back
            dead.append(True)
            served.kill()
            served.start()
        return {1: "half", 2: "html", 3: "slow", 4: "cut", 5: "500"}.get(zlib.crc32(prompt.encode()) % 10) if times == 0 else None

    try:
        with opened(f"http://127.0.0.1:{served.port}/v1", misbehave, slow=9) as door:
            settings = Settings(most_tokens={"D2": 60, "D3": 60})
            cache = RequestCache("tiny", tmp_path)
            backend = Endpoint(door.url, str(model), concurrency=4, timeout=8, retries=10, pause=0.5, settings=settings, cache=cache)
            write = lambda: synthesize(  # noqa: E731
                gaps, where, backend, tokens=20_000, count=bytes_of, shares={"D2": 1}, limits=ANYTHING, limit=20
            )
            made = write()
            paid = dict(door.answered)
            again = write()
            cache.close()
    finally:
        served.kill()
    assert dead and made.report.replies == 20
    assert set(paid.values()) == {1}, "a request whose answer had arrived was asked again"
    assert len(paid) == 20 and sum(door.asked.values()) > 20  # there was something to try again
    assert dict(door.answered) == paid, "the second run asked for what it had"
    assert len(set(made.accepted["id"])) == len(made.accepted) and len(made.accepted) + len(made.rejected) == 20
    for part in ("accepted", "rejected"):  # how many of each, the model's sampling says: on some days it writes nothing that passes
        assert getattr(again, part)["text"][:] == getattr(made, part)["text"][:]


def test_a_local_model_writes_in_batches_and_is_not_asked_twice(model, tmp_path):
    settings = Settings(most_tokens={"D2": 12, "D3": 6})
    asked = [*asks(5), request(kind="cloze", prompt="a cloze")]
    backend = Local(model, batch=2, settings=settings, cache=RequestCache("local", tmp_path))
    first = dict(backend.replies(asked))
    assert sorted(first) == list(range(6)) and all(first.values())
    assert max(len(first[n].split()) for n in range(5)) <= 12 and len(first[5].split()) <= 6

    def fail(*_):
        raise AssertionError("asked again")

    backend._write = fail
    assert dict(backend.replies(asked)) == first and backend.place.startswith(str(model.resolve()))
    backend._cache.close()
    again = Local(model).place
    os.utime(model / "model.safetensors", ns=(0, 0))
    assert again == backend.place != Local(model).place, "a model trained anew into its folder is another"


def test_a_model_that_is_none_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere can't be loaded as a causal language model"):
        Local(tmp_path / "nowhere")
