"""Text as the SMS networks of Korea take it: in EUC-KR, counted in its bytes."""

from __future__ import annotations

import re
import unicodedata

SMS_BYTES = 90
"""The longest short message (SMS), in bytes of EUC-KR; longer ones go as LMS."""
LMS_BYTES = 2000
"""The longest long message (LMS), in bytes of EUC-KR."""
SUBJECT_BYTES = 40
"""The longest subject of an LMS, in bytes of EUC-KR."""

_PLAIN = str.maketrans(dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-") | {"\u00a0": " ", "\u2022": "\u00b7"})


def phone_digits(text: str) -> str:
    """The digits of a number, a Korean one without its country's: one way to write what people write in many."""
    return re.sub(r"^\+?82(?=[1-9])", "0", re.sub(r"[\s().-]", "", text))


def euc_kr_text(text: str) -> str:
    """`text` with every character that EUC-KR lacks replaced: dashes by `-`, accents dropped, the rest by `?`."""
    return "".join(_euc_kr_character(character) for character in unicodedata.normalize("NFC", text).translate(_PLAIN))


def _euc_kr_character(character: str) -> str:
    for candidate in (character, unicodedata.normalize("NFKC", character), _without_marks(character)):
        if candidate and _encodable(candidate):
            return candidate
    # Emoji come as several code points; their joiners and selectors have no width and leave nothing behind.
    return "" if unicodedata.category(character) in {"Mn", "Me", "Cf"} else "?"


def _without_marks(character: str) -> str:
    return "".join(part for part in unicodedata.normalize("NFKD", character) if not unicodedata.combining(part))


def _encodable(text: str) -> bool:
    try:
        text.encode("euc_kr")
    except UnicodeEncodeError:
        return False
    return True


def euc_kr_size(text: str) -> int:
    """Bytes of `text` in EUC-KR, which is what the provider counts; every character must be encodable."""
    return len(text.encode("euc_kr"))


def cut(text: str, size: int) -> str:
    """`text` shortened to `size` bytes of EUC-KR, with `..` at its end where something was cut."""
    if euc_kr_size(text) <= size:
        return text
    kept = text
    while kept and euc_kr_size(kept) > size - 2:
        kept = kept[:-1]
    return kept + ".."
