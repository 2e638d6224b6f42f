r"""Halves of surrogate pairs in JSON, which tokenizers that cut a character in two leave behind. Pure.

JSON with `"\ud83d"` alone is no Unicode text, and strict parsers refuse it whole. A half whose other half opens a string of the next
event is joined with it; any other becomes U+FFFD.
"""

from __future__ import annotations

import re

_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)
_LAST_HALF = re.compile(rb'(\\u[dD][89abAB][0-9a-fA-F]{2})(?=")')
_FIRST_HALF = re.compile(rb'(?<!\\)"(?=\\u[dD][c-fC-F][0-9a-fA-F]{2})')
_REPLACEMENT = rb"\ufffd"
_BOM = b"\xef\xbb\xbf"


def lenient_json(data: bytes) -> bytes:
    """Returns JSON as strict parsers take it: without byte order mark, and with U+FFFD for halves and for bytes that are no UTF-8."""
    text = _ESCAPE.sub(lambda escape: _REPLACEMENT if escape[1] else escape[0], data.removeprefix(_BOM))
    return text.decode("utf-8", "replace").encode()


def whole_characters(text: str) -> str:
    """Returns a text that UTF-8 can express: halves are joined, or become U+FFFD."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def ends_in_half(data: bytes) -> bool:
    """Whether a string of an event ends with the first half of a pair."""
    return _LAST_HALF.search(data) is not None


def join_halves(data: bytes, following: bytes) -> tuple[bytes, bytes]:
    """Returns two successive events with the character that is cut between them whole in the second, if the halves fit."""
    half = _LAST_HALF.search(data)
    if half is None or not _FIRST_HALF.search(following):
        return data, following
    return _LAST_HALF.sub(b"", data), _FIRST_HALF.sub(lambda _: b'"' + half[1], following)
