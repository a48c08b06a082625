"""From pages to a model folder: the tokenizer, the packing, the recipe and the training, in one call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hare_lab import models
from hare_lab.errors import InputError
from hare_lab.machine import drawn_by
from hare_lab.priors import Priors
from hare_lab.priors import default as default_priors
from hare_lab.tokenizing import ids_of
from hare_lab.training import mixture
from hare_lab.training.loop import fit
from hare_lab.training.packing import pack
from hare_lab.training.report import Progress, TrainingReport
from hare_lab.training.settings import Settings, batch_for
from hare_lab.training.tokens import load_tokenizer, train_tokenizer

if TYPE_CHECKING:
    from datasets import Dataset

CHECKPOINTS = "checkpoint"


@dataclass(frozen=True)
class Trained:
    """A trained model with its tokenizer and report; `save` makes it a folder that transformers loads."""

    model: Any
    tokenizer: Any
    report: TrainingReport
    priors: Priors

    def save(self, folder: str | Path) -> Path:
        """Write model (safetensors), tokenizer and model card into an existing folder."""
        target = Path(folder)
        save_model(self.model, self.tokenizer, target, model_card(self.report, self.priors, self.model.config))
        return target

    def say(self, prompt: str = "", *, tokens: int = 60, seed: int = 0, temperature: float = 0.8) -> str:
        """How the model goes on from `prompt` (or begins a page), drawn by `seed`."""
        return continuation(self.model, self.tokenizer, prompt, tokens=tokens, seed=seed, temperature=temperature)

    def _repr_html_(self) -> str:
        return self.report._repr_html_()


def train(
    pages: Dataset | Mapping[str, Dataset],
    model: str = "hare-5m",
    tokens: int = 1_000_000,
    *,
    out: str | Path | None = None,
    settings: Settings | None = None,
    tokenizer: Any = None,
    vocabulary: int | None = None,
    priors: Priors | None = None,
    first_stage: float = mixture.FIRST_STAGE,
    heldout: Dataset | None = None,
    seed: int = 0,
    watch: Callable[[Progress], bool | None] | None = None,
) -> Trained:
    """Train a new model of the ladder on pages.

    Parameters
    ----------
    pages : Dataset with a column `text`; or Datasets by part (D1, D2, D3), read in the paper's two stages
    model : its name in the ladder
    tokens : how many to read in all
    out : folder for checkpoints (in `out/checkpoint`); a run that was killed is gone on with from there
    tokenizer : a folder, a hub id or a tokenizer; default: one is learnt from the pages
    vocabulary : of a tokenizer that is learnt; default: the model's own
    priors : their mixture weighs the parts in the second stage; default: the bundled ones
    first_stage : share of the tokens for D1 alone, where there are several parts
    heldout : pages never trained on, for a second curve
    seed : of the first weights and the order of reading
    watch : as in `fit`

    Raises
    ------
    InputError
        As `fit`; and where there is no text, or a part or a size is unknown.
    """
    parts = dict(pages) if isinstance(pages, Mapping) else {"D1": pages}
    if not parts:
        raise InputError("training: no pages were given")
    size = models.shape(model)
    texts = {name: texts_of(part, name) for name, part in parts.items()}
    statement = priors or default_priors()
    stages = mixture.recipe(tuple(parts), vars(statement.mixture), first_stage=first_stage)
    if tokenizer is None:
        known = train_tokenizer((text for part in texts.values() for text in part), vocabulary or size.vocabulary)
    else:
        known = load_tokenizer(tokenizer) if isinstance(tokenizer, str | Path) else tokenizer
    how = settings or Settings(context=size.context, batch=batch_for(tokens, size.context))
    packed = {name: pack(part, known, how.context) for name, part in texts.items()}
    held = pack(texts_of(heldout, "heldout"), known, how.context) if heldout is not None else None
    special = {"bos_token_id": known.bos_token_id, "eos_token_id": known.eos_token_id, "pad_token_id": known.pad_token_id}
    built = models.build(model, vocabulary=len(known), seed=seed, train_context=how.context, **special)
    report = fit(
        built, packed, tokens, name=model, settings=how, stages=stages, seed=seed, heldout=held,
        folder=Path(out) / CHECKPOINTS if out else None, watch=watch,
    )  # fmt: skip
    return Trained(built, known, report, statement)


def save_model(model: Any, tokenizer: Any, folder: Path, card: str) -> None:
    """Write a standard model folder: config, safetensors, tokenizer, and the card as its README."""
    import transformers

    verbosity = transformers.utils.logging.get_verbosity()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    try:
        model.save_pretrained(folder, safe_serialization=True)
        tokenizer.save_pretrained(folder)
    finally:
        transformers.utils.logging.set_verbosity(verbosity)
        transformers.utils.logging.enable_progress_bar()
    (folder / "README.md").write_text(card, encoding="utf-8")


def continuation(model: Any, tokenizer: Any, prompt: str = "", *, tokens: int = 60, seed: int = 0, temperature: float = 0.8) -> str:
    """How a model goes on from `prompt`, drawn by `seed`; the caller's random state stays as it was."""
    import torch

    start = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    ids = [*start, *ids_of([prompt], tokenizer)[0]]
    with drawn_by(seed), torch.inference_mode():
        given = torch.tensor([ids or [tokenizer.eos_token_id]]).to(model.device)
        out = model.generate(
            given, attention_mask=torch.ones_like(given), max_new_tokens=tokens, do_sample=temperature > 0,
            temperature=temperature or None, top_k=50 if temperature > 0 else None, pad_token_id=tokenizer.pad_token_id,
        )  # fmt: skip
    text: str = tokenizer.decode(out[0], skip_special_tokens=True)
    return text


def model_card(report: TrainingReport, priors: Priors, config: Any) -> str:
    """The model card: what it is, what it read, how it was trained; in the hub's format."""
    import json

    read = "\n".join(f"- {part}: read {times:.2f} times" for part, times in report.repeats.items())
    notes = "\n".join(f"- {note}" for note in report.notes)
    held = f"; held out: {report.heldout_loss:.4f}" if report.heldout_loss is not None else ""
    return f"""---
library_name: transformers
pipeline_tag: text-generation
tags: [hare-lab]
---

# {report.model}

A small language model of Mistral's architecture, trained from nothing by HARE Lab to study training data. It is an instrument,
not a product: it says what its pages said, right or wrong.

| | |
|---|---|
| parameters | {report.parameters:,} |
| vocabulary, context | {config.vocab_size:,}, {getattr(config, "train_context", "?")} |
| tokens | {report.tokens:,} in {report.steps:,} steps{"" if report.finished else " (stopped early)"} |
| loss (nats a token) | {report.last_loss:.4f}{held} |
| precision, seed | {report.precision}, {report.seed} |
| data (hash of its tokens) | `{report.data}` |

## What it read

{read}
{notes}

## The priors

```json
{json.dumps(priors.to_dict(), indent=2, ensure_ascii=False)}
```
"""


def texts_of(pages: Any, name: str) -> Any:
    """The column `text`, read as it is asked for."""
    if "text" not in pages.column_names:
        raise InputError(f'training: {name} has no column "text", only {", ".join(pages.column_names)}; name it at load with --column')
    if not len(pages):
        raise InputError(f"training: {name} holds no page; give at least one")
    return pages["text"]
