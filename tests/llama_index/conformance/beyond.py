"""Checks X01-X13: further behaviours."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from typing import Any

import pytest

from together_adapters.emulator import Fault

from .provider import Provider, run, total_tokens, user
from .tools import ADD, calls_of
from .wire import (
    USAGE,
    Delta,
    WireServer,
    call,
    chunk,
    error,
    fragments,
    message_reply,
    raw,
    stream_reply,
)

TEXT = "Grüße, 世界 🌍!"


class BeyondChecks:
    """Loops, threads, forks, odd framing, and cost."""

    def test_x01_cancelled_task(self, llm: Any, wire: WireServer) -> None:
        """A cancelled call frees its connection, and the next call works."""
        wire.script(stream_reply([{"content": "word "} for _ in range(400)]))
        wire.delay(0.01)

        async def consume(started: asyncio.Event) -> None:
            async for _ in await llm.astream_chat(user()):
                started.set()

        async def scenario() -> Any:
            started = asyncio.Event()
            task = asyncio.create_task(consume(started))
            await started.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            wire.delay(0)
            return await llm.achat(user())

        assert run(scenario()).message.content
        assert wire.wait_for_disconnect()

    def test_x02_two_loops(self, llm: Any) -> None:
        """One LLM serves several event loops in turn."""
        assert all(run(llm.achat(user())).message.content for _ in range(3))

    def test_x03_threads(self, llm: Any) -> None:
        """One LLM serves many threads, each with its own event loop."""
        responses: list[Any] = []
        threads = [threading.Thread(target=lambda: responses.append(run(llm.achat(user())))) for _ in range(6)]
        threads += [threading.Thread(target=lambda: responses.append(llm.chat(user()))) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(responses) == 12

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
    @pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
    def test_x04_fork(self, llm: Any) -> None:
        """A used LLM works in a forked child, and still in the parent."""
        llm.chat(user())
        child = os.fork()
        if child == 0:
            try:
                os._exit(0 if llm.chat(user()).message.content else 1)
            except BaseException:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert llm.chat(user()).message.content

    @pytest.mark.parametrize("status", [400, 413, 422])
    def test_x05_context_length(self, llm: Any, wire: WireServer, provider: Provider, status: int) -> None:
        """A prompt that is too long raises its own exception, for any status."""
        message = "This model's maximum context length is 8192 tokens. `inputs` tokens + `max_new_tokens` must be <= 8193."
        wire.script(error(status, message))
        with pytest.raises(provider.context_length_error, match=r"context|tokens"):
            llm.chat(user())

    def test_x06_no_choices(self, llm: Any, wire: WireServer) -> None:
        """Chunks without choices are accepted at any position."""
        wire.emulator.behave(usage="separate")
        wire.script(stream_reply([chunk(None), chunk({"content": "Hi"}), chunk(None)]))
        last = list(llm.stream_chat(user()))[-1]
        assert last.message.content == "Hi"
        assert total_tokens(last) == USAGE["total_tokens"]

    def test_x07_framing(self, llm: Any, wire: WireServer) -> None:
        """CRLF line ends, comments and keep-alives."""
        lines = [json.dumps(chunk({"content": word})).encode() for word in ("Hel", "lo")]
        last = json.dumps(chunk({}, finish="stop")).encode()
        events = [b": keepalive\r\n\r\n", *(b"data: " + line + b"\r\n\r\n" for line in (*lines, last)), b": bye\n\n"]
        wire.script(raw(b"".join(events) + b"data: [DONE]\n\n"))
        assert list(llm.stream_chat(user()))[-1].message.content == "Hello"

    @pytest.mark.parametrize("size", [1, 2, 7])
    def test_x08_cut_anywhere(self, llm: Any, wire: WireServer, size: int) -> None:
        """Characters may be split between TCP segments."""
        wire.script({"content": TEXT}, Fault("trickle", size=size, seconds=0))
        assert list(llm.stream_chat(user()))[-1].message.content == TEXT

    def test_x09_usage_alone(self, llm: Any, wire: WireServer) -> None:
        """Usage on a separate chunk is on the last item, and so is the message."""
        wire.emulator.behave(usage="separate")
        wire.script(message_reply({"content": "Hi"}))
        last = list(llm.stream_chat(user()))[-1]
        assert total_tokens(last) == USAGE["total_tokens"]
        assert last.message.content == "Hi"

    def test_x10_several_choices(self, llm: Any, wire: WireServer) -> None:
        """With `n=2` both choices can be read; a stream raises before a request is sent."""
        choices = [
            {"index": number, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
            for number, text in enumerate(("one", "two"))
        ]
        wire.script(
            raw({"id": "chat-1", "object": "chat.completion", "created": 1, "model": "m", "choices": choices, "usage": USAGE})
        )
        response = llm.chat(user(), n=2)
        assert response.message.content == "one"
        assert "two" in str(response.raw)
        with pytest.raises(ValueError, match=r"\S"):
            list(llm.stream_chat(user(), n=2))
        assert len(wire.requests) == 1

    def test_x11_stop(self, llm: Any, wire: WireServer) -> None:
        """Stop sequences reach the wire in streams."""
        list(llm.stream_chat(user(), stop=["END"]))
        assert wire.bodies[0]["stop"] == ["END"]

    def test_x12_cost_of_long_arguments(self, llm: Any, wire: WireServer) -> None:
        """Arguments that are four times as long cost about four times as much, read on every chunk."""

        def seconds(size: int) -> float:
            arguments = json.dumps({"items": list(range(size // 6)), "text": "x" * (size // 4)})
            wire.script(stream_reply(fragments(call("add", arguments), 8), finish="tool_calls"))
            began = time.thread_time()
            last = [calls_of(llm, item) for item in llm.stream_chat_with_tools([ADD], "Add")][-1]
            assert last[0][1] == json.loads(arguments)
            return time.thread_time() - began

        seconds(1_000)
        small = min(seconds(6_000) for _ in range(3))
        large = min(seconds(24_000) for _ in range(2))
        assert large / small < 8

    def test_x13_finish_reason_in_the_middle(self, llm: Any, wire: WireServer) -> None:
        """A repeated finish reason loses no call."""
        first, second = fragments(call("add", '{"a": 1, "b": 2}')), fragments(call("add", '{"a": 3, "b": 4}', 1))
        deltas: list[Delta] = [*first, *second]
        reasons = {len(first) - 1: "tool_calls", len(deltas) - 1: "tool_calls"}
        chunks = [chunk(delta, finish=reasons.get(position)) for position, delta in enumerate(deltas)]
        wire.script(stream_reply(chunks, finish="tool_calls"))
        last = list(llm.stream_chat_with_tools([ADD], "Add", allow_parallel_tool_calls=True))[-1]
        assert calls_of(llm, last) == [("add", {"a": 1, "b": 2}), ("add", {"a": 3, "b": 4})]
