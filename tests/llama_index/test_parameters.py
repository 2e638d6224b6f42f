"""Every request parameter is a field and a keyword of each call, and the call wins."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.llms import ChatMessage
from llama_index.core.schema import MetadataMode, NodeWithScore, TextNode
from llama_index_together_adapters import TogetherEmbedding, TogetherLLM, TogetherRerank
from llama_index_together_adapters.requests import CHAT_PARAMS, COMPLETION_PARAMS, PARAM_FIELDS

from tests.llama_index.conformance.wire import WireServer, message_reply, stream_reply

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


@pytest.mark.parametrize("options", [
    {"reasoning_effort": "minimal"}, {"reasoning_effort": "max"}, {"reasoning": {"enabled": False}},
    {"chat_template_kwargs": {"clear_thinking": False}}, {"chat_template_kwargs": {"medium_effort": True}},
])  # fmt: skip
def test_switches_of_reasoning_are_sent_as_they_are(wire: WireServer, options: dict[str, Any]) -> None:
    llm = TogetherLLM(api_key="k", api_base=wire.url)
    TogetherLLM(api_key="k", api_base=wire.url, **options).chat(QUESTION)
    llm.chat(QUESTION, **options)
    list(llm.stream_chat(QUESTION, **options))
    for body in wire.bodies:
        assert {
            name: body.get(name) for name in ("reasoning_effort", "reasoning", "chat_template_kwargs") if name in body
        } == options


USAGES: list[tuple[dict[str, Any], tuple[int | None, int | None]]] = [
    ({"prompt_tokens_details": {"cached_tokens": 4}, "completion_tokens_details": {"reasoning_tokens": 2}}, (4, 2)),
    ({"cached_tokens": 4, "reasoning_tokens": 2}, (4, 2)),
    ({"cached_tokens": 4, "prompt_tokens_details": None, "completion_tokens_details": {"reasoning_tokens": 2}}, (4, 2)),
    ({"cached_tokens": 4, "prompt_tokens_details": {"cached_tokens": None, "audio_tokens": 0}}, (4, None)),
    ({"prompt_tokens_details": {"cached_tokens": 0}, "completion_tokens_details": {}}, (0, None)),
    ({}, (None, None)),
]


@pytest.mark.parametrize(("details", "counts"), USAGES)
@pytest.mark.parametrize("is_streamed", [False, True])
async def test_usage_of_either_shape(
    wire: WireServer, details: dict[str, Any], counts: tuple[int | None, int | None], is_streamed: bool
) -> None:
    usage = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14, **details}
    counter = TokenCountingHandler(tokenizer=str.split)
    llm = TogetherLLM(api_key="k", api_base=wire.url, callback_manager=CallbackManager([counter]))
    message = {"content": "Hi", "reasoning": "Hm."}
    wire.chat(lambda _: stream_reply([message], usage=usage) if is_streamed else message_reply(message, usage=usage))
    if is_streamed:
        responses = [list(llm.stream_chat(QUESTION))[-1], [item async for item in await llm.astream_chat(QUESTION)][-1]]
    else:
        responses = [llm.chat(QUESTION), await llm.achat(QUESTION)]
    await llm.asynchronous_client.aclose()
    for response in responses:
        totals = response.additional_kwargs
        assert response.raw["usage"] == usage
        assert (totals["prompt_tokens"], totals["completion_tokens"], totals["total_tokens"]) == (9, 5, 14)
        assert (totals.get("cached_tokens"), totals.get("reasoning_tokens")) == counts
        assert response.message.blocks[0].num_tokens == counts[1]
    assert (counter.prompt_llm_token_count, counter.completion_llm_token_count) == (18, 10)


@pytest.mark.parametrize("is_streamed", [False, True])
def test_a_count_that_is_null_is_estimated(wire: WireServer, is_streamed: bool) -> None:
    usage = {"prompt_tokens": None, "completion_tokens": 5, "total_tokens": None}
    counter = TokenCountingHandler(tokenizer=str.split)
    llm = TogetherLLM(api_key="k", api_base=wire.url, callback_manager=CallbackManager([counter]))
    wire.chat(
        lambda _: stream_reply([{"content": "Hi"}], usage=usage) if is_streamed else message_reply({"content": "Hi"}, usage=usage)
    )
    if is_streamed:
        list(llm.stream_chat(QUESTION))
    else:
        llm.chat(QUESTION)
    assert counter.prompt_llm_token_count > 0
    assert counter.completion_llm_token_count == 5


@pytest.mark.parametrize(("mode", "text"), [(MetadataMode.EMBED, "seen: yes\n\nbody"), (MetadataMode.NONE, "body")])
def test_which_metadata_is_ranked(wire: WireServer, mode: MetadataMode, text: str) -> None:
    node = TextNode(text="body", metadata={"seen": "yes"})
    TogetherRerank("acme/ranker", api_key="k", api_base=wire.url, metadata_mode=mode).postprocess_nodes(
        [NodeWithScore(node=node)], query_str="a"
    )
    assert wire.bodies[0]["documents"] == [text]


def test_embedding_and_reranking_in_one_loop_after_the_other(wire: WireServer) -> None:
    embedding, rerank = (
        TogetherEmbedding(api_key="k", api_base=wire.url),
        TogetherRerank("acme/ranker", api_key="k", api_base=wire.url),
    )

    async def scenario() -> None:
        assert len(await embedding.aget_text_embedding_batch(["a", "b"])) == 2
        assert await rerank.apostprocess_nodes([NodeWithScore(node=TextNode(text="a"))], query_str="a")

    for _ in range(2):
        asyncio.run(scenario())
