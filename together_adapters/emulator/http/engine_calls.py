"""A request that an engine answers, from its parameters to the response."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Any, Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from together_adapters.emulator.errors import ApiError
from together_adapters.emulator.http.charges import Charge
from together_adapters.emulator.http.pending import Pending, read_in_thread
from together_adapters.emulator.http.responses import DONE, SSE_TYPE, json_response, sse
from together_adapters.emulator.http.routing import RequestContext
from together_adapters.emulator.remote.answers import AnswerForm, chat_answer, choices_of, text_answer
from together_adapters.emulator.remote.chunks import ChunkStream
from together_adapters.emulator.remote.connection import HOP, Exchange, read_json
from together_adapters.emulator.remote.engines import Kind
from together_adapters.emulator.remote.failures import not_an_engine, own_engine, refusal, refused_parameter
from together_adapters.emulator.remote.requests import OPTIONAL, engine_body

_PATHS: Final[dict[Kind, str]] = {"chat": "/chat/completions", "completions": "/completions", "embeddings": "/embeddings"}
_UNKNOWN: Final = 2**31  # tokens of an output, of a stream that has not ended


class EngineCall(Pending):
    """One request on its way to the engine of its kind."""

    def __init__(self, context: RequestContext, kind: Kind) -> None:
        self.context = context
        self.kind: Kind = kind
        self.engine, self._models, self._not_taken = context.state.remote.engine(kind)
        self.exchange = Exchange(self.engine)
        self._name = ""
        self._left_out: set[str] = set()

    def cancel(self) -> None:
        """Closes the connection to the engine, which then stops."""
        self.exchange.cancel()

    def result(self) -> Response:
        """Returns the response; a stream when it begins."""
        if HOP in self.context.request.headers:
            raise own_engine(self.engine)
        self._name = self._models.resolve(self.context.body["model"], self.kind)
        response = self.respond(engine_body(self.kind, self.context.body, self._name, self._models.owner))
        response.headers["x-emulator-engine"] = self._description()
        return response

    @abstractmethod
    def respond(self, body: dict[str, Any]) -> Response:
        """Sends a body to the engine, and makes the response of its answer."""

    def send(self, body: dict[str, Any]) -> str:
        """Sends a request, without the optional parameters that the engine refuses; returns the media type of its answer."""
        while True:
            self._left_out |= self._not_taken & body.keys()
            body = {name: value for name, value in body.items() if name not in self._not_taken}
            status, media_type = self.exchange.send("POST", _PATHS[self.kind], body)
            if status == 200:
                return media_type
            problem = self.exchange.read()
            answer = read_json(problem)
            answer = problem.decode("utf-8", "replace") if answer is None else answer
            name = refused_parameter(status, answer, [name for name in OPTIONAL if name in body])
            if name is None:
                raise refusal(self.engine, self.kind, status, answer)
            self._not_taken.add(name)

    def answer(self, body: dict[str, Any]) -> Mapping[str, Any]:
        """Sends a request; returns the answer, an object."""
        media_type = self.send(body)
        answer = read_json(self.exchange.read())
        if not isinstance(answer, Mapping):
            raise not_an_engine(self.engine, media_type)
        return answer

    def _description(self) -> str:
        """Returns who has answered, and what was left out."""
        left_out = f"; without {', '.join(sorted(self._left_out))}" if self._left_out else ""
        return f"{self._name} at {self.engine.url}{left_out}".encode("ascii", "replace").decode()


class CompletionCall(EngineCall):
    """A chat or a completion, whole or streamed."""

    def __init__(self, context: RequestContext, kind: Kind, form: AnswerForm, choices: int, has_usage: bool) -> None:
        super().__init__(context, kind)
        self._form = form
        self._choices = choices
        self._has_usage = has_usage  # of a stream

    def respond(self, body: dict[str, Any]) -> Response:
        """Returns the completion, or the stream of it."""
        if body.get("stream"):
            return self._stream(body)
        try:
            completion = self._completion(body)
        finally:
            self.exchange.close()
        self.context.charge.count(completion["usage"])
        if self.context.behaviour.usage == "none":
            del completion["usage"]
        return json_response(completion)

    def _completion(self, body: dict[str, Any]) -> dict[str, Any]:
        """Returns a completion. An engine that makes fewer choices than were asked for is asked again."""
        choices: list[Mapping[str, Any]] = []
        counts: Any = None
        while (missing := self._choices - len(choices)) > 0:
            seed = {"seed": body["seed"] + len(choices)} if isinstance(body.get("seed"), int) and choices else {}
            answer = self.answer({**body, **seed, **({"n": missing} if self._choices > 1 else {})})
            more = choices_of(answer)
            if more is None:
                raise not_an_engine(self.engine, "JSON")
            counts = _with_output_of(counts, answer.get("usage")) if choices else answer.get("usage")
            choices += more
        return (chat_answer if self.kind == "chat" else text_answer)(self._form, choices[: self._choices], counts)

    def _stream(self, body: dict[str, Any]) -> Response:
        try:
            is_stream = self.send(body) == "text/event-stream"
            answer = None if is_stream else read_json(self.exchange.read())
            if not is_stream and choices_of(answer) is None:
                raise not_an_engine(self.engine, "JSON")
        except BaseException:
            self.exchange.close()
            raise
        charge = self.context.charge
        charge.count({"prompt_tokens": self._form.prompt_tokens, "completion_tokens": _UNKNOWN}, True)
        chunks = ChunkStream(self.engine, self.kind, self._form, self._has_usage, charge.output)
        return _EngineStream(self.exchange, chunks, answer, charge, self.context.behaviour.delay)


class EmbeddingCall(EngineCall):
    """An embedding request. `write` makes the response of the vectors, and of their tokens if the engine counts them."""

    def __init__(self, context: RequestContext, write: Callable[[list[list[float]], int | None], Response]) -> None:
        super().__init__(context, "embeddings")
        self._write = write

    def respond(self, body: dict[str, Any]) -> Response:
        """Returns the response with vectors in the order of the texts."""
        try:
            answer = self.answer(body)
        finally:
            self.exchange.close()
        rows, texts, usage = answer.get("data"), body["input"], answer.get("usage")
        if not isinstance(rows, list) or len(rows) != (1 if isinstance(texts, str) else len(texts)):
            raise not_an_engine(self.engine, "JSON")
        vectors: list[Any] = [row.get("embedding") if isinstance(row, Mapping) else None for row in rows]
        if not all(isinstance(vector, list) and vector for vector in vectors):
            raise not_an_engine(self.engine, "JSON")
        indexes = [row.get("index", position) for position, row in enumerate(rows)]
        in_order = [vectors[position] for position in sorted(range(len(rows)), key=indexes.__getitem__)]
        tokens = usage.get("prompt_tokens") if isinstance(usage, Mapping) else None
        return self._write(in_order, tokens if isinstance(tokens, int) else None)


def _with_output_of(counts: Any, usage: Any) -> Any:
    """Adds the output of a further request to a usage: its prompt counts once. None where one of them does not count."""
    if not isinstance(counts, Mapping) or not isinstance(usage, Mapping):
        return None
    return {**counts, "completion_tokens": (counts.get("completion_tokens") or 0) + (usage.get("completion_tokens") or 0)}


class _EngineStream(Response):
    """The stream of an engine, as chunks of Together's."""

    def __init__(self, exchange: Exchange, chunks: ChunkStream, answer: Any, charge: Charge, delay: float) -> None:
        super().__init__(None, 200, {"content-type": SSE_TYPE, "cache-control": "no-cache, no-transform"})
        del self.headers["content-length"]
        self._exchange = exchange
        self._chunks = chunks
        self._answer = answer
        self._charge = charge
        self._delay = delay

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        try:
            await self._send_chunks(send)
        except ApiError as error:  # the status is gone, so the error is an event, and nothing says that the stream is complete
            await send({"type": "http.response.body", "body": sse(error.body()), "more_body": False})
            return
        await send({"type": "http.response.body", "body": DONE, "more_body": False})

    async def _send_chunks(self, send: Send) -> None:
        async with aclosing(self._converted()) as converted:
            async for chunk in converted:
                await asyncio.sleep(self._delay)
                await send({"type": "http.response.body", "body": sse(chunk), "more_body": True})
                self._chunks.count(chunk)
        chunks, usage = self._chunks.end()
        self._charge.count(usage, True)
        self._charge.is_complete = True
        for chunk in chunks:
            await send({"type": "http.response.body", "body": sse(chunk), "more_body": True})

    async def _converted(self) -> AsyncGenerator[dict[str, Any], None]:
        """Yields the chunks before the last."""
        if self._answer is not None:
            self._exchange.close()
            for chunk in self._chunks.feed_answer(self._answer):
                yield chunk
            return
        async with aclosing(read_in_thread(self._exchange.lines(), self._exchange.cancel)) as lines:
            async for line in lines:
                for chunk in self._chunks.feed(line):
                    yield chunk
