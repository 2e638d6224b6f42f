"""What no source says of the service: each is a question, and what it answers."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from together_adapters.cli.doctor.calls import NothingToSee, Probe, Subject
from together_adapters.cli.doctor.exchanges import Facts, Service

_CHAT: Final = "/v1/chat/completions"
_TOOL: Final = {
    "type": "function",
    "function": {"name": "note", "description": "Notes a word.", "parameters": {"type": "object", "properties": {}}},
}
_LIMIT_HEADER: Final = re.compile(r"x-(rate|token)limit|retry-after")


def _context_length(service: Service, subject: Subject) -> Facts:
    """Asks for more tokens than the model has room for; a stream, which is left at once, in case it is accepted."""
    reply = service.stream(_CHAT, subject.question(max_tokens=subject.context_length + 1), count=1)
    return reply.error() if reply.is_error else {"status": reply.status}


def _limit_headers(service: Service, subject: Subject) -> Facts:
    if not service.headers:
        raise NothingToSee("no request to a model was answered")
    names = sorted(name for name in service.headers if _LIMIT_HEADER.match(name))
    return {"headers": names}


def _payment(service: Service, subject: Subject) -> Facts:
    raise NothingToSee("only an account without credit gets a 402")


def _finish_reasons(service: Service, subject: Subject) -> Facts:
    replies = [service.post(_CHAT, subject.question(max_tokens=256, seed=seed)) for seed in range(3)]
    if errors := [reply for reply in replies if reply.is_error]:
        return errors[0].error()
    return {"finish_reasons": dict(sorted(Counter(str(reply.choice.get("finish_reason")) for reply in replies).items()))}


def _base64(service: Service, subject: Subject) -> Facts:
    reply = service.post("/v1/embeddings", {"model": subject.embedding, "input": "OK", "encoding_format": "base64"})
    if reply.is_error:
        if reply.status in (400, 404) and "model" in reply.message:
            raise NothingToSee(f"{subject.embedding} is not served ({reply.status}); --embedding-model names another")
        return reply.error()
    return {"status": reply.status, "embedding": type(reply.body["data"][0]["embedding"]).__name__}


def _event_case(service: Service, subject: Subject) -> Facts:
    listing = service.get("/v1/fine-tunes")
    jobs = listing.body.get("data") if isinstance(listing.body, Mapping) else None
    if not jobs:
        raise NothingToSee("the account has no fine-tune")
    events = service.get(f"/v1/fine-tunes/{jobs[0]['id']}/events").body
    types = [str(event.get("type")) for event in events.get("data") or ()] if isinstance(events, Mapping) else []
    if not types:
        raise NothingToSee("the newest fine-tune has no events")
    return {"case": "upper" if types[0].isupper() else "lower" if types[0].islower() else "mixed"}


def _evaluation_path(service: Service, subject: Subject) -> Facts:
    return {path: service.get(path).status for path in ("/v1/evaluation", "/v1/evaluations")}


def _regex(service: Service, subject: Subject) -> Facts:
    format = {"type": "regex", "pattern": "(yes|no)"}
    reply = service.post(_CHAT, subject.question(response_format=format, max_tokens=256))
    if reply.is_error:
        return reply.error()
    content = (reply.choice.get("message") or {}).get("content") or ""
    return {"status": reply.status, "follows": content.strip() in ("yes", "no")}


def _batch_output(service: Service, subject: Subject) -> Facts:
    listing = service.get("/v1/batches").body
    batches = listing if isinstance(listing, list) else listing.get("data") or () if isinstance(listing, Mapping) else ()
    file_id = next((batch["output_file_id"] for batch in batches if batch.get("output_file_id")), None)
    if file_id is None:
        raise NothingToSee("the account has no finished batch")
    content = service.get(f"/v1/files/{file_id}/content").body
    line = content.splitlines()[0] if isinstance(content, bytes) and content else b"{}"
    row = json.loads(line) if isinstance(content, bytes) else content
    response = row.get("response") if isinstance(row, Mapping) else None
    return {"keys": sorted(row), "response": sorted(response) if isinstance(response, Mapping) else None}


def _upload_headers(service: Service, subject: Subject) -> Facts:
    """Begins an upload in two parts, and aborts it: nothing is stored."""
    body = {
        "file_name": "doctor.jsonl", "purpose": "fine-tune", "file_type": "jsonl", "checksum": "0" * 64,
        "file_size": 6 * 2**20, "num_parts": 2,
    }  # fmt: skip
    reply = service.post("/v1/files/multipart/initiate", body)
    if reply.is_error:
        return reply.error()
    upload = {name: reply.body.get(name) for name in ("upload_id", "file_id")}
    parts = reply.body.get("parts") or []
    headers = [name.lower() for part in parts[:1] for name in part.get("Headers") or part.get("headers") or {}]
    abort = service.post("/v1/files/multipart/abort", upload)
    return {"status": reply.status, "headers": sorted(headers), "abort": abort.status}


def _tools_with_format(service: Service, subject: Subject) -> Facts:
    schema = {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]}
    format = {"type": "json_schema", "schema": schema}
    reply = service.stream(_CHAT, subject.question(tools=[_TOOL], response_format=format), count=1)
    return reply.error() if reply.is_error else {"status": reply.status}


def _unknown_model(service: Service, subject: Subject) -> Facts:
    return service.post(_CHAT, {**subject.question(max_tokens=1), "model": "together-adapters/does-not-exist"}).error()


def _unknown_parameter(service: Service, subject: Subject) -> Facts:
    reply = service.stream(_CHAT, subject.question(doctor_parameter=1), count=1)
    return reply.error() if reply.is_error else {"status": reply.status}


def _speech_stream(service: Service, subject: Subject) -> Facts:
    body = {"model": "cartesia/sonic", "input": "OK", "voice": "friendly sidekick", "response_format": "raw"}
    reply = service.stream("/v1/audio/speech", body, count=3)
    if reply.is_error or not reply.events:
        return reply.error()
    return {"keys": sorted({key for event in reply.events for key in event})}


QUESTIONS: Final = (
    Probe("context-length", "What does a request beyond the context get?", _context_length, 1),
    Probe("limit-headers", "Which headers tell the limits?", _limit_headers),
    Probe("payment", "What is the body of a 402?", _payment),
    Probe("finish-reasons", "How does a text end, with stop or eos?", _finish_reasons, 48),
    Probe("base64", "What does encoding_format=base64 get?", _base64, 1),
    Probe("event-case", "Are the types of a job's events in upper case?", _event_case, is_compared=False),
    Probe("evaluation-path", "Which path lists evaluations?", _evaluation_path),
    Probe("regex", "Does the model follow a response_format of type regex?", _regex, 16),
    Probe("batch-output", "Which fields has a line of a batch's output?", _batch_output, is_compared=False),
    Probe("upload-headers", "Which headers does a part of an upload need?", _upload_headers),
    Probe("tools-with-format", "What do tools with a response format get?", _tools_with_format, 1),
    Probe("unknown-model", "What does a model that does not exist get?", _unknown_model),
    Probe("unknown-parameter", "What does a parameter that does not exist get?", _unknown_parameter, 1),
    Probe("speech-stream", "Which fields have the events of streamed speech?", _speech_stream, option="speech"),
)


def limits(headers: Mapping[str, str]) -> dict[str, Any]:
    """Returns the limits that headers tell, as they are."""
    return {name: headers[name] for name in sorted(headers) if _LIMIT_HEADER.match(name)}
