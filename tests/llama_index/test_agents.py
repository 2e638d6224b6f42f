"""`FunctionAgent` with tools that return what the service has no part for."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import (
    AudioBlock,
    ChatMessage,
    CitationBlock,
    DocumentBlock,
    ImageBlock,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from llama_index.core.tools import FunctionTool
from llama_index_together_adapters import TogetherLLM

from tests.conftest import KEY
from together_adapters.emulator import Emulator

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 24
CITED = CitationBlock(cited_content=TextBlock(text="It rains."), source="S", title="T", additional_location_info={})
RESULTS: list[tuple[Any, str]] = [
    ("It rains.", "It rains."),
    (None, "None"),
    ([], ""),
    (CITED, "It rains."),
    (ImageBlock(image=PNG), "[image, image/png]"),
    ([TextBlock(text="It rains."), ImageBlock(url="https://x/a.png")], "It rains.\n[image, https://x/a.png]"),
    (AudioBlock(audio=b"RIFF....WAVE", format="wav"), "[audio, audio/wav]"),
    (DocumentBlock(data=b"It rains.", document_mimetype="text/plain"), "It rains."),
    (DocumentBlock(data=b"%PDF-1.4", document_mimetype="application/pdf", title="a.pdf"), "[document, application/pdf, a.pdf]"),
    (DocumentBlock(url="https://x/a.txt", document_mimetype="text/plain"), "[document, text/plain, https://x/a.txt]"),
]
pytestmark = pytest.mark.filterwarnings("ignore::together_adapters.errors.HistoryWarning")


@pytest.mark.parametrize("streaming", [True, False])
async def test_no_result_of_a_tool_ends_an_agent(streaming: bool, emulator: Emulator) -> None:
    llm = TogetherLLM(api_key=KEY, api_base=emulator.base_url)
    for result, told in RESULTS:

        def weather(city: str, result: Any = result) -> Any:
            """Get the weather in a city."""
            return result

        weather_tool = FunctionTool.from_defaults(weather, partial_params={"result": result})
        if isinstance(result, DocumentBlock) and weather_tool(city="Paris").blocks != [result]:
            continue  # older versions pass its repr to the model
        agent = FunctionAgent(llm=llm, tools=[weather_tool], streaming=streaming)
        answer = await agent.run("What is the weather in Paris?")
        assert answer.response.role.value == "assistant"
        sent = next(message for message in emulator.requests[-1].json["messages"] if message["role"] == "tool")
        assert sent["content"] == told


async def test_an_agent_continues_the_conversation_of_another_model(emulator: Emulator) -> None:
    history = [
        ChatMessage("What is the weather in Paris?"),
        ChatMessage(
            role="assistant",
            blocks=[
                ThinkingBlock(content="Hm."),
                CITED,
                ToolCallBlock(tool_call_id="toolu_1", tool_name="weather", tool_kwargs='{"city": "P'),
            ],
        ),
        ChatMessage(role="tool", blocks=[ImageBlock(image=PNG)], additional_kwargs={"tool_call_id": "toolu_1"}),
        ChatMessage(role="model", blocks=[ImageBlock(url="https://x/a.png")], additional_kwargs={"thought_signatures": [b"s"]}),
    ]

    def time(city: str) -> str:
        """Get the time in a city."""
        return f"It is noon in {city}."

    llm = TogetherLLM(api_key=KEY, api_base=emulator.base_url)
    answer = await FunctionAgent(llm=llm, tools=[time]).run("What time is it in Oslo?", chat_history=history)
    assert "It is noon in Oslo." in str(answer)
    _, call, result, picture, *_ = emulator.requests[-1].json["messages"]
    assert call == {
        "role": "assistant",
        "content": "It rains.",
        "tool_calls": [
            {
                "id": "toolu_1",
                "type": "function",
                "function": {"name": "weather", "arguments": '{"raw_arguments": "{\\"city\\": \\"P"}'},
            }
        ],
    }
    assert (result["content"], picture["content"]) == ("[image, image/png]", "[image, https://x/a.png]")
