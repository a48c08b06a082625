"""How much of a name does a tile of a treemap have room for? Plotly drops a text that sticks out, however large the tile."""

from __future__ import annotations

from hare_lab.figures import look


def letters(share: float) -> int:
    """How many letters fit side by side on a tile of a treemap that has such a share of its area, were it square."""
    return max(6, int(80 * share**0.5))


def fitted(name: str, share: float, width: int, most: int) -> list[str]:
    """A name in lines that a tile of a treemap has room for, of `width` letters at most. Longer words are cut, or plotly drops all."""
    room = min(width, letters(0.8 * share))  # few tiles are square
    words = (word if len(word) <= room else f"{word[: room - 1].rstrip(',')}…" for word in name.split())
    return look.lines(" ".join(words), room, most)
