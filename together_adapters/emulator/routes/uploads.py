"""Uploads: in one request, through a redirect to storage, or in parts. Storage acts as another host, with signed URLs."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Any, Final
from urllib.parse import parse_qsl

from pydantic import Field
from starlette.responses import Response

from together_adapters.emulator.errors import ApiError, bad_request
from together_adapters.emulator.http.multipart import FormFile, form_of, form_route
from together_adapters.emulator.http.responses import json_response
from together_adapters.emulator.http.routing import UPLOAD_CONTENT, UPLOADS, RequestContext, RequestModel, json_route
from together_adapters.emulator.store.disk import StoredContent
from together_adapters.emulator.store.file_store import FileType, PartialUpload, Purpose, StoredFile, UploadSlot

SIGNATURE: Final = "X-Emulator-Signature"  # query parameter with the signature of an upload URL
_MAX_PARTS: Final = 250


class _NewFile(RequestModel):
    refuses_unknown = False
    file_name: str = Field(min_length=1, max_length=1_000)
    purpose: Purpose
    file_type: FileType
    checksum: str = Field("", max_length=200)


class _NewPartialUpload(_NewFile):
    file_size: int = Field(ge=1)
    num_parts: int = Field(ge=1, le=_MAX_PARTS)


def _start(context: RequestContext) -> Any:
    """`POST /v1/files`: as a form of either kind, or as JSON."""
    fields = _fields(context)
    if isinstance(fields.get("file"), FormFile):
        return _store_form(replace(context, body=fields))  # as OpenAI's client sends it
    file = _new_file(context, _NewFile.read(context, _with_type(fields)))
    if isinstance(file, Response):
        return file
    context.stores.files.put(file)
    path, slot = _path_of(file), UploadSlot()
    context.stores.files.slots[path] = slot
    return Response(b"", 302, {"location": _url(context, path, slot), "x-together-file-id": file.id})


def _fields(context: RequestContext) -> dict[str, Any]:
    content_type = context.request.headers.get("content-type", "").lower()
    if content_type.startswith("application/x-www-form-urlencoded"):
        return dict(parse_qsl(context.content.decode("utf-8", "replace"), keep_blank_values=True))
    return context.body if isinstance(context.body, dict) else form_of(context)


def _with_type(fields: dict[str, Any]) -> dict[str, Any]:
    """Adds the file type, by default the suffix of the name."""
    return {**fields, "file_type": fields.get("file_type") or str(fields.get("file_name")).rpartition(".")[2]}


def _new_file(context: RequestContext, new: _NewFile) -> StoredFile | Response:
    """Returns the file that an upload announces, or the response that says that its content exists already."""
    if duplicate := context.stores.files.duplicate(new.checksum, new.purpose):
        error = ApiError(409, "A file with this content exists already.", code="conflict").body()
        return json_response({**error, "file_id": duplicate.id}, 409)
    return StoredFile(new.file_name.replace("\\", "/").rpartition("/")[2], new.purpose, new.file_type, new.checksum)


def _put(context: RequestContext) -> Response:
    content: StoredContent = context.request.scope[UPLOAD_CONTENT]
    try:
        slot = _slot(context)
    except ApiError:
        content.remove()
        raise
    if slot.content:
        slot.content.remove()
    slot.content = content
    return Response(b"", 200, {"etag": f'"{content.md5}"'})


def _slot(context: RequestContext) -> UploadSlot:
    headers = context.request.headers
    slot = context.stores.files.slots.get(context.request.scope["path"])
    if slot is None:
        raise ApiError(404, "There is no such object in storage.", code="NoSuchKey")
    if "authorization" in headers or "cookie" in headers:
        raise ApiError(400, "Only one way to sign a request is allowed: the URL, or a header.", code="InvalidArgument")
    if context.request.query_params.get(SIGNATURE) != slot.signature:
        raise ApiError(403, "The signature of the URL does not match.", code="SignatureDoesNotMatch")
    if any(headers.get(name) != value for name, value in slot.headers.items()):
        raise ApiError(403, "A signed header is missing.", code="SignatureDoesNotMatch")
    if "content-length" not in headers:
        raise ApiError(411, "Storage requires the length of a body.", code="MissingContentLength")
    return slot


def _preprocess(context: RequestContext) -> dict[str, Any]:
    file, slots = context.stores.files.find(context.path_id), context.stores.files.slots
    if file.content is None:
        slot = slots.get(_path_of(file))
        if slot is None or slot.content is None:
            raise bad_request("The content of the file has not arrived.")
        if file.checksum and slot.content.sha256 != file.checksum:
            raise bad_request("The content has another checksum.", code="BadDigest")
        file.content = slot.content
        del slots[_path_of(file)]
        context.stores.files.start_check(file)
    return file.to_dict()


def _initiate(context: RequestContext) -> Any:
    new = _NewPartialUpload.read(context, _with_type(context.body))
    file = _new_file(context, new)
    if isinstance(file, Response):
        return file
    id = f"upload-{secrets.token_hex(12)}"
    uploads = context.stores.files
    paths = [f"{UPLOADS}{id}/part-{number}" for number in range(1, new.num_parts + 1)]
    parts = []
    for number, path in enumerate(paths, 1):
        slot = uploads.slots[path] = UploadSlot(headers={"x-emulator-part": str(number)})
        parts.append({"PartNumber": number, "URL": _url(context, path, slot), "Headers": dict(slot.headers)})
    uploads.partial_uploads[id] = PartialUpload(file, new.file_size, paths)
    return {"upload_id": id, "file_id": file.id, "parts": parts}


def _complete(context: RequestContext) -> dict[str, Any]:
    upload, files = _partial_upload(context), context.stores.files
    parts = context.body.get("parts")
    claims = [(part.get("part_number"), part.get("etag")) for part in parts] if isinstance(parts, list) else []
    slots = [files.slots[path] for path in upload.paths]
    contents = [slot.content for slot in slots if slot.content is not None]
    if len(contents) < len(slots) or claims != [(number, part.md5) for number, part in enumerate(contents, 1)]:
        raise bad_request("The listed parts are not those that arrived, in their order.", code="InvalidPart")
    if sum(part.size for part in contents) != upload.size:
        raise bad_request("The size of all parts is not the announced size.", code="EntityTooSmall")
    for slot in slots:
        slot.content = None
    files.discard_upload(context.body["upload_id"])
    upload.file.content = StoredContent.join(contents)
    files.start_check(files.put(upload.file))
    return {"file": upload.file.to_dict()}


def _abort(context: RequestContext) -> dict[str, Any]:
    _partial_upload(context)
    context.stores.files.discard_upload(context.body["upload_id"])
    return {"upload_id": context.body["upload_id"], "aborted": True}


def _partial_upload(context: RequestContext) -> PartialUpload:
    id = context.body.get("upload_id")
    upload = context.stores.files.partial_uploads.get(id) if isinstance(id, str) else None
    if upload is None or upload.file.id != context.body.get("file_id"):
        raise ApiError(404, "There is no such upload.", code="not_found")
    return upload


def _store_form(context: RequestContext) -> Any:
    form = context.body
    source = form.get("file")
    if not isinstance(source, FormFile):
        raise bad_request("file is required.", param="file")
    content = context.state.folder.write(source.content)
    purpose = {"batch": "batch-api", "evals": "eval"}.get(str(form.get("purpose")), form.get("purpose"))
    try:
        fields = {"file_name": source.name, **form, "purpose": purpose, "checksum": content.sha256}
        file = _new_file(context, _NewFile.read(context, _with_type(fields)))
    except ApiError:
        content.remove()
        raise
    if isinstance(file, Response):
        content.remove()
        return file
    file.content = content
    context.stores.files.start_check(context.stores.files.put(file))
    return file.to_dict()


def _path_of(file: StoredFile) -> str:
    return f"{UPLOADS}{file.id}/{file.type}"


def _url(context: RequestContext, path: str, slot: UploadSlot) -> str:
    return f"{context.url(path)}?{SIGNATURE}={slot.signature}"


ROUTES: Any = [
    json_route("/v1/files", _start, needs_object=False),
    form_route("/v1/files/upload", _store_form),
    json_route("/v1/files/multipart/initiate", _initiate),
    json_route("/v1/files/multipart/complete", _complete),
    json_route("/v1/files/multipart/abort", _abort),
    json_route("/v1/files/{id}/preprocess", _preprocess, needs_object=False),
    json_route(UPLOADS + "{folder}/{name}", _put, "PUT"),
]
