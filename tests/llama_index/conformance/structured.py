"""Checks S01-S09: structured output."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import pytest
from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import PromptTemplate
from pydantic import BaseModel

from .provider import Factory, Provider, collect, run, user
from .wire import WireServer, always, schema_reply

PROMPT = PromptTemplate("Describe {thing}.")


class Colour(StrEnum):
    """A colour."""

    RED = "red"
    BLUE = "blue"


class Part(BaseModel):
    """A part of a product."""

    name: str
    weight: float


class Product(BaseModel):
    """A product with parts."""

    title: str
    count: int
    colour: Colour
    parts: list[Part]
    remark: str | None = None


class Small(BaseModel):
    """A small product."""

    title: str
    count: int


def is_constrained(body: dict[str, Any]) -> bool:
    """Return whether a request constrains the model."""
    return bool(body.get("response_format") or (body.get("tools") and body.get("tool_choice") not in (None, "auto", "none")))


class StructuredChecks:
    """Objects are returned as requested, by every method."""

    def test_s01_predict(self, llm: Any, wire: WireServer) -> None:
        """The request constrains the model; the result is the object."""
        wire.chat(schema_reply)
        output = llm.structured_predict(Small, PROMPT, thing="a ball")
        assert output == Small(title="filled", count=1)
        assert is_constrained(wire.bodies[0])

    def test_s02_predict_async(self, llm: Any, wire: WireServer) -> None:
        """The same, asynchronously."""
        wire.chat(schema_reply)
        assert run(llm.astructured_predict(Small, PROMPT, thing="a ball")) == Small(title="filled", count=1)
        assert is_constrained(wire.bodies[0])

    def test_s03_stream(self, llm: Any, wire: WireServer) -> None:
        """A stream yields partial objects and ends with the complete one."""
        wire.chat(schema_reply)
        output = list(llm.stream_structured_predict(Small, PROMPT, thing="a ball"))
        assert output[-1] == Small(title="filled", count=1)

    def test_s04_stream_async(self, llm: Any, wire: WireServer) -> None:
        """So does an asynchronous one."""
        wire.chat(schema_reply)

        async def scenario() -> list[Any]:
            return await collect(await llm.astream_structured_predict(Small, PROMPT, thing="a ball"))

        assert run(scenario())[-1] == Small(title="filled", count=1)

    def test_s05_structured_llm(self, llm: Any, wire: WireServer) -> None:
        """`as_structured_llm` chats and completes; `raw` is the object."""
        wire.chat(schema_reply)
        structured_llm = llm.as_structured_llm(Small)

        async def scenario() -> Any:
            return (await structured_llm.achat(user())).raw

        assert structured_llm.chat(user()).raw == run(scenario()) == Small(title="filled", count=1)
        assert Small.model_validate_json(structured_llm.complete("Hi").text) == Small(title="filled", count=1)

    def test_s06_nested(self, llm: Any, wire: WireServer) -> None:
        """Nested models, enums and optional fields."""
        wire.chat(schema_reply)
        output = llm.structured_predict(Product, PROMPT, thing="a ball")
        assert (output.colour, output.parts) == (Colour.RED, [Part(name="filled", weight=1.0)])

    def test_s07_system_prompt(self, llm_factory: Factory, wire: WireServer) -> None:
        """The system prompt is sent, sync and async."""
        wire.chat(schema_reply)
        prompted = llm_factory(system_prompt="BE BRIEF")
        prompted.structured_predict(Small, PROMPT, thing="a ball")
        run(prompted.astructured_predict(Small, PROMPT, thing="a ball"))
        assert ["BE BRIEF" in str(body["messages"]) for body in wire.bodies] == [True, True]

    def test_s08_garbage(self, llm: Any, wire: WireServer) -> None:
        """A response that is not such an object raises a clear error."""
        wire.chat(always("I would rather not."))
        with pytest.raises(Exception, match=r"(?i)small|structured|json|tool call") as error_info:
            llm.structured_predict(Small, PROMPT, thing="a ball")
        assert not isinstance(error_info.value, AttributeError | KeyError | IndexError)

    def test_s09_by_schema(self, llm_factory: Factory, wire: WireServer, provider: Provider) -> None:
        """One switch requests a JSON schema, which is that of the model."""
        if not provider.by_schema:
            pytest.skip("the provider has no such switch")
        wire.chat(schema_reply)
        output = llm_factory(**provider.by_schema).structured_predict(Small, PROMPT, thing="a ball")
        response_format = wire.bodies[0]["response_format"]
        schema = response_format.get("schema") or response_format["json_schema"]["schema"]
        assert output == Small(title="filled", count=1)
        assert set(schema["properties"]) == {"title", "count"}
        assert ChatMessage(role="user", content=wire.bodies[0]["messages"][-1]["content"]).content
