"""How good are the bundled texts as a test bed? Variety, labels that can be learnt, tiers that length does not give away.

`hare-lab bench texts`: about a minute. Everything is measured on the files in `data/`, as they are.
"""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
from _common import ROOT, measure, write_results
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline, make_union

from hare_lab import texts

TRIGRAMS = 90_000  # the number at which distinct-3 is compared, for it falls with size
SEED = 0


def words(text: str) -> list[str]:
    """Lower-case words, apostrophes kept inside."""
    return re.findall(r"\w+(?:['’]\w+)?", text.lower())


def shingles(text: str, n: int) -> set[tuple[str, ...]]:
    """The word n-grams of a text."""
    w = words(text)
    return {tuple(w[i : i + n]) for i in range(len(w) - n + 1)}


def unplanted_jaccard(pages: list[dict]) -> float:
    """The largest 5-shingle Jaccard similarity of two pages that are not planted copies of one another."""
    family = [page["duplicate_of"] or page["id"] for page in pages]
    sets = [shingles(page["text"], 5) for page in pages]
    where: dict[tuple[str, ...], list[int]] = {}
    for row, found in enumerate(sets):
        for shingle in found:
            where.setdefault(shingle, []).append(row)
    shared = Counter((a, b) for rows in where.values() for i, a in enumerate(rows) for b in rows[i + 1 :] if family[a] != family[b])
    return max((n / len(sets[a] | sets[b]) for (a, b), n in shared.items()), default=0.0)


def distinct3(pages: list[dict]) -> tuple[float, int]:
    """The share of distinct trigrams among the first `TRIGRAMS` (pages shuffled by seed), and how many there were."""
    order = np.random.default_rng(SEED).permutation(len(pages))
    trigrams = [t for row in order for w in [words(pages[row]["text"])] for t in zip(w, w[1:], w[2:], strict=False)][:TRIGRAMS]
    return len(set(trigrams)) / len(trigrams), len(trigrams)


def commonest_run(pages: list[dict], n: int = 8) -> int:
    """In how many pages the most widespread n-word sequence stands."""
    return max(Counter(run for page in pages for run in shingles(page["text"], n)).values())


def commonest_opening(pages: list[dict]) -> float:
    """The share of pages that begin with the most frequent first trigram."""
    return max(Counter(tuple(words(page["text"])[:3]) for page in pages).values()) / len(pages)


def topic_macro_f1(pages: list[dict]) -> float:
    """Cross-validated macro F1 of TF-IDF (words, and pieces of words) + logistic regression over the topics; title and text."""
    whole = TfidfVectorizer(sublinear_tf=True, stop_words="english")
    pieces = TfidfVectorizer(sublinear_tf=True, analyzer="char_wb", ngram_range=(3, 6), min_df=2)
    one_topic = LogisticRegression(C=30, class_weight="balanced", solver="liblinear")
    model = make_pipeline(make_union(whole, pieces), OneVsRestClassifier(one_topic))
    topics, content = [page["topic"] for page in pages], [f"{page['title']}\n{page['text']}" for page in pages]
    folds = StratifiedKFold(10, shuffle=True, random_state=SEED)
    return float(f1_score(topics, cross_val_predict(model, content, topics, cv=folds, n_jobs=-1), average="macro"))


def tier_auc(good: list[dict], bad: list[dict]) -> float:
    """Cross-validated AUC of a character n-gram classifier, reference against junk."""
    pieces = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4), sublinear_tf=True, min_df=2)
    model = make_pipeline(pieces, LogisticRegression(C=10, max_iter=2000))
    content, label = [p["text"] for p in good + bad], [1] * len(good) + [0] * len(bad)
    folds = StratifiedKFold(5, shuffle=True, random_state=SEED)
    return float(roc_auc_score(label, cross_val_predict(model, content, label, cv=folds, method="predict_proba")[:, 1]))


def length_auc(good: list[dict], bad: list[dict]) -> float:
    """How well the number of words alone tells two tiers apart, in either direction."""
    auc = roc_auc_score([1] * len(good) + [0] * len(bad), [len(words(p["text"])) for p in good + bad])
    return float(max(auc, 1 - auc))


def choices_only(items: list[dict]) -> tuple[float, int]:
    """Accuracy of a bag-of-words guesser that sees the choices and never the question: the mean of 10 cross-validations."""
    items = [item for item in items if item["choices"]]
    flat = [choice for item in items for choice in item["choices"]]
    right = np.array([choice == item["answer"] for item in items for choice in item["choices"]])
    found = []
    for seed in range(10):
        fold = np.random.default_rng(seed).permutation(np.arange(len(items)) % 5)
        scores = np.zeros(len(flat))
        for k in range(5):
            test = np.repeat(fold == k, 4)
            bag = CountVectorizer(ngram_range=(1, 2))
            known, unseen = ([c for c, t in zip(flat, test, strict=True) if t == side] for side in (False, True))
            model = LogisticRegression(max_iter=2000).fit(bag.fit_transform(known), right[~test])
            scores[test] = model.predict_proba(bag.transform(unseen))[:, 1]
        guesses = scores.reshape(-1, 4).argmax(axis=1)
        found.append(right.reshape(-1, 4)[np.arange(len(items)), guesses].mean())
    return float(np.mean(found)), len(items)


def twenty(pages: list[dict]) -> str:
    """Twenty random pages as they are, drawn by seed from all of them, for a person to judge."""
    chosen = [pages[row] for row in np.random.default_rng(20).permutation(len(pages))[:20]]
    parts = [
        "# Twenty pages of the sample, as they are",
        "Drawn by seed from all bundled pages, junk and planted copies included; nothing was chosen or mended. The labels "
        "stand under each page. Made by `hare-lab bench texts`.",
    ]
    for page in chosen:
        copy = f", {page['duplicate_kind']} copy of {page['duplicate_of']}" if page["duplicate_of"] else ""
        leaks = "".join(f", {leak['kind']} leak of {leak['item']}" for leak in page["leaks"])
        label = f"{page['topic']}, {page['tier']}, {page['voice']}, {page['language']}{copy}{leaks}"
        parts += [f"## {page['title']}", f"`````text\n{page['text']}\n`````", f"*{page['id']}: {label}*"]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Measure everything and write the table."""
    pages = texts.sample_truth()
    originals = [page for page in pages if not page["duplicate_of"]]
    prose = [page for page in originals if page["tier"] != "junk"]
    tiers = {tier: [page for page in originals if page["tier"] == tier] for tier in texts.TIERS}
    variety, trigrams = distinct3(prose)
    guesser, n_items = choices_only(texts.items())
    spread = 1.96 * (0.25 * 0.75 / n_items) ** 0.5
    counts = Counter(page["topic"] for page in pages)
    replies = [row for path in sorted((texts.DATA / "replies").glob("*.jsonl")) for row in texts.replies(path)]
    requests = texts.requests() if (texts.DATA / "tools" / "requests.jsonl").exists() else []
    copies, n_bad = len(pages) - len(originals), sum(bool(r["bad"]) for r in replies)
    no_call, n_cloze = sum(r["call"] is None for r in requests), len(texts.items()) - n_items
    low = {"better": "lower"}
    measures = [
        measure("texts.pages", len(pages), target=700, how=f"{len(originals)} originals and {copies} planted copies"),
        measure("texts.topics", len(counts), target=30, how=f"from {min(counts.values())} to {max(counts.values())} pages a topic"),
        measure("texts.items", n_items, target=300, how=f"four-choice items; {n_cloze} cloze items beside them"),
        measure("texts.replies", len(replies) - n_bad, target=400, how=f"good recorded replies; {n_bad} bad ones beside them"),
        measure("texts.requests", len(requests), target=720, how=f"telephone requests, {no_call} of them without a call"),
        measure("texts.unplanted_jaccard_max", unplanted_jaccard(pages), target=0.3, **low, how="5-word shingles, unplanted pairs"),
        measure("texts.distinct3", variety, target=0.91, how=f"{trigrams:,} trigrams of originals without junk"),
        measure("texts.repeated_run", commonest_run(pages), target=3, **low, unit="pages", how="that share an 8-word run"),
        measure("texts.repeated_opening", commonest_opening(originals), target=0.02, **low, how="begin with one trigram"),
        measure("texts.topic_macro_f1", topic_macro_f1(prose), target=0.7, how="TF-IDF + logistic regression, 10 folds, no junk"),
        measure("texts.tier_auc", tier_auc(tiers["reference"], tiers["junk"]), target=0.95, how="reference against junk, TF-IDF + LR"),
        measure("texts.length_auc", length_auc(tiers["reference"], tiers["thin"]), target=0.6, **low, how="reference against thin"),
        measure("texts.choices_only", guesser, target=0.30, **low, interval=(0.25 - spread, 0.25 + spread),
                how=f"bag-of-words guesser that sees no question, {n_items} items; the interval is chance"),
    ]  # fmt: skip
    (ROOT / "docs" / "twenty-pages.md").write_text(twenty(pages), encoding="utf-8")
    print(write_results("texts", measures).with_suffix(".md").read_text())


if __name__ == "__main__":
    main()
