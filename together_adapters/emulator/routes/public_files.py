"""Files that answers give addresses of: images, videos. They are kept in memory, the newest of them, and need no key."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from typing import Any, Final

from starlette.responses import Response

from together_adapters.emulator.http.errors import TYPICAL
from together_adapters.emulator.http.routing import PUBLIC, RequestContext, json_route

_MOST_BYTES: Final = 64 * 1024 * 1024
_Kept = OrderedDict[str, tuple[bytes, str]]


def keep(context: RequestContext, name: str, content: bytes, media_type: str) -> str:
    """Keep a file and return the address under which it can be fetched."""
    kept = _kept(context)
    path = f"{PUBLIC}{secrets.token_hex(8)}/{name}"
    kept[path] = (content, media_type)
    while len(kept) > 1 and sum(len(file) for file, _ in kept.values()) > _MOST_BYTES:
        kept.popitem(last=False)
    return f"{str(context.request.base_url).rstrip('/')}{path}"


def fetch(context: RequestContext) -> Response:
    """Answer with a file."""
    found = _kept(context).get(context.request.scope["path"])
    if found is None:
        raise TYPICAL[404]
    return Response(found[0], media_type=found[1])


def _kept(context: RequestContext) -> _Kept:
    kept: _Kept = context.state.shelf.setdefault("storage", OrderedDict())
    return kept


ROUTES: Any = [json_route(PUBLIC + "{folder}/{name}", fetch, method="GET")]
