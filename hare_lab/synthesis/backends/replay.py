"""Replies that were recorded beforehand, so that the whole path can be walked with no network and no model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hare_lab import texts
from hare_lab.errors import InputError
from hare_lab.priors import DATA
from hare_lab.synthesis.backends.base import Offer
from hare_lab.synthesis.plan import Request
from hare_lab.texts import D2_KINDS

FILES = (DATA / "replies" / "d2.jsonl", DATA / "replies" / "d3.jsonl")
FIELDS = ("topic", "kind", "audience", "style", "seed", "reply")  # what a server would know; the files also hold the truth


class Replay:
    """A recording: each reply is served once, for the (topic, kind, audience, style, seed) that it answers, and for no other.

    Parameters
    ----------
    files : recordings as `texts.replies` reads them
    source : str
        What the run puts before the seeds' ids ("sample" gives "sample#page-0001").
    """

    model = "recording"
    live = False

    def __init__(self, files: Iterable[Path] = FILES, source: str = "sample") -> None:
        rows = [{name: row[name] for name in FIELDS} for file in files for row in texts.replies(file)]
        prefix = f"{source}#" if source else ""
        self._replies = {(r["topic"], r["kind"], r["audience"], r["style"], prefix + r["seed"]): r["reply"] for r in rows}
        self._served: set[tuple[str, ...]] = set()

    @property
    def place(self) -> str:
        """A hash of what is recorded: the same wherever the files lie."""
        return hashlib.blake2b(json.dumps(sorted(self._replies.items())).encode(), digest_size=8).hexdigest()

    def settings(self, request: Request) -> Mapping[str, Any]:
        return {"recorded": True}

    def offers(self, topic: str, task: str) -> list[Offer]:
        """The combinations that were recorded for a topic."""
        return [key[1:] for key in self._replies if key[0] == topic and (key[1] in D2_KINDS) == (task == "D2")]

    def replies(self, requests: Sequence[Request]) -> Iterator[tuple[int, str]]:
        """The recorded replies.

        Raises
        ------
        InputError
            If one was not recorded, or has been served already.
        """
        for place, request in enumerate(requests):
            if request.key not in self._replies:
                raise InputError(
                    f"replay: no reply is recorded for {' / '.join(request.key)}; give --endpoint or --model to have one written"
                )
            if request.key in self._served:
                raise InputError(f"replay: the reply for {' / '.join(request.key)} was served already; the recording is exhausted there")
            self._served.add(request.key)
            yield place, self._replies[request.key]
