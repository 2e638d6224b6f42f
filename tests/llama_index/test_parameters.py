"""Every request parameter is a field and a keyword of each call, and the call wins."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from llama_index.core.llms import ChatMessage
from llama_index.core.schema import MetadataMode, NodeWithScore, TextNode
from llama_index_together_adapters import TogetherEmbedding, TogetherLLM, TogetherRerank
from llama_index_together_adapters.requests import CHAT_PARAMS, COMPLETION_PARAMS, PARAM_FIELDS

from tests.llama_index.conformance.wire import WireServer

QUESTION = [ChatMessage(role="user", content="Hi")]
VALUES: dict[str, tuple[Any, Any]] = {
    "temperature": (0.1, 0.2), "max_tokens": (8, 9), "top_p": (0.3, 0.4), "top_k": (3, 4), "min_p": (0.1, 0.2), "seed": (1, 2),
    "repetition_penalty": (1.1, 1.2), "presence_penalty": (0.5, 0.6), "frequency_penalty": (0.7, 0.8), "stop": (["a"], ["b"]),
    "logit_bias": ({"105": 1.5}, {"106": 2.5}), "logprobs": (1, 2), "top_logprobs": (1, 2), "echo": (True, False),
    "safety_model": ("guard-a", "guard-b"), "response_format": ({"type": "json_object"}, {"type": "text"}), "n": (1, 2),
    "reasoning": ({"enabled": True}, {"enabled": False}), "reasoning_effort": ("low", "high"),
    "chat_template_kwargs": ({"thinking": True}, {"thinking": False}), "context_length_exceeded_behavior": ("truncate", "error"),
    "compliance": ("hipaa", "none"), "parallel_tool_calls": (True, False), "extra_body": ({"new": 1}, {"new": 2}),
    "model": ("deepseek-ai/DeepSeek-V4.1-Flash", "Qwen/Qwen2.5-7B-Instruct-Turbo"),
}  # fmt: skip


@pytest.fixture
def wire() -> Any:
    with WireServer() as server:
        yield server


def test_every_field_has_a_value_here() -> None:
    assert set(VALUES) == set(PARAM_FIELDS)
    assert set(PARAM_FIELDS) <= CHAT_PARAMS | COMPLETION_PARAMS | {"extra_body"}


@pytest.mark.parametrize("name", PARAM_FIELDS)
@pytest.mark.parametrize("chats", [True, False])
def test_a_parameter(wire: WireServer, name: str, chats: bool) -> None:
    mine, override = VALUES[name]
    llm = TogetherLLM(**{"api_key": "k", "api_base": wire.url, "is_chat_model": chats, name: mine})
    call = (lambda **kwargs: llm.chat(QUESTION, **kwargs)) if chats else (lambda **kwargs: llm.complete("Hi", **kwargs))
    call()
    call(**{name: override})
    for body, value in zip(wire.bodies, (mine, override), strict=True):
        assert value.items() <= body.items() if name == "extra_body" else body[name] == value


def test_cached_tokens_are_reported(wire: WireServer) -> None:
    from tests.llama_index.conformance.wire import message_reply

    usage = {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10, "cached_tokens": 4}
    wire.script(message_reply({"content": "Hi"}, usage=usage))
    response = TogetherLLM(api_key="k", api_base=wire.url).chat(QUESTION)
    assert response.raw["usage"]["cached_tokens"] == 4


@pytest.mark.parametrize(("mode", "text"), [(MetadataMode.EMBED, "seen: yes\n\nbody"), (MetadataMode.NONE, "body")])
def test_which_metadata_is_ranked(wire: WireServer, mode: MetadataMode, text: str) -> None:
    node = TextNode(text="body", metadata={"seen": "yes"})
    TogetherRerank(api_key="k", api_base=wire.url, metadata_mode=mode).postprocess_nodes(
        [NodeWithScore(node=node)], query_str="a"
    )
    assert wire.bodies[0]["documents"] == [text]


def test_embedding_and_reranking_in_one_loop_after_the_other(wire: WireServer) -> None:
    embedding, rerank = TogetherEmbedding(api_key="k", api_base=wire.url), TogetherRerank(api_key="k", api_base=wire.url)

    async def scenario() -> None:
        assert len(await embedding.aget_text_embedding_batch(["a", "b"])) == 2
        assert await rerank.apostprocess_nodes([NodeWithScore(node=TextNode(text="a"))], query_str="a")

    for _ in range(2):
        asyncio.run(scenario())
