"""What is cut out of a page: broken characters, boilerplate lines, links, personal data.

Patterns are narrow on purpose: a false cut damages prose, a missed one is counted nowhere, so each pattern asks for the
full shape of the thing (a card number passes the Luhn check, an IBAN its own check digits, a telephone number its spacing).
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping

import ftfy
from ftfy.badness import is_bad

from hare_lab.priors import Cleaning

PERSONAL = ("e-mail address", "telephone number", "card number", "bank account", "IP address")
MASKS = dict(zip(PERSONAL, ("[email]", "[phone]", "[card]", "[account]", "[ip]"), strict=True))

_EMAIL = re.compile(r"(?<![\w.+-])[A-Za-z0-9][\w.+-]{0,63}@(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,24}(?![\w-])")
_CARD = re.compile(r"(?<![\w.-])[3-6]\d{3}(?:[ -]?\d){9,15}(?![\w-])")
_IBAN = re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?!\w)")
_IPV4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.]*\d)")
# An international number, or a national one whose groups are set apart; a bare run of digits is no telephone number.
_PHONE = re.compile(
    r"(?<![\w.,/-])(?:\+\d{1,3}[ .-]?(?:\(0?\d{1,4}\)[ .-]?)?\d{1,4}(?:[ .-]\d{2,4}){1,4}"
    r"|\(\d{2,5}\)[ .-]?\d{3,4}[ .-]\d{3,4}|\d{3}[-. ]\d{3}[-. ]\d{4}|555-01\d\d|0\d{2,4} \d{3,4} \d{3,4})(?![\w-]|[.,]\d)"
)
_MARKDOWN_LINK = re.compile(
    r"!?\[([^\[\]\n]{0,300})\]\((?:https?://|www\.|/|#|mailto:)[^()\s]*(?:\([^()\s]*\)[^()\s]*)*(?:\s+\"[^\"\n]*\")?\)"
)
# With the brackets that hold nothing else; a stop after it ends the sentence and stays.
_PAIR = r"\([^\s()<>]*\)"
_ADDRESS = rf"<?(?:https?://|ftp://|www\.)(?:{_PAIR}|[^\s<>\"'\])}}])*(?:{_PAIR}|[^\s<>\"'\])}}.,;:!?])>?"
_URL = re.compile(rf"\({_ADDRESS}\)|\[{_ADDRESS}\]|{_ADDRESS}", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b\u2060\u206a-\u206f\ufeff\ufff9-\ufffc]")
_AS_WRITTEN: dict[str, bool] = dict.fromkeys(("uncurl_quotes", "fix_character_width", "fix_latin_ligatures", "unescape_html"), False)
_LINE_ENDS = re.compile("\r\n|[\r\u2028\u2029]")
_BLANKS = re.compile(r"\n{3,}")

# Whole lines that belong to the site, not to the text. Each stands alone on its line in a crawl. An entry of a menu neither begins nor ends
# with a space: were a space the entry's or the separator's at will, a long menu that does not match would take hours to be found out.
_BOILERPLATE = re.compile(
    r"""^\W*(?:
      (?:this|our)\s(?:web)?site\suses\scookies.* | we\suse\scookies.* | accept\s(?:all\s)?cookies
    | cookie\s(?:policy|settings|preferences)
    | (?:all\srights\sreserved|copyright\s(?:©|\(c\))|©)[^.]{0,80}\.?
    | (?:privacy\spolicy|terms\s(?:of\s(?:use|service)|and\sconditions)|site\s?map|contact\sus|about\sus)
      (?:\s*[|·•-]\s*\w[\w\s]{0,28}\w){0,6}
    | (?:share|tweet|pin|like|follow)\s(?:this|us)?\s?(?:on\s)?
      (?:facebook|twitter|x|pinterest|linkedin|instagram|whatsapp|email)?(?:\s*[|·•,]\s*\w+)*
    | (?:click|tap)\shere(?:\sto\s[\w\s]{2,40})?\.? | read\smore\W* | continue\sreading\W*
    | skip\sto\s(?:main\s)?content | back\sto\stop
    | (?:sign|log)\s?(?:in|up|out)(?:\s*[|/·]\s*(?:sign|log)\s?(?:in|up|out)|\sto\s[\w\s]{2,40})?
    | subscribe(?:\sto\s[\w\s]{2,40})?\W*
    | (?:home|menu|search|login|register|cart|checkout|blog|faq|help|news|shop|contact|about)
      (?:(?:\s*[|>»›·•]\s*|\s/\s)[\w&](?:[\w&\s]{0,28}[\w&])?){2,}
    | (?:previous|next|older|newer)\s(?:post|article|page|entry|entries)\W* | leave\sa\s(?:comment|reply)
    | \d+\s(?:comments?|shares?|likes?|views?)
    | posted\s(?:by|in|on)\s.{2,60} | filed\sunder:?\s.{2,60} | tags?:\s.{2,80} | advertisement | sponsored\scontent
    | (?:please\s)?enable\sjavascript.* | your\sbrowser\sdoes\snot\ssupport.*
    )\W*$""",
    re.IGNORECASE | re.VERBOSE,
)


def scrub(text: str, rules: Cleaning, repeated: frozenset[str] = frozenset()) -> tuple[str, Counter[str]]:
    """A page's text without what the rules cut, and how often each kind of cut was made.

    Parameters
    ----------
    text : str
        As `mend` leaves it.
    rules : Cleaning
    repeated : set of lines
        Lines that stand on many pages of the same source (`repeated_lines`); cut like boilerplate.
    """
    counted: Counter[str] = Counter()
    if rules.boilerplate == "cut":
        text = _cut_lines(text, repeated, counted)
    if rules.links == "cut":
        text, markdown = _MARKDOWN_LINK.subn(r"\1", text)
        text, bare = _without_addresses(text)
        counted["link"] += markdown + bare
    if rules.personal_data != "keep":
        text = _mask(text, counted)
    return _BLANKS.sub("\n\n", text).strip(), +counted


def mend(text: str) -> tuple[str, bool]:
    """The text with mojibake decoded, characters composed, line ends made one kind and control characters dropped; and whether it held any
    mojibake. Nothing else is rewritten: width, ligatures, quotes and HTML entities are the writer's.
    """
    bad = not text.isascii() and is_bad(text)
    decoded = ftfy.fix_text(text, **_AS_WRITTEN) if bad else text
    return unicodedata.normalize("NFC", _CONTROL.sub("", _LINE_ENDS.sub("\n", decoded))), decoded != text


def repeated_lines(texts: Iterable[str], sources: Iterable[str]) -> Mapping[str, frozenset[str]]:
    """Lines of 4 to 40 words that at least 5 pages and 2 % of the pages of one source share: the site's, not the page's.

    Shorter lines are often headings that structure a text; a longer run that repeats is a copied page, which is
    deduplication's business. At most half of a page is cut this way, see `_cut_lines`. Texts as `mend` leaves them: one
    line may be written in two ways.
    """
    seen: dict[str, Counter[str]] = defaultdict(Counter)
    pages: Counter[str] = Counter()
    for text, source in zip(texts, sources, strict=True):
        pages[source] += 1
        lines = {line.strip() for line in text.split("\n")}
        seen[source].update(line for line in lines if 4 <= line.count(" ") + 1 <= 40 and _is_prose(line))
    return {
        source: frozenset(line for line, n in lines.items() if n >= max(5, 0.02 * pages[source]))
        for source, lines in seen.items()
    }  # fmt: skip


def _is_prose(line: str) -> bool:
    """Whether a line is words; a line of code or of a table may repeat and still belong to its page."""
    if line.startswith((">>>", "...", "#", "from ", "import ", "Traceback")):
        return False
    return sum(character.isalpha() or character == " " for character in line) >= 0.85 * len(line)


def _without_addresses(text: str) -> tuple[str, int]:
    """The text without its addresses and the blanks before each, after it where it begins a line; and how many there were."""
    kept: list[str] = []
    end, fresh = 0, True
    for match in _URL.finditer(text):
        kept.append(text[end : match.start()].rstrip(" \t"))
        fresh = kept[-1].endswith("\n") if kept[-1] else fresh
        end = match.end()
        while fresh and text[end : end + 1] in (" ", "\t"):
            end += 1
    return "".join([*kept, text[end:]]), len(kept)


def _cut_lines(text: str, repeated: frozenset[str], counted: Counter[str]) -> str:
    lines = text.split("\n")
    own = [line for line in lines if line.strip() not in repeated]
    if 2 * sum(map(len, own)) < sum(map(len, lines)):  # mostly shared lines: a copy of a page, not a frame around one
        own = lines
    left = [line for line in own if not (len(line) <= 200 and _BOILERPLATE.match(line))]
    counted["boilerplate line"] += len(lines) - len(left)
    return "\n".join(left)


def _mask(text: str, counted: Counter[str]) -> str:
    """Personal data replaced by what kind it was; the kinds with check digits first, for a telephone number may look like them."""

    def put(kind: str, pattern: re.Pattern[str], text: str, is_one: Callable[[str], bool] | None = None) -> str:
        def replace(match: re.Match[str]) -> str:
            found = match[0]
            ends = [len(found), *(at for at in range(len(found) - 1, 0, -1) if found[at] in " -")]  # a number may follow one of them
            end = next((end for end in ends if is_one is None or is_one(found[:end])), 0)
            if not end:
                return found
            counted[kind] += 1
            return MASKS[kind] + found[end:]

        return pattern.sub(replace, text)

    if "@" in text:
        text = put("e-mail address", _EMAIL, text)
    if not any(character.isdigit() for character in text):
        return text
    text = put("bank account", _IBAN, text, _is_iban)
    text = put("card number", _CARD, text, _is_card)
    text = put("IP address", _IPV4, text, _is_ip)
    return put("telephone number", _PHONE, text, _is_phone)


def _is_card(found: str) -> bool:
    """The Luhn check (ISO/IEC 7812-1, annex B), 13 to 19 digits, not all alike, with a card issuer's first digit."""
    digits = [int(c) for c in found if c.isdigit()]
    if not 13 <= len(digits) <= 19 or digits[0] not in (3, 4, 5, 6) or len(set(digits)) == 1:
        return False
    doubled = [d * 2 - 9 * (d > 4) for d in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _is_iban(found: str) -> bool:
    """The mod-97 check of ISO 13616."""
    compact = found.replace(" ", "")
    if not 15 <= len(compact) <= 34:
        return False
    number = "".join(str(int(c, 36)) for c in compact[4:] + compact[:4])
    return int(number) % 97 == 1


def _is_ip(found: str) -> bool:
    """A public-looking IPv4 address; version numbers such as 1.2.3.4 and loopback or private ranges name no person."""
    try:
        address = ipaddress.IPv4Address(found)
    except ipaddress.AddressValueError:
        return False
    documentation = found.startswith(("192.0.2.", "198.51.100.", "203.0.113."))
    return int(found.split(".")[0]) >= 11 and (documentation or address.is_global)


def _is_phone(found: str) -> bool:
    """Seven to fifteen digits (ITU-T E.164)."""
    return 7 <= sum(c.isdigit() for c in found) <= 15
