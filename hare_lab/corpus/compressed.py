"""The bytes of a file, whatever it is compressed with."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
from pathlib import Path
from typing import IO, Any

from hare_lab.errors import InputError

COMPRESSED = {".gz": b"\x1f\x8b", ".bz2": b"BZh", ".xz": b"\xfd7zXZ", ".zst": b"\x28\xb5\x2f\xfd"}  # and how each begins
TEXTS = frozenset({".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".txt", ".md", ".html", ".htm"})  # never begin like any of these


def open_plain(path: Path) -> IO[bytes]:
    """The file's bytes, decompressed as its name says, once its first bytes have agreed.

    Raises
    ------
    InputError
        If name and content disagree.
    """
    suffix = path.suffix.lower()
    with path.open("rb") as file:
        start = file.read(8)
    for kind, magic in COMPRESSED.items():
        if (suffix == kind) != start.startswith(magic) and (suffix == kind or suffix in TEXTS):
            says, is_ = (f"compressed ({kind})", "is not") if suffix == kind else ("plain", f"is compressed ({kind})")
            raise InputError(f"{path}: its name says {says}, but its content {is_}; rename it or fetch it again")
    if suffix == ".zst":
        return io.BufferedReader(_Zstd(path))
    openers: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
    stream: IO[bytes] = openers.get(suffix, open)(path, "rb")
    return stream


class _Zstd(io.RawIOBase):
    """A .zst file's bytes, frame after frame; zstandard's own reader stops without a word where a file breaks off."""

    def __init__(self, path: Path) -> None:
        import zstandard

        self._file = path.open("rb")
        self._frames = zstandard.ZstdDecompressor()
        self._frame = self._frames.decompressobj()
        self._damage = zstandard.ZstdError
        self._packed = self._plain = b""

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()
        super().close()

    def readinto(self, buffer: Any) -> int:
        while not self._plain:
            self._packed = self._packed or self._file.read(1 << 17)
            if not self._packed:
                if not self._frame.eof:
                    raise EOFError("the file ends before its content does")
                return 0
            if self._frame.eof:
                self._frame = self._frames.decompressobj()
            try:
                self._plain = self._frame.decompress(self._packed)
            except self._damage as error:
                raise OSError(str(error)) from error
            self._packed = self._frame.unused_data if self._frame.eof else b""
        count = min(len(buffer), len(self._plain))
        buffer[:count], self._plain = self._plain[:count], self._plain[count:]
        return count
