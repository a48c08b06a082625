"""From a model that goes on to a model that answers: supervised fine-tuning on examples, all weights or LoRA.

The loop is that of training from nothing; only what is learnt differs. So a tuning run can be killed, and goes on to the
same losses.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from hare_lab.errors import InputError
from hare_lab.report_base import Report
from hare_lab.training import mixture
from hare_lab.training.examples import Example, pack_examples
from hare_lab.training.loop import default_rate, fit
from hare_lab.training.report import Progress, TrainingReport
from hare_lab.training.settings import Settings
from hare_lab.training.train import CHECKPOINTS, save_model

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

Method = Literal["full", "lora"]
LONGEST = 2_048  # tokens of a row, where neither the model nor the settings say less
SHORTEST = 256  # a row of short examples is no shorter, so that little of it is fill
STEPS = 25  # a reading of the examples takes at least so many steps where there are rows enough, so that few examples do teach
RATES: dict[str, float] = {"full": 0.25, "lora": 1.0}  # of the rate that the size was trained with from nothing; our choice


@dataclass(frozen=True)
class TuningReport(Report):
    """What `tune` did.

    Attributes
    ----------
    model : what was tuned
    examples, too_long : learnt from, and left out because they are longer than a row
    answers : tokens that were learnt in one reading
    epochs : readings asked for
    parameters, learnt : of the model, and how many of them could change (adapters included)
    training : the run itself: its curve, its speed
    """

    title: ClassVar[str] = "Fine-tuning"

    model: str
    method: str
    examples: int
    too_long: int
    answers: int
    epochs: float
    parameters: int
    learnt: int
    context: int
    batch: int
    learning_rate: float
    training: TrainingReport

    @property
    def finished(self) -> bool:
        return self.training.finished

    def table(self) -> pd.DataFrame:
        """The curve, one row a step."""
        return self.training.table()

    def figure(self, theme: str = "screen") -> go.Figure:
        """Loss of the answers against tokens."""
        return self.training.figure(theme)

    def _rows(self) -> list[tuple[str, Any]]:
        run = self.training
        left = f" ({self.too_long:,} left out, longer than {self.context} tokens)" if self.too_long else ""
        held = [("held-out loss", f"{run.heldout_loss:.3f}")] if run.heldout_loss is not None else []
        return [
            ("tuned from", place.name if (place := Path(self.model)).is_absolute() else self.model),  # cards travel, folders don't
            ("method", {"full": "all weights", "lora": "LoRA, merged"}[self.method]),
            ("learnt numbers", f"{self.learnt:,} beside {self.parameters:,}" if self.method == "lora" else self.learnt),
            ("examples", f"{self.examples:,}{left}"),
            ("answer tokens", self.answers),
            ("readings", f"{self.epochs:g}" + ("" if run.finished else " asked for; stopped early")),
            ("steps", f"{run.steps:,} of {self.batch} rows, peak learning rate {self.learning_rate:.2g}"),
            ("loss of the answers, nats", f"{run.first_loss:.3f} over the first twentieth of the steps, {run.last_loss:.3f} over the last"),
            *held,
            ("time", f"{run.seconds:.0f} s"),
            *(("note", note) for note in run.notes),
        ]  # fmt: skip


@dataclass(frozen=True)
class Tuned:
    """A tuned model with its tokenizer and report; `save` makes it a folder that transformers loads."""

    model: Any
    tokenizer: Any
    report: TuningReport

    def save(self, folder: str | Path) -> Path:
        """Write model (safetensors), tokenizer with its chat template, and model card; the folder is made where there is none."""
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        save_model(self.model, self.tokenizer, target, tuning_card(self.report))
        return target

    def _repr_html_(self) -> str:
        return self.report._repr_html_()


def tune(
    model: Any,
    tokenizer: Any,
    examples: Sequence[Example],
    *,
    epochs: float = 3,
    learning_rate: float | None = None,
    settings: Settings | None = None,
    method: Method = "full",
    heldout: Sequence[Example] = (),
    out: str | Path | None = None,
    name: str = "",
    seed: int = 0,
    watch: Callable[[Progress], bool | None] | None = None,
) -> Tuned:
    """Tune a causal language model, in place, on the answers of examples.

    Parameters
    ----------
    model, tokenizer : as transformers loads them; weights are learnt in fp32 whatever they came in
    examples : to learn from, in any order; those longer than a row are left out and counted
    epochs : how many times each is read; may be a fraction
    learning_rate : peak; default: a quarter of the rate that a model of this width is trained with from nothing, all of it with LoRA
    settings : default: as `tuning_settings` has them
    method : "full" learns every weight; "lora" adapters of rank 16 in every linear layer, merged into the model at the end, and the
        table rows of added tokens that occur in the examples
    heldout : never learnt from, for a second curve
    out : folder for checkpoints (in `out/checkpoint`); a run that was killed is gone on with from there
    name : what was tuned, for the report; default: as the model calls itself
    seed : of the order of the examples, and of the adapters
    watch : as in `fit`

    Raises
    ------
    InputError
        As `fit`; and if no example fits a row, an id is outside the model's vocabulary, or a setting is none.

    References
    ----------
    Loss on answers alone: Ouyang et al. (2022), "InstructGPT", section 3.4 (supervised). LoRA: Hu et al. (2021), arXiv 2106.09685.
    The default rates are our choice; see docs/tuning.md.
    """
    from contextlib import nullcontext

    from hare_lab.training import adapters

    if method not in ("full", "lora"):
        raise InputError(f'tuning: method "{method}" is unknown; choose full or lora')
    if not (math.isfinite(epochs) and epochs > 0):
        raise InputError(f"tuning: {epochs} readings of the examples are asked for; give a number above 0")
    if not examples:
        raise InputError("tuning: there is no example to learn from; give at least one")
    _known(model, [*examples, *heldout])
    called = name or getattr(model, "name_or_path", "") or "a model in memory"
    rate = learning_rate or (settings.learning_rate if settings else None) or RATES[method] * default_rate(model)
    how = settings or tuning_settings(model, tokenizer, examples)
    how = replace(how, learning_rate=rate, decay=0.0 if method == "lora" else how.decay)  # decay would move what is to stay
    context = how.context
    order = np.random.default_rng([seed, 0]).permutation(len(examples)).tolist()
    fitting = [examples[i] for i in order if len(examples[i].ids) <= context]
    if not fitting:
        raise InputError(f"tuning: none of the {len(examples):,} examples fits {context} tokens; give shorter ones or a longer context")
    pad = next(int(i) for i in (tokenizer.pad_token_id, tokenizer.eos_token_id, 0) if i is not None)
    rows = pack_examples(fitting, context, pad_id=pad)
    held = [example for example in heldout if len(example.ids) <= context]
    model.float()
    new = _added(tokenizer, fitting) if method == "lora" else []
    with adapters.adapted(model, new, seed) if method == "lora" else nullcontext(0) as still:
        learnt = sum(p.numel() for p in model.parameters() if p.requires_grad) - still
        run = fit(
            model, {"examples": rows}, math.ceil(epochs * len(rows)) * context, name=called, settings=how,
            stages=[mixture.Stage("one", 1.0, {"examples": 1.0})], seed=seed,
            heldout=pack_examples(held, context, pad_id=pad) if held else None,
            folder=Path(out) / CHECKPOINTS if out else None, watch=watch,
        )  # fmt: skip
    notes = tuple(note for note in run.notes if note.startswith("went on"))  # that each example is read often is the point here
    report = TuningReport(
        model=called, method=method, examples=len(fitting), too_long=len(examples) - len(fitting),
        answers=sum(sum(example.answer[1:]) for example in fitting), epochs=epochs, parameters=sum(p.numel() for p in model.parameters()),
        learnt=learnt, context=context, batch=how.batch, learning_rate=rate, training=replace(run, notes=notes),
    )  # fmt: skip
    return Tuned(model.eval(), tokenizer, report)


def tuning_card(report: TuningReport) -> str:
    """The model card: from what, on what, and how it was tuned; in the hub's format."""
    run = report.training
    rows = "\n".join(f"| {what} | {value:,} |" if isinstance(value, int) else f"| {what} | {value} |" for what, value in report._rows())
    return f"""---
library_name: transformers
pipeline_tag: text-generation
tags: [hare-lab]
---

# {Path(report.model).name}, tuned

Fine-tuned by HARE Lab on examples, their answers alone. It is an instrument to study training data, not a product: it says what its
examples said, right or wrong.

| | |
|---|---|
{rows}
| precision, seed | {run.precision}, {run.seed} |
| data (hash of its tokens) | `{run.data}` |
"""


def context_of(model: Any, tokenizer: Any) -> int:
    """How many tokens a model can read at once and was trained on, at most 2,048."""
    told = (getattr(model.config, key, None) for key in ("train_context", "max_position_embeddings"))
    return min(LONGEST, int(tokenizer.model_max_length), *(int(n) for n in told if n))


def tuning_settings(model: Any, tokenizer: Any, examples: Sequence[Example], context: int | None = None) -> Settings:
    """The usual settings: rows as long as the longest example needs and the model was trained for (or `context`), and batches that
    make one reading at least 25 steps where there are rows enough, of at most 16 rows."""
    most = context or context_of(model, tokenizer)
    fitting = [len(example.ids) for example in examples if len(example.ids) <= most]
    length = context or min(most, max(SHORTEST, -(-max(fitting, default=most) // 64) * 64))
    batch = max(1, min(16, sum(fitting) // length // STEPS))
    return Settings(context=length, batch=batch, micro=batch)


def _known(model: Any, examples: Sequence[Example]) -> None:
    size = model.get_input_embeddings().num_embeddings
    for number, example in enumerate(examples):
        if not 0 <= min(example.ids) <= max(example.ids) < size:
            raise InputError(
                f"tuning: example {number + 1} has a token that the model lacks (it knows {size:,}); use the model's own tokenizer"
            )


def _added(tokenizer: Any, examples: Sequence[Example]) -> list[int]:
    """The added tokens that occur in the examples; those that begin, end and fill a text were there before."""
    used = {token for example in examples for token in example.ids}
    before = {tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id, tokenizer.unk_token_id}
    return sorted(used & set(tokenizer.get_added_vocab().values()) - before)
