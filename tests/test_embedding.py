"""Vectors come in order, from the store to the bit, through kills, collisions and damage; and they are the model's vectors."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hare_lab import embedding
from hare_lab.embedding import choice, encode, models, quantised, store
from hare_lab.embedding.backends import Candidate, encoder
from hare_lab.embedding.tokens import open_tokenizer
from hare_lab.errors import InputError

WORDS = [f"w{i:03d}" for i in range(300)]
OPENVINO = choice._installed("openvino")


def spoken(texts: list[str]) -> np.ndarray:
    """A model in a line: each text's vector is a function of its hash, so a wrong vector shows."""
    rows = [np.frombuffer(hashlib.sha256(text.encode()).digest(), dtype=np.uint8) for text in texts]
    return np.array(rows, dtype=np.float32) + 1.0


def right(texts: list[str]) -> np.ndarray:
    rows = spoken(texts)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


class Counting:
    """`spoken`, counting the texts that it is given."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def __call__(self, texts: list[str]) -> np.ndarray:
        self.seen += texts
        return spoken(texts)


def save_tiny(folder: Path, *, seed: int = 0, pooling: str = "mean", dense: bool = False, length: int = 32) -> Path:
    """A sentence-transformers model of 2 layers and 32 dimensions with random weights, as a folder."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    torch.manual_seed(seed)
    base = folder.with_name(folder.name + "-base")
    base.mkdir(parents=True)
    (base / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]), encoding="utf-8")
    BertTokenizerFast(str(base / "vocab.txt")).save_pretrained(base)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64, "max_position_embeddings": 64}
    # An initializer range this wide makes the random model tell words apart as a trained one does.
    BertModel(BertConfig(vocab_size=len(WORDS) + 5, initializer_range=0.3, **sizes)).save_pretrained(base)
    modules = [Transformer(str(base), max_seq_length=length), Pooling(32, pooling)]
    modules += [Dense(32, 16)] if dense else [Normalize()]
    SentenceTransformer(modules=modules, device="cpu").save(str(folder))
    return folder


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def tiny_cls(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("models") / "cls", pooling="cls")


@pytest.fixture(scope="session")
def texts():
    rng = np.random.default_rng(0)
    return [" ".join(rng.choice(WORDS, size)) for size in rng.integers(1, 60, 120)]


@pytest.fixture(scope="session")
def plain(tiny, texts):
    """What sentence-transformers itself makes of the texts."""
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(tiny), device="cpu").encode(texts, normalize_embeddings=True)


# --- order and identity ------------------------------------------------------------------------------------------------

PAGE = st.text(min_size=1, max_size=30).filter(lambda text: not text.isspace())


@settings(max_examples=50, deadline=None)
@given(st.lists(PAGE, min_size=1, max_size=30), st.randoms(use_true_random=False))
def test_vectors_follow_the_order_of_the_texts(pages, random):
    order = list(range(len(pages)))
    random.shuffle(order)
    straight = embedding.embed(pages, model=spoken).vectors
    shuffled = embedding.embed([pages[i] for i in order], model=spoken).vectors
    assert np.array_equal(shuffled, straight[order])
    assert np.allclose(straight, right(pages), atol=1e-6)


def test_a_repeated_text_is_embedded_once():
    counting = Counting()
    result = embedding.embed(["b", "a", "b", "b"], model=counting)
    assert sorted(counting.seen) == ["a", "b"]
    assert result.report.repeated == 2
    assert np.array_equal(result.vectors[[0, 0]], result.vectors[[2, 3]])


def test_title_goes_before_the_text_unless_the_text_begins_with_it():
    pages = Dataset.from_dict({"title": ["Rice", "Rice", "", None], "text": ["boil it", "Rice: boil it", "plain", "bare"]})
    assert embedding.page_texts(pages) == ["Rice\n\nboil it", "Rice: boil it", "plain", "bare"]


def test_a_filtered_dataset_is_read_in_its_own_order():
    pages = Dataset.from_dict({"text": ["a", "b", "c", "d"]}).select([3, 1])
    assert np.allclose(embedding.embed(pages, model=spoken).vectors, right(["d", "b"]), atol=1e-6)


# --- the store ---------------------------------------------------------------------------------------------------------


def test_the_store_returns_the_same_bytes_and_embeds_only_what_is_new(tmp_path):
    pages = [f"page {i}" for i in range(500)]
    first = embedding.embed(pages, model=spoken, name="spoken", store=tmp_path)
    counting = Counting()
    second = embedding.embed([*pages[::-1], "new"], model=counting, name="spoken", store=tmp_path)
    assert counting.seen == ["new"]
    assert second.vectors[:500].tobytes() == first.vectors[::-1].tobytes()
    assert (second.report.from_store, second.report.embedded) == (500, 1)


def test_a_callable_without_a_name_is_not_stored(cache):
    report = embedding.embed(["a"], model=spoken).report
    assert not report.stored
    assert "name=" in report.notices[0]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(0, 40), min_size=1, max_size=20, unique=True), max_size=6), st.sets(st.integers(0, 60), min_size=1))
def test_find_returns_just_what_was_appended(tmp_path_factory, shards, wanted):
    folder = tmp_path_factory.mktemp("store")
    for shard in shards:
        names = [str(i) for i in shard]
        store.append(folder, store.text_keys(names), right(names), np.array(shard) % 2 == 0)
    question = sorted(wanted)
    found = store.find(folder, store.text_keys([str(i) for i in question]))
    got = [question[row] for row in found.rows]
    assert sorted(got) == sorted(wanted & {i for shard in shards for i in shard})
    assert [bool(cut) for cut in found.cut] == [i % 2 == 0 for i in got]
    if got:
        assert np.array_equal(found.vectors, right([str(i) for i in got]).astype(np.float32))


def test_a_read_only_store_is_one_sentence(tmp_path, monkeypatch):
    def refused(path, *args, **kwargs):
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    for name in ("open", "unlink"):
        monkeypatch.setattr(Path, name, refused)
    for write in (
        lambda: store.append(tmp_path, store.text_keys(["a"]), np.zeros((1, 2)), np.zeros(1, bool)),
        lambda: store.write_small(tmp_path / "choice.json", b""),
    ):
        with pytest.raises(InputError, match=r"can't be written \(Read-only file system\); point HARE_LAB_CACHE"):
            write()


def damage_end(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def damage_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-7] ^= 4
    path.write_bytes(bytes(content))


def damage_key(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[130] ^= 1  # the first key stands right behind the 128 bytes of the header
    path.write_bytes(bytes(content))


def damage_all(path: Path) -> None:
    path.write_bytes(b"PK\x03\x04 no shard at all")


@pytest.mark.parametrize("damage", [damage_end, damage_bit, damage_key, damage_all])
def test_a_damaged_shard_costs_time_and_never_a_wrong_vector(tmp_path, caplog, damage):
    pages = [f"page {i}" for i in range(40)]
    embedding.embed(pages, model=spoken, name="spoken", store=tmp_path)
    [shard] = tmp_path.rglob("*.shard")
    damage(shard)
    counting = Counting()
    with caplog.at_level(logging.WARNING):
        again = embedding.embed(pages, model=counting, name="spoken", store=tmp_path)
    assert 1 <= len(counting.seen) <= 40
    assert np.allclose(again.vectors, right(pages), atol=1e-6)
    assert damage is damage_key or "embedded again" in caplog.text
    counting = Counting()
    embedding.embed(pages, model=counting, name="spoken", store=tmp_path)
    assert counting.seen == []  # mended by the run before


def test_a_full_disk_is_one_sentence_and_keeps_what_was_stored(tmp_path, monkeypatch):
    pages = [f"page {i}" for i in range(1000)]
    monkeypatch.setattr(encode, "FIRST_BLOCK", 100)
    written = []

    def full(descriptor: int) -> None:
        written.append(descriptor)
        if len(written) > 2:  # the key file and one shard fit
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(store.os, "fsync", full)
        with pytest.raises(InputError, match=r"^the disk is full at [^\n]*free some space[^\n]*$"):
            embedding.embed(pages, model=spoken, name="spoken", store=tmp_path)
    assert not list(tmp_path.rglob("*.part"))
    counting = Counting()
    again = embedding.embed(pages, model=counting, name="spoken", store=tmp_path)
    assert len(counting.seen) == 900
    assert np.allclose(again.vectors, right(pages), atol=1e-6)


WORKER = """
import sys, time
sys.path.insert(0, sys.argv[1])
import test_embedding
from hare_lab import embedding

def slow(texts):
    time.sleep(float(sys.argv[4]))
    rows = test_embedding.spoken(texts)
    with open(sys.argv[3], "a") as log:
        log.write("." * len(texts))
    return rows

embedding.embed([f"page {i}" for i in range(int(sys.argv[5]))], model=slow, name="spoken", store=sys.argv[2])
"""


def work(folder: Path, log: Path, pause: float, count: int) -> subprocess.Popen[bytes]:
    """Another process that embeds `count` pages into the store, and says in `log` how many it has done."""
    log.touch()
    arguments = [str(Path(__file__).parent), str(folder), str(log), str(pause), str(count)]
    return subprocess.Popen([sys.executable, "-c", WORKER, *arguments], stderr=subprocess.DEVNULL)


def test_kill_9_loses_at_most_one_shard(tmp_path):
    worker = work(tmp_path / "store", tmp_path / "log", 0.02, 100_000)
    deadline = time.monotonic() + 60
    while (tmp_path / "log").stat().st_size < 9_000 and time.monotonic() < deadline:
        time.sleep(0.005)
    worker.send_signal(signal.SIGKILL)
    assert worker.wait() == -signal.SIGKILL
    done = (tmp_path / "log").stat().st_size
    assert 9_000 <= done < 100_000
    counting = Counting()
    pages = [f"page {i}" for i in range(100_000)]
    result = embedding.embed(pages, model=counting, name="spoken", store=tmp_path / "store")
    assert 0 < done - result.report.from_store <= encode.LARGEST_BLOCK or done == result.report.from_store
    assert np.allclose(result.vectors[::97], right(pages[::97]), atol=1e-6)


def test_two_processes_at_once_share_a_store(tmp_path):
    workers = [work(tmp_path / "store", tmp_path / f"log{i}", 0.01, 3_000) for i in range(2)]
    assert [worker.wait(timeout=60) for worker in workers] == [0, 0]
    pages = [f"page {i}" for i in range(3_000)]
    counting = Counting()
    result = embedding.embed(pages, model=counting, name="spoken", store=tmp_path / "store")
    assert counting.seen == []
    assert np.allclose(result.vectors, right(pages), atol=1e-6)


def test_only_old_parts_are_swept(tmp_path):
    embedding.embed(["a"], model=spoken, name="spoken", store=tmp_path)
    [folder] = tmp_path.iterdir()
    (folder / "old.part").touch()
    (folder / "new.part").touch()
    os.utime(folder / "old.part", (0, 0))
    embedding.embed(["a"], model=spoken, name="spoken", store=tmp_path)
    assert [path.name for path in folder.glob("*.part")] == ["new.part"]


# --- sentence-transformers models ----------------------------------------------------------------------------------------

WAYS = [Candidate("torch", "fp32"), *(Candidate("openvino", precision) for precision in choice.PRECISIONS if OPENVINO)]


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_every_backend_gives_the_vectors_of_sentence_transformers(tiny, tiny_cls, texts, way, pooling):
    from sentence_transformers import SentenceTransformer

    folder = tiny if pooling == "mean" else tiny_cls
    expected = SentenceTransformer(str(folder), device="cpu").encode(texts, normalize_embeddings=True)
    model = models.open_model(folder)
    vectors, cut = encoder(model, models.plan_of(model), way, batch_tokens=128)(texts)
    cosines = (vectors * expected).sum(axis=1) / np.linalg.norm(vectors, axis=1)
    assert cosines.min() > (0.99999 if way.precision == "fp32" else 0.995)
    assert [bool(c) for c in cut] == [len(text.split()) > 30 for text in texts]  # 32 tokens, two of them [CLS] and [SEP]


@pytest.mark.skipif(not OPENVINO, reason="openvino is not installed")
def test_eight_bits_give_the_bundled_models_vectors_alone_and_in_any_batch():
    model = models.open_model(None)
    texts = choice.passages()
    expected = encoder(model, models.plan_of(model), choice.REFERENCE)(texts)[0]
    encode = encoder(model, models.plan_of(model), Candidate("openvino", "int8"))
    vectors, alone = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (encode(texts)[0], encode(texts[20:21])[0]))
    cosines = (vectors * expected).sum(axis=1) / np.linalg.norm(expected, axis=1)
    assert cosines.mean() > choice.MEAN_COSINE and cosines.min() > choice.MIN_COSINE
    assert cosines.max() < 0.99999  # or nothing was rounded
    assert (alone[0] * vectors[20]).sum() > 0.999


@given(arrays(np.float32, (3, 2 * quantised.GROUP), elements=st.floats(-1e3, 1e3, width=32)))
def test_rounded_weights_are_off_by_half_a_step_of_their_group_at_most(weights):
    steps, step = quantised.rounded(weights)
    assert steps.shape == (3, 2, quantised.GROUP) and step.shape == (3, 2, 1)
    assert (np.abs(steps * step - weights.reshape(steps.shape)) <= 0.5001 * step).all()


@pytest.mark.skipif(not OPENVINO, reason="openvino is not installed")
@pytest.mark.parametrize(("width", "found"), [(2 * quantised.GROUP, 1), (100, 0)])
def test_only_products_with_weights_of_whole_groups_are_rounded(width, found):
    import openvino
    from openvino import opset13 as ops

    weights = np.random.default_rng(0).normal(size=(width, 8)).astype("f4")
    rows = np.random.default_rng(1).normal(size=(5, width)).astype("f4")
    given_ = ops.parameter([-1, width], np.float32)
    graph = openvino.Model([ops.matmul(ops.matmul(given_, weights, False, False), given_, True, False)], [given_])
    assert quantised.quantise(graph) == found
    run = openvino.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    exact = (rows @ weights).T @ rows
    assert np.abs(run(rows)[0] - exact).max() < (0.02 if found else 1e-4) * np.abs(exact).max()


def test_automatic_choice_gives_the_models_vectors_in_any_company(tiny, texts, plain):
    result = embedding.embed(texts, model=tiny, store=False)
    assert (result.vectors * plain).sum(axis=1).min() > 0.995
    assert result.report.agreement_min is not None and result.report.agreement_min >= choice.MIN_COSINE
    alone = np.concatenate([embedding.embed([text], model=tiny, store=False).vectors for text in texts[:5]])
    assert (alone * result.vectors[:5]).sum(axis=1).min() > 0.999
    assert np.allclose(np.linalg.norm(result.vectors, axis=1), 1, atol=1e-5)


def test_the_choice_is_measured_once(tiny, monkeypatch):
    embedding.embed(["w001"], model=tiny, store=False)
    monkeypatch.setattr(choice, "_measure", lambda *_: pytest.fail("measured again"))
    embedding.embed(["w002"], model=tiny, store=False)


def test_a_fast_backend_with_other_vectors_is_ruled_out(tiny, monkeypatch):
    model = models.open_model(tiny)
    rates = {"torch": choice.Measured(900.0, 0.9985, 0.996), "openvino": choice.Measured(800.0, 0.9999, 0.99)}
    monkeypatch.setattr(choice, "_remembered", lambda _m, _p, c: rates.get(c.backend, choice.Measured(10.0, 1.0, 1.0)))
    best, _, notices = choice.choose(model, models.plan_of(model))
    assert best.backend not in rates
    assert any("ruled out" in notice for notice in notices)
    asked, _, notices = choice.choose(model, models.plan_of(model), backend="torch")
    assert asked.backend == "torch"
    assert "does not agree" in notices[0]


def test_a_precision_that_no_backend_here_does_is_said_so(tiny):
    with pytest.raises(InputError, match="no backend does int8 on this machine"):
        embedding.embed(["w001"], model=tiny, store=False, backend="torch", precision="int8")


def test_without_openvino_there_is_a_fallback_and_a_notice(tiny, monkeypatch):
    monkeypatch.setattr(choice, "_installed", lambda module: False)
    report = embedding.embed(["w001 w002"], model=tiny, store=False).report
    assert report.backend in ("torch", "sentence-transformers")
    assert any("hare-lab[fast]" in notice for notice in report.notices) or report.device != "cpu"


def test_a_failing_export_falls_back_and_says_so(tmp_path, monkeypatch):
    from hare_lab.embedding import backends

    monkeypatch.setattr(choice, "_installed", lambda module: module == "openvino")
    monkeypatch.setattr(backends, "_export_openvino", lambda *_: (_ for _ in ()).throw(RuntimeError("no such operator")))
    report = embedding.embed(["w001 w002"], model=save_tiny(tmp_path / "model", seed=5), store=False).report
    assert report.backend in ("torch", "sentence-transformers")
    assert not OPENVINO or any("no such operator" in notice for notice in report.notices)


def test_another_pipeline_runs_as_sentence_transformers_runs_it(tmp_path, texts):
    from sentence_transformers import SentenceTransformer

    folder = save_tiny(tmp_path / "dense", dense=True)
    expected = SentenceTransformer(str(folder), device="cpu").encode(texts, normalize_embeddings=True)
    result = embedding.embed(texts, model=folder, store=False)
    assert (result.report.backend, result.report.dimension) == ("sentence-transformers", 16)
    assert np.allclose(result.vectors, expected, atol=1e-5)
    with pytest.raises(InputError, match="windows"):
        embedding.embed(texts, model=folder, long="windows")


def test_a_model_in_memory_gives_the_same_vectors(tiny, plain, texts):
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(tiny), device="cpu")
    assert (embedding.embed(texts, model=model, backend="torch", precision="fp32").vectors * plain).sum(axis=1).min() > 0.99999


def test_windows_weigh_all_of_a_long_page_and_head_only_its_beginning(tiny):
    rng = np.random.default_rng(1)
    words = list(rng.choice(WORDS, 70))
    settings_ = {"model": tiny, "store": False, "backend": "torch", "precision": "fp32"}
    parts = [" ".join(words[i : i + 30]) for i in (0, 30, 60)]  # 30 words fill a window of 32 tokens
    pieces = embedding.embed(parts, **settings_).vectors
    expected = (pieces * np.array([30, 30, 10])[:, None]).sum(axis=0)
    pages = [" ".join(words), parts[2]]
    windows = embedding.embed(pages, long="windows", **settings_)
    head = embedding.embed(pages, long="head", **settings_)
    assert np.allclose(windows.vectors[0], expected / np.linalg.norm(expected), atol=1e-5)
    assert np.allclose(head.vectors[0], pieces[0], atol=1e-5)
    assert np.allclose(windows.vectors[1], head.vectors[1], atol=1e-5)
    assert (windows.report.long_pages, windows.report.long) == (1, "windows")


def test_the_head_of_a_text_of_few_long_words_is_read_whole(tiny):
    """One unknown word of thousands of characters is one token, so the head reaches far into the text."""
    from hare_lab.embedding.tokens import _sequences

    model = models.open_model(tiny)
    sequences, _, cut = _sequences(open_tokenizer(models.plan_of(model), 32), ["x" * 5000 + " w001 w002", "w003 " * 500], 32, windows=False)
    assert [len(s) for s in sequences] == [5, 32]
    assert list(cut) == [False, True]


def test_no_two_settings_share_vectors(tiny, tmp_path):
    other = save_tiny(tmp_path / "tiny", seed=1)
    root = tmp_path / "store"
    runs = [
        {"model": tiny}, {"model": tiny, "max_length": 16}, {"model": tiny, "long": "windows"}, {"model": tiny, "precision": "bf16"},
        {"model": tiny, "backend": "sentence-transformers"}, {"model": other},
    ]  # fmt: skip
    for run in runs:
        result = embedding.embed(["w001 w002"], store=root, **({"backend": "torch", "precision": "fp32"} | run | _free(run)))
        assert result.report.embedded == 1, run
    keys = [json.loads((folder / "key.json").read_text()) for folder in root.iterdir()]
    assert len(keys) == len(runs)
    assert {"identity", "backend", "precision", "pooling", "max_length", "long", "normalised"} <= set(keys[0])


def _free(run: dict[str, object]) -> dict[str, str]:
    """bf16 and sentence-transformers exclude the default of the other setting."""
    return {"precision": "auto"} if run.get("backend") == "sentence-transformers" else {}


def test_a_second_run_needs_no_torch(tiny, tmp_path):
    embedding.embed(["w001 w002"], model=tiny, store=tmp_path)
    code = (
        "import sys; from hare_lab import embedding; "
        f"r = embedding.embed(['w001 w002', 'w003'][:int(sys.argv[1])], model={str(tiny)!r}, store={str(tmp_path)!r}).report; "
        "assert r.from_store == 1; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, "1"], check=True)


def test_the_bundled_weights_are_the_official_ones(monkeypatch):
    folder, digest = embedding.bundled_weights()
    assert digest == "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
    assert hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest() == digest
    monkeypatch.setitem(models.BUNDLED_FILES, "tokenizer.json", "0" * 64)
    with pytest.raises(InputError, match="not the official file"):
        embedding.bundled_weights()


# --- imported vectors and bad input --------------------------------------------------------------------------------------


def test_imported_vectors_are_brought_to_unit_length():
    result = embedding.embed(["a", "b"], model=embedding.imported([[3, 4], [0, 2]]))
    assert np.allclose(result.vectors, [[0.6, 0.8], [0, 1]])
    assert result.report.backend == "imported"


@pytest.mark.parametrize(
    ("vectors", "sentence"),
    [([1.0, 2.0], "shape"), ([[1.0], [np.nan]], "vector 1 holds"), ([[1.0], [0.0]], "vector 1 is zero"), ([["x"]], "table of numbers")],
)
def test_bad_imported_vectors_are_named(vectors, sentence):
    with pytest.raises(InputError, match=sentence):
        embedding.imported(vectors)


@pytest.mark.parametrize(
    ("pages", "options", "sentence"),
    [
        ([], {}, "no page"),
        (["a", " \n"], {}, "row 1 is empty"),
        (["a", None], {}, "row 1 holds NoneType"),
        ("a", {}, "not one string"),
        (["a"], {"long": "tail"}, "tail"),
        (["a"], {"model": embedding.imported([[1.0], [1.0]])}, "2 imported vectors for 1 pages"),
        (["a"], {"model": 3}, "model is a int"),
        (["a"], {"model": lambda texts: [[1.0]] * 2}, r"shape \(2, 1\) for 1 texts"),
        (["b", "a"], {"model": lambda texts: [[1.0 if t == "b" else float("nan")] for t in texts]}, "vector of row 1 holds .* not finite"),
        (["a", "\ud83d"], {}, "row 1 is not valid Unicode"),
        ([str(i) for i in range(1500)], {"model": lambda texts: np.ones((len(texts), len(texts)))}, "rows of 220 and 256"),
        ([str(i) for i in range(300)], {"model": lambda texts: np.ones((len(texts), len(texts)))}, "44 numbers where it gave 256"),
        (["a"], {"model": spoken, "max_length": 9}, "sentence-transformers model"),
        (["a"], {"model": __file__}, "no sentence-transformers model"),
    ],
)
def test_bad_input_is_one_sentence(pages, options, sentence):
    with pytest.raises(InputError, match=sentence) as caught:
        embedding.embed(pages, **({"model": spoken} | options))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [({"backend": "gpu"}, "gpu"), ({"precision": "int4"}, "int4"), ({"max_length": 1000}, "reads 8 to 64"), ({"max_length": 2}, "8 to 64")],
)
def test_a_setting_that_is_none_is_named(tiny, options, sentence):
    with pytest.raises(InputError, match=sentence):
        embedding.embed(["w001"], model=tiny, **options)


def test_pages_without_text_column_say_what_they_have():
    with pytest.raises(InputError, match="they have body"):
        embedding.embed(Dataset.from_dict({"body": ["a"]}), model=spoken)


def test_a_slice_of_a_dataset_and_a_data_frame_are_read_by_their_text():
    data = Dataset.from_dict({"id": ["1", "2", "3"], "text": ["a", "b", "c"], "title": ["", "T", None]})
    expected = embedding.embed(data.select([0, 1]), model=spoken).vectors
    for pages in (data[:2], data.to_pandas().iloc[:2].set_axis([5, 5])):
        assert np.array_equal(embedding.embed(pages, model=spoken).vectors, expected)


@pytest.mark.parametrize("pages", [{"body": ["a"]}, pd.DataFrame({"body": ["a"]})])
def test_columns_without_text_say_what_they_have(pages):
    with pytest.raises(InputError, match="they have body"):
        embedding.embed(pages, model=spoken)


def test_a_page_alone_is_no_set_of_pages():
    with pytest.raises(InputError, match="not one of them"):
        embedding.embed({"text": "abc", "title": "a"}, model=spoken)


def test_an_object_with_encode_is_called_by_its_type():
    class Speaker:
        def encode(self, texts):
            return spoken(texts)

    found = [embedding.embed(["a"], model=model, name=name, store=False) for model, name in ((Speaker(), None), (Speaker(), "own"))]
    assert [result.report.model for result in found] == ["Speaker", "own"]
    assert embedding.embed(["a"], model=spoken).report.model == "spoken"


def test_a_hub_id_without_a_network_is_one_sentence(monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=r'^model "nobody/no-such-model" is neither a folder nor reachable on the hub[^\n]*$'):
        embedding.embed(["a"], model="nobody/no-such-model")


def test_a_hub_id_in_the_local_cache_needs_no_network(tiny, texts, monkeypatch):
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda name, local_files_only: str(tiny))
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda *_, **__: pytest.fail("reached for the network"))
    assert np.array_equal(
        embedding.embed(texts[:3], model="somebody/tiny", store=False).vectors, embedding.embed(texts[:3], model=tiny, store=False).vectors
    )


def test_a_cache_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="HARE_LAB_CACHE"):
        embedding.embed(["a"], model=spoken, name="spoken", store=tmp_path / "file")
