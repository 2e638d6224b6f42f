"""Structured output: requests, partial objects, retries."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import pytest
from llama_index.core.prompts import ChatPromptTemplate, PromptTemplate
from llama_index.core.types import PydanticProgramMode
from llama_index_together_adapters import TogetherLLM
from llama_index_together_adapters.output_modes import incomplete
from pydantic import BaseModel, Field

from tests.llama_index.conformance.wire import Reply, Request, WireServer, always, call, schema_reply, stream_reply, text_reply

PROMPT = PromptTemplate("Describe {thing}.")


class Ball(BaseModel):
    """A ball."""

    title: str
    count: int


@pytest.fixture
def wire() -> Any:
    with WireServer() as server:
        yield server


def llm_of(wire: WireServer, **options: Any) -> TogetherLLM:
    return TogetherLLM(**{"api_key": "k", "api_base": wire.url, "max_retries": 0, **options})


@pytest.mark.parametrize(
    ("options", "way"),
    [
        ({}, "response_format"),
        ({"should_use_structured_outputs": False}, "tools"),
        ({"model": "someone/unknown"}, "tools"),
        ({"pydantic_program_mode": PydanticProgramMode.FUNCTION}, "tools"),
        ({"should_use_structured_outputs": False, "is_function_calling_model": False}, "words"),
        ({"pydantic_program_mode": PydanticProgramMode.LLM}, "words"),
    ],
)
async def test_the_way(wire: WireServer, options: dict[str, Any], way: str) -> None:
    wire.chat(schema_reply if way != "words" else always('Here: ```json\n{"title": "filled", "count": 1}\n```'))
    llm = llm_of(wire, system_prompt="BE BRIEF", **options)
    stream = await llm.astream_structured_predict(Ball, PROMPT, thing="a ball")
    outputs = [
        llm.structured_predict(Ball, PROMPT, thing="a ball"),
        await llm.astructured_predict(Ball, PROMPT, thing="a ball"),
        list(llm.stream_structured_predict(Ball, PROMPT, thing="a ball"))[-1],
        [item async for item in stream][-1],
    ]
    await llm.asynchronous_client.aclose()
    assert outputs == [Ball(title="filled", count=1)] * 4
    for body in wire.bodies:
        assert [name for name in ("response_format", "tools") if name in body] == ([way] if way != "words" else [])
        assert "BE BRIEF" in str(body["messages"])
        assert ("count" in str(body["messages"])) is (way == "words")
        if way == "tools":
            assert body["tool_choice"] == "required"


def test_partials_grow(wire: WireServer) -> None:
    text = '{"title": "a long title", "count": 12}'
    wire.chat(lambda request: stream_reply([{"content": text[at : at + 5]} for at in range(0, len(text), 5)]))
    outputs: Any = list(llm_of(wire).stream_structured_predict(Ball, PROMPT, thing="a ball"))
    titles = [item.title or "" for item in outputs]
    assert len(outputs) > 3
    assert titles == sorted(titles, key=len)
    assert outputs[-1] == Ball(title="a long title", count=12)


class Colour(BaseModel):
    """A colour."""

    name: str
    share: float


class Box(BaseModel):
    """A box of coloured balls."""

    label: Literal["small", "large"]
    colours: list[Colour]
    lid: Colour | None = None
    inner: Box | None = None
    by_name: dict[str, Colour] = {}
    sizes: Annotated[list[int] | None, Field(alias="theSizes")] = None


def test_partials_have_the_shape_of_the_model_at_every_depth(wire: WireServer) -> None:
    colours = [{"name": "red", "share": 0.5}, {"name": "blue", "share": 0.25}]
    full_value = {
        "label": "large", "colours": colours, "lid": {"name": "green", "share": 1}, "by_name": {"a": {"name": "red", "share": 1}},
        "inner": {"label": "small", "colours": [], "inner": None}, "theSizes": [1, 2],
    }  # fmt: skip
    text = json.dumps(full_value)
    wire.chat(lambda request: stream_reply([{"content": text[at : at + 3]} for at in range(0, len(text), 3)]))
    outputs: Any = list(llm_of(wire).stream_structured_predict(Box, PROMPT, thing="a box"))
    assert outputs[-1] == Box.model_validate(full_value)
    assert any(item.label not in ("small", "large") for item in outputs)
    names = [colour.name for item in outputs for colour in item.colours or ()]
    assert {None, "r", "red", "blue"} <= set(names)
    assert "gree" in {item.lid.name for item in outputs if item.lid}
    assert {item.by_name["a"].name for item in outputs if item.by_name and item.by_name.get("a")} >= {"red"}
    assert [1] in [item.sizes for item in outputs]


@pytest.mark.parametrize("odd", ['{"colours": "none"}', '{"colours": ["red"]}', '{"by_name": [1]}', '{"lid": 3}'])
def test_partial_objects_accept_invalid_values(odd: str) -> None:
    assert incomplete(Box).model_validate_json(odd).model_dump(exclude_unset=True) == json.loads(odd)


@pytest.mark.parametrize("way", ["response_format", "tools"])
@pytest.mark.parametrize("flavour", ["sync", "async", "stream", "astream"])
async def test_invalid_responses_are_sent_back_with_validation_retries(wire: WireServer, way: str, flavour: str) -> None:
    def handler(request: Request) -> Reply:
        count = '"many"' if len(wire.requests) == 1 else "7"
        text = f'{{"title": "a", "count": {count}}}'
        return text_reply(request, text) if way == "response_format" else text_reply(request, "", calls=[call("Ball", text)])

    wire.chat(handler)
    llm = llm_of(wire, should_use_structured_outputs=way == "response_format", validation_retries=2)
    async with llm.asynchronous_client:
        if flavour == "sync":
            outputs = llm.structured_predict(Ball, PROMPT, thing="a ball")
        elif flavour == "async":
            outputs = await llm.astructured_predict(Ball, PROMPT, thing="a ball")
        elif flavour == "stream":
            outputs = list(llm.stream_structured_predict(Ball, PROMPT, thing="a ball"))[-1]
        else:
            outputs = [item async for item in await llm.astream_structured_predict(Ball, PROMPT, thing="a ball")][-1]
    assert outputs == Ball(title="a", count=7)
    first, second = wire.bodies
    answer, correction = second["messages"][len(first["messages"]) :]
    assert "many" in str(answer)
    assert "count: Input should be a valid integer" in correction["content"]
    if way == "tools":
        assert (correction["role"], correction["tool_call_id"]) == ("tool", answer["tool_calls"][0]["id"])
    else:
        assert correction["role"] == "user"


def test_the_number_of_validation_retries(wire: WireServer) -> None:
    wire.chat(always('{"title": "a"}'))
    llm = llm_of(wire, validation_retries=1)
    with pytest.raises(ValueError, match="count"):
        llm.structured_predict(Ball, PROMPT, thing="a ball")
    assert len(wire.requests) == 2
    with pytest.raises(ValueError, match="count"):
        llm.structured_predict(Ball, PROMPT, llm_kwargs={"validation_retries": 0}, thing="a ball")
    with pytest.raises(ValueError, match="count"):
        llm_of(wire).structured_predict(Ball, PROMPT, thing="a ball")
    assert len(wire.requests) == 4
    assert "validation_retries" not in str(wire.bodies)


def test_a_stream_that_never_gets_there(wire: WireServer) -> None:
    wire.chat(lambda request: stream_reply([{"content": '{"title": "a'}]))
    with pytest.raises(ValueError, match="Ball"):
        list(llm_of(wire).stream_structured_predict(Ball, PROMPT, thing="a ball"))


def test_closing_early_closes_the_response(wire: WireServer) -> None:
    deltas = [{"content": '{"title": "'}, *({"content": "x"} for _ in range(400))]
    wire.chat(lambda request: stream_reply(deltas))
    wire.delay(0.01)
    stream = llm_of(wire).stream_structured_predict(Ball, PROMPT, thing="a ball")
    next(stream)
    stream.close()
    assert wire.wait_for_disconnect()


def test_braces_in_messages_are_left_alone(wire: WireServer) -> None:
    wire.chat(schema_reply)
    prompt = ChatPromptTemplate.from_messages([("user", "Take {thing}.")])
    llm_of(wire).structured_predict(Ball, prompt, thing='{"a": 1}')
    assert wire.bodies[0]["messages"][-1]["content"] == 'Take {"a": 1}.'


def test_parameters_of_the_call(wire: WireServer) -> None:
    wire.chat(schema_reply)
    llm_of(wire).structured_predict(Ball, PROMPT, llm_kwargs={"temperature": 0.5}, thing="a ball")
    assert wire.bodies[0]["temperature"] == 0.5


def test_the_prompt_is_not_changed(wire: WireServer) -> None:
    wire.chat(schema_reply)
    llm_of(wire, pydantic_program_mode=PydanticProgramMode.FUNCTION).structured_predict(Ball, PROMPT, thing="a ball")
    assert PROMPT.output_parser is None
