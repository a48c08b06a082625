"""Which pages give away which benchmark items, and has a model read them?

On the side of the data three paths, from plain to subtle: `ngram` (a run of n words in common), `edited` (the item's words in
order, some of them changed) and `reworded` (the same in other words: vectors propose, words confirm). `find` puts them together:

    items = load_items("data/benchmark/items.jsonl")
    leaks = find(pages, items, priors.leakage, vectors=embed_windows(pages, items))
    leaks.hits  # one row a page and item: where, how, how much
    leaks.pages()  # one row a page: id, leak, leaked

On the side of the model the test of the paper's appendix B (`model_test`): can it complete a benchmark better than a paraphrased copy
of it? Method, measurements and what was tried: docs/leakage.md.
"""

from hare_lab.leakage.control import Control, tiny_pair
from hare_lab.leakage.find import find
from hare_lab.leakage.items import Items, benchmark_files, load_items
from hare_lab.leakage.model_side import ModelTest, difference, exam_texts, model_test, ngram_accuracy, twins
from hare_lab.leakage.ngrams import funnel, shares
from hare_lab.leakage.report import (
    Leaks,
    counts,
    paper_deltas,
    planted_found,
    side_by_side,
    ways,
)
from hare_lab.leakage.reworded import Vectors, embed_windows

__all__ = [
    "Control", "Items", "Leaks", "ModelTest", "Vectors", "benchmark_files", "counts", "difference", "embed_windows", "exam_texts",
    "find", "funnel", "load_items", "model_test", "ngram_accuracy", "paper_deltas", "planted_found", "shares", "side_by_side",
    "tiny_pair", "twins", "ways",
]  # fmt: skip
