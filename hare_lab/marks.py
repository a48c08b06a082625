r"""Which characters go on with a word though Python's `\w` ends it there: the vowel signs and other marks of most scripts."""

from __future__ import annotations

import unicodedata
from itertools import groupby


def _marks() -> str:
    """Every combining mark (Unicode's Mn and Mc) but the variation selectors, which only choose a look; as ranges of a character class."""
    codes = [code for code in range(0x300, 0x20000) if unicodedata.category(chr(code)) in ("Mn", "Mc")]
    codes = [code for code in codes if not unicodedata.name(chr(code)).startswith("VARIATION SELECTOR")]
    runs = [[code for _, code in run] for _, run in groupby(enumerate(codes), lambda pair: pair[1] - pair[0])]  # of codes side by side
    return "".join(f"{chr(run[0])}-{chr(run[-1])}" for run in runs)


_MARKS = _marks()
# One mark, or a joiner with a letter or mark after it. The first look ahead spares most texts the class, which is slow to look through.
MARK = rf"(?=[^\0-\u02ff])(?:[{_MARKS}]|[\u200c\u200d](?=[\w{_MARKS}]))"
