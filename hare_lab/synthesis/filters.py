"""Which replies are worth training on, and why does each of the others go?

`measure` looks at every reply from all sides, once; `judge` holds what was measured against thresholds and gives each reply
one reason, the first of `REASONS` that applies. So a threshold can be moved without measuring again. No filter knows more
than the reply, its request, the corpus, the benchmarks and the taxonomy.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hare_lab import leakage
from hare_lab.coverage import Reference
from hare_lab.coverage.placing import topic_scores
from hare_lab.dedup.words import words
from hare_lab.leakage import Items
from hare_lab.priors import Leakage, Priors
from hare_lab.synthesis.answers import Embed, second_answers
from hare_lab.synthesis.overlap import Runs, copied
from hare_lab.synthesis.parsing import Sample
from hare_lab.synthesis.prompts import Prompts
from hare_lab.synthesis.support import support
from hare_lab.synthesis.wording import frame_shingles, refusal, residue

if TYPE_CHECKING:
    import pandas as pd

    from hare_lab.texts import Topic

REASONS = {  # in the order in which they are asked; the first that applies is the reply's reason
    "no reply": "the model sent nothing that could be read",
    "refusal": "the reply refuses instead of writing",
    "template residue": "slots, greetings or words of the prompt are left in it",
    "schema": "a task item whose JSON or fields are not as asked",
    "length": "far shorter or longer than asked, or cut off in mid-sentence",
    "leaked": "it repeats a benchmark item",
    "copy of the seed": "runs of its words are the seed's",
    "near-duplicate": "it says what an accepted sample or a page of the corpus says, in the same words",
    "nothing new": "its word runs occur in the corpus already",
    "off topic": "it is about something else than was asked for",
    "low quality": "the quality score is below the priors' floor",
    "two right answers": "another option says the same as the answer",
    "not answerable": "the seed does not bear out the answer",
}
Score = Callable[[Sequence[str], NDArray[np.float32]], NDArray[np.float64]]
ENDINGS = tuple(".!?…:;)]\"'”’»*`_")


@dataclass(frozen=True)
class Thresholds:
    """Where each filter draws its line (docs/synthesis.md says on what evidence); all between 0 and 1 but `slack`.

    Attributes
    ----------
    slack : a D2 reply may be so many times shorter or longer than asked
    leak : how much of a benchmark item a reply may hold, and how much of its own n-grams may stand in items
    copied_text, copied_item : share of the words that stand in runs of the seed
    near : Jaccard similarity of 5-word runs
    known : share of 5-word runs that occur in the corpus
    elsewhere : by how much of a cosine another topic may suit a sample better: its nearest page and its description together
    quality : the least score of a D2 reply
    support : cosine of a task item's claim to the best sentence of its seed
    """

    slack: float = 1.5
    leak: float = 0.5
    copied_text: float = 0.1
    copied_item: float = 0.5
    near: float = 0.45
    known: float = 0.3
    elsewhere: float = 0.3
    quality: float = 0.0
    support: float = 0.42

    @classmethod
    def of(cls, priors: Priors) -> Thresholds:
        """The priors' own limits where they state them."""
        return cls(leak=priors.leakage.overlap, near=priors.duplication.near, quality=priors.quality.floor)


@dataclass(frozen=True)
class Context:
    """What replies are measured against.

    Attributes
    ----------
    pages : mapping of page id to text; the corpus
    vectors : float array of shape (n_pages, dimension), unit rows, in the order of `pages`
    placed : the topic of each page, in that order
    benchmark : the items that must stay unseen
    reference : what coverage is measured against: the taxonomy, weighted
    embed : texts -> unit vectors
    score : (texts, their vectors) -> quality in 0..1, as a `quality.Scorer` gives it; None measures no quality
    fit : ids of the pages that a prompt may start from; None allows all
    """

    pages: Mapping[str, str]
    vectors: NDArray[np.float32]
    placed: Sequence[str]
    benchmark: Items
    reference: Reference
    prompts: Prompts
    priors: Priors
    embed: Embed
    score: Score | None = None
    fit: frozenset[str] | None = None

    @property
    def topics(self) -> tuple[Topic, ...]:
        """The taxonomy."""
        return self.reference.topics

    @functools.cached_property
    def runs(self) -> Runs:
        """The word runs of every page, made once."""
        return Runs(list(self.pages.values()), 5)


def measure(samples: Sequence[Sample], context: Context) -> pd.DataFrame:
    """Everything that the filters ask about each reply, one row each, in order.

    Returns
    -------
    DataFrame with the columns
        words; refusal, residue, problem, second_answer (texts, "" if nothing was found); cut_off; leak; copied; alike (Jaccard
        similarity to the nearest page) and alike_page (its id); known; elsewhere (by how much another topic suits it better);
        quality (NaN where none is measured); support (NaN for D2).
    """
    import pandas as pd

    said = [sample.claim if sample.item else sample.text for sample in samples]
    table = pd.DataFrame({"words": [len((s.text if s.request.task == "D2" else s.reply).split()) for s in samples]})
    table["refusal"] = [refusal(sample.reply) for sample in samples]
    table["residue"] = _residues(samples, context)
    table["problem"] = [sample.problem for sample in samples]
    table["cut_off"] = [s.request.task == "D2" and not s.text.rstrip().endswith(ENDINGS) for s in samples]
    table["leak"] = leaks(samples, context.benchmark, context.priors.leakage)
    table["copied"] = [copied(text, context.pages[s.request.seed]) for text, s in zip(said, samples, strict=True)]
    table["alike"], table["alike_page"], table["known"] = _known(said, context)
    table["elsewhere"] = _elsewhere(samples, said, context)
    table["quality"] = _qualities(samples, context)
    choices = [at for at, sample in enumerate(samples) if "options" in sample.item]
    table["second_answer"] = ""
    doubles = second_answers([(samples[at].item["options"], samples[at].item["answer"]) for at in choices], context.embed)
    table.loc[choices, "second_answer"] = doubles
    items = [at for at, sample in enumerate(samples) if sample.item]
    table["support"] = np.nan
    bears = support([said[at] for at in items], [context.pages[samples[at].request.seed] for at in items], context.embed)
    table.loc[items, "support"] = bears
    return table


def twins(samples: Sequence[Sample], least: float = 0.2) -> list[tuple[int, int, float]]:
    """Pairs of replies that share word runs: (later, earlier, Jaccard similarity), from `least` on."""
    said = [sample.claim if sample.item else sample.text for sample in samples]
    runs = Runs(said, 5)
    pairs = []
    for at, text in enumerate(said):
        mine = runs.of(text)
        others, counts, _ = runs.shared(mine)
        before = others < at
        jaccard = counts[before] / (len(mine) + runs.sizes[others[before]] - counts[before])
        pairs += [(at, int(other), float(j)) for other, j in zip(others[before], jaccard, strict=True) if j >= least]
    return pairs


def judge(
    samples: Sequence[Sample], table: pd.DataFrame, pairs: Sequence[tuple[int, int, float]], limits: Thresholds
) -> list[tuple[str, str]]:
    """The reason and its detail for each reply, ("", "") for those that stay; of two alike, the earlier stays."""
    alike: dict[int, list[tuple[int, float]]] = {}
    for later, earlier, similarity in pairs:
        alike.setdefault(later, []).append((earlier, similarity))
    verdicts: list[tuple[str, str]] = []
    for at, (sample, row) in enumerate(zip(samples, table.itertuples(index=False), strict=True)):
        twin = next(((e, j) for e, j in alike.get(at, []) if j >= limits.near and not verdicts[e][0]), None)
        found = _tests(sample, row, twin, limits, samples)
        verdicts.append(next(((reason, found[reason]) for reason in REASONS if found.get(reason)), ("", "")))
    return verdicts


def _tests(sample: Sample, row: object, twin: tuple[int, float] | None, limits: Thresholds, samples: Sequence[Sample]) -> dict[str, str]:
    """Each reason that applies, with what was found."""
    see = row.__getattribute__
    item, least, most = bool(sample.item), *sample.request.words
    low, high = (least / limits.slack, most * limits.slack) if sample.request.task == "D2" else (least / 4, most * 4)
    size = f"{see('words')} words where {least} to {most} were asked"
    share = limits.copied_item if item else limits.copied_text
    near = ""
    if twin:
        near = f"shares {twin[1]:.0%} of its 5-word runs with the sample {samples[twin[0]].request.id}"
    elif see("alike") >= limits.near:
        near = f'shares {see("alike"):.0%} of its 5-word runs with the page "{see("alike_page")}"'
    return {
        "no reply": "" if sample.reply.strip() else "the reply is empty",
        "refusal": see("refusal") and f'says "{see("refusal")}"',
        "template residue": see("residue") and f'has "{see("residue")}"',
        "schema": see("problem") and f"the reply {see('problem')}",
        "length": size if not low <= see("words") <= high else "ends in mid-sentence" if see("cut_off") else "",
        "leaked": f"{see('leak'):.0%} of a benchmark item is in it, or of it in benchmark items" if see("leak") > limits.leak else "",
        "copy of the seed": f"{see('copied'):.0%} of its words stand in runs of the seed" if see("copied") >= share else "",
        "near-duplicate": near,
        "nothing new": f"{see('known'):.0%} of its 5-word runs are in the corpus" if see("known") >= limits.known and not item else "",
        "off topic": f"another topic suits it better by {see('elsewhere'):.2f}" if see("elsewhere") > limits.elsewhere else "",
        "low quality": f"scores {see('quality'):.2f}" if see("quality") < limits.quality else "",  # NaN is not below it
        "two right answers": see("second_answer") and f'"{see("second_answer")}" is as right as "{sample.item["answer"]}"',
        "not answerable": f"cosine {see('support'):.2f} to the seed's best sentence" if see("support") < limits.support else "",
    }


def leaks(samples: Sequence[Sample], benchmark: Items, settings: Leakage) -> NDArray[np.float64]:
    """How much of a benchmark each reply gives away, 0 to 1, as `leakage.find` says it with the n of D2 and of D3.

    References
    ----------
    Zhang et al. (2024), arXiv 2406.11410, appendix A.4.
    """
    from datasets import Dataset

    found = np.zeros(len(samples))
    for task, kind in (("D2", "synthetic"), ("D3", "task")):
        rows = [at for at, sample in enumerate(samples) if sample.request.task == task]
        if rows and len(benchmark):
            told = Dataset.from_dict({"id": [str(at) for at in rows], "text": [samples[at].text for at in rows]})
            found[rows] = leakage.find(told, benchmark, settings, kind=kind).leak
    return found


def _residues(samples: Sequence[Sample], context: Context) -> list[str]:
    frames: dict[tuple[str, ...], NDArray[np.uint64]] = {}
    found = []
    for sample in samples:
        request = sample.request
        key = (request.topic, request.kind, request.audience, request.style)
        if key not in frames:
            topic = next((t for t in context.topics if t.id == request.topic), None)
            values = {
                "topic": topic.name if topic else request.topic, "description": topic.description if topic else "",
                "audience": context.prompts.audiences.get(request.audience, ""), "style": context.prompts.styles.get(request.style, ""),
            }  # fmt: skip
            frames[key] = frame_shingles(context.prompts.templates[request.kind].frame(values))
        found.append(residue(sample.text.replace("____", ""), frames[key]))
    return found


def _known(said: Sequence[str], context: Context) -> tuple[list[float], list[str], list[float]]:
    """The nearest page by word runs: its similarity and id; and the share of runs that any page has."""
    ids, runs = list(context.pages), context.runs
    rows = []
    for text in said:
        mine = runs.of(text)
        page, similarity = runs.most_alike(mine)
        known = runs.shared(mine)[2]
        rows.append((similarity, ids[page] if page >= 0 else "", float(known.mean()) if len(known) else 0.0))
    return [row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows]


def _elsewhere(samples: Sequence[Sample], said: Sequence[str], context: Context) -> NDArray[np.float64]:
    """By how much another topic suits each sample better than the one that was asked for; below 0 where none does.

    The sum of two cosine differences: of the nearest page of another topic over the nearest of its own (those placed in it, and
    the sample's seed), and of the description that fits best over that of its topic. Either alone is fooled by a story.
    """
    place, names = {page: at for at, page in enumerate(context.pages)}, [topic.id for topic in context.topics]
    vectors = context.embed([text if text.strip() else "." for text in said])
    cosines, fits = vectors @ np.asarray(context.vectors).T, topic_scores(vectors, context.reference)
    own = {topic: np.array([placed == topic for placed in context.placed]) for topic in {s.request.topic for s in samples}}
    found = np.zeros(len(said))
    for at, sample in enumerate(samples):
        mine = own[sample.request.topic].copy()
        mine[place[sample.request.seed]] = True
        nearer = cosines[at][~mine].max(initial=-1.0) - cosines[at][mine].max()
        fitter = fits[at].max() - fits[at][names.index(sample.request.topic)] if sample.request.topic in names else 0.0
        found[at] = nearer + fitter
    return found


def _qualities(samples: Sequence[Sample], context: Context) -> NDArray[np.float64]:
    """The score of running text; task items are too short to be scored."""
    found = np.full(len(samples), np.nan)
    long = [at for at, sample in enumerate(samples) if sample.request.task == "D2" and words(sample.text)]
    if context.score is not None and long:
        told = [samples[at].text for at in long]
        found[long] = context.score(told, context.embed(told))
    return found
