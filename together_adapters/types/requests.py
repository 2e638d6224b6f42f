"""What every request may carry besides its own parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    import httpx


class RequestOptions(TypedDict, total=False):
    """Per-call options that every method takes.

    Attributes:
        extra_body: JSON fields that this library does not know yet, or that replace its own.
        extra_headers: Headers for this call.
        extra_query: Query parameters for this call.
        timeout: Seconds, or an `httpx.Timeout`, for each attempt of this call.
    """

    extra_body: Mapping[str, Any] | None
    extra_headers: Mapping[str, str] | None
    extra_query: Mapping[str, Any] | None
    timeout: float | httpx.Timeout | None
