"""Text to vectors, never the same text twice.

`embed` answers "where does each page lie in meaning?" with one unit vector a page, in the order of the pages. Vectors go
through a store on disk, so a second run, a killed run and another corpus that shares pages pay only for what is new. The
model's forward pass runs in the fastest backend of this machine whose vectors agree with plain fp32 sentence-transformers;
that race is run once for a machine and a model, and remembered.

    embedded = embed(pages)
    embedded.vectors  # float32, (n_pages, dimension), L2-normalised
    embedded.report  # backend, precision, agreement with fp32, documents a second, how many came from the store

`models` says what a model is, `tokens` and `backends` run it, `choice` races the backends, `sources` reads what was passed as
a model, `store` keeps the vectors, `encode` wires them together; `search` finds the pages nearest to a sentence.
"""

from __future__ import annotations

from hare_lab.embedding.encode import Embedded, EmbeddingReport, embed, page_texts
from hare_lab.embedding.models import bundled_weights
from hare_lab.embedding.search import nearest
from hare_lab.embedding.sources import Imported, imported
from hare_lab.embedding.store import cache_folder

__all__ = ["Embedded", "EmbeddingReport", "Imported", "bundled_weights", "cache_folder", "embed", "imported", "nearest", "page_texts"]
