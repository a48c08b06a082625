"""Pages as rows of equal length, so that no arithmetic is spent on padding, and each page sees only itself.

The pages lie end to end in one stream; a row is a window of it, and the next row begins where it ended. A page that crosses
the end of a row goes on in the next one without its beginning (our choice: nothing is padded, nothing thrown away). Within a
row a token sees its own page only, and positions count from the page's first token there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hare_lab.errors import InputError
from hare_lab.training.tokens import encode

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IGNORE = -100  # a target that is not learnt, as transformers has it


class Rows(NamedTuple):
    """A batch: integer arrays of shape (n_rows, context).

    `tokens` goes in; `targets` is the next token of the same page, or IGNORE; `pages` numbers the page that each token is
    of; `positions` counts within it.
    """

    tokens: NDArray[np.int64]
    targets: NDArray[np.int64]
    pages: NDArray[np.int64]
    positions: NDArray[np.int64]


@dataclass(frozen=True)
class Packed:
    """A set of pages, ready to train on: `stream` and `starts` as `encode` gives them, cut into rows of `context`.

    `learnt`, where it is given, says of each token of the stream whether a model learns to write it; else it learns them all.
    """

    stream: NDArray[np.int32]
    starts: NDArray[np.int64]
    context: int
    learnt: NDArray[np.bool_] | None = None

    @property
    def tokens(self) -> int:
        return len(self.stream)

    def __len__(self) -> int:
        """Rows; the last one may be filled up with targets that are not learnt."""
        return -(-self.tokens // self.context)

    def rows(self, numbers: NDArray[np.int64], *, across_pages: bool = False) -> Rows:
        """The rows of these numbers; with `across_pages` a row counts as one page, as most training code has it."""
        places = np.asarray(numbers, np.int64)[:, None] * self.context + np.arange(self.context)
        inside = np.minimum(places, self.tokens - 1)
        following = np.minimum(places + 1, self.tokens - 1)
        pages = np.searchsorted(self.starts, inside, side="right") - 1
        same = (self.starts[pages + 1] > places + 1) | across_pages
        learnt = (places + 1 < self.tokens) & same
        if self.learnt is not None:
            learnt &= self.learnt[following]
        targets = np.where(learnt, self.stream[following], IGNORE).astype(np.int64)
        if across_pages:
            positions = np.broadcast_to(np.arange(self.context), places.shape).copy()
            return Rows(self.stream[inside].astype(np.int64), targets, np.zeros_like(pages), positions)
        first = np.maximum(self.starts[pages], places[:, :1])
        pages = np.where(places < self.tokens, pages, pages + 1)  # what fills the last row is a page of its own
        return Rows(self.stream[inside].astype(np.int64), targets, pages, np.maximum(inside - first, 0))


def pack(texts: Iterable[str], tokenizer: PreTrainedTokenizerBase, context: int) -> Packed:
    """Texts as rows of `context` tokens.

    Raises
    ------
    InputError
        If no text holds anything, or the context is below 2.
    """
    if context < 2:
        raise InputError(f"a context of {context} is too short; a model needs at least 2 tokens to learn from one the next")
    stream, starts = encode(texts, tokenizer)
    if not len(stream):
        raise InputError("no page holds any text to train on; give a file or folder with text, or name its column with --column")
    return Packed(stream, starts, context)


def pack_whole(texts: Iterable[str], tokenizer: PreTrainedTokenizerBase, context: int) -> tuple[Packed, NDArray[np.int64]]:
    """Texts as rows in which no page that fits a row is cut, so that what a model makes of a page is the page's alone.

    Where the next page does not fit, the row is filled up with end signs, which count as pages of their own. A page longer
    than a row begins one and goes on through as many as it takes.

    Returns
    -------
    rows : Packed
    places : int64 array of shape (n_texts,)
        Which page of `rows` each text is, -1 where it holds nothing.
    """
    whole = pack(texts, tokenizer, context)
    lengths = np.diff(whole.starts)
    pieces, starts, places, used = [], [0], np.full(len(lengths), -1, np.int64), 0
    for page, length in enumerate(lengths):
        if not length:
            continue
        room = -used % context
        if room and length > room:
            pieces.append(np.full(room, tokenizer.eos_token_id, np.int32))
            used += room
            starts.append(used)
        places[page] = len(starts) - 1
        pieces.append(whole.stream[whole.starts[page] : whole.starts[page + 1]])
        used += int(length)
        starts.append(used)
    return Packed(np.concatenate(pieces), np.array(starts, np.int64), context), places
