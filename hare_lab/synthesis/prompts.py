"""What is asked of a model: a template, filled with a topic, a reader, a style and a snippet of a page.

The snippet comes from the web and is data. It is cleaned before it goes in, it goes in last and in one pass, and nothing in
it is looked at again: whatever it says, the words before and after it stay the same (`frame`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from hare_lab.errors import InputError
from hare_lab.priors import DATA
from hare_lab.texts import D3_KINDS

FOLDER = DATA / "prompts"
SLOTS = ("topic", "description", "audience", "style", "seed")
TASKS = ("D2", "D3")
SNIPPET = 1_500  # characters of a page that a prompt shows: a page of the sample whole, a long one's beginning
_SLOT = re.compile(r"\{(topic|description|audience|style|seed)\}")
_NAMED = re.compile(r"\{([A-Za-z_]\w*)\}")
# What no prose needs and a model may take for more than prose: control, direction and zero-width characters, half surrogates.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
_FENCE = re.compile(r"[`\uff40\u02cb\u1fef]{4,}")  # backticks, and what NFKC or the eye makes of them
# Marks by which chat models tell who speaks. Inside a snippet they are broken with a space, so that no tokenizer reads them as one.
_MARKS = re.compile(
    r"<(?=\|)|(?<=\|)>|\[(?=/?INST\])|<(?=/?(?:s|bos|eos|pad|unk|SYS|start_of_turn|end_of_turn|tool_call|think)>)", re.IGNORECASE
)


@dataclass(frozen=True)
class Template:
    """A prompt with slots, as a file of the prompts folder holds it."""

    kind: str
    task: str
    words: tuple[int, int]
    text: str

    def frame(self, values: Mapping[str, str]) -> tuple[str, str]:
        """The prompt before the snippet and after it, all other slots filled: the same for every snippet."""
        before, after = self.text.split("{seed}")
        fill = lambda text: _SLOT.sub(lambda slot: values[slot[1]], text)  # noqa: E731
        return fill(before), fill(after)

    def fill(self, values: Mapping[str, str], seed: str) -> str:
        """The whole prompt. `seed` is cleaned by `snippet` here, so that no caller can forget it."""
        before, after = self.frame(values)
        return f"{before}{snippet(seed)}{after}"


@dataclass(frozen=True)
class Prompts:
    """The templates by kind, and the sentences that say for whom and how to write, by name."""

    templates: Mapping[str, Template]
    audiences: Mapping[str, str]
    styles: Mapping[str, str]

    def kinds(self, task: str) -> list[str]:
        """The kinds of a task, in order."""
        return sorted(kind for kind, template in self.templates.items() if template.task == task)


def read_prompts(folder: str | Path = FOLDER) -> Prompts:
    """The templates, audiences and styles of a folder.

    Raises
    ------
    InputError
        If a file is missing or malformed, a template has a slot that nothing fills, or one of D3 is of a kind that can't be read; names
        the file and the slot.
    """
    place = Path(folder)
    files = sorted(p for p in place.glob("*.md") if p.name != "README.md")
    if not files:
        raise InputError(f"{place} holds no prompt template; give a folder like data/prompts")
    found = [_template(path) for path in files]
    return Prompts({t.kind: t for t in found}, _sentences(place / "audiences.yaml"), _sentences(place / "styles.yaml"))


def snippet(text: str, length: int = SNIPPET) -> str:
    """A page's text as a prompt may show it: no way out of its fence, no mark of a chat, nothing unprintable, not too long."""
    folded = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n"))
    clean = _MARKS.sub(lambda mark: " >" if mark[0] == ">" else f"{mark[0]} ", _FENCE.sub("", _UNPRINTABLE.sub("", folded)))
    while _FENCE.search(clean):  # taking out one run may have joined two shorter ones
        clean = _FENCE.sub("", clean)
    if len(clean) <= length:
        return clean.strip()
    cut = clean[:length]
    end = max(cut.rfind(mark) + 1 for mark in (". ", "! ", "? ", ".\n", "\n\n"))
    return cut[: end if end > length // 2 else length].strip()


def _template(path: Path) -> Template:
    head, text = _parts(path)
    kind, task, slots, words = (head.get(name) for name in ("kind", "task", "slots", "words"))
    if kind != path.stem:
        raise InputError(f'{path}: "kind" is {kind!r}; it must be the file\'s name, {path.stem}')
    if task not in TASKS:
        raise InputError(f'{path}: "task" is {task!r}, not one of {", ".join(TASKS)}')
    if task == "D3" and kind not in D3_KINDS:
        raise InputError(f'{path}: no task item of the kind "{kind}" can be read; the kinds of D3 are {", ".join(D3_KINDS)}')
    if not isinstance(words, list) or len(words) != 2 or not all(isinstance(n, int) for n in words) or not 0 < words[0] <= words[1]:
        raise InputError(f'{path}: "words" must hold the least and the most words, as in [250, 400]')
    named = [*(slots if isinstance(slots, list) else []), *_NAMED.findall(text)]
    unknown = next((str(slot) for slot in named if slot not in SLOTS), None)
    if unknown:
        raise InputError(f"{path}: nothing fills the slot {{{unknown}}}; the slots are {', '.join(f'{{{slot}}}' for slot in SLOTS)}")
    if text.count("{seed}") != 1:
        raise InputError(f"{path}: the slot {{seed}} stands {text.count('{seed}')} times; put it in once, between fences")
    return Template(str(kind), str(task), (words[0], words[1]), text)


def _parts(path: Path) -> tuple[dict[str, Any], str]:
    """A file's front matter and the prompt below it."""
    content = path.read_text(encoding="utf-8")
    parts = re.match(r"---\n(.*?)\n---\n+(.*)", content, re.DOTALL)
    if not parts:
        raise InputError(
            f"{path}: has no front matter; begin with --- and the lines kind, task, slots and words, then --- (see its README)"
        )
    try:
        head = yaml.safe_load(parts[1])
    except yaml.YAMLError as error:
        raise InputError(f"{path}: the front matter is not valid YAML; mend the lines between the two ---") from error
    if not isinstance(head, dict):
        raise InputError(f"{path}: the front matter must hold the lines kind, task, slots and words")
    return head, parts[2].strip()


def _sentences(path: Path) -> dict[str, str]:
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"no file {path}; it holds a sentence a name, as data/prompts/{path.name} does") from error
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not valid YAML; write a name, a colon and a sentence in quotes") from error
    if not isinstance(found, dict) or not found or not all(isinstance(value, str) and value.strip() for value in found.values()):
        raise InputError(f"{path}: must hold a sentence for each name, as data/prompts/{path.name} does")
    return {str(name): value for name, value in found.items()}
