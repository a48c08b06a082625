"""What has been answered already? One line a reply, appended and flushed before the reply is used.

A kill can tear the last line at most; it is cut off when the cache is opened again. The file holds replies and hashes of the
requests, and nothing of how the server was reached.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import threading
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from hare_lab.embedding import cache_folder
from hare_lab.errors import InputError
from hare_lab.synthesis.plan import Request


class RequestCache:
    """Replies by request, on disk. Used by one process at a time.

    Parameters
    ----------
    model : str
        The server and model that the replies are of.
    folder : Path
        Default: `requests` in the cache folder (`HARE_LAB_CACHE`).

    Raises
    ------
    InputError
        If another process has it open, or it can't be written.
    """

    def __init__(self, model: str, folder: Path | None = None) -> None:
        self._model = model
        place = folder or cache_folder() / "requests"
        self.path = place / f"{hashlib.blake2b(model.encode(), digest_size=8).hexdigest()}.jsonl"
        self._replies: dict[str, str] = {}
        self._lock = threading.Lock()
        try:
            place.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("a+b")
        except OSError as error:
            raise InputError(f"{place} can't be written ({error.strerror}); choose another cache with HARE_LAB_CACHE") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise InputError(f'another command is asking the model "{model}" and keeps its replies in {self.path}; wait for it') from error
        self._read()

    @classmethod
    def of(cls, model: str) -> RequestCache:
        """The cache of a model's replies; the same one as long as this process uses it, so that a cell may be run again."""
        found = _OPEN.get(model)
        if found is None or found._file.closed:
            found = _OPEN[model] = cls(model)
        return found

    def __len__(self) -> int:
        return len(self._replies)

    def key(self, request: Request, settings: Mapping[str, Any]) -> str:
        """What a reply is kept under: model, settings and prompt."""
        text = json.dumps([self._model, dict(settings), request.prompt, request.draw], sort_keys=True)
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()

    def get(self, key: str) -> str | None:
        return self._replies.get(key)

    def put(self, key: str, reply: str) -> None:
        """Keep a reply; on disk when this returns.

        Raises
        ------
        InputError
            If the disk is full; what was kept before stays.
        """
        line = json.dumps({"key": key, "check": _check(key, reply), "reply": reply}, ensure_ascii=True).encode() + b"\n"
        with self._lock:
            end = self._file.seek(0, os.SEEK_END)
            try:
                self._file.write(line)
                self._file.flush()
                os.fsync(self._file.fileno())
            except OSError as error:
                self._cut(end)
                kept = f"{len(self._replies):,} replies are kept"
                raise InputError(f"{self.path} can't be written ({error.strerror}); free some space and run again: {kept}") from error
            self._replies[key] = reply

    def close(self) -> None:
        """Let another process have it."""
        self._file.close()

    def _cut(self, end: int) -> None:
        import contextlib

        with contextlib.suppress(OSError):
            self._file.truncate(end)

    def _read(self) -> None:
        self._file.seek(0)
        whole = 0
        for line in self._file:
            if not line.endswith(b"\n"):
                break
            whole += len(line)
            try:
                entry = json.loads(line)
                if entry["check"] == _check(entry["key"], entry["reply"]):
                    self._replies[entry["key"]] = entry["reply"]
            except (ValueError, KeyError, TypeError):
                continue  # a damaged line costs its reply, not the others
        self._file.seek(0, os.SEEK_END)
        if self._file.tell() > whole:
            self._file.truncate(whole)


def _check(key: str, reply: str) -> int:
    return zlib.crc32(f"{key}\x1f{reply}".encode("utf-8", "surrogatepass"))


_OPEN: WeakValueDictionary[str, RequestCache] = WeakValueDictionary()
