"""What is a character: a space, a letter, a sign, the end of a sentence? One table answers for all of the basic plane."""

from __future__ import annotations

import unicodedata
from functools import cache

import numpy as np
from numpy.typing import NDArray

SPACE, LETTER, SIGN, STOP, BREAK, UPPER, DIGIT, CONTENT = 1, 2, 4, 8, 16, 32, 64, 128
_BREAKS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"  # where `str.splitlines` ends a line
# Unicode 16, property Sentence_Terminal (PropList.txt): what ends a sentence in any script
_SENTENCE_TERMINAL = (
    "21 2E 3F 589 61D-61F 6D4 700-702 7F9 837 839 83D-83E 964-965 104A-104B 1362 1367-1368 166E 1735-1736 17D4-17D5 1803 1809 "
    "1944-1945 1AA8-1AAB 1B4E-1B4F 1B5A-1B5B 1B5E-1B5F 1B7D-1B7F 1C3B-1C3C 1C7E-1C7F 2024 203C-203D 2047-2049 2CF9-2CFB 2E2E "
    "2E3C 2E53-2E54 2E60-2E61 3002 A4FF A60E-A60F A6F3 A6F7 A876-A877 A8CE-A8CF A92F A9C8-A9C9 AA5D-AA5F AAF0-AAF1 ABEB FE12 "
    "FE15-FE16 FE52 FE56-FE57 FF01 FF0E FF1F FF61 10A56-10A57 10F55-10F59 10F86-10F89 11047-11048 110BE-110C1 11141-11143 "
    "111C5-111C6 111CD 111DE-111DF 11238-11239 1123B-1123C 112A9 113D4-113D5 1144B-1144C 115C2-115C3 115C9-115D7 11641-11642 "
    "1173C-1173E 11944 11946 11A42-11A43 11A9B-11A9C 11C41-11C42 11EF7-11EF8 11F43-11F44 16A6E-16A6F 16AF5 16B37-16B38 16B44 "
    "16D6E-16D6F 16E98 1BC9F 1DA88 "
)


def kinds_of(codes: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """What each code point is, as a sum of the kinds above."""
    table = _table()
    if codes.max(initial=0) < len(table):
        return table[codes]
    found = table[np.minimum(codes, len(table) - 1)]
    beyond = np.flatnonzero(codes >= len(table))
    if len(beyond):
        distinct, inverse = np.unique(codes[beyond], return_inverse=True)
        found[beyond] = np.array([_kind(chr(code)) for code in distinct.tolist()], np.uint8)[inverse]
    return found


@cache
def _table() -> NDArray[np.uint8]:
    """The kinds of the characters of the basic plane; the last one stands for all beyond, which are looked up one by one."""
    return np.array([_kind(chr(code)) for code in range(0x10000)], np.uint8)


def _kind(sign: str) -> int:
    """Letters are what `str.isalpha` says; a STOP ends a sentence by Unicode's property Sentence_Terminal."""
    category = unicodedata.category(sign)
    is_sign = category[0] in "PS" or category == "Cc"
    return (
        SPACE * sign.isspace()
        + LETTER * sign.isalpha()
        + SIGN * is_sign
        + STOP * (sign in _stops())
        + BREAK * (sign in _BREAKS)
        + UPPER * (category in ("Lu", "Lt"))
        + DIGIT * (category == "Nd")
        + CONTENT * (not is_sign and not sign.isspace())
    )


@cache
def _stops() -> frozenset[str]:
    ranges = [[int(code, 16) for code in part.split("-")] for part in _SENTENCE_TERMINAL.split()]
    return frozenset(chr(code) for low, *high in ranges for code in range(low, (high or [low])[0] + 1))
