"""Who asks the questions? lm-evaluation-harness, so that a score means what it means elsewhere.

A task of ours is written as its YAML and JSON lines into a folder aside and run from there, with no network and without the
harness reading through its thousands of built-in tasks; a task of theirs goes by its name, from the hub. Whole sentences side
by side (minimal pairs, filled gaps) are scored here in large batches, by the same sum of log-probabilities;
tests/test_evaluation.py holds the two to the same answers.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import random
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from hare_lab.errors import InputError
from hare_lab.evaluation.language_model import LanguageModel, text_log_likelihoods
from hare_lab.evaluation.scores import Score, Scores
from hare_lab.evaluation.tasks import Task

# The six of the paper's table 1: task -> (shots, metric, chance), the scores that the Open LLM Leaderboard took. TruthfulQA's
# chance depends on its items and is taken from them.
PAPER: Mapping[str, tuple[int, str, float]] = {
    "mmlu": (5, "acc", 0.25), "arc_challenge": (25, "acc_norm", 0.25), "truthfulqa_mc2": (0, "acc", float("nan")),
    "winogrande": (5, "acc", 0.5), "hellaswag": (10, "acc_norm", 0.25), "gsm8k": (5, "exact_match", 0.0),
}  # fmt: skip
SHARES = ("acc_norm", "acc", "exact_match", "em", "f1")  # the scores of other tasks of theirs, the first that there is
BATCH = 64  # sequences that the harness gives the model at once
NOISY = ("lm_eval", "lm-eval", "datasets", "absl", "evaluate", "transformers")


def run_tasks(model: LanguageModel, tasks: Sequence[Task | str], *, limit: int | None = None, seed: int = 0) -> Scores:
    """Score a model on tasks.

    Parameters
    ----------
    tasks : tasks of ours, or names of the harness's own, which come from the hub; the paper's six take the paper's shots. A tag or a
        pattern (`arc_*`) gives a score for each of its tasks
    limit : at most so many items of each of the harness's own (ours are cut when they are read)
    seed : of the harness's draws of examples

    Raises
    ------
    InputError
        If a name is unknown, the hub can't be reached, or a task has no score that is a share, such as one of perplexities.
    """
    if not tasks:
        raise InputError("no task to run; give at least one")
    names = [t if isinstance(t, str) else t.name for t in tasks]
    twice = next((n for n in names if names.count(n) > 1), None)
    if twice:
        raise InputError(f'two tasks are called "{twice}"; give each a name of its own')
    own = [t for t in tasks if not isinstance(t, str) and t.kind == "choice"]
    choices = {score.task: score for score in (_with_harness(model, own, seed) if own else [])}
    found: dict[str, Score] = {}
    for task in tasks:
        if isinstance(task, str):
            found |= {score.task: score for score in _from_hub(model, task, limit, seed)}
        else:
            found[task.name] = score_pairs(model, task) if task.kind == "pair" else choices[task.name]
    return Scores(model.name, tuple(found.values()))


def score_pairs(model: LanguageModel, task: Task) -> Score:
    """The share of items whose right sentence the model finds the likeliest; where several are equally likely, its share of them.

    Each sentence counts with the sum of the log-probabilities of its tokens, after the token that begins a text.

    References
    ----------
    Warstadt et al. (2020), "BLiMP", TACL 8, section 4: full-sentence probabilities.
    """
    return Score.of(task.name, "acc", float(np.mean(right_pairs(model, task))), len(task.items), task.chance)


def right_pairs(model: LanguageModel, task: Task) -> np.ndarray:
    """For each item 1 if the right sentence is the likeliest, a share of it where it ties, else 0. Shape (n_items,)."""
    flat = [sentence for item in task.items for sentence in item.choices]
    found = text_log_likelihoods(model, model.encode(flat), what=task.name)
    right, position = np.zeros(len(task.items)), 0
    for row, item in enumerate(task.items):
        values = found[position : position + len(item.choices)]
        best = values == values.max()
        right[row] = best[item.gold] / best.sum()
        position += len(item.choices)
    return right


def write_task(task: Task, folder: Path) -> Path:
    """A task as lm-evaluation-harness reads it (`lm_eval --include_path FOLDER --tasks NAME`): NAME.yaml beside NAME.jsonl."""
    rows = folder / f"{task.name}.jsonl"
    with rows.open("w", encoding="utf-8") as file:
        for item in task.items:
            file.write(json.dumps({"context": item.context, "choices": list(item.choices), "gold": item.gold}) + "\n")
    config = {
        "task": task.name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(rows)}, "cache_dir": str(folder / "cache")},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "context" if task.kind == "choice" else "",
        "doc_to_choice": "choices",
        "doc_to_target": "gold",
        "target_delimiter": " " if task.kind == "choice" else "",
        "num_fewshot": 0,
        "metric_list": [{"metric": m, "aggregation": "mean", "higher_is_better": True} for m in ("acc", "acc_norm")],
    }
    target = folder / f"{task.name}.yaml"
    target.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    return target


def _with_harness(model: LanguageModel, tasks: Sequence[Task], seed: int) -> list[Score]:
    with tempfile.TemporaryDirectory(prefix="hare-tasks-") as folder, _quiet(bars=False):
        from lm_eval.tasks import TaskManager

        for task in tasks:
            _fits(model, task)
            write_task(task, Path(folder))
        manager = TaskManager(include_path=folder, include_defaults=False)
        results = _evaluate(model, [t.name for t in tasks], manager, None, None, seed)
    scores = []
    for task in tasks:
        got = results["results"][task.name]
        scores.append(Score.of(task.name, "acc", got["acc,none"], len(task.items), task.chance, stderr=_number(got["acc_stderr,none"])))
    return scores


def _fits(model: LanguageModel, task: Task) -> None:
    """Check that the model can read every choice at once; what stands before it is cut from the left, as the harness does."""
    flat = [(item.id, f" {choice}") for item in task.items for choice in item.choices]
    for (item, _), ids in zip(flat, model.encode([text for _, text in flat]), strict=True):
        if len(ids) > model.context:
            raise InputError(
                f'task {task.name}: a choice of item "{item}" has {len(ids)} tokens, but {model.name} reads {model.context} at once'
            )


def _from_hub(model: LanguageModel, name: str, limit: int | None, seed: int) -> list[Score]:
    """One of the harness's own tasks, or each of those that a tag or pattern names; the paper's six with the paper's shots and metric."""
    shots, metric, chance = PAPER.get(name, (None, "", float("nan")))
    if _offline():
        raise InputError(f'task "{name}" comes from the hub, and HF_HUB_OFFLINE is set; give a file of items, or `bundled`')
    with _quiet(bars=True):
        from lm_eval.tasks import TaskManager

        manager = TaskManager()
        named = manager.match_tasks([name])
        if not named:
            raise InputError(f'no file and no task of lm-evaluation-harness is called "{name}"; `lm_eval ls tasks` lists them')
        try:
            results = _evaluate(model, named, manager, shots, limit, seed)
        except (ConnectionError, OSError) as error:
            raise InputError(f'task "{name}" comes from the hub, which can\'t be reached; give a file of items, or `bundled`') from error
        except ValueError as error:
            if "Duplicate task" not in str(error):
                raise
            some = ", ".join(named[:8])
            raise InputError(f'"{name}" names a task twice, alone and in a group; name those that you want, of {some}') from error
    return [_share(results, one, metric, chance, shots) for one in _members(results, name)]


def _members(results: Any, name: str) -> list[str]:
    """The names with a score of their own that a name stands for: itself, or what is in a tag, a pattern, a group without a mean."""
    got, groups = results["results"], results.get("group_subtasks", {})
    if name in got and (name not in groups or any("," in key for key in got[name])):
        return [name]
    inside = {task for tasks in groups.values() for task in tasks}
    return [one for task in groups.get(name) or [task for task in got if task not in inside] for one in _members(results, task)]


def _leaves(results: Any, name: str) -> list[str]:
    return [leaf for task in results.get("group_subtasks", {}).get(name, ()) for leaf in _leaves(results, task)] or [name]


def _share(results: Any, name: str, metric: str, chance: float, shots: int | None) -> Score:
    """What a task's results say in the metric, or in the usual one of those that are shares: a perplexity is no score beside others."""
    got, better = results["results"][name], results.get("higher_is_better", {}).get(name, {})
    told = {key: key.partition(",")[0] for key in got if "," in key and "_stderr" not in key}
    usual = [key for key, one in told.items() if one == (metric or one) and better.get(one) is not False]
    keys = [key for key in usual if (value := _number(got[key])) is not None and 0 <= value <= 1]
    if not keys:
        has = ", ".join(dict.fromkeys(told.values())) or "nothing"
        raise InputError(f'task "{name}" gives no {metric or "share of right answers"}, only {has}; leave it out')
    key = min(keys, key=lambda k: SHARES.index(told[k]) if told[k] in SHARES else len(SHARES))
    leaves = _leaves(results, name)
    items = sum(results["n-samples"][leaf]["effective"] for leaf in leaves)
    error = _number(got.get(f"{told[key]}_stderr,{key.partition(',')[2]}"))
    return Score.of(name, told[key], got[key], items, _chance(results, chance, leaves), shots=shots or 0, stderr=error)


def _evaluate(model: LanguageModel, names: list[str], manager: Any, shots: int | None, limit: int | None, seed: int) -> Any:
    from unittest.mock import patch

    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM

    engine = HFLM(pretrained=model.model, tokenizer=model.tokenizer, batch_size=BATCH, max_length=model.context)
    note = "lm_eval.evaluator."  # it asks pip for its list each time, which takes seconds, and git, which complains where there is none
    with patch(f"{note}add_env_info", lambda results: None), patch(f"{note}get_git_commit_hash", lambda: None):
        return simple_evaluate(
            model=engine, tasks=names, task_manager=manager, num_fewshot=shots, limit=limit, bootstrap_iters=0 if shots is None else 1_000,
            random_seed=seed, numpy_random_seed=seed, torch_random_seed=seed, fewshot_random_seed=seed,
        )  # fmt: skip


def _chance(results: Any, told: float, tasks: Sequence[str]) -> float:
    """What guessing reaches on a task of theirs, from its items: one over the choices; for TruthfulQA the share of true answers."""
    if told == told:
        return told
    docs = [sample for task in tasks for sample in results.get("samples", {}).get(task, ())]
    labels = [s["doc"]["mc2_targets"]["labels"] for s in docs if "mc2_targets" in s.get("doc", {})]
    if labels:
        return float(np.mean([np.mean(row) for row in labels]))
    counts = [len(s["arguments"]) for s in docs if len(s.get("arguments", ())) > 1]
    return float(np.mean([1 / n for n in counts])) if counts else 0.0


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and value == value else None


def _offline() -> bool:
    return os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on")


@contextlib.contextmanager
def _quiet(*, bars: bool) -> Iterator[None]:
    """The harness without its talk and its lasting effect on the random numbers of the process; with its bars where it takes long."""
    import torch
    from datasets import disable_progress_bars, enable_progress_bars, is_progress_bar_enabled

    levels = {name: logging.getLogger(name).level for name in NOISY}
    states = random.getstate(), np.random.get_state(), torch.random.get_rng_state()
    had = is_progress_bar_enabled()
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.ERROR)
    disable_progress_bars()
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(sys.stderr if bars else io.StringIO()):
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        if had:
            enable_progress_bars()
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.random.set_rng_state(states[2])
