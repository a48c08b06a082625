"""Which pages hold an item with some of its words changed?

Runs of three words that few items have are the seeds: with 15 % of its words changed, an item of 13 words still has at least five
runs of three intact. Where a page has enough seeds of an item within its length, the two are aligned word by word (Smith and
Waterman), and what counts is the share of the item, function words at a third, that stands in the page in order.
"""

from __future__ import annotations

import numpy as np

from hare_lab.dedup.words import WordHashes
from hare_lab.leakage.kernels import coverages, seeded
from hare_lab.leakage.ngrams import COMMON, lookup
from hare_lab.leakage.sequences import LETTERED, TOLD, Forms, Sequences, weights

SEED = 3  # words
NEED = 0.1  # seeds for a word of the item
LEAST = 2  # seeds at least
THRESHOLD = 0.6  # of the item, in order; docs/leakage.md
MATCHED = 8  # words at least
SPREAD = 1.8  # the matched stretch may be so many times as long as in the item


class SeedIndex:
    """The seeds of all items, sorted by hash.

    With choices only those that reach into them: the question's are the told form's. What is COMMON is counted within each kind of form, so
    that no seed of the told form is lost for standing in choices.
    """

    def __init__(self, forms: Forms, hashes: WordHashes) -> None:
        told, questions = forms.words, forms.questions
        keys, starts = told.runs(SEED)
        owner = told.owners()[starts] if len(starts) else np.zeros(0, np.int32)
        reaching = (forms.kinds[owner] == TOLD) | (starts - told.bounds[owner] + SEED > questions[owner])
        keys, starts, owner = keys[reaching], starts[reaching], owner[reaching]
        order = np.lexsort((owner, keys))
        keys, starts, owner = keys[order], starts[order], owner[order]
        self.keys, counts = np.unique(keys, return_counts=True)
        kind = np.repeat(np.arange(len(counts)) * (LETTERED + 1), counts) + forms.kinds[owner]
        kept = np.bincount(kind, minlength=len(counts) * (LETTERED + 1))[kind] <= COMMON
        counts = np.bincount(np.repeat(np.arange(len(counts)), counts)[kept], minlength=len(counts))
        self.keys = self.keys[counts > 0]
        self.posted = np.concatenate([[0], np.cumsum(counts[counts > 0])]).astype(np.int64)
        self.items = owner[kept].astype(np.int32)
        self.places = (starts[kept] - told.bounds[self.items]).astype(np.int32)
        self.forms, self.told, self.questions = forms, told, questions
        self.weight = weights(told.flat, hashes)
        alone = (questions >= SEED) & (forms.kinds == TOLD)  # with choices the whole form has to stand there
        shorter = np.where(alone, np.minimum(questions, told.lengths), told.lengths)
        self.need = np.maximum(LEAST, np.floor(NEED * shorter)).astype(np.int64)
        self.reach = (1.5 * told.lengths + 10).astype(np.int64)


def candidates(pages: Sequences, index: SeedIndex) -> tuple[np.ndarray, ...]:
    """Page, form, overlap, matched words, spread, start and end (in the pages' words) of every stretch with enough seeds."""
    keys, starts = pages.runs(SEED)
    entry = lookup(index.keys, keys)
    hit = entry >= 0
    entry, starts = entry[hit], starts[hit]
    owner = pages.owners()[starts] if len(starts) else np.zeros(0, np.int64)
    bounds = np.searchsorted(owner, np.arange(len(pages) + 1))
    places = starts - pages.bounds[owner]
    page, item, first, last = seeded(places, bounds, entry, index.posted, index.items, index.places, index.need, index.reach)
    room = np.minimum(index.told.lengths[item], 400) + 5
    low = np.maximum(pages.bounds[page], pages.bounds[page] + first - room)
    high = np.minimum(pages.bounds[page + 1] - 1, pages.bounds[page] + last + room)
    found = coverages(pages.flat, low, high, index.told.flat, index.weight, index.told.bounds, index.questions, item, 8)
    return (page, item, *found)
