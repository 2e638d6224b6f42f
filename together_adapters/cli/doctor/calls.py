"""One cheap call of each kind, and what its answer looks like."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from together_adapters.cli.doctor.exchanges import Facts, Reply, Service

MAX_TOKENS: Final = 16
HELLO: Final = [{"role": "user", "content": "Reply with the word OK."}]
REMOVED_EMBEDDING_MODEL: Final = "intfloat/multilingual-e5-large-instruct"  # models-check: ignore
REMOVED_RERANK_MODEL: Final = "mixedbread-ai/Mxbai-Rerank-Large-V2"  # models-check: ignore


class NothingToSee(Exception):
    """What is asked for cannot be seen with this key; the message says why."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What the calls are about: the models that they name."""

    chat: str
    embedding: str = REMOVED_EMBEDDING_MODEL
    rerank: str = REMOVED_RERANK_MODEL
    context_length: int = 131_072

    def question(self, **options: Any) -> dict[str, Any]:
        """Returns a short chat request."""
        return {"model": self.chat, "messages": HELLO, "max_tokens": MAX_TOKENS, "temperature": 0, **options}


@dataclass(frozen=True, slots=True)
class Probe:
    """One thing to find out: `run` returns what the service does, or raises `NothingToSee`.

    Attributes:
        name: Its name in the report and in the data.
        question: What it tells, in words.
        run: Sends the requests.
        requests: How many requests with a short prompt and answer it pays for.
        is_compared: Whether the emulator must do the same.
        option: The value of `--with` that it needs, because it costs more.
    """

    name: str
    question: str
    run: Callable[[Service, Subject], Facts]
    requests: int = 0
    is_compared: bool = True
    option: str | None = None


def _chat(service: Service, subject: Subject) -> Facts:
    reply = service.post("/v1/chat/completions", subject.question())
    if reply.is_error:
        return reply.error()
    message, usage = reply.choice.get("message") or {}, reply.body.get("usage") or {}
    return {
        "status": reply.status,
        "reasoning": next((name for name in ("reasoning", "reasoning_content") if message.get(name)), None),
        "cached_tokens": _place_of_cached_tokens(usage),
        "content_type": reply.headers.get("content-type"),
    }


def _place_of_cached_tokens(usage: Mapping[str, Any]) -> str | None:
    if "cached_tokens" in usage:
        return "flat"
    return "nested" if "cached_tokens" in (usage.get("prompt_tokens_details") or {}) else None


def _chat_stream(service: Service, subject: Subject) -> Facts:
    reply = service.stream("/v1/chat/completions", subject.question())
    if reply.is_error or not reply.events:
        return reply.error()
    events = reply.events
    deltas = [choice.get("delta") or {} for event in events for choice in event.get("choices") or ()]
    with_usage = [event for event in events if event.get("usage")]
    position = None if not with_usage else "finish" if with_usage[-1].get("choices") else "separate"
    return {
        "status": reply.status,
        "usage": position,
        "role_every_chunk": sum(bool(delta.get("role")) for delta in deltas) > 1,
        "null_content": any("content" in delta and delta["content"] is None for delta in deltas),
    }


def _logprobs(service: Service, subject: Subject) -> Facts:
    reply = service.post("/v1/chat/completions", subject.question(logprobs=1))
    if reply.is_error:
        return reply.error()
    logprobs = reply.choice.get("logprobs")
    form = None if not logprobs else "openai" if "content" in logprobs else "together"
    return {"status": reply.status, "logprobs": form}


def _completion(service: Service, subject: Subject) -> Facts:
    body = {"model": subject.chat, "prompt": "One, two,", "max_tokens": 4, "temperature": 0}
    reply = service.post("/v1/completions", body)
    return reply.error() if reply.is_error else {"status": reply.status, "object": reply.body.get("object")}


def _embeddings(service: Service, subject: Subject) -> Facts:
    reply = service.post("/v1/embeddings", {"model": subject.embedding, "input": "OK"})
    if reply.is_error:
        return reply.error()
    return {"status": reply.status, "usage": bool(reply.body.get("usage"))}


def _rerank(service: Service, subject: Subject) -> Facts:
    reply = service.post("/v1/rerank", {"model": subject.rerank, "query": "OK", "documents": ["OK", "no"]})
    return reply.error() if reply.is_error else {"status": reply.status}


def _image(service: Service, subject: Subject) -> Facts:
    body = {"model": "black-forest-labs/FLUX.1-schnell", "prompt": "a dot", "width": 64, "height": 64, "steps": 1}
    reply = service.post("/v1/images/generations", body)
    return reply.error() if reply.is_error else {"status": reply.status, "keys": sorted(reply.body["data"][0])}


def _lists(service: Service, subject: Subject) -> Facts:
    paths = ("models", "files", "fine-tunes", "batches", "endpoints")
    return {path: _form(service.get(f"/v1/{path}")) for path in paths}


def _form(reply: Reply) -> str:
    if reply.is_error:
        return str(reply.status)
    is_list = isinstance(reply.body, Sequence) and not isinstance(reply.body, str)
    return f"{reply.status}, {'a list' if is_list else 'an object'}"


CALLS: Final = (
    Probe("chat", "One chat.", _chat, 1),
    Probe("chat-stream", "One chat as a stream.", _chat_stream, 1),
    Probe("logprobs", "One chat with log-probabilities.", _logprobs, 1),
    Probe("completion", "One completion.", _completion, 1),
    Probe("embeddings", "One embedding.", _embeddings, 1),
    Probe("rerank", "Two documents in order.", _rerank, 1),
    Probe("lists", "Lists of models, files, fine-tunes, batches, endpoints.", _lists),
    Probe("images", "One image of 64 by 64 pixels, about $0.003.", _image, is_compared=False, option="images"),
)
