"""Checks R01-R07: reasoning."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, TextBlock, ThinkingBlock

from .provider import Factory, Provider, collect, run, user
from .wire import WireServer, always, message_reply, stream_reply

TEXT = "Hello world"
REASONING = "Let me think step by step."


def reasoning_of(message: ChatMessage) -> str:
    """Return the reasoning of a message."""
    return "".join(block.content or "" for block in message.blocks if isinstance(block, ThinkingBlock))


class ReasoningChecks:
    """Reasoning is complete and separate from the text, in every flavour."""

    def test_r01_single(self, llm: Any, wire: WireServer) -> None:
        """The message's reasoning becomes a ThinkingBlock; the content stays clean."""
        wire.chat(always(TEXT, reasoning=REASONING))
        message = llm.chat(user()).message
        assert (reasoning_of(message), message.content) == (REASONING, TEXT)

    def test_r02_streamed(self, llm: Any, wire: WireServer) -> None:
        """A stream accumulates it, and has what is new as `thinking_delta`."""
        wire.chat(always(TEXT, reasoning=REASONING))
        self._check_stream(list(llm.stream_chat(user())))

    def test_r03_streamed_async(self, llm: Any, wire: WireServer) -> None:
        """The asynchronous stream loses no part of it, not even the first."""
        wire.chat(always(TEXT, reasoning=REASONING))
        self._check_stream(run(collect(llm.astream_chat(user()))))

    def _check_stream(self, items: list[Any]) -> None:
        assert "".join(item.additional_kwargs.get("thinking_delta") or "" for item in items) == REASONING
        assert (reasoning_of(items[-1].message), items[-1].message.content) == (REASONING, TEXT)

    @pytest.mark.parametrize("size", [1, 3, 1000])
    def test_r04_tags(self, llm: Any, wire: WireServer, provider: Provider, size: int) -> None:
        """A `<think>` block at the head is reasoning, wherever the stream cuts its tags."""
        if not provider.think_tags:
            pytest.skip("the provider keeps tags in the text")
        text = f"<think>{REASONING}</think>\n\n{TEXT}"
        wire.script(
            message_reply({"content": text}), stream_reply([{"content": text[i : i + size]} for i in range(0, len(text), size)])
        )
        for message in (llm.chat(user()).message, list(llm.stream_chat(user()))[-1].message):
            assert (reasoning_of(message).strip(), message.content) == (REASONING, TEXT)

    def test_r05_effort(self, llm_factory: Factory, wire: WireServer) -> None:
        """`reasoning_effort` is sent for any model."""
        llm_factory(reasoning_effort="high").chat(user())
        assert wire.bodies[0]["reasoning_effort"] == "high"

    def test_r06_token_count(self, llm: Any, wire: WireServer) -> None:
        """The number of reasoning tokens can be read."""
        usage = {"prompt_tokens": 1, "completion_tokens": 9, "total_tokens": 10}
        detailed_usage: Any = {**usage, "completion_tokens_details": {"reasoning_tokens": 5}}
        wire.script(message_reply({"content": TEXT, "reasoning": REASONING}, usage=detailed_usage))
        response = llm.chat(user())
        counts = [block.num_tokens for block in response.message.blocks if isinstance(block, ThinkingBlock)]
        assert 5 in [*counts, response.additional_kwargs.get("reasoning_tokens")]

    def test_r07_replay(self, llm_factory: Factory, wire: WireServer, provider: Provider) -> None:
        """Reasoning in the history can go back to the model."""
        if not provider.replay:
            pytest.skip("the provider has no such option")
        blocks = [ThinkingBlock(content=REASONING), TextBlock(text=TEXT)]
        history = [*user(), ChatMessage(role="assistant", blocks=blocks), *user("And?")]
        llm_factory(**provider.replay).chat(history)
        llm_factory().chat(history)
        assert REASONING in str(wire.bodies[0]["messages"][1])
        assert REASONING not in str(wire.bodies[1]["messages"])
