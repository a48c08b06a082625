"""Does the gap ledger tell the truth? Planted shares recovered from descriptions alone or from other pages, and removed topics found.

`hare-lab bench coverage`: about ten minutes with the vectors in the store; `python benchmarks/coverage.py seconds` measures the time
alone again. No label is read but to score, and those of a reference of pages. Margins and floors were chosen on the tuning half of the
topics (every other one by name) and are reported on the half that was not looked at.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from _common import earlier, measure, real_data, write_results

from hare_lab import corpus, dedup, embedding, priors, texts
from hare_lab.coverage import Placement, Reference, cover, from_pages, from_taxonomy, place
from hare_lab.texts import Topic

SEEDS = 20
CLUSTERED = 5  # corpora against clusters, which take a while to be found
SPREAD = 0.9  # of the logarithms of planted shares: the largest topic is some twenty times the smallest
MACHINE = "machine text"
# Plain descriptions, written from the labels' names alone. The labels are of groups that share no subject with those of OUTSIDE.
FORUMS = {
    "SQL": "Database queries: select, join, tables, indexes, stored procedures and database servers.",
    "matlab": "Numerical computing in Matlab: matrices, plots, scripts, functions and toolboxes.",
    "linuxquestions": "Using Linux: distributions, packages, drivers, the terminal, partitions and booting.",
    "excel": "Spreadsheets: formulas, cells, pivot tables, macros and charts.",
    "networking": "Computer networks: switches, routers, cabling, firewalls, VLANs and certifications.",
    "overclocking": "Running processors and graphics cards faster: voltage, temperature, coolers and stability.",
    "AskElectronics": "Circuits and components: resistors, capacitors, power supplies, microcontrollers and soldering.",
    "iOSProgramming": "Writing apps for iPhone and iPad: Xcode, Objective-C, interfaces and the App Store.",
    "Wordpress": "Making websites with WordPress: themes, plugins, posts and hosting.",
    "SuggestALaptop": "Which laptop to buy: budget, screen size, weight, battery and brands.",
    "PowerShell": "Windows automation scripts: cmdlets, Active Directory, objects and remote administration.",
    "personalfinance": "A household's money: saving, debt, credit cards, loans, retirement accounts and budgets.",
    "RealEstate": "Buying, selling and letting houses: agents, offers, mortgages, closing and tenants.",
    "resumes": "How to write a resume: experience, skills, layout, cover letters and feedback.",
    "SEO": "Ranking in search engines: keywords, links, Google updates and website traffic.",
    "Accounting": "The accounting profession: audit, tax, CPA exam, bookkeeping and firms.",
    "smallbusiness": "Running a small firm: customers, licences, pricing, employees and growth.",
    "learnmath": "Understanding mathematics: algebra, calculus, proofs, limits and how to study them.",
    "Teachers": "Teaching in school: classrooms, pupils, lesson plans, principals and parents.",
    "premed": "Getting into medical school: MCAT, applications, interviews and grades.",
    "AskHistorians": "Questions about the past: ancient and modern history, wars, rulers, daily life and sources.",
    "TEFL": "Teaching English abroad: certificates, schools, contracts and countries to work in.",
    "Spanish": "Learning Spanish: verbs, grammar, vocabulary, accents and translation.",
    "Korean": "Learning Korean: hangul, particles, honorifics, vocabulary and translation.",
    "French": "Learning French: verbs, grammar, pronunciation, vocabulary and translation.",
    "LearnJapanese": "Learning Japanese: kanji, kana, particles, grammar and textbooks.",
    "acne": "Spots on the skin: acne treatments, creams, scars, dermatologists and routines.",
    "diabetes": "Living with diabetes: insulin, blood sugar, pumps, doctors and diet.",
    "C25K": "Couch to 5K: a beginner's running programme, weeks, intervals, shoes and shins.",
    "MuayThai": "Thai boxing: kicks, sparring, gyms, gloves, fights and training in Thailand.",
    "kettlebell": "Training with kettlebells: swings, snatches, get-ups, weights and routines.",
    "ADHD": "Attention deficit: focus, medication such as Adderall, diagnosis, school and work.",
    "stopdrinking": "Giving up alcohol: sobriety, cravings, relapse, meetings and support.",
    "LucidDreaming": "Being aware in dreams: techniques, dream journals, reality checks and sleep.",
    "socialanxiety": "Fear of people: shyness, avoidance, talking to strangers, therapy and coping.",
    "HomeImprovement": "Work on a house: floors, walls, kitchens, plumbing, wiring and contractors.",
    "MechanicAdvice": "Car trouble: engines, brakes, noises, leaks, parts and repair costs.",
    "bikewrench": "Repairing bicycles: chains, derailleurs, wheels, bearings, brakes and tools.",
    "Dogtraining": "Training dogs: puppies, barking, leash, biting, treats and commands.",
    "hometheater": "Cinema at home: speakers, receivers, projectors, televisions and wiring.",
    "mead": "Making mead: honey, yeast, fermentation, racking, bottling and recipes.",
    "AskCulinary": "Questions of cooks: techniques, ingredients, knives, sauces, meat and kitchens.",
    "TrueFilm": "Serious discussion of film: directors, scenes, themes, cinematography and criticism.",
    "musictheory": "How music works: chords, scales, keys, intervals, harmony and notation.",
    "singing": "Using the voice: range, breath, technique, lessons, auditions and practice.",
    "VideoEditing": "Cutting video: editing software, clips, codecs, rendering, effects and export.",
    "Poetry": "Poems written and read: verse, rhyme, lines, poets and feedback.",
    "gallifrey": "The television series Doctor Who: the Doctor, companions, Daleks, episodes and time travel.",
    "asoiaf": "A Song of Ice and Fire and Game of Thrones: Westeros, Starks, Lannisters, dragons and theories.",
    "edmproduction": "Producing electronic music: synthesizers, mixing, samples, software and drops.",
    "solotravel": "Travelling alone: hostels, backpacks, itineraries, countries, safety and meeting people.",
    "AppalachianTrail": "Hiking the Appalachian Trail: thru-hikes, shelters, gear, resupply and trail towns.",
    "IWantOut": "Emigrating: visas, work permits, moving abroad, citizenship and jobs in another country.",
}
RARE = {"astronomy", "beekeeping", "chess", "geology", "oceanography"}
OUTSIDE = ("games", "ideas", "stories_advice", "trade_ads")


class Labelled:
    """Pages whose topic is known: vectors, tokens, and the rows of each topic; what belongs to none is `outside`."""

    def __init__(self, vectors: np.ndarray, tokens: np.ndarray, label: Sequence[str], reference: Reference, outside: np.ndarray) -> None:
        self.vectors, self.tokens, self.reference = vectors, tokens, reference
        self.topics = [topic.id for topic in reference.topics]
        self.rows = {name: np.flatnonzero(np.asarray(label) == name) for name in self.topics}
        self.outside = outside

    def of(self, names: Sequence[str]) -> Reference:
        """The reference with these topics only."""
        where = [self.topics.index(name) for name in names]
        rows = [np.flatnonzero(self.reference.owner == at) for at in where]
        owner = np.repeat(np.arange(len(names)), [len(r) for r in rows])
        return Reference(
            tuple(self.reference.topics[at] for at in where),
            self.reference.points[np.concatenate(rows)],
            owner,
            ("",) * len(owner),
            "taxonomy",
        )


class HeldOut(Labelled):
    """The same pages in two halves drawn by seed: the reference is the pages of one with their labels, or `clusters` of them, and
    corpora are drawn from the other. No description is read."""

    def __init__(self, labelled: Labelled, pages: Any, seed: int, *, clusters: bool = False) -> None:
        super().__init__(labelled.vectors, labelled.tokens, (), labelled.reference, labelled.outside)
        draw = np.random.default_rng([seed, 1])  # not the draws that a corpus is made of
        halves = {name: np.array_split(draw.permutation(rows), 2) for name, rows in labelled.rows.items()}
        self.rows = {name: half for name, (half, _) in halves.items()}
        self.seen = {name: half for name, (_, half) in halves.items()}
        self.pages, self.clusters = pages, clusters

    def of(self, names: Sequence[str]) -> Reference:
        """The reference that the pages of these topics make, its topics in the order of the names where they have labels."""
        rows = np.concatenate([self.seen[name] for name in names])
        pages = self.pages.select(rows).select_columns(["id", "text"])
        if self.clusters:
            return from_pages(pages, self.vectors[rows])
        label = np.repeat(np.arange(len(names)), [len(self.seen[name]) for name in names])
        made = from_pages(pages.add_column("topic", label.tolist()), self.vectors[rows])
        number = np.array([int(topic.id) for topic in made.topics])  # it has the largest first
        turned, order = np.argsort(number), np.argsort(number[made.owner], kind="stable")
        topics = tuple(made.topics[at] for at in turned)
        return dataclasses.replace(
            made, topics=topics, points=made.points[order], owner=number[made.owner][order], floors=made.floors[turned]
        )


def drawn(labelled: Labelled, names: Sequence[str], count: int, seed: int) -> tuple[list[str], np.ndarray, np.ndarray]:
    """A corpus of `count` of the topics at shares drawn by seed: those topics, its rows, and the number of the topic of each.

    Number `count` is `other`: the topics that were not drawn, and the pages outside of all, 10 to 40 % of the pages.
    """
    draw = np.random.default_rng(seed)
    chosen = draw.permutation(list(names))
    inside, rest = chosen[:count].tolist(), chosen[count:].tolist()
    weights = np.exp(draw.normal(0, SPREAD, count))
    room = np.array([len(labelled.rows[name]) for name in inside])
    sizes = np.minimum(room, np.maximum(1, weights * np.quantile(room / weights, 0.3))).astype(int)
    share = draw.uniform(0.1, 0.4)
    wanted = int(sizes.sum() * share / (1 - share))
    known = np.concatenate([np.zeros(0, int), *(labelled.rows[name] for name in rest)])
    parts = [draw.choice(labelled.rows[name], size, replace=False) for name, size in zip(inside, sizes, strict=True)]
    parts.append(draw.choice(known, min(len(known), wanted // 2), replace=False))
    parts.append(draw.choice(labelled.outside, min(len(labelled.outside), wanted - len(parts[-1])), replace=False))
    truth = np.minimum(np.repeat(np.arange(len(parts)), [len(part) for part in parts]), count)
    return inside, np.concatenate(parts), truth


def planted(labelled: Labelled, names: Sequence[str], count: int, seed: int, find: Any = place) -> tuple[np.ndarray, ...]:
    """For a corpus as `drawn`: the error of each topic's share of the tokens in points, that of `other` last, and each page's topic as
    found and in truth."""
    inside, rows, truth = drawn(labelled, names, count, seed)
    topic = find(labelled.vectors[rows], labelled.of(inside)).topic
    found = np.where(topic < 0, count, topic)
    tokens = labelled.tokens[rows]
    errors = np.abs(np.bincount(found, tokens, count + 1) - np.bincount(truth, tokens, count + 1)) / tokens.sum()
    return 100 * errors, found, truth


def halves(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Every other name: those that the constants were chosen on, and those that are reported."""
    ordered = sorted(names)
    return ordered[::2], ordered[1::2]


def plain(vectors: np.ndarray, reference: Reference) -> Any:
    """The way without our three steps: the description (with its name) that lies nearest, `other` below the same floor."""
    first = np.searchsorted(reference.owner, np.arange(len(reference.topics)))
    likeness = vectors @ reference.points[first].T
    floor = place(vectors[:2], reference).floor
    topic = np.where(likeness.max(axis=1) < floor, -1, likeness.argmax(axis=1))
    return Placement(topic, likeness.max(axis=1), likeness, floor)


def shares(labelled: Callable[[int], Labelled], names: Sequence[str], count: int, find: Any = place) -> dict[str, Any]:
    """Over SEEDS corpora, each of the pages for its seed: the mean error and the worst share, the pages placed right, those of a topic
    that are called `other`, and those outside that are placed."""
    runs = [planted(labelled(seed), names, count, seed, find) for seed in range(SEEDS)]
    return {
        "means": [float(errors.mean()) for errors, *_ in runs], "worst": [float(errors.max()) for errors, *_ in runs],
        "right": [float((found == truth).mean()) for _, found, truth in runs],
        "lost": [float((found == count)[truth < count].mean()) for _, found, truth in runs],
        "taken": [float((found < count)[truth == count].mean()) for _, found, truth in runs],
    }  # fmt: skip


def against_pages(sets: Mapping[str, tuple[Labelled, Any, int]], names: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """A corpus held against another that is held out from it, by its labels: on the half not tuned on, and on the other."""
    rows = []
    for half, name, which in ((1, "", "topics not tuned on"), (0, "_tuned", "the half that the share below the floor was chosen on")):
        runs = {
            key: shares(lambda seed, of=labelled, pages=pages: HeldOut(of, pages, seed), halves(names[key])[half], count)
            for key, (labelled, pages, count) in sets.items()
        }
        joined = {told: [value for key in runs for value in runs[key][told]] for told in ("means", "worst", "lost", "taken", "right")}
        apart = lambda told: "; ".join(f"{key} {np.mean(runs[key][told]):.2f}" for key in runs)  # noqa: B023, E731
        span = lambda told: {"value": float(np.mean(joined[told])), "interval": (min(joined[told]), max(joined[told]))}  # noqa: B023, E731
        against = "against half of the labelled pages of 12 or 20 topics, the corpus drawn from the other half and from outside"
        how = f"{against}; {which}; worst share {max(joined['worst']):.1f}, {apart('means')}"
        rows.append(measure(f"coverage.share_mae_pages{name}", **span("means"), unit="points", better="lower", how=how))
        how = f"of the pages there that belong to a topic, called `other`; {which}; {apart('lost')}"
        rows.append(measure(f"coverage.other_pages{name}", **span("lost"), better="lower", how=how))
        how = f"of the pages there that belong to no topic, placed in one; {which}; {apart('taken')}"
        rows.append(measure(f"coverage.outside_placed_pages{name}", **span("taken"), better="lower", how=how))
    return rows


def against_clusters(labelled: Labelled, pages: Any, names: Sequence[str], count: int) -> list[dict[str, Any]]:
    """The same where no page of the reference has a label, so that its topics are clusters of it."""
    lost, taken = [], []
    for seed in range(CLUSTERED):
        held = HeldOut(labelled, pages, seed, clusters=True)
        inside, rows, truth = drawn(held, names, count, seed)
        other = place(held.vectors[rows], held.of(inside)).topic < 0
        lost.append(float(other[truth < count].mean()))
        taken.append(float((~other[truth == count]).mean()))
    how = f"where the reference has no labels, its topics being clusters; {CLUSTERED} corpora of forum posts, topics not tuned on"
    return [
        measure(f"coverage.{id}_clusters", float(np.mean(found)), interval=(min(found), max(found)), better="lower", how=f"{said}, {how}")
        for id, found, said in (
            ("other", lost, "pages that belong inside, called `other`"),
            ("outside_placed", taken, "pages that belong outside, placed in a topic"),
        )
    ]


def removed_ranks(labelled: Labelled, pages: Any, rows: np.ndarray, names: Sequence[str], reference: Reference) -> list[int]:
    """Where each topic stands in the ledger, sorted by gap, once its pages are gone from `rows`."""
    ranks = []
    for name in names:
        kept = np.setdiff1d(rows, labelled.rows[name])
        ledger = cover(pages.select(kept), labelled.vectors[kept], reference).gaps
        ranks.append(1 + list(ledger["topic"]).index(name))
    return ranks


def demo(limit: int) -> tuple[Any, np.ndarray]:
    """The demo in the size of a profile, cleaned, without copies; and its vectors."""
    statement = priors.default()
    pages = corpus.clean(corpus.load("demo", limit=limit).pages, statement).pages
    for step in (dedup.exact, dedup.near):
        pages, _ = dedup.drop(pages, step(pages))
    return pages, embedding.embed(pages).vectors


def rare_first(limit: int, profile: str) -> dict[str, Any]:
    """How many of the five topics planted thin are among the five widest gaps of the default priors."""
    pages, vectors = demo(limit)
    statement = priors.default()
    reference = from_taxonomy(texts.taxonomy(statement.find(statement.taxonomy)), statement.topics)
    widest = cover(pages, vectors, reference).gaps["topic"][:5].tolist()
    how = f"of the five topics planted thin, in the five widest gaps; `{profile}` profile, {len(pages):,} pages; {', '.join(widest)}"
    return measure(f"coverage.rare_first_{profile}", len(RARE & set(widest)), target=5, unit="topics", how=how)


def sample() -> tuple[Labelled, Any]:
    """The bundled pages with machine text around them; programming is no topic, since that is what machine text is on."""
    pages, vectors = demo(1_800)
    known = {f"sample#{row['id']}": row["topic"] for row in texts.sample_truth()}
    label = np.array([known.get(page, MACHINE) for page in pages["id"]])
    tokens = corpus.token_counts(pages["text"]).astype(float)
    outside = np.flatnonzero(label == MACHINE)
    return Labelled(vectors, tokens, label, from_taxonomy(texts.taxonomy()), outside), pages


def forums() -> tuple[Labelled, Any]:
    """The posts of FORUMS and of the groups OUTSIDE."""
    from datasets import Dataset

    rows = [row for row in real_data("reddit_selfposts") if row["label"] in FORUMS or row["coarse"] in OUTSIDE]
    pages = Dataset.from_dict({"text": [row["text"] for row in rows], "title": [row["title"] for row in rows]})
    vectors = embedding.embed(pages).vectors
    label = [row["label"] if row["label"] in FORUMS else "" for row in rows]
    tokens = corpus.token_counts(pages["text"]).astype(float)
    reference = from_taxonomy([Topic(name, name, said, 1.0, "") for name, said in FORUMS.items()])
    return Labelled(vectors, tokens, label, reference, np.flatnonzero(np.array(label) == "")), with_ids(pages)


def with_ids(pages: Any) -> Any:
    return pages.add_column("id", [f"post-{row}" for row in range(len(pages))])


def speed() -> dict[str, Any]:
    """Seconds to hold all posts against the everyday taxonomy, vectors at hand."""
    from datasets import Dataset

    rows = real_data("reddit_selfposts")
    pages = with_ids(Dataset.from_dict({"text": [row["text"] for row in rows], "title": [row["title"] for row in rows]}))
    vectors = embedding.embed(pages).vectors
    reference = from_taxonomy(texts.taxonomy())
    times = []
    for _ in range(3):
        start = time.perf_counter()
        cover(pages, vectors, reference)
        times.append(time.perf_counter() - start)
    how = f"{len(pages):,} posts against 36 topics, from stored vectors, intervals included; median of 3"
    return measure(
        "coverage.seconds", float(np.median(times)), interval=(min(times), max(times)), unit="s", target=60, better="lower", how=how
    )


def main() -> None:
    """Measure everything and write the table."""
    if sys.argv[1:] == ["seconds"]:
        write_results("coverage", [*earlier("coverage", lambda row: "seconds" not in row), speed()])
        return
    (bundled, pages), (posts, post_pages) = sample(), forums()
    names = {"sample": [name for name in bundled.topics if name != "programming"], "forums": posts.topics}
    sets = {"sample": (bundled, 12), "forums": (posts, 20)}
    measures: list[dict[str, Any]] = []
    found, baseline, tuned = ({key: shares(lambda _, key=key: sets[key][0], halves(names[key])[half], sets[key][1], find) for key in sets}
                              for half, find in ((1, place), (1, plain), (0, place)))  # fmt: skip
    both = [value for key in sets for value in found[key]["means"]]
    worst = [value for key in sets for value in found[key]["worst"]]
    low = {"better": "lower", "unit": "points"}
    how = f"mean over {len(both)} corpora of known uneven shares, half of bundled pages and half of forum posts; topics not tuned on"
    measures.append(measure("coverage.share_mae", float(np.mean(both)), target=2, interval=(min(both), max(both)), how=how, **low))
    how = f"the largest error of any share in any of these corpora, `other` among them; median corpus {np.median(worst):.1f}"
    measures.append(measure("coverage.share_worst", float(max(worst)), target=5, how=how, **low))
    said = {"sample": "12 of 18 or 17 everyday topics; the others, and machine text, are `other`",
            "forums": "20 of 26 or 27 subreddits, described by us; the others, and four groups of subreddits, are `other`"}  # fmt: skip
    for key in sets:
        for name, runs, which in (("", found, "topics not tuned on"), ("_plain", baseline, "the same, by the nearest description alone"),
                                  ("_tuned", tuned, "the half that the constants were chosen on")):  # fmt: skip
            means = runs[key]["means"]
            measures.append(measure(f"coverage.share_mae_{key}{name}", float(np.mean(means)), interval=(min(means), max(means)), **low,
                                    how=f"{which}; worst share {max(runs[key]['worst']):.1f}; {said[key]}"))  # fmt: skip
        right = found[key]["right"]
        measures.append(
            measure(
                f"coverage.placed_{key}",
                float(np.mean(right)),
                interval=(min(right), max(right)),
                how="pages placed right, topics not tuned on",
            )
        )
    measures += against_pages({"sample": (bundled, pages, 12), "forums": (posts, post_pages, 20)}, names)
    measures += against_clusters(posts, post_pages, halves(names["forums"])[1], 20)
    draw = np.random.default_rng(0)
    ten = {key: draw.permutation([n for n in halves(names[key])[1] if len(sets[key][0].rows[n]) > 20])[:10].tolist() for key in sets}
    everything = np.arange(len(pages))
    ranks = removed_ranks(bundled, pages, everything, ten["sample"], bundled.reference)
    inverse = [1 / rank for rank in ranks]
    said_ranks = ", ".join(map(str, ranks))
    how = f"10 of 36 topics removed in turn from the demo ({len(pages):,} pages); the five rare ones stay in; ranks {said_ranks}"
    measures.append(measure("coverage.removal_mrr", float(np.mean(inverse)), target=0.9, how=how))
    reported = posts.of(halves(names["forums"])[1])
    weight = 1 / len(reported.topics)
    equal = dataclasses.replace(reported, topics=tuple(dataclasses.replace(topic, weight=weight) for topic in reported.topics))
    rows = np.concatenate([posts.rows[topic.id] for topic in equal.topics])
    ranks = removed_ranks(posts, post_pages, np.sort(rows), ten["forums"], equal)
    how = f"the same for 10 of {len(equal.topics)} subreddits not tuned on, {len(rows):,} posts; ranks {', '.join(map(str, ranks))}"
    measures.append(measure("coverage.removal_mrr_forums", float(np.mean([1 / rank for rank in ranks])), target=0.9, how=how))
    measures += [rare_first(1_800, "small"), rare_first(10_000, "laptop"), speed()]
    write_results("coverage", measures)


if __name__ == "__main__":
    main()
