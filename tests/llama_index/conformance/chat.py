"""Checks C01-C19: chat, completion, content blocks, log-probabilities."""

from __future__ import annotations

from base64 import b64encode
from itertools import pairwise
from typing import Any

import pytest
from llama_index.core.base.llms.types import (
    CachePoint,
    ChatMessage,
    CitableBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    VideoBlock,
)
from llama_index.core.tools import FunctionTool

from .provider import Factory, Provider, collect, run, total_tokens, user
from .wire import TEXT, USAGE, WireServer, always, chunk, message_reply, stream_reply

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 24


def add(a: int, b: int) -> int:
    """Add two integers."""
    return a + b


class ChatChecks:
    """The eight endpoints agree with each other and with what was sent."""

    def test_c01_single_response(self, llm: Any) -> None:
        """Role, content, raw usage, and token counts where token counters look."""
        response = llm.chat(user())
        assert (response.message.role, response.message.content) == (MessageRole.ASSISTANT, TEXT)
        assert total_tokens(response) == USAGE["total_tokens"]
        assert response.additional_kwargs["prompt_tokens"] == USAGE["prompt_tokens"]

    def test_c02_deltas_join_to_the_content(self, llm: Any) -> None:
        """The deltas join to the last, cumulative content; the last item has the usage."""
        items = list(llm.stream_chat(user()))
        assert "".join(item.delta or "" for item in items) == items[-1].message.content == TEXT
        assert total_tokens(items[-1]) == USAGE["total_tokens"]
        contents = [item.message.content or "" for item in items]
        assert all(later.startswith(earlier) for earlier, later in pairwise(contents))

    def test_c03_async_agrees(self, llm: Any) -> None:
        """`achat` and `astream_chat` return what `chat` and `stream_chat` return."""

        async def scenario() -> tuple[Any, list[Any]]:
            return await llm.achat(user()), await collect(llm.astream_chat(user()))

        answer, items = run(scenario())
        assert answer.message == llm.chat(user()).message
        assert [(item.delta, item.message) for item in items] == [(i.delta, i.message) for i in llm.stream_chat(user())]

    def test_c04_async_is_concurrent(self, llm: Any, wire: WireServer) -> None:
        """Eight calls are in progress at the same time."""
        wire.chat(wire.together(8, lambda request: message_reply({"content": TEXT})))

        async def scenario() -> None:
            import asyncio

            await asyncio.gather(*(llm.achat(user()) for _ in range(8)))

        run(scenario())
        assert wire.max_in_flight == 8

    def test_c05_completions_of_a_chat_model(self, llm: Any) -> None:
        """A chat model completes prompts, in all four ways."""

        async def scenario() -> tuple[str, str]:
            return (await llm.acomplete("Hi")).text, (await collect(llm.astream_complete("Hi")))[-1].text

        streamed_text = list(llm.stream_complete("Hi"))[-1].text
        assert {llm.complete("Hi").text, streamed_text, *run(scenario())} == {TEXT}

    def test_c06_parameters_of_the_provider(self, llm: Any, wire: WireServer, provider: Provider) -> None:
        """The provider's parameters are sent when they are passed with a call."""
        params = {"seed": 7, "stop": ["END"], **provider.parameters}
        llm.chat(user(), **params)
        list(llm.stream_chat(user(), **params))
        for body in wire.bodies:
            assert {name: body.get(name) for name in params} == params

    def test_c07_the_call_wins(self, llm_factory: Factory, wire: WireServer) -> None:
        """Parameters of a call win over those of the constructor."""
        llm_factory(temperature=0.1, max_tokens=10).chat(user(), temperature=0.9, max_tokens=99)
        assert (wire.bodies[0]["temperature"], wire.bodies[0]["max_tokens"]) == (0.9, 99)

    def test_c08_images(self, llm: Any, wire: WireServer) -> None:
        """Images by URL and by bytes become parts, in their order."""
        blocks = [TextBlock(text="a"), ImageBlock(url="http://x.test/y.png"), TextBlock(text="b"), ImageBlock(image=PNG)]
        llm.chat([ChatMessage(role="user", blocks=blocks)])
        parts = wire.bodies[0]["messages"][0]["content"]
        assert [part["type"] for part in parts] == ["text", "image_url", "text", "image_url"]
        assert parts[1]["image_url"]["url"] == "http://x.test/y.png"
        assert parts[3]["image_url"]["url"] == "data:image/png;base64," + b64encode(PNG).decode()

    def test_c09_videos(self, llm: Any, wire: WireServer) -> None:
        """A video becomes a `video_url` part."""
        llm.chat([ChatMessage(role="user", blocks=[TextBlock(text="a"), VideoBlock(url="http://x.test/y.mp4")])])
        assert wire.bodies[0]["messages"][0]["content"][1]["video_url"]["url"] == "http://x.test/y.mp4"

    def test_c10_cache_points_are_hints(self, llm: Any, wire: WireServer) -> None:
        """A cache point is passed over."""
        point = CachePoint.model_validate({"cache_control": {"type": "ephemeral"}})
        llm.chat([ChatMessage(role="user", blocks=[TextBlock(text="a"), point])])
        assert "ephemeral" not in str(wire.bodies[0])

    def test_c11_citable_content(self, llm: Any, wire: WireServer) -> None:
        """Citable content goes out as text."""
        block = CitableBlock(title="T", source="S", content=[TextBlock(text="the cited words")])
        llm.chat([ChatMessage(role="user", blocks=[TextBlock(text="a"), block])])
        assert "the cited words" in str(wire.bodies[0]["messages"])

    def test_c12_text_blocks_stay_apart(self, llm: Any, wire: WireServer) -> None:
        """Several texts go out as `ChatMessage.content` shows them."""
        message = ChatMessage(role="user", blocks=[TextBlock(text="alpha"), TextBlock(text="beta")])
        llm.chat([message])
        content = wire.bodies[0]["messages"][0]["content"]
        text = content if isinstance(content, str) else "\n".join(part["text"] for part in content)
        assert text == message.content

    def test_c13_inputs_stay_as_they_are(self, llm: Any) -> None:
        """Neither the history nor its messages are changed."""
        history = [ChatMessage(role="user", content="a"), ChatMessage(role="assistant", content="b")]
        before = [message.model_dump() for message in history]
        llm.chat_with_tools([FunctionTool.from_defaults(add)], user_msg="c", chat_history=history)
        assert [message.model_dump() for message in history] == before

    def test_c14_logprobs(self, llm_factory: Factory, wire: WireServer) -> None:
        """Log-probabilities of the chosen tokens are mapped, alternatives or not."""
        wire.script({"content": "Hi.", "logprobs": [{"Hi": -0.1}, {".": -0.2}]})
        self._check_logprobs(llm_factory(logprobs=True).chat(user()).logprobs)

    def test_c15_streamed_logprobs(self, llm_factory: Factory, wire: WireServer) -> None:
        """So are those of a stream."""
        content = [{"token": "Hi", "logprob": -0.1, "bytes": [72, 105], "top_logprobs": []}]
        wire.script(
            stream_reply([chunk({"content": "Hi"}, logprobs={"content": content}), chunk({"content": "."}, logprobs=-0.2)])
        )
        items = list(llm_factory(logprobs=True).stream_chat(user()))
        self._check_logprobs([token for item in items for token in item.logprobs or ()])

    def _check_logprobs(self, items: Any) -> None:
        assert [(token[0].token, token[0].logprob) for token in items] == [("Hi", -0.1), (".", -0.2)]

    def test_c16_plain_completions(self, llm_factory: Factory, wire: WireServer) -> None:
        """A base model gets the bare prompt, single and streamed."""
        wire.script({"content": " once upon a time", "times": 2})
        base_model = llm_factory(is_chat_model=False)
        assert base_model.complete("Tell").text == list(base_model.stream_complete("Tell"))[-1].text == " once upon a time"
        assert {request.path for request in wire.requests} == {"/v1/completions"}
        assert [body["prompt"] for body in wire.bodies] == ["Tell", "Tell"]

    def test_c17_finish_reason(self, llm: Any, wire: WireServer) -> None:
        """The finish reason can be read."""
        wire.script(message_reply({"content": "cut"}, finish="length"))
        response = llm.chat(user())
        raw = dict(response.raw)["choices"][0]
        raw_reason = raw["finish_reason"] if isinstance(raw, dict) else raw.finish_reason
        assert "length" in (response.additional_kwargs.get("finish_reason"), raw_reason)

    @pytest.mark.parametrize("flavour", ["sync", "async"])
    def test_c18_closing_early(self, llm: Any, wire: WireServer, flavour: str) -> None:
        """Closing a stream early closes the HTTP response, even when observers keep the exception."""
        wire.script(stream_reply([{"content": f"{number} "} for number in range(400)]))
        wire.delay(0.01)

        async def scenario() -> None:
            stream = await llm.astream_chat(user())
            await anext(stream)
            await stream.aclose()
            assert wire.wait_for_disconnect()

        if flavour == "async":
            run(scenario())
        else:
            stream = llm.stream_chat(user())
            next(stream)
            stream.close()
            assert wire.wait_for_disconnect()

    def test_c19_ends_with_the_complete_text(self, llm: Any, wire: WireServer) -> None:
        """The last item holds the complete text, and roles are not concatenated."""
        wire.chat(always(TEXT))
        items = list(llm.stream_chat(user()))
        assert items[-1].message.content == TEXT
        assert {item.message.role for item in items} == {MessageRole.ASSISTANT}
