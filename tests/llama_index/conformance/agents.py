"""Checks T16-T22: agents and workflows."""

from __future__ import annotations

import json
from typing import Any

import pytest
from llama_index.core.agent.workflow import AgentStream, AgentWorkflow, FunctionAgent, ReActAgent, ToolCallResult

from tests.llama_index.conformance.provider import run
from tests.llama_index.conformance.tools import ADD, FIRST, SECOND
from tests.llama_index.conformance.wire import Reply, Request, WireServer, call, speak, streamed

BOTH_CALLS = [call("add", FIRST), call("add", SECOND, 1)]


def _adds(request: Request, calls: list[dict[str, Any]] | None = None, reasoning: str = "") -> Reply:
    """Call the tool, and tell its results when they came."""
    results = [message["content"] for message in request.json["messages"] if message["role"] == "tool"]
    if results:
        return speak(request, f"The result is {' and '.join(results)}.", reasoning=reasoning)
    return speak(request, "", calls=calls or [call("add", FIRST)], reasoning=reasoning)


async def _run(agent: Any, question: str = "What is 2 + 3?") -> tuple[str, list[Any]]:
    """Run an agent; return its answer and what it told on the way."""
    handler = agent.run(question)
    told = [event async for event in handler.stream_events()]
    return str(await handler), told


class AgentChecks:
    """LlamaIndex's agents work with the LLM as constructed."""

    @pytest.mark.parametrize("streaming", [True])
    def test_t16_function_agent(self, llm: Any, wire: WireServer, streaming: bool) -> None:
        """A FunctionAgent calls the tool and answers."""
        self._answers(llm, wire, streaming)

    def test_t17_function_agent_without_streaming(self, llm: Any, wire: WireServer) -> None:
        """So does one that does not stream."""
        self._answers(llm, wire, streaming=False)

    def _answers(self, llm: Any, wire: WireServer, streaming: bool) -> None:
        wire.chat(_adds)

        async def scenario() -> str:
            return (await _run(FunctionAgent(tools=[ADD], llm=llm, streaming=streaming)))[0]

        assert run(scenario()) == "The result is 5."
        assert all(body.get("stream", False) is streaming for body in wire.bodies)

    def test_t18_parallel_calls_in_one_chunk(self, llm: Any, wire: WireServer) -> None:
        """Two calls that come in one chunk both run."""

        def handler(request: Request) -> Reply:
            if any(message["role"] == "tool" for message in request.json["messages"]):
                return _adds(request)
            return streamed([{"tool_calls": BOTH_CALLS}], finish="tool_calls")

        wire.chat(handler)

        async def scenario() -> tuple[str, list[Any]]:
            return await _run(FunctionAgent(tools=[ADD], llm=llm))

        answer, told = run(scenario())
        assert sorted(event.tool_output.content for event in told if isinstance(event, ToolCallResult)) == ["30", "5"]
        assert "5" in answer
        assert "30" in answer

    def test_t19_agent_stream(self, llm: Any, wire: WireServer) -> None:
        """What an agent streams is complete: thinking and text."""
        wire.chat(lambda request: _adds(request, reasoning="me think. Let me think."))

        async def scenario() -> list[Any]:
            return [event for event in (await _run(FunctionAgent(tools=[ADD], llm=llm)))[1] if isinstance(event, AgentStream)]

        told = run(scenario())
        assert "".join(event.thinking_delta or "" for event in told) == "me think. Let me think." * 2
        assert "".join(event.delta for event in told) == "The result is 5."

    def test_t20_workflow_picks_function_agent(self, llm: Any, wire: WireServer) -> None:
        """A workflow made of tools uses the API's tools."""
        wire.chat(_adds)

        async def scenario() -> str:
            workflow = AgentWorkflow.from_tools_or_functions([ADD], llm=llm)
            assert isinstance(next(iter(workflow.agents.values())), FunctionAgent)
            return (await _run(workflow))[0]

        assert run(scenario()) == "The result is 5."

    def test_t21_handoff(self, llm: Any, wire: WireServer) -> None:
        """One agent hands over to another."""

        def handler(request: Request) -> Reply:
            if "AGENT B" in str(request.json["messages"][0]["content"]):
                return speak(request, "Done by B.")
            arguments = json.dumps({"to_agent": "b", "reason": "better"})
            return speak(request, "", calls=[call("handoff", arguments)])

        wire.chat(handler)

        async def scenario() -> str:
            first = FunctionAgent(name="a", description="A", system_prompt="AGENT A", llm=llm, tools=[], can_handoff_to=["b"])
            second = FunctionAgent(name="b", description="B", system_prompt="AGENT B", llm=llm, tools=[ADD])
            return (await _run(AgentWorkflow(agents=[first, second], root_agent="a")))[0]

        assert run(scenario()) == "Done by B."

    def test_t22_react_agent(self, llm: Any, wire: WireServer) -> None:
        """A ReActAgent works by prompt alone."""

        def handler(request: Request) -> Reply:
            if "Observation: 5" in str(request.json["messages"]):
                return speak(request, "Thought: I can answer without using any more tools.\nAnswer: It is 5.")
            return speak(request, 'Thought: I need a tool.\nAction: add\nAction Input: {"a": 2, "b": 3}')

        wire.chat(handler)

        async def scenario() -> str:
            return (await _run(ReActAgent(tools=[ADD], llm=llm)))[0]

        assert run(scenario()) == "It is 5."
