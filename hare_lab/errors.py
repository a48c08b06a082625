"""What goes wrong because of what came in, said in one sentence.

Every check on a person's input (a file, a column, a setting, a budget) raises `InputError` with a sentence that says what,
where and what to do. The command line prints it and exits 2; a notebook shows it first. A bug raises anything else.
"""

from __future__ import annotations


class InputError(ValueError):
    """Bad input. The message is one sentence for a person: what, where, what to do."""


class MissingArtifactError(InputError):
    """A run lacks an artifact; the message names the notebook that makes it."""
