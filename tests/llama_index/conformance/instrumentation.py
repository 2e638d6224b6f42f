"""Checks I01-I05: events, callbacks, token counts."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.llms.llm import LLM

from .provider import KEY, Events, Factory, collect, run, texts_of, user
from .wire import USAGE, WireServer, error


class CountingLimiter:
    """A rate limiter that only counts."""

    def __init__(self) -> None:
        self.count = 0

    def acquire(self, num_tokens: int = 0) -> None:
        """Count."""
        self.count += 1

    async def async_acquire(self, num_tokens: int = 0) -> None:
        """Count."""
        self.count += 1


class InstrumentationChecks:
    """Each call has one pair of events, complete and without secrets."""

    def test_i01_one_pair_per_chat(self, llm: Any, events: Events) -> None:
        """One start and one end per chat; a stream has events of its progress as well."""
        llm.chat(user())
        assert (events.count("LLMChatStartEvent"), events.count("LLMChatEndEvent")) == (1, 1)
        events.events.clear()
        items = list(llm.stream_chat(user()))
        assert (events.count("LLMChatStartEvent"), events.count("LLMChatEndEvent")) == (1, 1)
        assert events.count("LLMChatInProgressEvent") == len(items)
        events.events.clear()
        run(collect(llm.astream_chat(user())))
        assert (events.count("LLMChatStartEvent"), events.count("LLMChatEndEvent")) == (1, 1)

    def test_i02_completions_and_failures(self, llm_factory: Factory, wire: WireServer, events: Events) -> None:
        """A completion has completion events, not those of a chat; a failed call ends with the exception."""
        ended: list[Any] = []

        class Handler(TokenCountingHandler):
            def on_event_end(self, event_type: Any, payload: Any = None, event_id: str = "", **kwargs: Any) -> None:
                ended.append(payload)

        manager = CallbackManager([Handler()])
        llm = llm_factory(max_retries=0, callback_manager=manager)
        llm.complete("Hi")
        assert (events.count("LLMCompletionStartEvent"), events.count("LLMCompletionEndEvent")) == (1, 1)
        assert events.count("LLMChatStartEvent") == 0
        ended.clear()
        wire.script(error(400, "no"), error(400, "no"))
        for call in (llm.chat, lambda messages: list(llm.stream_chat(messages))):
            with pytest.raises(Exception, match="no"):
                call(user())
        assert [next(iter(payload)).value for payload in ended] == ["exception", "exception"]

    @pytest.mark.parametrize("streams", [False, True])
    def test_i03_token_counter(self, llm_factory: Factory, streams: bool) -> None:
        """LlamaIndex's token counter counts what the service reports."""
        counter = TokenCountingHandler(tokenizer=str.split)
        llm = llm_factory(callback_manager=CallbackManager([counter]))
        list(llm.stream_chat(user())) if streams else llm.chat(user())
        assert counter.prompt_llm_token_count == USAGE["prompt_tokens"]
        assert counter.completion_llm_token_count == USAGE["completion_tokens"]

    def test_i04_no_key_in_events(self, llm: Any, events: Events) -> None:
        """No event shows the key."""
        llm.chat(user())
        list(llm.stream_complete("Hi"))
        assert events.events
        assert not [event for event in events.events if KEY in texts_of(event)]

    def test_i05_rate_limiter(self, llm_factory: Factory) -> None:
        """A rate limiter is acquired once per call."""
        if "rate_limiter" not in LLM.model_fields:
            pytest.skip("this LlamaIndex has no rate limiters")
        limiter = CountingLimiter()
        llm = llm_factory(rate_limiter=limiter)
        llm.chat(user())
        run(llm.achat(user()))
        list(llm.stream_chat(user()))
        llm.complete("Hi")
        assert limiter.count == 4
