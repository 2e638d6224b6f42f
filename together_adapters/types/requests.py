"""Options of every request, besides its own parameters."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    import httpx


class ExtraOptions(TypedDict, total=False):
    """Additions to a request; see `RequestOptions`."""

    extra_body: Mapping[str, Any] | None
    extra_headers: Mapping[str, str] | None
    extra_query: Mapping[str, Any] | None


class RequestOptions(ExtraOptions, total=False):
    """Options of every call.

    Attributes:
        extra_body: JSON fields that this library does not know yet, or that replace its own.
        extra_headers: Headers for this call.
        extra_query: Query parameters for this call.
        timeout: Seconds, or an `httpx.Timeout`, for each attempt of this call.
    """

    timeout: float | httpx.Timeout | None


def attribute_docs(*params: type) -> dict[str, str]:
    """Returns the descriptions of the keys of TypedDicts, from the `Attributes` sections of their docstrings."""
    sections = [inspect.cleandoc(kind.__doc__ or "").partition("Attributes:\n")[2] for kind in params]
    entries = [entry for section in sections for entry in re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", section, re.MULTILINE)]
    return {name: " ".join(text.split()) for name, text in entries}
