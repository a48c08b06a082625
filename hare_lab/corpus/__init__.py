"""Where does the text come from, and which of it is text at all?

`load` turns anything (a file, a folder, a glob, standard input, a hub id, the bundled demo, rows in memory) into pages;
`clean` mends and scrubs them. Both split what came in into `pages` and `removed`, so that nothing is ever dropped in
silence: every row is in exactly one of the two, the removed with a reason.

    loaded = load("posts.jsonl.gz")
    cleaned = clean(loaded.pages, priors.default())
"""

from hare_lab.corpus.cleaning import Cleaned, CleaningReport, clean
from hare_lab.corpus.demo import demo_licences
from hare_lab.corpus.loading import Loaded, LoadReport, fingerprint, load
from hare_lab.corpus.pages import account, text_hash, token_counts, word_counts

__all__ = [
    "Cleaned", "CleaningReport", "LoadReport", "Loaded", "account", "clean", "demo_licences", "fingerprint", "load", "text_hash",
    "token_counts", "word_counts",
]  # fmt: skip
