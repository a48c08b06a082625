"""What does a crawl look like, when one knows the truth about it? A pool made crawl-like on purpose, by seed.

Used by `curation.py` and by the benchmarks of training. From reddit posts with labels (at most 300 a label, which no crawl has):

- the shares of the labels fall as 1/rank, ranks drawn by seed; copies count, as they do in a crawl, so a large label is large
  because it repeats itself;
- 30 % of the pool are near-copies of a few hundred pages, edited as `dedup.py` edits them (a paragraph more or less, a site's
  frame, other words);
- 12 % are junk: navigation, lists of key words, truncated posts, a third each;
- crawled pages (webcrawl_mix) are mixed in, 28 % of the pool or all there are.

A clean set balanced by label is held out before anything is drawn. The default of 15,000 pages is mostly posts as they are, whose vectors
a store may hold; copies and junk (42 %) have to be embedded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from dedup import framed, other_paragraph, other_words, paragraphs

PAGES, HELD = 15_000, 10
COPIES, JUNK, WEB = 0.30, 0.12, 0.28
COPIED = 300  # pages that have copies
MENU = (
    "Home",
    "About",
    "Contact",
    "Login",
    "Register",
    "Search",
    "Shop",
    "Cart",
    "Help",
    "FAQ",
    "Sitemap",
    "Archive",
    "Forum",
    "RSS",
    "Next",
)


@dataclass(frozen=True)
class Pool:
    """Rows of `id`, `text`, `title`, `source`, and what is known of them: `label` ("" for junk), `kind` and `copy_of`.

    `kind` is original, copy, junk or web. `held` are the clean posts that were held out, equally many of each label.
    """

    rows: list[dict[str, Any]]
    held: list[dict[str, Any]]


def crawl_pool(
    posts: Sequence[dict[str, Any]],
    web: Sequence[dict[str, Any]],
    *,
    seed: int = 0,
    pages: int = PAGES,
    labels: Sequence[str] | None = None,
) -> Pool:
    """The pool of the module's first paragraph.

    Parameters
    ----------
    posts : rows of reddit_selfposts
    web : rows of webcrawl_mix; the one of run-on documents is left out
    pages : size of the pool
    labels : the labels to draw from; None takes all
    """
    rng = np.random.default_rng(seed)
    by_label: dict[str, list[dict[str, Any]]] = {}
    for row in posts:
        by_label.setdefault(row["label"], []).append(row)
    ranked = sorted(by_label if labels is None else labels)
    ranked = [ranked[at] for at in rng.permutation(len(ranked)).tolist()]
    shuffled = {label: [by_label[label][at] for at in rng.permutation(len(by_label[label])).tolist()] for label in ranked}
    held = [_row(post, "original") for label in ranked for post in shuffled[label][:HELD]]
    free = {label: shuffled[label][HELD:] for label in ranked}
    crawled = [row for row in web if row["source"] != "fineweb_concat"]
    crawled = [crawled[at] for at in rng.permutation(len(crawled))[: round(WEB * pages)].tolist()]
    junk, copies = round(JUNK * pages), round(COPIES * pages)
    originals, copied = _counts(len(ranked), pages - junk - len(crawled), copies, [len(free[label]) for label in ranked])
    rows, spare = [], [post["text"] for label in ranked for at, post in enumerate(free[label]) if at >= originals[ranked.index(label)]]
    words = [word for text in (spare or [post["text"] for post in posts])[:2_000] for word in text.split()]
    parts = [part for text in spare[:5_000] for part in paragraphs(text) if 20 <= len(part.split()) <= 80] or [" ".join(words[:40])]
    for label, count, again in zip(ranked, originals, copied, strict=True):
        mine = [_row(post, "original") for post in free[label][:count]]
        models = mine[: max(1, round(COPIED * again / max(copies, 1)))]
        rows += mine
        rows += [_copy(models[number % len(models)], number, words, parts, rng) for number in range(again)]
    rows += [_junk(number, words, spare or [post["text"] for post in posts], rng) for number in range(junk)]
    rows += [_row({**row, "label": f"web/{row['source']}"}, "web") for row in crawled]
    return Pool([rows[at] for at in rng.permutation(len(rows)).tolist()], held)


def _counts(labels: int, total: int, copies: int, available: list[int]) -> tuple[list[int], list[int]]:
    """Originals and copies of each label: together `total`, as 1/rank, and `copies` of them copies, spread in proportion to size."""
    shares = 1 / np.arange(1, labels + 1)
    sizes = np.maximum(1, np.round(shares / shares.sum() * total)).astype(int)
    low, high = 0.0, 1.0
    for _ in range(40):  # the share of originals that leaves so many copies
        middle = (low + high) / 2
        kept = np.clip(np.round(sizes * middle), 1, np.minimum(available, sizes))
        low, high = (middle, high) if (sizes - kept).sum() > copies else (low, middle)
    return kept.astype(int).tolist(), (sizes - kept).astype(int).tolist()


def _row(row: dict[str, Any], kind: str) -> dict[str, Any]:
    return {
        "id": f"{kind}-{row['id']}", "text": row["text"], "title": str(row.get("title") or ""),
        "source": row["source"] if kind == "web" else "reddit", "label": row["label"], "kind": kind, "copy_of": "",
    }  # fmt: skip


def _copy(model: dict[str, Any], number: int, words: list[str], parts: list[str], rng: np.random.Generator) -> dict[str, Any]:
    edit = int(rng.integers(3))
    if edit == 0:
        text = other_paragraph(model["text"], parts, rng)
    elif edit == 1:
        text = framed(model["text"], int(rng.integers(3)), words, rng)
    else:
        text = other_words(model["text"], words, rng)
    return {**model, "id": f"copy-{number}-of-{model['id']}", "text": text, "kind": "copy", "copy_of": model["id"]}


def _junk(number: int, words: list[str], spare: list[str], rng: np.random.Generator) -> dict[str, Any]:
    draw = [words[at] for at in rng.integers(len(words), size=int(rng.integers(40, 160))).tolist()]
    if number % 3 == 0:
        items = [f"{MENU[int(rng.integers(len(MENU)))]} {draw[at]}".title() for at in range(len(draw) // 2)]
        text = (" | " if rng.random() < 0.5 else "\n").join(items)
    elif number % 3 == 1:
        text = ", ".join(dict.fromkeys(word.strip(".,;:!?()\"'").lower() for word in draw))
    else:
        whole = spare[int(rng.integers(len(spare)))].split()
        text = " ".join(whole[: int(rng.integers(20, 36))])[:-2] + "..."
    return {"id": f"junk-{number}", "text": text, "title": "", "source": "reddit", "label": "", "kind": "junk", "copy_of": ""}
