"""Lists in pages: a response has `data` and the cursor of the next page, which the service takes as `after`.

So says the `together` 3.x SDK of `/v2/projects/...` and `/v1/billing/usage`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol, TypeVar

from together_adapters.errors import APIResponseValidationError
from together_adapters.transport.call import Call, Flow

_MAX_PAGES = 10_000


class Page(Protocol):
    """One page of a list."""

    data: list[Any]
    next_cursor: str | None


P = TypeVar("P", bound=Page)


def read_pages(call: Call[P], limit: int | None, after: str | None) -> Flow[P]:
    """Returns the first page with the entries of all pages, or with `limit` entries; `next_cursor` is where it ends.

    A cursor that comes again would never end: it is an `APIResponseValidationError`.
    """
    if limit is not None and (not isinstance(limit, int) or limit < 1):
        raise ValueError(f"limit={limit!r} must be an integer from 1, or None for all")
    result: P | None = None
    cursors = set()
    for _ in range(_MAX_PAGES):
        remaining = None if limit is None else limit - (len(result.data) if result else 0)
        page: P = yield replace(call, query={**call.query, "limit": remaining, "after": after})
        if result is None:
            result = page
        else:
            result.data += page.data
        after = result.next_cursor = page.next_cursor or None
        if after is None or (limit is not None and len(result.data) >= limit):
            return result
        if after in cursors:
            break
        cursors.add(after)
    raise APIResponseValidationError(f"the list does not end: the server repeats the cursor {str(after)[:50]!r}")
