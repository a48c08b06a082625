"""Which words tell one group of pages from the others?

Class-based TF-IDF over words and pairs of neighbouring words. A word counts once a page, so that one page that repeats
itself names nothing; only the beginning of a long page is read.
"""

from __future__ import annotations

import html
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count

import numpy as np
from scipy import sparse

from hare_lab.marks import MARK

READ = 4_000  # characters of a page that are read
WORD = re.compile(rf"[^\W\d_](?:(?:[\w'-]|{MARK})*(?:[^\W_]|{MARK}))?")
ASCII_WORD = re.compile(r"[^\W\d_](?:[\w'-]*[^\W_])?")  # the same for ASCII, read faster
MARKUP = re.compile(
    r"https?://\S+|www\.\S+"  # addresses
    r"|<[^<>]{1,200}>"  # tags
    r"|```.*?```|`[^`\n]{1,200}`"  # code
    r"|\]\([^()\s]{1,500}\)",  # where a Markdown link leads
    re.DOTALL,
)
# what people fill sentences with and scikit-learn's list of stop words lacks
FILLERS = """
actually able also anybody anyone anything basically best better bit can couple day days does doesn doing don did didn ever feel
finally going gonna good got great guess guys hello help hey hi isn it just kind know let like little look looking lot lots make
making maybe mean need new nice old people place pretty probably question questions quite really right said say saying second
seen set sort start stuff sure take tell thank thanks thing things think thought time times today try trying use used using want
wanted wanting wants way week weeks went work working works year years yes one two three ll ve re im ive dont id cant edit
deleted removed tl dr tldr etc example different come came getting wondering wonder big long high low post posted posts first
next point end having keep read hope happy bad hard idea add thoughts advice experience issue problem recently currently
"""


@dataclass(frozen=True)
class Counts:
    """`pages_with[g, t]`: pages of group g that use term t; `terms`: the terms themselves; `uses[p, t]`: 1 where page p uses t."""

    pages_with: sparse.csr_matrix
    terms: list[str]
    uses: sparse.csr_matrix


def plain(text: str) -> str:
    """The words of a page without its markup, in lower case; an entity that was escaped once more ("&amp;nbsp;") is no word either."""
    return MARKUP.sub(" ", html.unescape(html.unescape(text[:READ]))).lower().replace("’", "'")


def words_of(text: str) -> list[str]:
    """The words of a page in order, without its markup."""
    said = plain(text)
    return (ASCII_WORD if said.isascii() else WORD).findall(said)


def count_terms(texts: Iterable[str], groups: np.ndarray, n_groups: int) -> Counts:
    """Pages of each group that use each word and each pair of neighbouring words.

    Parameters
    ----------
    texts : one a page
    groups : int (n,), -1 leaves a page out
    n_groups : groups there are

    Returns
    -------
    Counts, of the terms that are no stop words and stand in at least 2 pages (3 in corpora beyond 1,000)
    """
    ids: defaultdict[str, int] = defaultdict(count().__next__)
    streams = [np.array([ids[word] for word in words_of(text)], np.int64) for text in texts]
    words = list(ids)
    n_words = len(words)
    flat = np.concatenate([*streams, np.empty(0, np.int64)])
    page = np.repeat(np.arange(len(streams)), [len(stream) for stream in streams])
    telling = _telling(words)[flat] if n_words else np.empty(0, bool)
    paired = np.flatnonzero(telling[:-1] & telling[1:] & (page[:-1] == page[1:]) & (flat[:-1] != flat[1:]))
    keys = np.concatenate([flat[telling], (flat[paired] + 1) * n_words + flat[paired + 1]])  # a pair's key is beyond every word's
    owner = np.concatenate([page[telling], page[paired]])
    known, term = np.unique(keys, return_inverse=True)
    once = np.unique(owner * max(len(known), 1) + term)  # once a page
    owner, term = np.divmod(once, max(len(known), 1))
    common = np.bincount(term, minlength=len(known)) >= (3 if len(streams) > 1000 else min(2, len(streams)))
    column = np.cumsum(common) - 1
    kept = common[term]
    uses = sparse.csr_matrix(
        (np.ones(int(kept.sum()), np.float32), (owner[kept], column[term[kept]])), shape=(len(streams), int(common.sum()))
    )
    inside = np.flatnonzero(groups >= 0)
    member = sparse.csr_matrix((np.ones(len(inside)), (groups[inside], inside)), shape=(n_groups, len(streams)))
    spelled = [words[key] if key < n_words else f"{words[key // n_words - 1]} {words[key % n_words]}" for key in known[common].tolist()]
    return Counts((member @ uses).tocsr(), spelled, uses)


def _telling(words: list[str]) -> np.ndarray:
    """Which words may be terms: no stop word, no contraction, no account name (they hold _), no single letter."""
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    stop = ENGLISH_STOP_WORDS.union(FILLERS.split())
    return np.array([len(word) > 1 and "'" not in word and "_" not in word and word not in stop for word in words])


def class_tf_idf(pages_with: sparse.csr_matrix) -> sparse.csr_matrix:
    """How much each term tells of each group: `tf(t, g) * log(1 + A / f(t)) * sqrt(n(t, g) / f(t))`.

    `n` is the uses of t in g (a use is a page that has the term), `tf` is n as a share of all uses in g, `f` the uses of t in
    all groups, `A` the average of uses a group. The last factor is ours: the share of its uses that a term has in the group
    keeps words that everybody uses out of the names of broad groups, where the logarithm hardly tells them apart.

    References
    ----------
    Grootendorst (2022), "BERTopic: Neural topic modeling with a class-based TF-IDF procedure", arXiv:2203.05794, section 3.3.
    """
    uses = np.asarray(pages_with.sum(axis=1)).ravel()
    overall = np.asarray(pages_with.sum(axis=0)).ravel()
    rarity = np.log1p(uses.sum() / max(len(uses), 1) / np.maximum(overall, 1))
    own = pages_with.power(1.5)  # n * sqrt(n)
    return (sparse.diags(1 / np.maximum(uses, 1)) @ own @ sparse.diags(rarity / np.sqrt(np.maximum(overall, 1)))).tocsr()


def pull(uses: sparse.csr_matrix, vectors: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """How far the pages that use a term lie towards each centre, (g, n_terms); 0 for those that lie anywhere or away from it.

    The mean of those pages' vectors, the mean of all taken off, along the direction to the centre. Words that fill sentences about
    anything ("half", "small") stand on pages from everywhere, whose mean is the corpus's own.
    """
    middle = np.asarray(vectors, np.float32).mean(axis=0)
    towards = centres - middle
    towards /= np.maximum(np.linalg.norm(towards, axis=1, keepdims=True), 1e-12)
    along = (np.asarray(vectors, np.float32) - middle) @ towards.T
    counted = np.maximum(np.asarray(uses.sum(axis=0)).ravel(), 1)
    pulls: np.ndarray = np.maximum(np.asarray(uses.T @ along) / counted[:, None], 0).T
    return pulls


def key_terms(
    counts: Counts, sizes: np.ndarray, n_terms: int = 10, pulls: np.ndarray | None = None, share: float = 0.02
) -> list[list[str]]:
    """The most telling terms of each group, none a variant of one before it.

    A term of a group must stand in at least `share` of its pages, and in 2 of them where there are as many. `pulls` (g, n_terms), where
    given, multiply the weights of the terms; none with 0 is taken.
    """
    weights = class_tf_idf(counts.pages_with)
    found = []
    for group in range(weights.shape[0]):
        row = weights.getrow(group)
        used = np.asarray(counts.pages_with[group, row.indices].todense()).ravel()
        least = max(min(2, int(sizes[group])), share * sizes[group])
        telling = np.where(used >= least, row.data if pulls is None else row.data * pulls[group, row.indices], 0)
        order = np.lexsort((row.indices, -telling))[: 8 * n_terms]
        ranked = [counts.terms[row.indices[place]] for place in order if telling[place] > 0]
        found.append(_distinct(ranked, n_terms))
    return found


def _distinct(ranked: list[str], n_terms: int) -> list[str]:
    """Terms in order, leaving out those that share a word, or a form of it, with an earlier one."""
    kept: list[str] = []
    stems: set[str] = set()
    for term in ranked:
        own = {stem(word) for word in term.replace("-", " ").split()}
        if not any(_variants(a, b) for a in own for b in stems):
            kept.append(term)
            stems |= own
        if len(kept) == n_terms:
            break
    return kept


def stem(word: str) -> str:
    """A word without its commonest English endings: enough to tell "dogs" from "cats", and not from "dog"."""
    for ending in ("ings", "ing", "ies", "ied", "ers", "es", "ed", "er", "s", "y"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


def _variants(a: str, b: str) -> bool:
    return a == b or (min(len(a), len(b)) >= 4 and (a.startswith(b) or b.startswith(a)))
