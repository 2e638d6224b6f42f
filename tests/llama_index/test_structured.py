"""How structured output is asked for."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core.prompts import ChatPromptTemplate, PromptTemplate
from llama_index.core.types import PydanticProgramMode
from llama_index_together_adapters import TogetherLLM
from llama_index_together_adapters.conformance.wire import Request, WireServer, chunk, obey, say, streamed
from pydantic import BaseModel

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
    wire.chat(obey if way != "words" else say('Here: ```json\n{"title": "filled", "count": 1}\n```'))
    llm = llm_of(wire, system_prompt="BE BRIEF", **options)
    stream = await llm.astream_structured_predict(Ball, PROMPT, thing="a ball")
    found = [
        llm.structured_predict(Ball, PROMPT, thing="a ball"),
        await llm.astructured_predict(Ball, PROMPT, thing="a ball"),
        list(llm.stream_structured_predict(Ball, PROMPT, thing="a ball"))[-1],
        [item async for item in stream][-1],
    ]
    await llm.asynchronous_client.aclose()
    assert found == [Ball(title="filled", count=1)] * 4
    for body in wire.bodies:
        assert [name for name in ("response_format", "tools") if name in body] == ([way] if way != "words" else [])
        assert "BE BRIEF" in str(body["messages"])
        assert ("count" in str(body["messages"])) is (way == "words")
        if way == "tools":
            assert body["tool_choice"] == "required"


def test_partials_grow(wire: WireServer) -> None:
    text = '{"title": "a long title", "count": 12}'
    wire.chat(lambda request: streamed([{"content": text[at : at + 5]} for at in range(0, len(text), 5)]))
    found = list(llm_of(wire).stream_structured_predict(Ball, PROMPT, thing="a ball"))
    titles = [item.title or "" for item in found]
    assert len(found) > 3
    assert titles == sorted(titles, key=len)
    assert found[-1] == Ball(title="a long title", count=12)


def test_a_stream_that_never_gets_there(wire: WireServer) -> None:
    wire.chat(lambda request: streamed([{"content": '{"title": "a'}]))
    with pytest.raises(ValueError, match="Ball"):
        list(llm_of(wire).stream_structured_predict(Ball, PROMPT, thing="a ball"))


def test_closing_early_closes_the_response(wire: WireServer) -> None:
    pieces = [{"content": '{"title": "'}, *({"content": "x"} for _ in range(400))]
    wire.chat(lambda request: streamed(pieces, pause=0.01))
    stream = llm_of(wire).stream_structured_predict(Ball, PROMPT, thing="a ball")
    next(stream)
    stream.close()
    assert wire.wait_for_hang_up()


def test_braces_in_messages_are_left_alone(wire: WireServer) -> None:
    wire.chat(obey)
    prompt = ChatPromptTemplate.from_messages([("user", "Take {thing}.")])
    llm_of(wire).structured_predict(Ball, prompt, thing='{"a": 1}')
    assert wire.bodies[0]["messages"][-1]["content"] == 'Take {"a": 1}.'


def test_parameters_of_the_call(wire: WireServer) -> None:
    wire.chat(obey)
    llm_of(wire).structured_predict(Ball, PROMPT, llm_kwargs={"temperature": 0.5}, thing="a ball")
    assert wire.bodies[0]["temperature"] == 0.5


def test_the_caller_keeps_its_prompt(wire: WireServer) -> None:
    wire.chat(obey)
    llm_of(wire, pydantic_program_mode=PydanticProgramMode.FUNCTION).structured_predict(Ball, PROMPT, thing="a ball")
    assert PROMPT.output_parser is None


__all__ = ["Request", "chunk"]
