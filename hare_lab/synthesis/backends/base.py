"""What every backend has in common: how it is asked, and with which settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from hare_lab.synthesis.plan import Request

Offer = tuple[str, str, str, str]  # kind, audience, style, seed page


@dataclass(frozen=True)
class Settings:
    """How a model writes. The largest reply is the paper's (appendix A.4): about 2,000 tokens for D2, 512 for D3."""

    temperature: float = 0.8
    top_p: float = 0.95
    most_tokens: Mapping[str, int] = field(default_factory=lambda: {"D2": 2048, "D3": 512})

    def of(self, request: Request) -> dict[str, Any]:
        """The settings of one request, as an OpenAI-compatible server takes them; a repeated key draws anew."""
        return {"temperature": self.temperature, "top_p": self.top_p, "max_tokens": self.most_tokens[request.task], "seed": request.draw}


class Backend(Protocol):
    """Anything that answers requests."""

    @property
    def model(self) -> str:
        """What is written into the provenance of each sample."""

    @property
    def place(self) -> str:
        """Where the model is: what tells it from another of the same name, so part of a run's key."""

    @property
    def live(self) -> bool:
        """Whether it writes anew, so that a malformed reply may be asked for again."""

    def settings(self, request: Request) -> Mapping[str, Any]:
        """How a request is answered: part of its provenance."""

    def offers(self, topic: str, task: str) -> Sequence[Offer] | None:
        """What it can answer for a topic; None is anything, without end."""

    def replies(self, requests: Sequence[Request]) -> Iterator[tuple[int, str]]:
        """The reply to each request, with its place in `requests`, in the order in which they come; "" where none came."""
