"""How is a request with its call written for a language model? As Octopus v2 has it: one token a function, one for the end.

A person reads `<api_0>(artist="clem burke", playlist="jams")<api_end>`. In tokens, a function is one token and so is each
argument's name. A free-text value is not spelled: the model reads the request a second time and says after each word which
argument the word belongs to, or none (`<arg_none>`); what is not copied (a choice, a number) follows in the arguments' order:

    <s> add clem burke to jams <api_call>
    <api_0> add <arg_none> clem <arg_1> burke <arg_1> to <arg_none> jams <arg_4> <api_end>

That is our choice. A model of a million parameters learns in minutes to mark words, and not in hours to spell names that it never
saw (docs/tool_calling.md has the figures); and the second reading is one that knows how the sentence ends (Springer et al. 2024,
"Repetition improves language model embeddings", arXiv 2402.15449). The request is read in lower case; values are given back as the
request writes them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from hare_lab.errors import InputError
from hare_lab.tool_calling.loading import Request
from hare_lab.tool_calling.registry import Call, Registry, spoken
from hare_lab.tool_calling.values import Word, is_span, is_unsaid, too_long, words, written

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

ASK, END, NONE, OUT = "<api_call>", "<api_end>", "<api_none>", "<arg_none>"
PLACES = 96  # words of the second reading; what stands later in a request is read once, and never copied


@dataclass(frozen=True)
class Prompt:
    """A request in tokens: `ids` is what the model reads before the call; `pieces` the tokens of each word; `words` their places."""

    text: str
    ids: tuple[int, ...]
    pieces: tuple[tuple[int, ...], ...]
    words: tuple[Word, ...]

    def span(self, first: int, last: int) -> str:
        """The text from one word to another, both included, as the request writes it."""
        return self.text[self.words[first].start : self.words[last].end]


@dataclass(frozen=True)
class Script:
    """How requests and calls of a registry are written in a tokenizer's tokens. The tokenizer holds the tokens of `names`."""

    registry: Registry
    tokenizer: PreTrainedTokenizerBase
    lower: bool = True
    _pieces: dict[tuple[str, bool], tuple[int, ...]] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def arguments(self) -> tuple[str, ...]:
        """The argument names of the registry, each once: functions that share a name share its token."""
        return tuple(dict.fromkeys(p.name for api in self.registry.apis for p in api.parameters))

    @cached_property
    def ids(self) -> dict[str, int]:
        """The id of each token in `describe`.

        Raises
        ------
        InputError
            If the tokenizer lacks one: it is not that of a model tuned for this registry.
        """
        found = {name: self.tokenizer.convert_tokens_to_ids(name) for name in describe(self.registry)}
        missing = [name for name, token in found.items() if token is None or token == self.tokenizer.unk_token_id]
        if missing:
            raise InputError(f"the tokenizer has no token {missing[0]}; take a model that was tuned for this registry with `hare-lab tune`")
        return found

    @cached_property
    def api_tokens(self) -> list[int]:
        """The tokens of the functions, in their order."""
        return [self.ids[f"<api_{i}>"] for i in range(len(self.registry))]

    @cached_property
    def argument_tokens(self) -> dict[str, int]:
        return {name: self.ids[f"<arg_{i}>"] for i, name in enumerate(self.arguments)}

    def prompt(self, text: str) -> Prompt:
        """A request as the model reads it.

        Raises
        ------
        InputError
            If it is too long; says how long it is.
        """
        if why := too_long(text):
            raise InputError(f"{why[0].upper()}{why[1:]}")
        found = words(text)
        pieces = tuple(self.pieces(word.text, word.spaced) for word in found)
        start = [] if self.tokenizer.bos_token_id is None else [self.tokenizer.bos_token_id]
        ids = [*start, *(token for word in pieces for token in word), self.ids[ASK]]
        return Prompt(text, tuple(ids), pieces, tuple(found))

    def pieces(self, word: str, spaced: bool) -> tuple[int, ...]:
        """The tokens of one word. A word is written alone, so that no text, whatever it holds, becomes one of our own tokens."""
        key = (word.lower() if self.lower else word, spaced)
        if key not in self._pieces:
            text = f" {key[0]}" if spaced else key[0]
            text = text.encode("utf-8", "replace").decode()  # half of a surrogate pair is no text
            self._pieces[key] = tuple(self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
        return self._pieces[key]

    def value(self, text: str) -> tuple[int, ...]:
        """The tokens of a value that is not copied from the request."""
        return tuple(token for word in words(text) for token in self.pieces(word.text, word.spaced))

    def answer(self, call: Call | None, prompt: Prompt) -> tuple[list[int], list[bool]]:
        """A call in tokens, as the model writes it after the prompt, and which of them it decides: the request's words are given."""
        if call is None:
            return [self.ids[NONE], self.ids[END]], [True, True]
        api = self.registry[call.name]
        marks = [self.ids[OUT]] * min(PLACES, len(prompt.words))
        taken: set[int] = set()
        rest: list[int] = []
        for parameter in api.parameters:
            if parameter.name not in call.arguments or is_unsaid(parameter):
                continue
            token, text = self.argument_tokens[parameter.name], written(call.arguments[parameter.name])
            if not is_span(parameter):
                rest += [token, *self.value(text)]
            elif (place := find(prompt, text, taken)) and place[1] < len(marks):  # what the request does not state can't be learnt
                own = range(place[0], place[1] + 1)
                taken |= set(own)
                for word in own:
                    marks[word] = token
        ids, decided = [self.ids[f"<api_{self.registry.names.index(call.name)}>"]], [True]
        for pieces, mark in zip(prompt.pieces, marks, strict=False):
            ids += [*pieces, mark]
            decided += [*(False for _ in pieces), True]
        return [*ids, *rest, self.ids[END]], [*decided, *(True for _ in rest), True]

    def example(self, request: Request) -> tuple[list[int], list[bool]]:
        """All tokens of a request with its call, and which of them are to be learnt."""
        prompt = self.prompt(request.text)
        ids, decided = self.answer(request.call, prompt)
        return [*prompt.ids, *ids], [*(False for _ in prompt.ids), *decided]


def find(prompt: Prompt, value: str, taken: set[int] | frozenset[int] = frozenset()) -> tuple[int, int] | None:
    """The first and last word of the place where a request states a value, a place not yet taken if there is one; None if nowhere."""
    wanted = [word.text for word in words(value)]
    have = [word.text for word in prompt.words]
    if not wanted:
        return None
    for fold in (str, str.lower):
        target, own = [fold(w) for w in wanted], [fold(w) for w in have]
        places = [(i, i + len(target) - 1) for i in range(len(own) - len(target) + 1) if own[i : i + len(target)] == target]
        free = [place for place in places if not taken & set(range(place[0], place[1] + 1))]
        if free or places:
            return (free or places)[0]
    return None


def describe(registry: Registry) -> dict[str, str]:
    """The tokens that a registry adds to a tokenizer, each with words that its first vector is made of."""
    arguments = dict.fromkeys(p.name for api in registry.apis for p in api.parameters)
    told = {p.name: f"{spoken(p.name)} {p.description}" for api in registry.apis for p in api.parameters}
    return {
        ASK: "what to call", END: "end", NONE: "nothing, no call", OUT: "the other words",
        **{f"<api_{i}>": f"{spoken(api.name)} {api.description}" for i, api in enumerate(registry.apis)},
        **{f"<arg_{i}>": told[name] for i, name in enumerate(arguments)},
    }  # fmt: skip


def shown(registry: Registry, call: Call | None) -> str:
    """A call as the paper writes it: `<api_i>(arguments)<api_end>`."""
    if call is None:
        return f"{NONE}(){END}"
    inside = str(registry.ordered(call))[len(call.name) :]
    return f"<api_{registry.names.index(call.name)}>{inside}{END}"
