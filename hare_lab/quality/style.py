"""How is a page written, whatever it is about?

Its tokens with the subject taken out: the commonest words and all punctuation stay as they are, any other word is only its
ending and whether it has a capital. Runs of one to three such tokens tell an essay from a menu, and hardly astronomy from
chess. They are counted in 4,096 hashed places, as DSIR (Xie et al. 2023) counts plain n-grams.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from hare_lab.quality.chars import Batch
from hare_lab.quality.features import FUNCTION_WORDS, Terms
from hare_lab.quality.hashes import Hashes
from hare_lab.quality.kinds import SIGN, SPACE

PLACES = 4_096
_MOST = 3_000  # tokens of a page that are read
_ENDING = 3  # letters of a word that stay


def style_counts(batch: Batch, terms: Terms) -> csr_matrix:
    """How often each hashed run of style tokens occurs in each page of a batch.

    Returns
    -------
    Sparse matrix of shape (n_pages, PLACES).
    """
    common = terms.among(FUNCTION_WORDS)
    ending = terms.hasher.of(np.maximum(terms.start, terms.end - _ENDING), terms.end) * np.uint64(3) + terms.capital
    tokens = np.zeros(len(batch.codes), np.uint64)
    signs = batch.is_kind(SIGN) & ~batch.is_kind(SPACE)  # how lines are broken is for the aspects to say
    tokens[signs] = batch.codes[signs]
    tokens[terms.start] = np.where(common, terms.hashes, ending)
    places = np.flatnonzero(tokens)
    page = batch.page_of(places)
    within = np.arange(len(places)) - np.searchsorted(page, np.arange(batch.count))[page] < _MOST
    stream, page = tokens[places[within]], page[within]
    rows, columns = [], []
    for size in (1, 2, 3):
        gram = np.zeros(max(len(stream) - size + 1, 0), np.uint64)
        for offset in range(size):
            gram = gram * np.uint64(0x9E3779B97F4A7C15) + stream[offset : offset + len(gram)]
        whole = page[: len(gram)] == page[size - 1 :]
        rows.append(page[: len(gram)][whole])
        columns.append(_place(gram[whole] + np.uint64(size)))
    often = np.bincount(np.concatenate(rows) * PLACES + np.concatenate(columns), minlength=batch.count * PLACES)
    cells = np.flatnonzero(often)  # counted first and only then made sparse: sorting the runs takes far longer
    bounds = np.searchsorted(cells, np.arange(batch.count + 1) * PLACES)
    return csr_matrix((often[cells].astype(np.float32), cells % PLACES, bounds), shape=(batch.count, PLACES))


def _place(gram: Hashes) -> NDArray[np.int64]:
    mixed = (gram ^ (gram >> np.uint64(31))) * np.uint64(0xBF58476D1CE4E5B9)
    return (mixed >> np.uint64(64 - PLACES.bit_length() + 1)).astype(np.int64)
