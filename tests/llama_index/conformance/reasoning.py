"""Checks R01-R07: reasoning."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, TextBlock, ThinkingBlock

from tests.llama_index.conformance.provider import Factory, Provider, gathered, run, user
from tests.llama_index.conformance.wire import WireServer, say, streamed, whole

TEXT = "Hello world"
THOUGHT = "Let me think step by step."


def thoughts(message: ChatMessage) -> str:
    """Return the reasoning that a message holds."""
    return "".join(block.content or "" for block in message.blocks if isinstance(block, ThinkingBlock))


class ReasoningChecks:
    """Reasoning arrives complete, apart from the answer, in every flavour."""

    def test_r01_whole(self, llm: Any, wire: WireServer) -> None:
        """The message's reasoning becomes a ThinkingBlock; the content stays clean."""
        wire.chat(say(TEXT, reasoning=THOUGHT))
        message = llm.chat(user()).message
        assert (thoughts(message), message.content) == (THOUGHT, TEXT)

    def test_r02_streamed(self, llm: Any, wire: WireServer) -> None:
        """A stream accumulates it, and tells what is new as `thinking_delta`."""
        wire.chat(say(TEXT, reasoning=THOUGHT))
        self._see(list(llm.stream_chat(user())))

    def test_r03_streamed_async(self, llm: Any, wire: WireServer) -> None:
        """The asynchronous stream loses no piece of it, not even the first."""
        wire.chat(say(TEXT, reasoning=THOUGHT))
        self._see(run(gathered(llm.astream_chat(user()))))

    def _see(self, found: list[Any]) -> None:
        assert "".join(item.additional_kwargs.get("thinking_delta") or "" for item in found) == THOUGHT
        assert (thoughts(found[-1].message), found[-1].message.content) == (THOUGHT, TEXT)

    @pytest.mark.parametrize("size", [1, 3, 1000])
    def test_r04_tags(self, llm: Any, wire: WireServer, provider: Provider, size: int) -> None:
        """A `<think>` block at the head is reasoning, wherever the stream cuts its tags."""
        if not provider.think_tags:
            pytest.skip("the provider keeps tags in the text")
        text = f"<think>{THOUGHT}</think>\n\n{TEXT}"
        wire.script(whole({"content": text}), streamed([{"content": text[i : i + size]} for i in range(0, len(text), size)]))
        for message in (llm.chat(user()).message, list(llm.stream_chat(user()))[-1].message):
            assert (thoughts(message).strip(), message.content) == (THOUGHT, TEXT)

    def test_r05_effort(self, llm_factory: Factory, wire: WireServer) -> None:
        """`reasoning_effort` reaches the wire, whatever the model."""
        llm_factory(reasoning_effort="high").chat(user())
        assert wire.bodies[0]["reasoning_effort"] == "high"

    def test_r06_token_count(self, llm: Any, wire: WireServer) -> None:
        """The number of reasoning tokens can be read."""
        usage = {"prompt_tokens": 1, "completion_tokens": 9, "total_tokens": 10}
        usage_seen: Any = {**usage, "completion_tokens_details": {"reasoning_tokens": 5}}
        wire.script(whole({"content": TEXT, "reasoning": THOUGHT}, usage=usage_seen))
        response = llm.chat(user())
        counts = [block.num_tokens for block in response.message.blocks if isinstance(block, ThinkingBlock)]
        assert 5 in [*counts, response.additional_kwargs.get("reasoning_tokens")]

    def test_r07_replay(self, llm_factory: Factory, wire: WireServer, provider: Provider) -> None:
        """Reasoning in the history can go back to the model."""
        if not provider.replay:
            pytest.skip("the provider has no such option")
        blocks = [ThinkingBlock(content=THOUGHT), TextBlock(text=TEXT)]
        history = [*user(), ChatMessage(role="assistant", blocks=blocks), *user("And?")]
        llm_factory(**provider.replay).chat(history)
        llm_factory().chat(history)
        assert THOUGHT in str(wire.bodies[0]["messages"][1])
        assert THOUGHT not in str(wire.bodies[1]["messages"])
