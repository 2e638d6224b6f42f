"""Copies of a prototype are what the classes of the frameworks would have made."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk, GenerationChunk
from langchain_together_adapters.chat_stream import ChunkWriter
from langchain_together_adapters.responses import CompletionWriter, ParseOptions
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse, MessageRole, TextBlock
from llama_index_together_adapters.responses import ChatParser, CompletionParser, as_completion
from pydantic import BaseModel

from together_adapters.adapters.prototypes import copies_of


def event(**delta: Any) -> dict[str, Any]:
    return {"id": "o1", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}


def written(content_blocks: bool, **delta: Any) -> Any:
    (chunk,) = ChunkWriter(ParseOptions(None, content_blocks)).feed(event(**delta))
    return chunk


def parsed(*texts: str) -> ChatResponse:
    parser = ChatParser(None)
    return [parser.feed(event(content=text)) for text in texts][-1]


def completed() -> CompletionResponse:
    parser = CompletionParser()
    return parser.feed({"choices": [{"index": 0, "text": "Oslo"}]})


TEXT = event(content="o")
BLOCKS: list[Any] = [{"type": "text", "text": "Oslo", "index": "lc_txt_0"}]
REASONING: list[Any] = [{"type": "reasoning", "reasoning": "Oslo?", "index": "lc_rs_0"}]

COPIES: dict[str, tuple[Callable[[], BaseModel], Callable[[], BaseModel]]] = {
    "text": (
        lambda: written(False, content="Oslo"),
        lambda: ChatGenerationChunk(message=AIMessageChunk(content="Oslo")),
    ),
    "blocks of text": (
        lambda: written(True, content="Oslo"),
        lambda: ChatGenerationChunk(message=AIMessageChunk(content=BLOCKS)),
    ),
    "reasoning": (
        lambda: written(False, reasoning="Oslo?"),
        lambda: ChatGenerationChunk(message=AIMessageChunk(content="", additional_kwargs={"reasoning_content": "Oslo?"})),
    ),
    "blocks of reasoning": (
        lambda: written(True, reasoning="Oslo?"),
        lambda: ChatGenerationChunk(message=AIMessageChunk(content=REASONING)),
    ),
    "completion": (
        lambda: CompletionWriter().feed({"choices": [{"index": 0, "text": "Oslo"}]})[0],
        lambda: GenerationChunk(text="Oslo", generation_info=None),
    ),
    "LlamaIndex text": (
        lambda: parsed("Osl", "o"),
        lambda: ChatResponse(
            message=ChatMessage(role=MessageRole.ASSISTANT, blocks=[TextBlock(text="Oslo")]), delta="o", raw=TEXT
        ),
    ),
    "LlamaIndex text as a completion": (
        lambda: as_completion(parsed("Osl", "o")),
        lambda: CompletionResponse(text="Oslo", delta="o", raw=TEXT, logprobs=None, additional_kwargs={}),
    ),
    "LlamaIndex completion": (
        completed,
        lambda: CompletionResponse(
            text="Oslo", delta="Oslo", raw={"choices": [{"index": 0, "text": "Oslo"}]}, logprobs=None, additional_kwargs={}
        ),
    ),
}


def state_of(value: Any) -> Any:
    """Return all that a model holds, with the types of values."""
    if isinstance(value, BaseModel):
        inner = {name: state_of(item) for name, item in vars(value).items()}
        return type(value), list(inner), inner, value.model_fields_set, value.model_extra, value.__pydantic_private__
    if isinstance(value, list):
        return [state_of(item) for item in value]
    return type(value), value


@pytest.mark.parametrize("name", COPIES)
def test_a_copy_is_a_valid_model(name: str) -> None:
    make, make_validated = COPIES[name]
    copy, validated = make(), make_validated()
    assert state_of(copy) == state_of(validated)
    assert copy == validated
    assert repr(copy) == repr(validated)
    assert copy.model_dump_json() == validated.model_dump_json()
    assert state_of(pickle.loads(pickle.dumps(copy))) == state_of(validated)
    assert state_of(copy.model_copy(deep=True)) == state_of(validated)
    assert state_of(type(copy).model_validate(copy.model_dump())) == state_of(type(copy).model_validate(validated.model_dump()))


@pytest.mark.parametrize("name", COPIES)
def test_copies_share_nothing_that_changes(name: str) -> None:
    make, make_validated = COPIES[name]
    first, second = make(), make()
    for model in (first, getattr(first, "message", first)):
        for field, value in list(vars(model).items()):
            if isinstance(value, dict) and field != "raw":
                value["changed"] = True
            elif isinstance(value, list):
                value.append("changed")
        model.model_fields_set.add("changed")
    assert state_of(second) == state_of(make_validated())


def test_fields_that_a_model_does_not_have_are_kept_apart() -> None:
    copy = copies_of(AIMessageChunk(content=""))
    first, second = copy(content="a"), copy(content="b")
    first.example = True  # type: ignore[attr-defined]
    assert (first.model_extra, second.model_extra) == ({"example": True}, {})
    assert (first + second).content == "ab"
