"""Checks T16-T22: agents and workflows."""

from __future__ import annotations

import json
from typing import Any

import pytest
from llama_index.core.agent.workflow import AgentStream, AgentWorkflow, FunctionAgent, ReActAgent, ToolCallResult

from .provider import run
from .tools import ADD, FIRST, SECOND
from .wire import Reply, Request, WireServer, call, stream_reply, text_reply

BOTH_CALLS = [call("add", FIRST), call("add", SECOND, 1)]


def _adds(request: Request, calls: list[dict[str, Any]] | None = None, reasoning: str = "") -> Reply:
    """Call the tool, and reply with its results once they are there."""
    results = [message["content"] for message in request.json["messages"] if message["role"] == "tool"]
    if results:
        return text_reply(request, f"The result is {' and '.join(results)}.", reasoning=reasoning)
    return text_reply(request, "", calls=calls or [call("add", FIRST)], reasoning=reasoning)


async def _run_agent(agent: Any, question: str = "What is 2 + 3?") -> tuple[str, list[Any]]:
    """Run an agent; return its response and its events."""
    handler = agent.run(question)
    events = [event async for event in handler.stream_events()]
    return str(await handler), events


class AgentChecks:
    """LlamaIndex's agents work with the LLM as constructed."""

    @pytest.mark.parametrize("streaming", [True])
    def test_t16_function_agent(self, llm: Any, wire: WireServer, streaming: bool) -> None:
        """A FunctionAgent calls the tool and answers."""
        self._check_answer(llm, wire, streaming)

    def test_t17_function_agent_without_streaming(self, llm: Any, wire: WireServer) -> None:
        """So does one that does not stream."""
        self._check_answer(llm, wire, streaming=False)

    def _check_answer(self, llm: Any, wire: WireServer, streaming: bool) -> None:
        wire.chat(_adds)

        async def scenario() -> str:
            return (await _run_agent(FunctionAgent(tools=[ADD], llm=llm, streaming=streaming)))[0]

        assert run(scenario()) == "The result is 5."
        assert all(body.get("stream", False) is streaming for body in wire.bodies)

    def test_t18_parallel_calls_in_one_chunk(self, llm: Any, wire: WireServer) -> None:
        """Two calls in one chunk are both executed."""

        def handler(request: Request) -> Reply:
            if any(message["role"] == "tool" for message in request.json["messages"]):
                return _adds(request)
            return stream_reply([{"tool_calls": BOTH_CALLS}], finish="tool_calls")

        wire.chat(handler)

        async def scenario() -> tuple[str, list[Any]]:
            return await _run_agent(FunctionAgent(tools=[ADD], llm=llm))

        answer, events = run(scenario())
        assert sorted(event.tool_output.content for event in events if isinstance(event, ToolCallResult)) == ["30", "5"]
        assert "5" in answer
        assert "30" in answer

    def test_t19_agent_stream(self, llm: Any, wire: WireServer) -> None:
        """An agent streams complete reasoning and text."""
        wire.chat(lambda request: _adds(request, reasoning="me think. Let me think."))

        async def scenario() -> list[Any]:
            return [
                event for event in (await _run_agent(FunctionAgent(tools=[ADD], llm=llm)))[1] if isinstance(event, AgentStream)
            ]

        events = run(scenario())
        assert "".join(event.thinking_delta or "" for event in events) == "me think. Let me think." * 2
        assert "".join(event.delta for event in events) == "The result is 5."

    def test_t20_workflow_picks_function_agent(self, llm: Any, wire: WireServer) -> None:
        """A workflow that is created from tools uses tool calls."""
        wire.chat(_adds)

        async def scenario() -> str:
            workflow = AgentWorkflow.from_tools_or_functions([ADD], llm=llm)
            assert isinstance(next(iter(workflow.agents.values())), FunctionAgent)
            return (await _run_agent(workflow))[0]

        assert run(scenario()) == "The result is 5."

    def test_t21_handoff(self, llm: Any, wire: WireServer) -> None:
        """One agent hands over to another."""

        def handler(request: Request) -> Reply:
            if "AGENT B" in str(request.json["messages"][0]["content"]):
                return text_reply(request, "Done by B.")
            arguments = json.dumps({"to_agent": "b", "reason": "better"})
            return text_reply(request, "", calls=[call("handoff", arguments)])

        wire.chat(handler)

        async def scenario() -> str:
            first = FunctionAgent(name="a", description="A", system_prompt="AGENT A", llm=llm, tools=[], can_handoff_to=["b"])
            second = FunctionAgent(name="b", description="B", system_prompt="AGENT B", llm=llm, tools=[ADD])
            return (await _run_agent(AgentWorkflow(agents=[first, second], root_agent="a")))[0]

        assert run(scenario()) == "Done by B."

    def test_t22_react_agent(self, llm: Any, wire: WireServer) -> None:
        """A ReActAgent works by prompt alone."""

        def handler(request: Request) -> Reply:
            if "Observation: 5" in str(request.json["messages"]):
                return text_reply(request, "Thought: I can answer without using any more tools.\nAnswer: It is 5.")
            return text_reply(request, 'Thought: I need a tool.\nAction: add\nAction Input: {"a": 2, "b": 3}')

        wire.chat(handler)

        async def scenario() -> str:
            return (await _run_agent(ReActAgent(tools=[ADD], llm=llm)))[0]

        assert run(scenario()) == "It is 5."
