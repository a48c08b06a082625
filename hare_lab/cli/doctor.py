"""`hare-lab doctor`: what this machine has."""

from __future__ import annotations

from hare_lab.cli.results import say
from hare_lab.errors import InputError


def doctor() -> None:
    """Say what this machine has: versions, weights and their hash, network, browser, cores, bf16, disk."""
    from hare_lab.doctor import examine

    checks = examine()
    width = max(len(check.name) for check in checks)
    for check in checks:
        say(f"{'ok ' if check.ok else '-- '} {check.name:<{width}}  {check.finding}")
    if any(check.needed and not check.ok for check in checks):
        raise InputError("something that the workbench needs is missing; see the lines marked --")
