"""Which language is a page in? py3langid's classifier on the beginning of the text, with its confidence."""

from __future__ import annotations

import functools
from typing import Any

HEAD = 1_500  # characters; more makes no page surer and costs time


def detect(text: str) -> tuple[str, float]:
    """ISO 639-1 code and confidence between 0 and 1; ("", 0.0) where there is no letter to judge by.

    References
    ----------
    Lui and Baldwin (2012), "langid.py: An Off-the-shelf Language Identification Tool", ACL System Demonstrations.
    """
    head = text[:HEAD]
    if not any(character.isalpha() for character in head):
        return "", 0.0
    code, confidence = _identifier().classify(head)
    return str(code), float(confidence)


@functools.cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
