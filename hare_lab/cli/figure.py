"""`hare-lab figure`: a figure of a run again, in another format or theme."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Literal, cast

import typer

from hare_lab.cli.results import remedy, run_folder, say
from hare_lab.errors import InputError


def figure(
    name: Annotated[str, typer.Argument(help="The figure's name in runs/R/figures.")],
    run: Annotated[str, typer.Option(help="The run's name or folder.")] = "demo",
    format: Annotated[str | None, typer.Option(help="html, png, svg or pdf (default: what --out ends in, else html).")] = None,
    theme: Annotated[str, typer.Option(help="screen, paper or talk.")] = "screen",
    out: Annotated[Path | None, typer.Option(help="File to write (default: runs/R/figures/NAME-THEME.FORMAT).")] = None,
) -> None:
    """Draw a figure of a run again, in another format or theme."""
    from hare_lab import figures
    from hare_lab.run.storage import discard

    folder = run_folder(run) / "figures"
    stored = folder / f"{name}.plotly"
    if not stored.exists():
        known = ", ".join(sorted(p.stem for p in folder.glob("*.plotly"))) or "none yet"
        raise InputError(f'run {run} has no figure "{name}"; it has: {known}')
    says = out.suffix.removeprefix(".").lower() if out else ""
    format = format or (says if says in figures.FORMATS else "html")
    if format not in figures.FORMATS:
        raise InputError(f'format "{format}" is unknown; choose one of {", ".join(figures.FORMATS)}')
    if says in figures.FORMATS and says != format:
        raise InputError(f"--out {out} ends in .{says} and --format says {format}; give one of the two")
    caption = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))["caption"]
    drawn = figures.themed(figures.from_json(stored.read_text(encoding="utf-8")), theme)
    content = (
        figures.html(drawn, caption).encode() if format == "html" else figures.image(drawn, cast(Literal["png", "svg", "pdf"], format))
    )
    target = out or folder / f"{name}-{theme}.{format}"
    if target.is_dir():
        raise InputError(f"--out {target} is a folder; give a file")
    aside = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        aside.write_bytes(content)
        aside.replace(target)
    except OSError as error:
        raise InputError(f"--out {target} can't be written ({error.strerror or error}); {remedy(error)}") from error
    finally:
        discard(aside)
    say(str(target))
