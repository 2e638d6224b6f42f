"""Files that responses refer to by URL: images, videos. They need no API key."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from together_adapters.emulator.errors import TYPICAL
from together_adapters.emulator.http.routing import PUBLIC, RequestContext, json_route


def publish(context: RequestContext, name: str, content: bytes, media_type: str) -> str:
    """Stores a file and returns its URL."""
    return context.url(context.stores.generated_files.save(PUBLIC, name, content, media_type))


def fetch(context: RequestContext) -> Response:
    """Returns a file."""
    file = context.stores.generated_files.get(context.request.scope["path"])
    if file is None:
        raise TYPICAL[404]
    return Response(file[0], media_type=file[1])


ROUTES: Any = [json_route(PUBLIC + "{folder}/{name}", fetch, method="GET")]
