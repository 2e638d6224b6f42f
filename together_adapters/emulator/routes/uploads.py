"""Uploads: the start that answers with a redirect, storage that takes bytes without a key, parts, and the one-shot form.

Storage plays a second host: it refuses a request that carries the key, or whose signature is not the one it gave.
"""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl

from starlette.responses import Response

from together_adapters.emulator.http.errors import ApiError, bad_request
from together_adapters.emulator.http.multipart import Upload, form_of, form_route
from together_adapters.emulator.http.routing import UPLOADED, UPLOADS, RequestContext, json_route
from together_adapters.emulator.routes.files import StoredFile, files_of, new_file, process
from together_adapters.emulator.store.disk import Stored

_MOST_PARTS: Final = 250
_SIGNED: Final = "X-Emulator-Signature"


@dataclass
class Place:
    """Where one body may be put, once or several times.

    Attributes:
        headers: Headers that the request must carry.
        content: What was put there.
    """

    signature: str = field(default_factory=lambda: secrets.token_hex(16))
    headers: dict[str, str] = field(default_factory=dict)
    content: Stored | None = None


@dataclass
class Multipart:
    """A file on its way in parts."""

    file: StoredFile
    size: int
    paths: list[str]


class Storage:
    """The places of one emulator, and the uploads in parts that use them."""

    def __init__(self) -> None:
        self.places: dict[str, Place] = {}
        self.multipart: dict[str, Multipart] = {}
        self.lock = threading.Lock()

    def discard(self, id: str) -> Multipart:
        """Forget an upload in parts, with what has arrived of it."""
        upload = self.multipart.pop(id)
        for path in upload.paths:
            if (place := self.places.pop(path)).content:
                place.content.remove()
        return upload


def storage_of(context: RequestContext) -> Storage:
    """Return the storage of an emulator."""
    found: Storage = context.state.shelf.setdefault("uploads", Storage())
    return found


def _start(context: RequestContext) -> Any:
    """`POST /v1/files`, as a form of either kind or as JSON."""
    fields = _fields(context)
    if isinstance(fields.get("file"), Upload):
        return _taken(context, fields)  # as OpenAI's client sends it
    file = new_file(context, fields)
    if isinstance(file, Response):
        return file
    files_of(context.state).add(file)
    place = Place()
    path = f"{UPLOADS}{file.id}/{file.type}"
    storage_of(context).places[path] = place
    return Response(b"", 302, {"location": _url(context, path, place), "x-together-file-id": file.id})


def _fields(context: RequestContext) -> dict[str, Any]:
    content_type = context.request.headers.get("content-type", "").lower()
    if content_type.startswith("application/x-www-form-urlencoded"):
        return dict(parse_qsl(context.content.decode("utf-8", "replace"), keep_blank_values=True))
    return context.body if isinstance(context.body, dict) else form_of(context)


def _put(context: RequestContext) -> Response:
    """`PUT` to a place in storage."""
    request = context.request
    arrived: Stored = request.scope[UPLOADED]
    try:
        place = _place(context)
    except ApiError:
        arrived.remove()
        raise
    if place.content:
        place.content.remove()
    place.content = arrived
    return Response(b"", 200, {"etag": f'"{arrived.md5}"'})


def _place(context: RequestContext) -> Place:
    headers = context.request.headers
    place = storage_of(context).places.get(context.request.scope["path"])
    if place is None:
        raise ApiError(404, "There is no such place in storage.", code="NoSuchKey")
    if "authorization" in headers or "cookie" in headers:
        raise ApiError(400, "Only one way to sign a request is allowed: the address, or a header.", code="InvalidArgument")
    if context.request.query_params.get(_SIGNED) != place.signature:
        raise ApiError(403, "The signature of the address does not match.", code="SignatureDoesNotMatch")
    if any(headers.get(name) != value for name, value in place.headers.items()):
        raise ApiError(403, "A header that was signed is missing.", code="SignatureDoesNotMatch")
    if "content-length" not in headers:
        raise ApiError(411, "Storage wants to know the length of a body.", code="MissingContentLength")
    return place


def _preprocess(context: RequestContext) -> dict[str, Any]:
    """`POST /v1/files/{id}/preprocess`."""
    file = files_of(context.state).get(context.request.path_params["id"])
    path = f"{UPLOADS}{file.id}/{file.type}"
    place = storage_of(context).places.get(path)
    if file.content is None:
        if place is None or place.content is None:
            raise bad_request("The content of the file has not arrived.")
        if file.checksum and place.content.sha256 != file.checksum:
            raise bad_request("What arrived has another checksum.", code="BadDigest")
        file.content = place.content
        del storage_of(context).places[path]
        process(context.state, file)
    return file.shown()


def _initiate(context: RequestContext) -> Any:
    """`POST /v1/files/multipart/initiate`."""
    body = context.body
    size, count = body.get("file_size"), body.get("num_parts")
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise bad_request("file_size must be a positive number.", param="file_size")
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= _MOST_PARTS:
        raise bad_request(f"num_parts must be a number from 1 to {_MOST_PARTS}.", param="num_parts")
    file = new_file(context, body)
    if isinstance(file, Response):
        return file
    id = f"upload-{secrets.token_hex(12)}"
    storage = storage_of(context)
    paths = [f"{UPLOADS}{id}/part-{number}" for number in range(1, count + 1)]
    parts = []
    for number, path in enumerate(paths, 1):
        place = storage.places[path] = Place(headers={"x-emulator-part": str(number)})
        parts.append({"PartNumber": number, "URL": _url(context, path, place), "Headers": dict(place.headers)})
    storage.multipart[id] = Multipart(file, size, paths)
    return {"upload_id": id, "file_id": file.id, "parts": parts}


def _complete(context: RequestContext) -> dict[str, Any]:
    """`POST /v1/files/multipart/complete`."""
    storage, upload = storage_of(context), _upload(context)
    told = context.body.get("parts")
    listed = [(part.get("part_number"), part.get("etag")) for part in told] if isinstance(told, list) else []
    places = [storage.places[path] for path in upload.paths]
    arrived = [place.content for place in places if place.content is not None]
    if len(arrived) < len(places) or listed != [(number, part.md5) for number, part in enumerate(arrived, 1)]:
        raise bad_request("The parts that are listed are not those that arrived, in their order.", code="InvalidPart")
    if sum(part.size for part in arrived) != upload.size:
        raise bad_request("The parts together have another size than was announced.", code="EntityTooSmall")
    for place in places:
        place.content = None
    storage.discard(context.body["upload_id"])
    upload.file.content = Stored.joined(arrived)
    files_of(context.state).add(upload.file)
    process(context.state, upload.file)
    return {"file": upload.file.shown()}


def _abort(context: RequestContext) -> dict[str, Any]:
    """`POST /v1/files/multipart/abort`."""
    _upload(context)
    storage_of(context).discard(context.body["upload_id"])
    return {"upload_id": context.body["upload_id"], "aborted": True}


def _upload(context: RequestContext) -> Multipart:
    id = context.body.get("upload_id")
    found = storage_of(context).multipart.get(id) if isinstance(id, str) else None
    if found is None or found.file.id != context.body.get("file_id"):
        raise ApiError(404, "There is no such upload.", code="not_found")
    return found


def _one_shot(context: RequestContext) -> Any:
    """`POST /v1/files/upload`: a form with the file in it."""
    return _taken(context, context.body)


def _taken(context: RequestContext, form: dict[str, Any]) -> Any:
    """Take in a file that came whole in a form."""
    sent = form.get("file")
    if not isinstance(sent, Upload):
        raise bad_request("file is required.", param="file")
    stored = Stored.of(context.state, sent.content)
    purpose = {"batch": "batch-api", "evals": "eval"}.get(str(form.get("purpose")), form.get("purpose"))
    try:
        file = new_file(context, {"file_name": sent.name, **form, "purpose": purpose, "checksum": stored.sha256})
    except ApiError:
        stored.remove()
        raise
    if isinstance(file, Response):
        stored.remove()
        return file
    file.content = stored
    process(context.state, files_of(context.state).add(file))
    return file.shown()


def _url(context: RequestContext, path: str, place: Place) -> str:
    return f"{str(context.request.base_url).rstrip('/')}{path}?{_SIGNED}={place.signature}"


ROUTES: Any = [
    json_route("/v1/files", _start, needs_object=False),
    form_route("/v1/files/upload", _one_shot),
    json_route("/v1/files/multipart/initiate", _initiate),
    json_route("/v1/files/multipart/complete", _complete),
    json_route("/v1/files/multipart/abort", _abort),
    json_route("/v1/files/{id}/preprocess", _preprocess, needs_object=False),
    json_route(UPLOADS + "{folder}/{name}", _put, "PUT"),
]
