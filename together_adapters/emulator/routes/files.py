"""`/v1/files`: what was uploaded, and the state of its check; and the files that responses refer to by URL."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from together_adapters.emulator.errors import bad_request, typical
from together_adapters.emulator.http.responses import content_response
from together_adapters.emulator.http.routing import PUBLIC, RequestContext, json_route
from together_adapters.emulator.store.file_store import MEDIA_TYPES


def _list(context: RequestContext) -> dict[str, Any]:
    return {"object": "list", "data": [file.to_dict() for file in context.stores.files.complete()]}


def _delete(context: RequestContext) -> dict[str, Any]:
    context.stores.files.remove(context.path_id)
    return {"id": context.path_id, "object": "file", "deleted": True}


def _content(context: RequestContext) -> Response:
    file = context.stores.files.find(context.path_id)
    if file.content is None:
        raise bad_request("The file has no content yet.")
    return content_response(context.request, file.content, MEDIA_TYPES[file.type])


def _fetch(context: RequestContext) -> Response:
    """Returns a file that `RequestContext.publish` has stored."""
    file = context.stores.generated_files.get(context.request.scope["path"])
    if file is None:
        raise typical(404)
    return Response(file[0], media_type=file[1])


ROUTES: Any = [
    json_route("/v1/files", _list, "GET"),
    json_route("/v1/files/{id}", lambda context: context.stores.files.find(context.path_id).to_dict(), "GET"),
    json_route("/v1/files/{id}", _delete, "DELETE"),
    json_route("/v1/files/{id}/content", _content, "GET"),
    json_route(PUBLIC + "{folder}/{name}", _fetch, "GET"),
]
