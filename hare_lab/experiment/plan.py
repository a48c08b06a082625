"""What will be compared, on what, and what is expected: written down before the first step, and never changed after it.

A plan is a small YAML file. Its hash covers everything in it; every cell carries that hash, and a folder takes one plan only.
Another hypothesis, another arm or another seed is another experiment.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from hare_lab.curation import METHODS
from hare_lab.errors import InputError
from hare_lab.models import shape
from hare_lab.report_base import html_table, plain
from hare_lab.whole_files import write_text
from hare_lab.yaml_files import read_yaml

PARTS = ("D1", "D2", "D3")
LEVELS = {"random": 0.0, "priors": 2.0}  # priors at work in a choice: none, quality and diversity; any one of them counts 1


@dataclass(frozen=True)
class Arm:
    """One way to choose the training pages.

    Attributes
    ----------
    method : a method of `curation`
    parts : D1 alone, or with the synthetic parts
    leaked : share of the training tokens that are benchmark items, to see whether the leakage test finds out
    budget : multiple of the plan's tokens; a baseline that goes on for longer shows how many tokens it needs, and is not compared
        with the arms of equal tokens
    crawl : draw from the pages as they came, copies and junk among them, where the material has them; random arms only
    """

    name: str
    method: str = "random"
    parts: tuple[str, ...] = ("D1",)
    leaked: float = 0.0
    budget: float = 1.0
    crawl: bool = False

    def __post_init__(self) -> None:
        if self.crawl and self.method != "random":
            raise InputError(f'"crawl" of arm "{self.name}": only random pages can be drawn from the crawl as it came')
        if self.method not in METHODS:
            raise InputError(f'"method" of arm "{self.name}" is "{self.method}"; choose one of {", ".join(METHODS)}')
        if not self.parts or self.parts[0] != "D1" or any(part not in PARTS for part in self.parts):
            raise InputError(f'"parts" of arm "{self.name}" must be D1, or D1 and some of D2 and D3')
        if not 0 <= self.leaked < 1:
            raise InputError(f'"leaked" of arm "{self.name}" is {self.leaked}; it is a share, from 0 to below 1')
        if not self.budget > 0:
            raise InputError(f'"budget" of arm "{self.name}" is {self.budget}; it is a multiple of the tokens, above 0')

    @property
    def level(self) -> float:
        """How many human priors are at work (our scale): quality, diversity, synthetic text, tasks."""
        return LEVELS.get(self.method, 1.0) + len(self.parts) - 1


@dataclass(frozen=True)
class Plan:
    """An experiment before its first step.

    Attributes
    ----------
    name, hypothesis : for people; the hypothesis is quoted beside the result
    kind : `confirmatory` is listed for ever; `tuning` is for finding settings, on other topics and seeds
    arms, ours, baseline : the arms, and the names of the two that the hypothesis is about
    seeds : of weights and order, the same for every arm
    more_seeds : further seeds of ours and the baseline alone
    tokens : read by each arm
    set_tokens : how large each arm's set is; a smaller set is read several times. 0: as large as what is read
    model, vocabulary, context, batch : the trained model; vocabulary 0 takes the model's own
    sample : pages held out of each topic for the score, at most
    held_out : share of the pages that no choice and no training sees
    looks : how often the held-out loss is looked at on the way
    look_sample : held-out pages of each topic that a look reads, at most; the score after the last step reads all of `sample`
    tasks : further scores after the last step (bundled)
    items : of each task, at most; 0 asks all
    run : the run whose pages are used; other callers hand their pages over
    pool_seed : of the held-out pages and of draws that no cell makes
    """

    name: str
    hypothesis: str
    arms: tuple[Arm, ...]
    kind: Literal["confirmatory", "tuning"] = "confirmatory"
    ours: str = "priors"
    baseline: str = "random"
    seeds: tuple[int, ...] = (0, 1, 2)
    more_seeds: tuple[int, ...] = ()
    tokens: int = 400_000
    set_tokens: int = 0
    model: str = "hare-1m"
    vocabulary: int = 0
    context: int = 256
    batch: int = 16
    sample: int = 10
    held_out: float = 0.1
    looks: int = 10
    look_sample: int = 3
    tasks: tuple[str, ...] = ()
    items: int = 0
    run: str = "demo"
    pool_seed: int = 0

    def __post_init__(self) -> None:
        shape(self.model)
        names = [arm.name for arm in self.arms]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise InputError(f'"arms" has "{twice}" twice; give each arm a name of its own')
        for key in ("ours", "baseline"):
            if getattr(self, key) not in names:
                raise InputError(f'"{key}" is "{getattr(self, key)}", which is no arm; the arms are {", ".join(names) or "none"}')
        if self.arm(self.ours).budget != self.arm(self.baseline).budget:
            raise InputError(f'"{self.ours}" and "{self.baseline}" are to be compared, so they need the same "budget"')
        seeds = [*self.seeds, *self.more_seeds]
        if not self.seeds or len(set(seeds)) < len(seeds):
            raise InputError('"seeds" must hold at least one seed, and no seed twice in "seeds" and "more_seeds"')
        for key in ("tokens", "context", "batch", "sample", "looks", "look_sample"):
            if getattr(self, key) < 1:
                raise InputError(f'"{key}" is {getattr(self, key)}; it must be 1 or more')
        if not 0 < self.held_out < 1:
            raise InputError(f'"held_out" is {self.held_out}; it must lie between 0 and 1')
        unknown = [task for task in self.tasks if task != "bundled"]
        if unknown:
            raise InputError(f'"tasks" names "{unknown[0]}"; an experiment asks "bundled" or nothing (evaluate the saved models on more)')

    @property
    def hash(self) -> str:
        """What this plan is known by: it changes with anything in it."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()[:16]

    def arm(self, name: str) -> Arm:
        return next(arm for arm in self.arms if arm.name == name)

    def cells(self) -> tuple[tuple[Arm, int], ...]:
        """Every arm with every seed, seed by seed, so that after each round all arms stand side by side."""
        first = [(arm, seed) for seed in self.seeds for arm in self.arms]
        pair = [arm for arm in self.arms if arm.name in (self.ours, self.baseline)]
        return tuple(first + [(arm, seed) for seed in self.more_seeds for arm in pair])

    def tokens_of(self, arm: Arm) -> int:
        return round(self.tokens * arm.budget)

    def set_of(self, arm: Arm) -> int:
        return round((self.set_tokens or self.tokens) * arm.budget)

    def to_dict(self) -> dict[str, Any]:
        values: dict[str, Any] = plain(self)
        return values

    def save(self, path: Path) -> Path:
        """Write the plan as YAML.

        Raises
        ------
        InputError
            If it can't be written.
        """
        return write_text(path, yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True))

    def _repr_html_(self) -> str:
        rows = [
            ("hypothesis", self.hypothesis),
            ("kind", self.kind),
            ("hash", self.hash),
            ("ours, against", f"{self.ours}, against {self.baseline}"),
        ]
        rows += [("arms", "; ".join(f"{a.name} ({a.method}{', leaked' if a.leaked else ''}, {'+'.join(a.parts)})" for a in self.arms))]
        rows += [
            (
                "seeds",
                ", ".join(map(str, self.seeds))
                + (f"; ours and baseline also {', '.join(map(str, self.more_seeds))}" if self.more_seeds else ""),
            )
        ]
        rows += [("each cell", f"{self.model}, {self.tokens:,} tokens"), ("cells", str(len(self.cells())))]
        return html_table(rows, caption=f"Plan: {self.name}")


def read_plan(path: str | Path) -> Plan:
    """A plan from its YAML file.

    Raises
    ------
    InputError
        If the file is missing or not YAML, has an unknown key, a wrong type or a value out of range; names file and line.
    """
    plan: Plan = read_yaml(path, Plan, "plan")
    return plan
