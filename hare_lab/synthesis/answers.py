"""Do two options of a multiple-choice item say the same, so that both are right?

Numbers, units and hedges are written in one way first ("about a kilogram", "1,000 grams"); what then differs in words is held
against each other word by word, by vectors, with numbers, negations and opposites as a veto.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Embed = Callable[[Sequence[str]], NDArray[np.float32]]

ALIKE_WORD, ALIKE_OPTION = 0.7, 0.75  # cosine of two words, of two options: docs/synthesis.md


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _units(kind: str, **sizes: str) -> dict[str, tuple[str, float]]:
    """Names of units, each with what it measures and its size; `_60` is 60, `_1e3` is 1e3, `_1e_3` is 1e-3."""
    return {name: (kind, float(size[1:].replace("_", "-"))) for size, names in sizes.items() for name in names.split()}


_HEDGES = _set("""
    about around roughly approximately nearly almost some circa approx ca perhaps say just the a an of for in at on to by with from it is
    are was were be its their his her they that this there then simply or so odd as much many and
""")
_UNITS = {
    **_units(
        "length", _1e_3="mm millimetre millimeter", _1e_2="cm centimetre centimeter", _1="m metre meter", _1e3="km kilometre kilometer"
    ),
    **_units("mass", _1e_3="mg milligram", _1="g gram gramme", _1e3="kg kilo kilogram kilogramme", _1e6="tonne"),
    **_units("volume", _1e_3="ml millilitre milliliter", _1="l litre liter"),
    **_units("time", _1="s sec second", _60="min minute", _3600="hour", _86400="day", _604800="week", _1209600="fortnight"),
    **_units("months", _1="month", _12="year", _120="decade", _1200="century centurie", _12000="millennium"),
    **_units("", _1e_2="percent %"),
}
_SMALL = (
    """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"""
)
_TENS = """twenty thirty forty fifty sixty seventy eighty ninety"""
_NUMBERS = {
    **{word: float(n) for n, word in enumerate(_SMALL.split())}, **{word: 10.0 * n for n, word in enumerate(_TENS.split(), start=2)},
    "dozen": 12.0, "half": 0.5, "quarter": 0.25, "third": 1 / 3, "twice": 2.0, "once": 1.0, "pair": 2.0, "couple": 2.0,
}  # fmt: skip
_SCALES = {"hundred": 1e2, "thousand": 1e3, "million": 1e6, "billion": 1e9, "dozen": 12.0}
_PARTS = _set("half quarter third couple pair")
_NEGATIONS = _set("not no never without neither nor none")
_OPPOSITES = tuple(
    frozenset(pair.split("/"))
    for pair in _set("""
        north/south east/west north/east north/west south/east south/west northern/southern eastern/western northward/southward
        eastward/westward left/right up/down upward/downward above/below over/under top/bottom high/low higher/lower more/less most/least
        more/fewer hot/cold warm/cold warmer/colder warmer/cooler heat/cold light/dark light/heavy lighter/heavier black/white day/night
        before/after early/late earlier/later first/last long/short longer/shorter fast/slow faster/slower wide/narrow large/small
        larger/smaller big/small bigger/smaller thick/thin deep/shallow wet/dry hard/soft young/old younger/older new/old rise/fall
        rising/falling increase/decrease gain/lose win/lose open/closed inside/outside in/out summer/winter spring/autumn morning/evening
        male/female king/queen queen/drone worker/queen worker/drone rook/bishop bishop/knight knight/rook always/never all/none true/false
        yes/no can/cannot mother/daughter father/son toward/away near/far nearer/farther gas/liquid solid/liquid acid/alkali
    """)
)
_SAME = (  # ways to say one outcome, and the word that stands for them
    (r"\b(?:neither|no) (?:side|player|team|one|party)(?: \w+)? (?:won|wins|win)\b|\bnobody (?:won|wins)\b", "draw"),
    (r"\b(?:a )?tied?\b|\bdrawn\b", "draw"),
    (r"\b(?:stay|remain)(?:s|ed)? (?:the same|as (?:it|they) (?:is|are|was|were)|unchanged)\b|\bdo(?:es)? not change\b", "unchanged"),
    (r"\bdoubl(?:es?|ed)\b|\btwo times\b|\btwofold\b", "2"),
    (r"\bhal(?:ves?|ved)\b", "half"),
    (r"\bno(?:t a)? (?:single )?one\b|\bnot any\b|\bnothing(?: at all)?\b", "none"),
)
_CHANGE = _set("fall drop shrink sink become get grow rise turn decrease increase decline go value size amount original former")
_LESS, _MORE = _set("smaller lower fewer shorter lighter weaker"), _set("larger higher longer greater bigger heavier")
_TOKEN = re.compile(r"\d[\d,]*(?:\.\d+)?|%|[^\W\d_]+(?:'[^\W\d_]+)?")


def second_answers(items: Sequence[tuple[Sequence[str], str]], embed: Embed) -> list[str]:
    """For each item the option that says the same as the answer in other words, "" if none does.

    Parameters
    ----------
    items : (options, the answer among them) of each item
    embed : texts -> unit vectors of shape (n_texts, dimension); called twice at most
    """
    found = ["" for _ in items]
    doubtful: list[tuple[int, str, str]] = []
    for at, (options, answer) in enumerate(items):
        mine, others = canonical(answer), [option for option in options if option != answer]
        found[at] = next((other for other in others if mine and mine == canonical(other)), "")
        if not found[at]:
            doubtful += [(at, answer, other) for other in others if _may_be_the_same(mine, canonical(other))]
    vector = _vectors([text for _, *pair in doubtful for text in pair], embed)
    alike = [(at, one, other) for at, one, other in doubtful if float(vector[one] @ vector[other]) >= ALIKE_OPTION]
    vector = _vectors([word for _, *pair in alike for text in pair for word in canonical(text)], embed)
    for at, one, other in alike:
        if not found[at] and _word_for_word(canonical(one), canonical(other), vector):
            found[at] = other
    return found


def _vectors(texts: Sequence[str], embed: Embed) -> dict[str, NDArray[np.float32]]:
    distinct = list(dict.fromkeys(texts))
    return dict(zip(distinct, embed(distinct), strict=True)) if distinct else {}


def canonical(text: str) -> tuple[str, ...]:
    """What a short answer says: its words in order, numbers and units written in one way, hedges and articles left out."""
    plain = text.casefold().replace("per cent", "percent").replace("-", " ")
    for pattern, word in _SAME:
        plain = re.sub(pattern, word, plain)
    tokens = [_stem(token) for token in _TOKEN.findall(plain)]
    said: list[str] = []
    at = 0
    while at < len(tokens):
        quantity, after = _quantity(tokens, at)
        if quantity:
            said.append(quantity)
        elif tokens[at] not in _HEDGES:
            said.append(tokens[at])
        at = after
    counted = [token for token in said if token[0].isdecimal()]
    return tuple(counted) if counted and set(said) - set(counted) <= _CHANGE else tuple(said)


def _quantity(tokens: Sequence[str], at: int) -> tuple[str, int]:
    """The quantity that begins at `at` in base units, and where it ends; ("", the next place) if none begins there."""
    value, after = _number(tokens, at)
    if value is None:
        return "", at + 1
    peek = lambda place: tokens[place] if place < len(tokens) else ""  # noqa: E731
    if peek(after) in ("of", "a", "an") and peek(after + 1) in _UNITS:  # half an hour
        after += 1
    kind, scale = _UNITS.get(peek(after), ("", 1.0))
    percent = peek(after) in ("percent", "%")
    after += peek(after) in _UNITS
    if percent and peek(after) in _LESS | _MORE:  # a tenth smaller is nine tenths
        value, after = (100 - value if peek(after) in _LESS else 100 + value), after + 1
    return f"{value * scale:.6g} {kind}".strip(), after


def _number(tokens: Sequence[str], at: int) -> tuple[float | None, int]:
    """The number that begins at `at`, and where it ends; "a kilogram" is one kilogram."""
    token = tokens[at]
    if token in ("a", "an") and at + 1 < len(tokens):
        if tokens[at + 1] in _SCALES or tokens[at + 1] in _PARTS:
            return _number(tokens, at + 1)
        return (1.0, at + 1) if len(tokens[at + 1]) > 1 and tokens[at + 1] in _UNITS else (None, at)
    if token[0].isdecimal():
        value, at = float(token.replace(",", "")), at + 1
    elif token in _NUMBERS:
        value, at = _NUMBERS[token], at + 1
        if value >= 20 and at < len(tokens) and 0 < _NUMBERS.get(tokens[at], 0) < 10:  # twenty-one
            value, at = value + _NUMBERS[tokens[at]], at + 1
    elif token in _SCALES:
        value = 1.0
    else:
        return None, at
    while at < len(tokens) and tokens[at] in _SCALES:
        value, at = value * _SCALES[tokens[at]], at + 1
    return value, at


def _stem(token: str) -> str:
    if token[0].isdecimal() or len(token) < 4:
        return token
    return token[:-1] if token.endswith("s") and not token.endswith("ss") else token


def _may_be_the_same(one: Sequence[str], other: Sequence[str]) -> bool:
    """Numbers alike, no opposites and no negation between them, not the same words in another order."""
    mine, theirs = set(one) - set(other), set(other) - set(one)
    counted = [[token for token in side if token[0].isdecimal()] for side in (one, other)]
    opposed = any(pair & mine and pair & theirs for pair in _OPPOSITES)
    return bool(one and other and (mine or theirs)) and counted[0] == counted[1] and not opposed and not _NEGATIONS & (mine | theirs)


def _word_for_word(one: Sequence[str], other: Sequence[str], vector: Mapping[str, NDArray[np.float32]]) -> bool:
    """Whether each word of one side has a near one on the other, both ways."""
    cosines = np.array([[1.0 if a == b else float(vector[a] @ vector[b]) for b in other] for a in one])
    return bool((cosines.max(axis=1) >= ALIKE_WORD).all() and (cosines.max(axis=0) >= ALIKE_WORD).all())
