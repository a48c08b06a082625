"""What may be said to many commands: the same word with the same meaning everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EPOCHS = 3  # how often a model that is tuned reads its examples, where nothing else is said

Corpus = Annotated[str, typer.Argument(help="demo, a path, a glob, hf:owner/name, or - for standard input.")]
Seed = Annotated[int, typer.Option(help="Every draw follows from it.", min=0, max=2**31 - 1)]
Limit = Annotated[int | None, typer.Option(help="Read at most so many pages.", min=1)]
Column = Annotated[str | None, typer.Option(help='The column that holds the text (default: "text").')]
Model = Annotated[str | None, typer.Option(help="Embedding model: a folder or a hub id (default: the bundled MiniLM).")]
PriorsFile = Annotated[Path | None, typer.Option(help="Priors file (default: data/priors/default.yaml).")]
ProfileName = Annotated[str, typer.Option(help="Sizes: small, laptop or gpu.")]
