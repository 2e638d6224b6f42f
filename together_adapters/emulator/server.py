"""Runs the emulator in a background thread."""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import Any, Literal, Unpack

from together_adapters.emulator.app import create_app
from together_adapters.emulator.http.answers import ReplyFields
from together_adapters.emulator.http.behaviour import Behaviour
from together_adapters.emulator.http.faults import Fault, FaultQueue
from together_adapters.emulator.http.hosts import AllowedHosts, is_loopback
from together_adapters.emulator.http.listener import Server, listen
from together_adapters.emulator.http.rate_limits import Limits, RateWindow
from together_adapters.emulator.http.recorded import ServiceRecord
from together_adapters.emulator.http.replies import Condition, Content, Function, ScriptedReply
from together_adapters.emulator.http.request_log import DEFAULT_KEEP_BYTES, RecordedRequest, RequestLog
from together_adapters.emulator.http.routing import State
from together_adapters.emulator.remote.engines import EngineOption
from together_adapters.emulator.remote.models import RemoteModels
from together_adapters.emulator.store.bill import Bill
from together_adapters.emulator.store.catalogue import NamedModels, named_models
from together_adapters.emulator.store.disk import DEFAULT_MAX_STORED, Folder
from together_adapters.emulator.store.records import DEFAULT_JOB_SECONDS, BatchEnd
from together_adapters.suggestions import suggests_keywords


@suggests_keywords
class Emulator:
    """A running emulator: the requests it has received, and how it responds."""

    def __init__(self, state: State, host: str, port: int) -> None:
        self._state = state
        self.host = host
        self.port = port

    @property
    def base_url(self) -> str:
        """The base URL for clients, for example `http://127.0.0.1:54321/v1`."""
        return f"http://{self.host}:{self.port}/v1"

    @property
    def api_key(self) -> str:
        """A key that it accepts: the only one where `serve` was given one, or code execution is allowed."""
        return self._state.api_key or "any"

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which clients without arguments find it."""
        return {"TOGETHER_BASE_URL": self.base_url, "TOGETHER_API_KEY": self.api_key}

    @property
    def exports(self) -> str:
        """Lines for a shell of this system that set the variables."""
        form = "$env:{}='{}'\n" if os.name == "nt" else "export {}={}\n"
        return "".join(form.format(name, value if os.name == "nt" else quote(value)) for name, value in self.environment.items())

    @property
    def requests(self) -> list[RecordedRequest]:
        """A copy of the list of requests, oldest first. Old bodies, then old requests are dropped: see `keep` and `drop_count`."""
        return self._state.log.requests

    @property
    def drop_count(self) -> int:
        """The number of requests that are no longer in `requests`."""
        return self._state.log.drop_count

    @property
    def errors(self) -> list[str]:
        """Tracebacks of unexpected exceptions: bugs of the emulator, not of the client."""
        return self._state.log.errors

    @property
    def disconnects(self) -> int:
        """The number of clients that disconnected before their response was complete."""
        return self._state.log.disconnects

    @property
    def in_flight(self) -> int:
        """The number of requests in progress."""
        return self._state.log.in_flight

    @property
    def most_in_flight(self) -> int:
        """The highest number of requests that were in progress at one time."""
        return self._state.log.most_in_flight

    @property
    def behaviour(self) -> Behaviour:
        """How it responds."""
        return self._state.behaviour

    @property
    def limits(self) -> Limits | None:
        """What the account may send; assign other limits, or None, to change that from the next request on.

        Requests in progress stay counted. The first request begins a new window, and the schedule.
        """
        return self._state.rate.limits

    @limits.setter
    def limits(self, limits: Limits | None) -> None:
        self._state.rate.limits = limits

    @property
    def bill(self) -> Bill:
        """What requests cost by the prices of its catalogue, `GET /v1/models`: `bill.rows()` and `bill.total()`.

        A row is complete when the client has the last of the response; that of a stream left early when `in_flight` no longer
        counts it. Requests that no model has answered have no row, nor have evaluations and realtime transcription.
        A fine-tune is billed when it is created.
        """
        return self._state.bill

    @property
    def offer(self) -> str:
        """What it answers, in a few sentences for whoever starts it."""
        record = self._state.record.origin
        played = f"It plays what was recorded in {record}. Else: " if record else ""
        engines = "; ".join(f"{' and '.join(kinds)}: {url}" for url, kinds in self._state.remote.kinds_by_url().items())
        return played + self._offer_of_mode + (f" A model answers: {engines}." if engines else "")

    @property
    def _offer_of_mode(self) -> str:
        models = self._state.models
        if models is not None:
            return f"It serves only {', '.join(models) or 'models of its own account'}, and models with a started endpoint."
        if self.behaviour.strict:
            return (
                "It answers as the service of today: no embedding or rerank model, nothing removed, unless an endpoint is made."
            )
        names = "It answers by any name of a model" if self.behaviour.any_model else "Unknown models get a 404 (--any-model)"
        return (
            f"{names}. Beyond the service of today it grants embedding, rerank and removed models, unknown parameters, and tools "
            "with a response format (--strict refuses them); the header x-emulator-grants names what was granted."
        )

    @property
    def pending_faults(self) -> list[Fault]:
        """Faults that have not happened yet."""
        return self._state.faults.pending

    def clear(self) -> None:
        """Removes recorded requests, the bill, pending faults, replies and ends of batches, and resets counters. Behaviour and limits stay."""
        self._state.log.clear()
        self._state.faults.clear()
        self._state.replies.clear()
        self._state.bill.clear()
        self._state.batch_ends.clear()

    def reset(self) -> None:
        """Also deletes what requests have created: files, jobs and their models, batches, evaluations, endpoints, sessions."""
        self.clear()
        self._state.reset_stores()

    def inject(self, *faults: Fault | str) -> None:
        """Lets the next matching requests fail. A string is a kind of fault with its defaults."""
        for fault in faults:
            self._state.faults.add(Fault(fault) if isinstance(fault, str) else fault)

    @property
    def unused(self) -> list[ScriptedReply]:
        """Replies that were not given as often as `reply` said, and those for any number of requests that answered none."""
        return self._state.replies.unused

    @property
    def failures(self) -> list[str]:
        """Tracebacks of functions that were to make a reply and raised, or returned none. They are in `errors` too."""
        return list(self._state.replies.failures)

    def reply(
        self,
        content: Content | Function | None = None,
        *,
        times: float | None = None,
        when: Condition = None,
        **fields: Unpack[ReplyFields],
    ) -> None:
        """Sets the answer to a request, whole or streamed. Each request takes the first reply, in the order in which they were set, that fits it.

        A text answers chats and completions; what follows answers a chat with it, or alone, and other kinds of requests. Faults and
        limits go first: a request that they refuse takes no reply.

        Args:
            content: The text; a dict of what follows, or a message as in a response; or a function of the request's body that returns
                either. Functions are called in a thread of the emulator.
            times: How many requests it answers; None for one, and for all of them if it is a function; `math.inf` for all. A reply
                for all requests, without `when`, answers those that no other reply fits.
            when: Which requests it answers: those to a model of this name, those whose prompt contains this text, or those for which a
                function of the request's body is true; None for all.
            **fields:
                reasoning: What the model thinks before the text.
                refusal: Why it refuses.
                tool_calls: A list of (name, arguments), where the arguments are a dict, or a text that is sent as it is; or
                    (name, arguments, id); or a name alone.
                output: An object that the program asks for: a dict, list or pydantic model. It is sent as the call of the tool that
                    the request demands, of several the one that it fits, or as JSON.
                chunks: The pieces of the stream, which join to the text; each counts as one token. A dict is a delta, or with
                    `choices` a whole chunk, and sent as it is.
                logprobs: Log-probabilities of the first token and its alternatives, such as `{"yes": -0.1, "no": -2.4}`, or a list of
                    them for the first tokens. They are sent if the request asks for them; other tokens have invented ones.
                finish_reason: Such as `length` or `content_filter`.
                usage: Counts in place of the true ones: `prompt_tokens`, `completion_tokens`, `cached_tokens`, `reasoning_tokens`; or a
                    whole object, with `total_tokens`. The bill and the limits count it.
                embedding: For embeddings: a vector for every text of one request, a list of vectors, or a function of a text.
                scores: For rerank: a score for each document of the request, or a function of query and document.
                image: For images: the bytes of a file, a list of them, or a function of the request.
                transcript: For transcriptions: a text, or a function of the form.

        Raises:
            TypeError, ValueError: The reply is none; the message says what it must be.
        """
        self._state.replies.add(ScriptedReply(content, times, when, fields))

    def end_batch(
        self, status: Literal["EXPIRED", "FAILED", "CANCELLED"], *, after: int = 0, message: str | None = None, times: int = 1
    ) -> None:
        """Lets the next batches end without success.

        Args:
            status: Their status at the end.
            after: How many of their requests are processed; these stay in the output file.
            message: Their `error`.
            times: How many batches end so.
        """
        self._state.batch_ends.extend([BatchEnd(status, after, message)] * times)

    def behave(self, **changes: Any) -> _Restore:
        """Changes fields of the behaviour. As a context manager, restores the previous behaviour at the end of the block."""
        before = self._state.behaviour
        self._state.behaviour = replace(before, **changes)
        return _Restore(self._state, before)


class _Restore:
    """Restores the behaviour that `Emulator.behave` has changed."""

    def __init__(self, state: State, before: Behaviour) -> None:
        self._state = state
        self._before = before

    def __enter__(self) -> Behaviour:
        return self._state.behaviour

    def __exit__(self, *reason: object) -> None:
        self._state.behaviour = self._before


@suggests_keywords
@contextmanager
def serve(
    port: int = 0,
    host: str = "127.0.0.1",
    api_key: str | None = None,
    behaviour: Behaviour | None = None,
    faults: Iterable[Fault] = (),
    keep: int = 20_000,
    allow_code_execution: bool = False,
    job_seconds: float = DEFAULT_JOB_SECONDS,
    allowed_hosts: Sequence[str] = (),
    keep_bytes: int = DEFAULT_KEEP_BYTES,
    max_stored_bytes: int = DEFAULT_MAX_STORED,
    models: NamedModels | None = None,
    any_model: bool = False,
    limits: Limits | None = None,
    engine: EngineOption | None = None,
    as_recorded: str | Path | None = None,
) -> Iterator[Emulator]:
    """Runs an emulator during a `with` block.

    A model that does not exist gets a 404, one of the wrong kind for an endpoint a 400, and so do images sent to a model that reads
    text alone, and a fine-tune of a model that cannot be tuned, as far as it is known: what exists is the library's table of models,
    the media models and models to tune that the vendor names, and what was created here.

    Else it grants by default more than the service of today, which answers with an error where it is asked for embedding and rerank
    models (it serves none), removed models, models that need a dedicated endpoint or consent to data sharing, unknown
    parameters, moderation models, or tools together with a response format. A response that was granted says so in the header
    `x-emulator-grants`. `Behaviour(strict=True)` answers as the service of today, by the dates in the library's table of models.

    Args:
        port: Port to listen on; 0 for a free one.
        host: Address to listen on.
        api_key: The only key it accepts. None accepts any but `invalid` and those that begin with `bad`; with
            `allow_code_execution`, it is a random key, `Emulator.api_key`.
        behaviour: How it responds; see `Behaviour`.
        faults: Faults to inject at the start.
        keep: How many requests it records; `Emulator.drop_count` counts those before them.
        allow_code_execution: Let the code interpreter run code on this machine; only on loopback.
        job_seconds: Seconds that a fine-tuning job takes. Evaluations take half of that, batches a fifth and the time of
            their requests. Timestamps of jobs span half an hour all the same.
        allowed_hosts: Names by which requests, and web pages, may address it besides loopback and `host`, such as `emulator` or
            `*.example.com`. Others get a 403.
        keep_bytes: Bytes of recorded requests that it keeps. The oldest bodies are dropped first; reading them is a LookupError.
        max_stored_bytes: Bytes of all files that it stores, uploads and results of batches among them; more is refused with a 413.
        models: The only models that it serves, besides those that are trained or have a started endpoint here, in either mode.
            `"name=embedding"`, or a mapping of names, gives a type; without, it is that of the library's table, or chat. A dict says
            more of a model that the table does not have: `{"id": "acme/small", "context_length": 8192, "reasoning": "reasoning",
            "prices": {"input": 0.1, "output": 0.4}}`; `"*"` is any other name. None serves the models of the mode.
        any_model: Answer by any name of a model, as if it existed; `Behaviour(any_model=True)` and `emulator.behave(any_model=True)`
            do the same.
        limits: What the account may send before it gets a 429; see `Limits`. None refuses nothing.
        engine: The OpenAI-compatible server that answers chats, completions and embeddings, in place of rules: its URL, an `Engine`,
            or several for different kinds. It is not sent the keys of clients.
        as_recorded: A folder that `together-adapters doctor --record` has written: it answers as the service did then, in strict
            mode and with the behaviour that was seen, unless `behaviour` is given.

    Yields:
        The running emulator; clients need its `base_url`.

    Raises:
        OSError: The port is in use.
        ValueError: Code execution is allowed on loopback only, `job_seconds` is negative, an allowed host is not a host, the type
            of a model or something said of it is unknown, an engine is not valid, or the folder has no record.
    """
    if allow_code_execution and not is_loopback(host):
        raise ValueError(f"code execution is only allowed on loopback, and {host} is not a loopback address")
    if not job_seconds >= 0:
        raise ValueError(f"job_seconds={job_seconds!r} must be 0 or more")
    named = None if models is None else named_models(models)
    remote = RemoteModels(engine)
    record = ServiceRecord() if as_recorded is None else ServiceRecord.read(as_recorded)
    behaviour = behaviour or (Behaviour() if as_recorded is None else record.behaviour())
    if any_model:
        behaviour = replace(behaviour, any_model=True)
    hosts = AllowedHosts([host, *([allowed_hosts] if isinstance(allowed_hosts, str) else allowed_hosts)])
    if allow_code_execution and api_key is None:
        api_key = secrets.token_urlsafe(24)
    log = RequestLog(keep, keep_bytes)
    folder = Folder(max_stored_bytes)
    listener = listen(host, port)
    state = State(
        behaviour,
        FaultQueue(faults),
        log,
        api_key,
        allow_code_execution,
        job_seconds,
        hosts,
        folder,
        named,
        RateWindow(limits),
        remote=remote,
        record=record,
    )
    server = Server(create_app(state))
    thread = threading.Thread(target=server.run, args=([listener],), name="together-emulator", daemon=True)
    thread.start()
    try:
        if not server.ready.wait(10):
            raise RuntimeError("the emulator did not start")
        yield Emulator(state, host, listener.getsockname()[1])
    finally:
        server.stop()
        state.stores.close()  # requests that wait for code end now
        thread.join(5)
        listener.close()
        state.close()
