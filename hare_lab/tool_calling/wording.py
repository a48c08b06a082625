"""How are requests for a function worded? A hidden Markov model of each function's requests: the third opinion, and a rival.

A request is carrier words ("add ... to my ... playlist") with values between them. For every function, counts of its training
requests say which word or argument follows which, and of what words an argument's values are made. From them follow how likely a
request for the function is to be worded so, and, for each word, which argument it belongs to given all the others (Rabiner 1989, "A
tutorial on hidden Markov models and selected applications in speech recognition", Proc. IEEE 77(2), section III). Counts know each
rare carrier word of a few thousand requests, which a model of minutes has hardly learnt, and know nothing beyond the word before; the
two err differently, so their log-probabilities are added (`calling.Caller`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hare_lab.tool_calling import choosing
from hare_lab.tool_calling.choosing import Tally
from hare_lab.tool_calling.loading import Request
from hare_lab.tool_calling.registry import Call, Registry
from hare_lab.tool_calling.values import Word, is_span, words
from hare_lab.tool_calling.writing import PLACES, Prompt, find

START, STOP = "<>", "</>"
LOUDNESS = 0.5  # of its opinion on the function: counts are too sure of themselves (docs/tool_calling.md)
STRANGE = 1e-4  # probability of an argument where it was never seen to stand
RUNNING = 1_500  # pages whose words are counted
TINY = 1e-300  # instead of a probability of nothing


@dataclass(frozen=True)
class Counts:
    """What the requests for one function are made of. A symbol is a word, `<argument>`, or the end of the request.

    Attributes
    ----------
    follows : by what stands before, how often each symbol follows
    values : by argument, how often each word stands in its values
    given : by argument, how often it has a value
    letters, capitals : by argument ("" for carrier words), words of letters after the first, and those with a capital
    choices : of arguments that are not copied (`choosing`)
    """

    follows: dict[str, Counter[str]] = field(default_factory=dict)
    values: dict[str, Counter[str]] = field(default_factory=dict)
    given: Counter[str] = field(default_factory=Counter)
    letters: Counter[str] = field(default_factory=Counter)
    capitals: Counter[str] = field(default_factory=Counter)
    choices: dict[str, Tally] = field(default_factory=dict)

    def add(self, text: Sequence[Word], marks: Sequence[str]) -> None:
        """Count one request; `marks` names the argument that each word belongs to, "" for none."""
        before, last = START, ""
        for place, (word, mark) in enumerate(zip(text, marks, strict=True)):
            form = folded(word)
            if mark:
                self.values.setdefault(mark, Counter())[form] += 1
            if not mark or mark != last:
                symbol = f"<{mark}>" if mark else form
                self.follows.setdefault(before, Counter())[symbol] += 1
                self.given[mark] += bool(mark)
                before = symbol
            if place and word.text[0].isalpha():
                self.letters[mark] += 1
                self.capitals[mark] += word.text[0].isupper()
            last = mark
        self.follows.setdefault(before, Counter())[STOP] += 1


def folded(word: Word) -> str:
    """A word as it is counted: in lower case, one digit like another."""
    return "0" if word.text.isdigit() else word.text.lower()


def plain(text: Sequence[Word]) -> list[str]:
    """Words and digits that are part of no name, going by their capitals, as they are counted; a request's first word and "I" are none.

    Where a person writes no capitals, all words are plain.
    """
    named = lambda place, word: place > 0 and word.text != "I" and word.text[0].isupper()  # noqa: E731
    return [folded(word) for place, word in enumerate(text) if word.text[0].isalnum() and not named(place, word)]


def marks_of(call: Call | None, prompt: Prompt, registry: Registry) -> list[str]:
    """The argument whose value each word of a request belongs to, "" for none."""
    found, taken = [""] * len(prompt.words), set[int]()
    for name, value in (call.arguments if call else {}).items():
        if call and isinstance(value, str) and is_span(registry[call.name].by_name[name]) and (place := find(prompt, value, taken)):
            own = set(range(place[0], place[1] + 1)) - taken
            taken |= own
            for word in own:
                found[word] = name
    return found


class Usual:
    """How usual a word is in any text: add-half over the words counted, and one more for all others."""

    def __init__(self, counts: Counter[str]) -> None:
        self.counts = counts
        self._total = sum(counts.values()) + 0.5 * (len(counts) + 1)

    def __call__(self, form: str) -> float:
        return (self.counts[form] + 0.5) / self._total

    def text(self, some: Sequence[Word]) -> float:
        """Log-probability of words, each for itself."""
        return float(sum(np.log(self(folded(word))) for word in some))


class Manner:
    """The hidden Markov model of one function's requests; state 0 is a carrier word, state k the k-th of `names`."""

    def __init__(self, counts: Counts, usual: Usual, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._counts, self._usual = counts, usual
        self._symbols: Counter[str] = Counter()
        for own in counts.follows.values():
            self._symbols.update(own)
        self._seen, self._kinds = sum(self._symbols.values()), len(self._symbols)
        self._slots = [f"<{name}>" for name in names]
        sizes = np.array([sum(counts.values.get(name, Counter()).values()) for name in names], float)
        given = np.array([counts.given[name] for name in names], float)
        self._on = (sizes - given + 0.5) / (sizes + 1.0)  # the value goes on for another word
        self._capital = np.array([(counts.capitals[name] + 0.5) / (counts.letters[name] + 1.0) for name in ("", *names)])
        between = np.array([[self._next(a, b) for b in self._slots] for a in self._slots]).reshape(len(names), len(names))
        np.fill_diagonal(between, 0.0)  # a value that follows itself is one value
        self._leave = 1 - self._on
        self._between = self._leave[:, None] * between
        self._end = self._leave * np.array([self._next(slot, STOP) for slot in self._slots])
        self._into: dict[str, NDArray[np.float64]] = {}
        self._out: dict[str, NDArray[np.float64]] = {}
        self._made: dict[str, NDArray[np.float64]] = {}

    def _anywhere(self, symbol: str) -> float:
        base = STRANGE if len(symbol) > 1 and symbol[0] == "<" else self._usual(symbol)
        return (self._symbols[symbol] + 0.5 * self._kinds * base) / (self._seen + 0.5 * self._kinds) if self._seen else base

    def _next(self, before: str, symbol: str) -> float:
        """Probability of a symbol after another, interpolated with that of the symbol anywhere (Witten & Bell 1991, method C)."""
        own = self._counts.follows.get(before)
        if not own:
            return self._anywhere(symbol)
        return (own[symbol] + len(own) * self._anywhere(symbol)) / (own.total() + len(own))

    def _values(self, form: str) -> NDArray[np.float64]:
        """Probability of a word in each argument's values, interpolated alike."""
        base, found = self._usual(form), []
        for name in self.names:
            own = self._counts.values.get(name, Counter())
            found.append((own[form] + max(1, len(own)) * base) / (own.total() + max(1, len(own))))
        return np.array(found)

    def unusual(self, forms: Sequence[str], requests: int) -> float:
        """How seldom requests for the function have such words outside values: the mean of -log(times a request), in nats."""
        shares = [min(1.0, (self._symbols[form] + 0.5) / (requests + 1)) for form in forms]
        return float(-np.log(shares).mean()) if shares else 0.0

    def read(self, text: Sequence[Word]) -> tuple[float, NDArray[np.float64]]:
        """Log-probability of the words, and of each state given the state before it and all words, shape (n, states, states)."""
        size, before = len(self.names) + 1, START
        steps = np.zeros((len(text), size, size))
        inside = np.arange(1, size)
        cased = any(word.text[0].isupper() for word in text[1:])  # who writes no capitals says nothing by them
        for place, word in enumerate(text):
            form, step = folded(word), steps[place]
            made = _kept(self._made, form, self._values)
            step[0, 0] = self._next(before, form)
            step[0, 1:] = made * _kept(self._into, before, lambda key: np.array([self._next(key, slot) for slot in self._slots]))
            if place:
                step[1:, 0] = self._leave * _kept(self._out, form, lambda key: np.array([self._next(slot, key) for slot in self._slots]))
                step[1:, 1:] = self._between * made
                step[inside, inside] = self._on * made
                if cased and word.text[0].isalpha():
                    step *= self._capital if word.text[0].isupper() else 1 - self._capital
            before = form
        behind = np.append(self._next(before, STOP), self._end)
        total = 0.0
        for place in range(len(text) - 1, -1, -1):  # what follows, given each state: scaled, lest it vanish
            scale = behind.max()
            total += float(np.log(scale))
            steps[place] *= behind / scale
            behind = steps[place].sum(1)
            steps[place] /= np.maximum(behind, TINY)[:, None]
        return total + float(np.log(behind[0])), np.log(np.maximum(steps, TINY))


def _kept(store: dict[str, NDArray[np.float64]], key: str, make: Any) -> NDArray[np.float64]:
    """What was worked out for a word before; a few thousand words are remembered."""
    if key not in store:
        if len(store) > 20_000:
            store.clear()
        store[key] = make(key)
    return store[key]


@dataclass(frozen=True)
class Oddness:
    """How strange a request's words are for each function.

    Attributes
    ----------
    strange : nats a word that a request for it is less likely to be worded so than running text is, shape (n_apis,)
    unusual : nats; how seldom its requests have the words that are part of no name (`Manner.unusual`), shape (n_apis,)
    words : how many such words there are
    """

    strange: NDArray[np.float64]
    unusual: NDArray[np.float64]
    words: int


@dataclass(frozen=True)
class Heard:
    """What the wording of one request says.

    Attributes
    ----------
    apis : log-probabilities of each function and, last, of no call, shape (n_apis + 1,)
    chances : by function, log-probabilities of each word's argument given that of the word before and all words, shape
        (n_words, states, states); state 0 is none, the others are `names`
    names : by function, its arguments that are copied from the request
    choices : by function and argument that is not copied, log-probability of each value and of leaving it out (`choosing.chances`)
    oddness : how strange it all is for each function
    """

    apis: NDArray[np.float64]
    chances: tuple[NDArray[np.float64], ...]
    names: tuple[tuple[str, ...], ...]
    choices: tuple[dict[str, dict[str, float]], ...]
    oddness: Oddness

    def marks(self, api: int) -> list[str]:
        """The likeliest argument of each word, "" for none, if the function is that one (Viterbi 1967)."""
        chances = self.chances[api]
        score, back = chances[0, 0], []
        for step in chances[1:]:
            through = score[:, None] + step
            back.append(through.argmax(0))
            score = through.max(0)
        states = [int(score.argmax())]
        for before in reversed(back):
            states.append(int(before[states[-1]]))
        return [("", *self.names[api])[state] for state in reversed(states)]


@dataclass(frozen=True)
class Wording:
    """What was counted, made by `learn`; what is by function has a last place for requests without a call.

    Attributes
    ----------
    registry : the functions
    counts : by function
    running : words of the requests and of running text
    requests : by function, how many were counted
    """

    registry: Registry
    counts: tuple[Counts, ...]
    running: Counter[str]
    requests: tuple[int, ...]

    @cached_property
    def names(self) -> tuple[tuple[str, ...], ...]:
        """By function, its arguments that are copied from the request."""
        return (*(tuple(p.name for p in api.parameters if is_span(p)) for api in self.registry.apis), ())

    @cached_property
    def _manners(self) -> list[Manner]:
        return [Manner(counts, self._usual, names) for counts, names in zip(self.counts, self.names, strict=True)]

    @cached_property
    def _usual(self) -> Usual:
        return Usual(self.running)

    def __call__(self, text: str) -> Heard:
        """Read a request of at least one word; words beyond `PLACES` are not looked at."""
        from scipy.special import log_softmax

        some = words(text)[:PLACES]
        forms = [folded(word) for word in some]
        read = [manner.read(some) for manner in self._manners]
        prior = np.log(np.array(self.requests) + 0.5)
        likely = np.array([total for total, _ in read])
        strange = (self._usual.text(some) - likely[:-1]) / (len(some) + 1)
        apis = np.asarray(log_softmax(LOUDNESS * (likely + prior)))
        choices = tuple(
            {p.name: choosing.chances(own.choices, p, text, forms) for p in api.parameters if not is_span(p)}
            for api, own in zip(self.registry.apis, self.counts, strict=False)
        )
        marked = tuple(chances for _, chances in read[:-1])
        own = plain(some)
        unusual = [manner.unusual(own, count) for manner, count in zip(self._manners[:-1], self.requests[:-1], strict=True)]
        return Heard(apis, marked, self.names[:-1], choices, Oddness(strange, np.array(unusual), len(own)))

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it; `from_dict` reads it back."""
        parts = ("follows", "values", "given", "letters", "capitals")
        tallied = lambda choices: {key: {"requests": t.requests, "words": t.words} for key, t in choices.items()}  # noqa: E731
        return {
            "requests": self.requests, "running": self.running,
            "counts": [{part: getattr(counts, part) for part in parts} | {"choices": tallied(counts.choices)} for counts in self.counts],
        }  # fmt: skip

    @classmethod
    def from_dict(cls, told: dict[str, Any], registry: Registry) -> Wording:
        nested = lambda rows: {key: Counter(row) for key, row in rows.items()}  # noqa: E731
        counts = []
        for c in told["counts"]:
            choices = {key: Tally(Counter(tally["requests"]), nested(tally["words"])) for key, tally in c["choices"].items()}
            given, letters, capitals = (Counter(c[part]) for part in ("given", "letters", "capitals"))
            counts.append(Counts(nested(c["follows"]), nested(c["values"]), given, letters, capitals, choices))
        return cls(registry, tuple(counts), Counter(told["running"]), tuple(told["requests"]))


def learn(requests: Sequence[Request], registry: Registry, pages: Sequence[str] = ()) -> Wording:
    """Count requests.

    Parameters
    ----------
    requests : checked against the registry (`loading.check`); those without a call show how such requests are worded
    pages : running text, which shows how usual words are
    """
    places = {name: place for place, name in enumerate(registry.names)}
    counts, seen = tuple(Counts() for _ in range(len(registry) + 1)), [0] * (len(registry) + 1)
    running = Counter[str]()
    for request in requests:
        prompt = Prompt(request.text, (), (), tuple(words(request.text)))
        forms, place = [folded(word) for word in prompt.words], places.get(request.api, len(registry))
        running.update(forms)
        seen[place] += 1
        counts[place].add(prompt.words, marks_of(request.call, prompt, registry))
        if request.call:
            choosing.add(counts[place].choices, registry[request.api], request.call.arguments, request.text, forms)
    for page in pages[:RUNNING]:
        running.update(map(folded, words(page[:2_000])))
    return Wording(registry, counts, running, tuple(seen))
