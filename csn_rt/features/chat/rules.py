"""What may be said: the text of a message, and the name that stands beside it.

Rule 1: a text is stored in Unicode NFC without white space at its ends, 1 to 500 code points. Too long is
        refused, never cut.
Rule 2: no control characters, line breaks and tabs included: a message is one line. The bidirectional
        embeddings, overrides and isolates count as such, because they reorder what stands around a message.
        Lone surrogates are no text at all.
Rule 3: other invisible characters may stay, since languages and emoji are made with them: zero-width
        joiners (families, Indic scripts, Persian), variation selectors, the tags of regional flags,
        directional marks. A text in which nothing can be seen is empty.
Rule 4: at most 8 combining marks in a row, so that nobody paints over the lines above. Invisible characters
        between them do not begin a new row.
"""

import re
import unicodedata
from typing import Final

MAX_TEXT: Final = 500
MAX_MARKS: Final = 8
MAX_NAME: Final = 64
MAX_AVATAR_URL: Final = 2_000

# NFC makes a text at most four times shorter, because no character is composed of more than four. What is
# longer than that is too long in any case, and is not normalized: sorting its marks can take quadratic time.
_MAX_RAW: Final = 4 * MAX_TEXT

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_NOT_ASCII = re.compile("[^\x00-\x7f]+")
_SEEN_ASCII = re.compile("[!-~]")
_AVATAR_URL = re.compile(r"https?://[!-~]+")

# Letters and a symbol by category, but nothing is seen of them: Hangul fillers and the empty braille cell.
_BLANK: Final = frozenset("\u115f\u1160\u3164\uffa0\u2800")


class TextInvalid(Exception):
    """The text cannot be said; the message tells its author why."""


def clean_text(raw: str) -> str:
    """The text as it is stored and shown; raises TextInvalid."""
    text = raw.strip()
    if text.isascii():
        if not text.isprintable():
            raise TextInvalid("control characters, line breaks and tabs are not allowed")
    else:
        text = _clean_unicode(text)
    if not text:
        raise TextInvalid("the message is empty")
    if len(text) > MAX_TEXT:
        raise TextInvalid(f"the message is longer than {MAX_TEXT} characters")
    return text


def display_name(name: str | None, user_id: str) -> str:
    """The name to show: the token's, as far as it is fit to stand beside a message, else the user's id."""
    try:
        return clean_text((name or "")[:MAX_TEXT])[:MAX_NAME].rstrip()
    except TextInvalid:
        return user_id


def safe_avatar(url: str | None) -> str | None:
    """The address if a page may show it; None for every other scheme, `javascript:` above all."""
    if url is None or len(url) > MAX_AVATAR_URL or not _AVATAR_URL.fullmatch(url):
        return None
    return url


def _clean_unicode(text: str) -> str:
    if len(text) > _MAX_RAW:
        raise TextInvalid(f"the message is longer than {MAX_TEXT} characters")
    if _SURROGATE.search(text):
        raise TextInvalid("the message is not valid Unicode")
    if _CONTROL.search(text):
        raise TextInvalid("control characters, line breaks and tabs are not allowed")
    text = unicodedata.normalize("NFC", text)
    # ASCII ends a row of marks, and all of it but the space can be seen: only the rest is looked at closely.
    rows = _NOT_ASCII.findall(text)
    if any(_longest_marks(row) > MAX_MARKS for row in rows):
        raise TextInvalid(f"more than {MAX_MARKS} combining marks in a row are not allowed")
    return text if _SEEN_ASCII.search(text) or any(map(_is_seen, text)) else ""


def _longest_marks(row: str) -> int:
    longest = marks = 0
    for char in row:
        category = unicodedata.category(char)
        if category[0] == "M":
            marks += 1
            longest = max(longest, marks)
        elif category != "Cf":
            marks = 0
    return longest


def _is_seen(char: str) -> bool:
    category = unicodedata.category(char)
    return category[0] != "M" and category not in {"Cf", "Zs"} and char not in _BLANK
