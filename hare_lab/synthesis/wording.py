"""Does a reply refuse, or still show the template it came from?

Both are found by what is said, not by who said it: a reply that speaks of the request instead of the subject, and one with
an unfilled slot, a greeting to the person who asked, or the prompt's own words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from hare_lab.dedup.words import WordHashes, distinct, words

ECHO = 8  # words of the prompt's frame in a row: longer than any turn of phrase that text on the topic shares with it

_CANNOT = (
    r"(?:can(?:no|')t|can not|(?:am|'m) (?:not able|unable|not comfortable|not allowed|not permitted)(?: to)?|won't|will not|must|have to|"
    r"decline(?: to)?|would not|wouldn't|(?:would |'d )?(?:rather|prefer) not(?: to)?)"
)
_MAKE = r"(?:write|produce|provide|create|generate|compose|draft|discuss|supply|fulfil|fulfill|comply|assist|decline|refuse|proceed)"
_ASKED = r"(?:this|that|your|the|such an?) (?:request|prompt|task|assignment|instruction)"
_REFUSING = re.compile(
    "|".join(
        (  # the writer speaks of what was asked, not of the subject
            rf"\bI(?:'m| am)? ?{_CANNOT}\b[^.!?]{{0,60}}\b(?:{_ASKED}|continue with)\b",
            rf"\bI(?:'m| am)? ?{_CANNOT} (?:\w+ ){{0,2}}?help (?:you )?with (?:this|that|describing|writing|creating)\b",
            rf"\bI(?:'m| am)? ?{_CANNOT} (?:\w+ ){{0,2}}?{_MAKE}\b",
            r"\bI(?:'m| am) (?:sorry|afraid),? (?:but )?(?:that )?I (?:can(?:no|')t|am unable|am not able|won't|will not|must)\b",
            r"\bI (?:must|have to|will have to|need to) (?:respectfully |politely )?(?:decline|refuse|stop here)\b",
            r"\b(?:as|being) an? (?:AI|artificial intelligence|(?:large )?language model|chatbot)\b",
            r"\bagainst my (?:guidelines|programming|polic(?:y|ies)|principles)\b|\bmy (?:guidelines|content polic(?:y|ies)|safety)\b",
            r"\b(?:sorry|apologi[sz]e) for (?:any|the) (?:inconvenience|disappointment|frustration)\b",
        )
    ),
    re.IGNORECASE,
)
_QUOTED = re.compile(r"\"[^\"\n]*\"|“[^”\n]*”|«[^»\n]*»")

_RESIDUE = re.compile(
    "|".join(
        (
            r"\{\{?\s*[A-Za-z_][\w .-]*\s*\}\}?",  # {slot}, {{ slot }}
            r"\[(?:insert|your|add|name of|placeholder)\b[^\]\n]{0,60}\]",
            r"<(?:insert|your|topic|name|audience|style|seed|answer|question|text|summary|option)\b[^>\n]{0,40}>",
            r"<\|[a-z_]{2,30}\|>|\[/?INST\]|</?(?:s|bos|eos|start_of_turn|end_of_turn)>|<</?SYS>>",  # a chat's marks
            r"(?:^|\n)#{1,4} ?(?:instruction|response|input|output|system|user|assistant)\b",
            r"(?:^|\n)\W{0,3}(?:audience|style|topic|word count|word limit|tone|reading level)\W{0,3}: ?\S",
            r"\((?:audience|style|topic|tone|word count) ?: ?[^)\n]{1,60}\)",
            r"\b(?:the|your|this|provided|given|above) (?:seed|fenced)? ?snippet (?:provided|above|below|you (?:gave|provided|shared))\b",
            r"\binspired by the (?:snippet|seed|provided)\b|\b(?:feel free to (?:ask|let me know)|would you like me to)\b",
            r"\blet me know if you(?:'d| would) (?:like|want|prefer)\b",
            r"\bif you(?:'d| would) like,? I can (?:also )?(?:write|adjust|make|expand)\b",
            r"\blorem ipsum\b",
        )
    ),
    re.IGNORECASE,
)
_IN_CAPITALS = re.compile(r"\[[A-Z][A-Z _-]{2,}(?: ?\d+)?\]|\bTODO\b|\bTBD\b")  # [AUDIENCE], [OBJECTIVE 3]
_GREETING = re.compile(
    r"^\W*(?:sure|certainly|of course|absolutely|okay|ok|great|here(?:'s| is| are)|below (?:is|you)|as (?:requested|asked|you asked)|"
    r"i(?:'d| would) be (?:happy|glad))\b[^\n]{0,120}?\b(?:unit|passage|story|answer|reply|explanation|explainer|text|question|item|"
    r"summary|cloze|json|object|request|course|snippet|prompt)\b[^\n]{0,60}(?::|\n|$)",
    re.IGNORECASE,
)


def refusal(text: str) -> str:
    """The words by which a reply refuses, "" if it does not. What people in a story say in quotation marks is theirs."""
    found = _REFUSING.search(_QUOTED.sub('""', text.replace("’", "'")))
    return found[0] if found else ""


def residue(text: str, frame: np.ndarray) -> str:
    """What a reply has left of its template: a slot, a greeting, a chat's mark, or the prompt's own words; "" if nothing.

    Parameters
    ----------
    text : the reply
    frame : uint64 array
        The `ECHO`-word shingles of the prompt without its snippet, sorted (`frame_shingles`).
    """
    if found := _RESIDUE.search(text) or _IN_CAPITALS.search(text) or _GREETING.match(text.strip()):
        return found[0].strip()
    if len(words(text)) >= ECHO and len(frame):
        (mine,) = distinct([text], ECHO, WordHashes())
        if np.isin(mine, frame).any():
            return f"{ECHO} words of the prompt in a row"
    return ""


def frame_shingles(frames: Sequence[str]) -> np.ndarray:
    """The `ECHO`-word shingles of the prompts' fixed words, sorted."""
    long = [frame for frame in frames if len(words(frame)) >= ECHO]
    return np.unique(np.concatenate(distinct(long, ECHO, WordHashes()))) if long else np.zeros(0, np.uint64)
