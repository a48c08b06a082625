"""What may be said to many commands: the same word with the same meaning everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from hare_lab.errors import InputError

EPOCHS = 3  # how often a model that is tuned reads its examples, where nothing else is said

Corpus = Annotated[str, typer.Argument(help="demo, a path, a glob, hf:owner/name, or - for standard input.")]
Seed = Annotated[int, typer.Option(help="Every draw follows from it.", min=0, max=2**31 - 1)]
Limit = Annotated[int | None, typer.Option(help="Read at most so many pages.", min=1)]
Column = Annotated[str | None, typer.Option(help='The column that holds the text (default: "text").')]
Model = Annotated[str | None, typer.Option(help="Embedding model: a folder or a hub id (default: the bundled MiniLM).")]
PriorsFile = Annotated[Path | None, typer.Option(help="Priors file (default: data/priors/default.yaml).")]
ProfileName = Annotated[str, typer.Option(help="Sizes: small, laptop or gpu.")]


class Several(TyperCommand):
    """A command whose options that may be given again take every word up to the next option: `--tasks A B C`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        many = {name for option in self.params if getattr(option, "multiple", False) for name in option.opts}
        words, named = [], ""
        for at, word in enumerate(args):
            if word.startswith("-") and word != "-":
                named = word if word in many else ""
            elif named and args[at - 1] != named:  # the second word after it, or a later one
                words.append(named)
            words.append(word)
        return super().parse_args(ctx, words)


def refuse(deaf: dict[str, Any], without: str) -> None:
    """Say of the first option that was given and would be ignored that it says nothing without another."""
    name = next((name for name, given in deaf.items() if given is not None), None)
    if name:
        raise InputError(f"--{name} says nothing without {without}; give that too, or leave it out")
