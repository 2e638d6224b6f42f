"""`/v1/files`: what was uploaded, and the state of its check."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from together_adapters.emulator.errors import bad_request
from together_adapters.emulator.http.byte_ranges import content_response
from together_adapters.emulator.http.routing import RequestContext, json_route
from together_adapters.emulator.store.file_store import MEDIA_TYPES


def list_files(context: RequestContext) -> dict[str, Any]:
    """Lists files, the newest first."""
    return {"object": "list", "data": [file.to_dict() for file in context.stores.files.complete()]}


def retrieve(context: RequestContext) -> dict[str, Any]:
    """Returns one file."""
    return context.stores.files.find(context.path_id).to_dict()


def delete(context: RequestContext) -> dict[str, Any]:
    """Deletes a file."""
    context.stores.files.remove(context.path_id)
    return {"id": context.path_id, "object": "file", "deleted": True}


def content(context: RequestContext) -> Response:
    """Returns the content of a file."""
    file = context.stores.files.find(context.path_id)
    if file.content is None:
        raise bad_request("The file has no content yet.")
    return content_response(context.request, file.content, MEDIA_TYPES[file.type])


ROUTES: Any = [
    json_route("/v1/files", list_files, "GET"),
    json_route("/v1/files/{id}", retrieve, "GET"),
    json_route("/v1/files/{id}", delete, "DELETE"),
    json_route("/v1/files/{id}/content", content, "GET"),
]
