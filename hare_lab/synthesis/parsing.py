"""What did the model reply? Running text as it is; a task item as JSON, mended once, its schema checked, its options shuffled.

Mending takes away what stands around the object (fences, a sentence before it) and commas before a closing bracket. It never
invents what is missing: half a JSON stays a malformed reply.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hare_lab.synthesis.plan import Request

GAP = "____"
FIELDS: Mapping[str, tuple[str, ...]] = {
    "multiple-choice": ("question", "options", "answer"),
    "question-answering": ("question", "answer"),
    "cloze": ("text", "answer"),
    "summarisation": ("summary",),
}
LETTERS = "ABCD"
_FENCED = re.compile(r"^\s*```+[a-zA-Z]*\s*\n?(.*?)\n?\s*```+\s*$", re.DOTALL)
_THOUGHT = re.compile(r"^\s*<think>.*?</think>\s*", re.DOTALL)  # what a reasoning model says to itself


@dataclass(frozen=True)
class Sample:
    """A reply, read: `text` is what a model would be trained on, `item` the fields of a task item, `problem` why there is none."""

    request: Request
    reply: str
    text: str
    item: Mapping[str, Any]
    problem: str = ""
    mended: str = ""

    @property
    def claim(self) -> str:
        """What a task item says is right, as one text: the words that its seed has to bear out."""
        if "options" in self.item or "question" in self.item:
            return f"{self.item['question']} {self.item['answer']}"
        if "summary" in self.item:
            return str(self.item["summary"])
        return str(self.item["text"]).replace(GAP, str(self.item["answer"])) if self.item else self.text


def parse(request: Request, reply: str, *, seed: int = 0) -> Sample:
    """Read one reply.

    Parameters
    ----------
    request : what was asked
    reply : what came, as it came
    seed : int
        With the request, where the right answer of a multiple-choice item lands among its options.
    """
    reply = _THOUGHT.sub("", _whole(reply))
    if request.task == "D2":
        return Sample(request, reply, reply.strip(), {})
    found, mended = _object(reply)
    problem = "holds no JSON object" if found is None else _schema(request.kind, found)
    if problem or found is None:
        return Sample(request, reply, reply.strip(), {}, problem, mended)
    item = {name: [o.strip() for o in found[name]] if name == "options" else found[name].strip() for name in FIELDS[request.kind]}
    if request.kind == "multiple-choice":
        item["options"] = _shuffled(item["options"], request, seed)
    return Sample(request, reply, as_text(request, item), item, "", mended)


def as_text(request: Request, item: Mapping[str, Any]) -> str:
    """A task item in natural language, as a model is trained on it."""
    if request.kind == "multiple-choice":
        options = "\n".join(f"{letter}. {option}" for letter, option in zip(LETTERS, item["options"], strict=True))
        return f"Question: {item['question']}\n{options}\nAnswer: {LETTERS[item['options'].index(item['answer'])]}. {item['answer']}"
    if request.kind == "question-answering":
        return f"Question: {item['question']}\nAnswer: {item['answer']}"
    if request.kind == "cloze":
        return f"Fill the gap: {item['text']}\nAnswer: {item['answer']}"
    return f"Summary: {item['summary']}"


def again(request: Request, problem: str) -> str:
    """What a live model is asked once more when its item can't be read: the same prompt, and what was wrong."""
    fields = ", ".join(f'"{name}"' for name in FIELDS[request.kind])
    return f"{request.prompt}\n\nAn earlier reply {problem}. Reply with one valid JSON object with the keys {fields}, and nothing else."


def _object(reply: str) -> tuple[dict[str, Any] | None, str]:
    """The JSON object in a reply and how it was mended ("" where it needed nothing)."""
    text, mended = reply.strip(), []
    tries = [("", text)]
    if fenced := _FENCED.match(text):
        text = fenced[1].strip()
        mended.append("fence")
    elif "{" in text and (not text.startswith("{") or not text.endswith("}")):
        text = text[text.index("{") : text.rindex("}") + 1] if "}" in text[text.index("{") :] else text
        mended.append("words around it")
    tries.append((", ".join(mended), text))
    tries.append((", ".join([*mended, "comma"]), _without_commas(text)))
    for how, candidate in tries:
        try:
            found = json.loads(_whole(json.dumps(json.loads(candidate, strict=False), ensure_ascii=False)))
        except (ValueError, RecursionError):  # no JSON, a number of thousands of digits, or nested too deep
            continue
        return (found, how) if isinstance(found, dict) else (None, how)
    return None, ""


def _whole(text: str) -> str:
    """The text with "?" for each half of a surrogate pair, which JSON may escape and Arrow can't hold."""
    return text.encode("utf-8", "replace").decode()


def _without_commas(text: str) -> str:
    """Without the commas before a closing bracket, those inside strings left alone."""
    parts = re.split(r'("(?:[^"\\]|\\.)*")', text)
    joined = "".join(part if at % 2 else part.replace(",", "\x00") for at, part in enumerate(parts))
    return re.sub("\x00(\\s*[}\\]])", r"\1", joined).replace("\x00", ",")


def _schema(kind: str, found: Mapping[str, Any]) -> str:
    """What is wrong with an item, in words that follow "the reply"; "" if nothing is."""
    for name in FIELDS[kind]:
        if name not in found:
            return f'lacks "{name}"'
        value = found[name]
        if name == "options":
            if not isinstance(value, list) or len(value) != len(LETTERS) or not all(isinstance(o, str) and o.strip() for o in value):
                return f'does not hold {len(LETTERS)} texts under "options"'
            if len({o.strip() for o in value}) != len(LETTERS):
                return "repeats an option"
        elif not isinstance(value, str) or not value.strip():
            return f'has no text under "{name}"'
    if kind == "multiple-choice" and found["answer"].strip() not in [o.strip() for o in found["options"]]:
        return "gives an answer that is not among its options"
    if kind == "cloze":
        if len(re.findall("_{2,}", found["text"])) != 1 or GAP not in found["text"]:
            return f"does not have the gap {GAP} exactly once"
        if re.search(rf"(?<!\w){re.escape(found['answer'].strip())}(?!\w)", found["text"], re.IGNORECASE):
            return "gives the answer away outside the gap"
    return ""


def _shuffled(options: list[str], request: Request, seed: int) -> list[str]:
    digest = hashlib.blake2b(f"{seed}\x1f{request.id}".encode(), digest_size=8).digest()
    order = np.random.default_rng(int.from_bytes(digest, "little")).permutation(len(options))
    return [options[at] for at in order]
