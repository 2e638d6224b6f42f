"""Lists in pages, as the newer paths have them: `limit` entries after the one that the cursor `after` names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from together_adapters.emulator.errors import bad_request
from together_adapters.emulator.http.routing import RequestContext


def page(context: RequestContext, records: Sequence[dict[str, Any]], key: str = "id") -> dict[str, Any]:
    """Returns a page of a list: `after` is the value of `key` in the last entry of the previous page."""
    query = context.request.query_params
    limit = query.get("limit") or "100"
    if not limit.isdecimal() or not 1 <= int(limit[:9]) <= 1_000:
        raise bad_request("limit must be a whole number from 1 to 1000.", param="limit")
    ids = [record[key] for record in records]
    after = query.get("after")
    if after and after not in ids:
        raise bad_request("after is not a cursor of this list.", param="after")
    start = ids.index(after) + 1 if after else 0
    entries = records[start : start + int(limit)]
    has_more = start + len(entries) < len(records)
    return {"object": "list", "data": list(entries), "next_cursor": entries[-1][key] if entries and has_more else None}
