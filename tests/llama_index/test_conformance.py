"""The conformance kit, run on the classes of this package."""

from __future__ import annotations

from functools import partial

import pytest
from llama_index_together_adapters import TogetherEmbedding, TogetherLLM, TogetherRerank

from tests.llama_index.conformance import Provider
from tests.llama_index.conformance.checks import *  # noqa: F403
from together_adapters.errors import ContextLengthError

MODEL = "moonshotai/Kimi-K3"  # sees images, too


@pytest.fixture
def provider() -> Provider:
    return Provider(
        llm=TogetherLLM,
        embedding=TogetherEmbedding,
        rerank=partial(TogetherRerank, "acme/ranker"),
        key_variable="TOGETHER_API_KEY",
        model=MODEL,
        context_window=1_048_576,
        parameters={"top_k": 5, "min_p": 0.1, "repetition_penalty": 1.1, "safety_model": "meta-llama/Llama-Guard-4-12B"},
        replay={"replay_reasoning": True},
        by_schema={"should_use_structured_outputs": True},
        context_length_error=ContextLengthError,
    )
