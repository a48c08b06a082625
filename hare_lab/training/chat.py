"""How a conversation becomes tokens, and how a tuned model is talked to: chat templates.

A template frames each message with signs, so that the model knows who speaks and when its turn is over. Two are here, the paper's
and ChatML; a model that has its own keeps it. The signs are tokens of their own: what a message says is never read as one, even if
it is spelt like one, so that nobody can speak in another's name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from hare_lab.errors import InputError
from hare_lab.machine import drawn_by
from hare_lab.training.conversations import Conversation, Message
from hare_lab.training.examples import Example
from hare_lab.training.new_tokens import add_tokens
from hare_lab.training.train import continuation

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Marks:
    """The signs around a message, and what the system says where a conversation leaves it out ("" for nothing)."""

    begin: str
    end: str
    system: str = ""

    @property
    def jinja(self) -> str:
        """The template as transformers, vLLM and others read it."""
        given = (
            "{% if messages[0]['role'] != 'system' %}" + f"{{{{ '{self.begin}system\\n{self.system}{self.end}\\n' }}}}" + "{% endif %}"
            if self.system
            else ""
        )
        return (
            f"{{{{ bos_token }}}}{given}{{% for message in messages %}}"
            f"{{{{ '{self.begin}' + message['role'] + '\\n' + message['content'] | trim + '{self.end}\\n' }}}}{{% endfor %}}"
            f"{{% if add_generation_prompt %}}{{{{ '{self.begin}assistant\\n' }}}}{{% endif %}}"
        )


# "hare": the released HARE-1.1B-Chat's, after its README; ChatML as published by OpenAI, without a system message of its own
TEMPLATES = {
    "hare": Marks("<round_start>", "<round_end>", "You are a helpful assistant."),
    "chatml": Marks("<|im_start|>", "<|im_end|>"),
}
MEANING = ("the start of a turn", "the end of a turn")


def set_template(model: Any, tokenizer: Any, name: str = "auto") -> str:
    """Give a model and its tokenizer a chat template, in place: its signs as new tokens, and the end of a turn as an end of writing.

    Parameters
    ----------
    name : "hare", "chatml", "own" (the tokenizer's), or "auto": its own where there is one, else hare

    Returns
    -------
    the name of the template that was set

    Raises
    ------
    InputError
        If the name is unknown, or the tokenizer has no template of its own.
    """
    if name not in ("auto", "own", *TEMPLATES):
        raise InputError(f'chat template "{name}" is unknown; choose auto, own, {" or ".join(TEMPLATES)}')
    if name == "own" and not tokenizer.chat_template:
        raise InputError(f"the tokenizer has no chat template of its own; choose {' or '.join(TEMPLATES)}")
    if name in ("auto", "own") and tokenizer.chat_template:
        chosen = next((key for key, marks in TEMPLATES.items() if marks.jinja == tokenizer.chat_template), "own")
    else:
        chosen = "hare" if name == "auto" else name
        marks = TEMPLATES[chosen]
        signs = dict(zip((marks.begin, marks.end), MEANING, strict=True))
        missing = [sign for sign in signs if sign not in tokenizer.get_vocab()]
        if missing:
            add_tokens(model, tokenizer, missing, signs)
        tokenizer.chat_template = marks.jinja
    last = chat_examples([[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]], tokenizer)[0]
    ends = {tokenizer.eos_token_id, last.ids[max(place for place, learnt in enumerate(last.answer) if learnt)]}
    special = set(tokenizer.get_added_vocab().values())
    model.generation_config.eos_token_id = sorted(int(token) for token in ends if token in special or token == tokenizer.eos_token_id)
    return chosen


def chat_examples(talks: Sequence[Conversation], tokenizer: Any) -> list[Example]:
    """Conversations as examples: all is read, the assistant's words and the sign that ends its turn are learnt.

    Each answer is cut into tokens apart from what precedes it, as it will be when the model is asked. Spaces around a message are
    dropped. Where a template shows an earlier turn otherwise than the last (some drop what was thought), each answer becomes an
    example of its own.

    Raises
    ------
    InputError
        If the template refuses a conversation; or one spells a sign of the tokenizer's own template, which it would be taken for.
    """
    marks = _marks(tokenizer)
    if marks:
        return [_framed(talk, tokenizer, marks) for talk in talks]
    if not tokenizer.chat_template:
        raise InputError("the tokenizer has no chat template; set one first")
    return [example for number, talk in enumerate(talks) for example in _rendered(talk, tokenizer, f"conversation {number + 1}")]


def chat_prompt(messages: Sequence[Message], tokenizer: Any) -> list[int]:
    """The tokens that ask the model for the next answer of a conversation."""
    marks = _marks(tokenizer)
    if marks:
        begin = tokenizer.convert_tokens_to_ids(marks.begin)
        return [*_frame(messages, tokenizer, marks)[0], begin, *_plain(tokenizer)("assistant\n")]
    _no_signs(messages, tokenizer, "the conversation")
    return _plain(tokenizer, signs=True)(_render(messages, tokenizer, "the conversation", ask=True))


def stretches(example: Example, tokenizer: Any) -> list[tuple[str, str]]:
    """An example as a person can check it: its text cut where learning begins and ends, each piece with `read` or `learnt`."""
    found = []
    for learnt, run in groupby(zip(example.ids, example.answer, strict=True), key=lambda pair: pair[1]):
        found.append(("learnt" if learnt else "read", str(tokenizer.decode([token for token, _ in run]))))
    return found


def reply(
    model: Any, tokenizer: Any, messages: Sequence[Message] | str, *, tokens: int = 100, temperature: float = 0.0, seed: int = 0
) -> str:
    """What a tuned model answers.

    Parameters
    ----------
    messages : a conversation that ends with the user, or a question alone
    tokens : how many to write at most
    temperature : 0 always takes the likeliest next token; 1 draws as the model says
    seed : of the draws; the caller's random state stays as it was
    """
    import torch

    talk = [{"role": "user", "content": messages}] if isinstance(messages, str) else messages
    given = torch.tensor([chat_prompt(talk, tokenizer)]).to(model.device)
    how = {"do_sample": True, "temperature": temperature, "top_k": 50} if temperature > 0 else {"do_sample": False}
    pad = next(token for token in (tokenizer.pad_token_id, tokenizer.eos_token_id) if token is not None)
    with drawn_by(seed), torch.inference_mode():
        out = model.generate(given, attention_mask=torch.ones_like(given), max_new_tokens=tokens, pad_token_id=pad, **how)
    text: str = tokenizer.decode(out[0, given.shape[1] :], skip_special_tokens=True)
    return text.strip()


def answers(models: Mapping[str, tuple[Any, Any]], questions: Sequence[str], *, tokens: int = 60) -> pd.DataFrame:
    """What models answer to the same questions, side by side: one row a question, one column a model.

    A model without a chat template is not spoken to in one: it goes on from the question, which is all that it has learnt to do.

    Parameters
    ----------
    models : model and tokenizer by the name to show
    """
    import pandas as pd

    table: dict[str, list[str]] = {"question": list(questions)}
    for name, (model, tokenizer) in models.items():
        table[name] = [
            reply(model, tokenizer, asked, tokens=tokens)
            if tokenizer.chat_template
            else continuation(model, tokenizer, asked, tokens=tokens, temperature=0)[len(asked) :].strip()
            for asked in questions
        ]
    return pd.DataFrame(table)


def _marks(tokenizer: Any) -> Marks | None:
    return next((marks for marks in TEMPLATES.values() if marks.jinja == tokenizer.chat_template), None)


def _plain(tokenizer: Any, *, signs: bool = False) -> Callable[[str], list[int]]:
    """Text to token ids; a sign that the text spells is a token only where `signs` says so."""

    def encode(text: str) -> list[int]:
        ids: list[int] = tokenizer(text, add_special_tokens=False, split_special_tokens=not signs, verbose=False)["input_ids"]
        return ids

    return encode


def _framed(talk: Conversation, tokenizer: Any, marks: Marks) -> Example:
    return Example(*_frame(talk, tokenizer, marks))


def _frame(talk: Sequence[Message], tokenizer: Any, marks: Marks) -> tuple[list[int], list[bool]]:
    """One of our templates, message by message."""
    begin, end = (int(tokenizer.convert_tokens_to_ids(sign)) for sign in (marks.begin, marks.end))
    encode = _plain(tokenizer)
    after = encode("\n")
    ids = [] if tokenizer.bos_token_id is None else [int(tokenizer.bos_token_id)]
    learnt = [False] * len(ids)
    given = [{"role": "system", "content": marks.system}] if marks.system and talk[0]["role"] != "system" else []
    for message in [*given, *talk]:
        answers = message["role"] == "assistant"
        inside, which = _joined([(f"{message['role']}\n", False), (message["content"].strip(), answers)], encode)
        ids += [begin, *inside, end, *after]
        learnt += [False, *which, answers, *(False for _ in after)]
    return ids, learnt


def _joined(parts: Sequence[tuple[str, bool]], encode: Callable[[str], list[int]]) -> tuple[list[int], list[bool]]:
    """Tokens of the parts in one piece where what stands before a border does not depend on what follows, else apart."""
    text, ids, learnt = "", list[int](), list[bool]()
    for part, is_answer in parts:
        text += part
        whole = encode(text)
        ids = whole if whole[: len(ids)] == ids else ids + encode(part)
        learnt += [is_answer] * (len(ids) - len(learnt))
    return ids, learnt


def _rendered(talk: Conversation, tokenizer: Any, where: str) -> list[Example]:
    """A template of the tokenizer's own: what it adds for an answer is what is learnt."""
    _no_signs(talk, tokenizer, where)
    encode = _plain(tokenizer, signs=True)
    ends = [place for place, message in enumerate(talk) if message["role"] == "assistant"]
    turns = []
    for place in ends:
        before, after = _render(talk[:place], tokenizer, where, ask=True), _render(talk[: place + 1], tokenizer, where)
        if not after.startswith(before):
            raise InputError(f"{where}: the tokenizer's template writes a question otherwise once it is answered; choose hare or chatml")
        turns.append((before, after))
    parts: list[tuple[str, bool]] = []
    done = ""
    for before, after in turns:
        if not before.startswith(done):  # an earlier turn has changed
            return [Example(*_joined(_split("", *turn), encode)) for turn in turns]
        parts += _split(done, before, after)
        done = after
    return [Example(*_joined(parts, encode))]


def _split(done: str, before: str, after: str) -> list[tuple[str, bool]]:
    """What a turn adds to `done`: the question, the answer with its sign, and the empty line after it, which is not learnt."""
    answer = after[len(before) :]
    kept = answer.rstrip()
    return [(before[len(done) :], False), (kept, True), (answer[len(kept) :], False)]


def _render(messages: Sequence[Message], tokenizer: Any, where: str, *, ask: bool = False) -> str:
    from jinja2 import TemplateError

    try:
        text: str = tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=ask)
    except TemplateError as error:
        raise InputError(f"{where}: the tokenizer's template refuses it ({error}); mend it, or choose hare or chatml") from error
    return text


def _no_signs(talk: Sequence[Message], tokenizer: Any, where: str) -> None:
    signs = {str(token) for token in tokenizer.get_added_vocab()} | set(tokenizer.all_special_tokens)
    for number, message in enumerate(talk, start=1):
        spelt = next((sign for sign in signs if sign.strip() and sign in message["content"]), None)
        if spelt:
            raise InputError(
                f'{where}: message {number} spells "{spelt}", a sign of the tokenizer\'s template; remove it, or choose hare or chatml'
            )
