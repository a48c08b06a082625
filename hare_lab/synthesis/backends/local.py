"""A language model on this machine, by folder or hub id, in batches."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hare_lab.pretrained import open_pretrained
from hare_lab.synthesis.backends.base import Offer, Settings
from hare_lab.synthesis.backends.cache import RequestCache
from hare_lab.synthesis.plan import Request

log = logging.getLogger(__name__)


class Local:
    """A causal model that transformers can load; no code that comes with a model is run.

    Parameters
    ----------
    model : folder or hub id
    batch : prompts that are answered at once
    settings : how it writes
    cache : where replies are kept

    Raises
    ------
    InputError
        If there is no such model here, or its files can't be loaded or don't fit.
    """

    live = True

    def __init__(
        self, model: str | Path, *, batch: int = 8, settings: Settings | None = None, cache: RequestCache | None = None, seed: int = 0
    ) -> None:
        import torch
        from transformers import AutoModelForCausalLM

        here = Path(model).exists()
        self.model = Path(model).name if here else str(model)
        self.place = f"{Path(model).resolve()} {_state(Path(model))}" if here else str(model)
        network, self._tokenizer = open_pretrained(model, AutoModelForCausalLM, "a causal language model")
        self._tokenizer.padding_side = "left"
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._network = network.to(self._device)
        if self._tokenizer.pad_token is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token or self._tokenizer.unk_token
        self._batch, self._settings, self._seed = batch, settings or Settings(), seed
        self._cache = cache or RequestCache.of(f"local {self.place}")

    def settings(self, request: Request) -> Mapping[str, Any]:
        return {**self._settings.of(request), "run_seed": self._seed}

    def offers(self, topic: str, task: str) -> list[Offer] | None:
        return None

    def replies(self, requests: Sequence[Request]) -> Iterator[tuple[int, str]]:
        """The replies, those that are kept first; each is kept before it is given."""
        keys = [self._cache.key(request, self.settings(request)) for request in requests]
        kept = [self._cache.get(key) for key in keys]
        yield from ((place, reply) for place, reply in enumerate(kept) if reply is not None)
        todo = [place for place, reply in enumerate(kept) if reply is None]
        for task in sorted({requests[place].task for place in todo}):
            rows = sorted((p for p in todo if requests[p].task == task), key=lambda p: len(requests[p].prompt))
            for start in range(0, len(rows), self._batch):
                batch = rows[start : start + self._batch]
                for place, reply in zip(batch, self._write([requests[p] for p in batch]), strict=True):
                    self._cache.put(keys[place], reply)
                    yield place, reply

    def _write(self, requests: Sequence[Request]) -> list[str]:
        import torch

        prompts = [self._chat(request.prompt) for request in requests]
        settings = self._settings.of(requests[0])
        room = int(getattr(self._network.config, "max_position_embeddings", 0) or 1 << 30)
        most = min(settings["max_tokens"], max(8, room // 2))
        encoded = self._tokenizer(
            prompts, return_tensors="pt", padding=True, truncation=True, max_length=max(1, room - most), add_special_tokens=False
        ).to(self._device)
        if requests[0].draw or self._seed or settings["temperature"]:
            torch.manual_seed(self._seed + requests[0].draw)
        sampling = {"do_sample": True, "temperature": settings["temperature"], "top_p": settings["top_p"]}
        with torch.inference_mode():
            written = self._network.generate(
                input_ids=encoded["input_ids"], attention_mask=encoded["attention_mask"], max_new_tokens=most,
                pad_token_id=self._tokenizer.pad_token_id, **(sampling if settings["temperature"] > 0 else {"do_sample": False}),
            )  # fmt: skip
        replies: list[str] = self._tokenizer.batch_decode(written[:, encoded["input_ids"].shape[1] :], skip_special_tokens=True)
        return replies

    def _chat(self, prompt: str) -> str:
        """The prompt as the model was taught to be asked, where it says how."""
        if not self._tokenizer.chat_template:
            return f"{prompt}\n\n"
        asked: str = self._tokenizer.apply_chat_template([{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True)
        return asked


def _state(folder: Path) -> str:
    """Names, sizes and times of a model's files: a model trained anew into the same folder is another one, and its replies are too."""
    facts = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in sorted(folder.iterdir()) if file.is_file()]
    return hashlib.blake2b(repr(facts).encode(), digest_size=8).hexdigest()
