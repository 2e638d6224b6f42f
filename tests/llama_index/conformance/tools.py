"""Checks T01-T15 and T23: tool calls, single and in every way that servers stream them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, ToolCallBlock
from llama_index.core.tools import FunctionTool

from .provider import Factory, run, user
from .wire import Delta, WireServer, always, call, fragments, message_reply, stream_reply

FIRST, SECOND = '{"a": 2, "b": 3}', '{"a": 10, "b": 20}'
BOTH = [("add", {"a": 2, "b": 3}), ("add", {"a": 10, "b": 20})]


def add(a: int, b: int) -> int:
    """Add two integers."""
    return a + b


def now() -> str:
    """Get the time."""
    return "noon"


ADD = FunctionTool.from_defaults(add)
NOW = FunctionTool.from_defaults(now)


def calls_of(llm: Any, response: Any) -> list[tuple[str, Any]]:
    """Return the calls that an agent would make."""
    selections = llm.get_tool_calls_from_response(response, error_on_no_tool_call=False)
    return [(selection.tool_name, selection.tool_kwargs) for selection in selections]


def stream_of(llm: Any, wire: WireServer, deltas: list[Delta], **options: Any) -> list[Any]:
    """Return the items of a stream that brings such deltas."""
    wire.script(stream_reply(deltas, finish="tool_calls"))
    return list(llm.stream_chat_with_tools([ADD, NOW], "Add", **{"allow_parallel_tool_calls": True, **options}))


class ToolChecks:
    """Tools and tool choices are sent as passed; tool calls are returned as agents read them."""

    def test_t01_a_call(self, llm: Any, wire: WireServer) -> None:
        """A call becomes a ToolCallBlock, and a ToolSelection with a dict of arguments."""
        wire.script(message_reply({"tool_calls": [call("add", FIRST)]}, finish="tool_calls"))
        response = llm.chat_with_tools([ADD], "Add")
        block = next(block for block in response.message.blocks if isinstance(block, ToolCallBlock))
        assert (block.tool_name, block.tool_call_id) == ("add", "call_0")
        selection = llm.get_tool_calls_from_response(response)[0]
        assert (selection.tool_id, selection.tool_name, selection.tool_kwargs) == ("call_0", "add", {"a": 2, "b": 3})

    def test_t02_choice(self, llm: Any, wire: WireServer) -> None:
        """`tool_required` means required, a name means that function, and auto is the default."""
        for options in ({}, {"tool_required": True}, {"tool_choice": "add"}):
            llm.chat_with_tools([ADD], "Add", **options)
        values = [body.get("tool_choice") for body in wire.bodies]
        assert values[0] in (None, "auto")
        assert values[1:] == ["required", {"type": "function", "function": {"name": "add"}}]

    @pytest.mark.parametrize("streams", [False, True])
    def test_t03_parallel(self, llm: Any, wire: WireServer, streams: bool) -> None:
        """Both of two calls are returned where parallel calls are allowed; otherwise the first."""
        both = [call("add", FIRST), call("add", SECOND, 1)]
        wire.chat(always("", calls=both))
        for allowed, expected in ((True, BOTH), (False, BOTH[:1])):
            options: Any = {"allow_parallel_tool_calls": allowed}
            method = llm.stream_chat_with_tools if streams else llm.chat_with_tools
            answer = method([ADD], "Add", **options)
            assert calls_of(llm, list(answer)[-1] if streams else answer) == expected

    def test_t04_fragments(self, llm: Any, wire: WireServer) -> None:
        """Arguments in fragments are concatenated, and can be read after every chunk."""
        selections = stream_of(llm, wire, fragments(call("add", FIRST), 3))
        assert all(isinstance(kwargs, dict) for item in selections for _, kwargs in calls_of(llm, item))
        assert calls_of(llm, selections[-1]) == BOTH[:1]

    def test_t05_one_after_the_other(self, llm: Any, wire: WireServer) -> None:
        """Two calls in turn."""
        deltas = [*fragments(call("add", FIRST)), *fragments(call("add", SECOND, 1))]
        assert calls_of(llm, stream_of(llm, wire, deltas)[-1]) == BOTH

    def test_t06_both_in_one_chunk(self, llm: Any, wire: WireServer) -> None:
        """Two complete calls in one chunk."""
        deltas: list[Delta] = [{"tool_calls": [call("add", FIRST), call("add", SECOND, 1)]}]
        assert calls_of(llm, stream_of(llm, wire, deltas)[-1]) == BOTH

    def test_t07_interleaved(self, llm: Any, wire: WireServer) -> None:
        """Fragments of two calls in alternation."""
        first, second = fragments(call("add", FIRST)), fragments(call("add", SECOND, 1))
        deltas = [delta for pair in zip(first, second, strict=False) for delta in pair] + second[len(first) :]
        assert calls_of(llm, stream_of(llm, wire, deltas)[-1]) == BOTH

    @pytest.mark.parametrize("index", [0, None])
    def test_t08_one_index_for_all(self, llm: Any, wire: WireServer, index: int | None) -> None:
        """Different ids are different calls, also under one index, or none."""
        deltas = [*fragments(call("add", FIRST)), *fragments(call("add", SECOND, 1))]
        for delta in deltas:
            for call_delta in delta["tool_calls"]:
                call_delta["index"] = index
                if index is None:
                    del call_delta["index"]
        assert calls_of(llm, stream_of(llm, wire, deltas)[-1]) == BOTH

    @pytest.mark.parametrize("arguments", ["", None, "{}", "null"])
    def test_t09_no_arguments(self, llm: Any, wire: WireServer, arguments: str | None) -> None:
        """A tool without parameters may be called with nothing."""
        wire.script({"chunks": [{"tool_calls": [call("now", arguments)]}]})
        assert calls_of(llm, llm.chat_with_tools([NOW], "When?")) == [("now", {})]
        deltas: list[Delta] = [{"tool_calls": [call("now", arguments)]}]
        assert calls_of(llm, stream_of(llm, wire, deltas)[-1]) == [("now", {})]

    @pytest.mark.parametrize("arguments", ['{"a": 2, "b"', "nonsense", "[1, 2]", '{"a": 2}}', "\ud800"[:0] + "{'a': 2}"])
    def test_t10_broken_arguments(self, llm: Any, wire: WireServer, arguments: str) -> None:
        """Arguments that are no JSON object crash nothing."""
        wire.script(message_reply({"tool_calls": [call("add", arguments)]}, finish="tool_calls"))
        answers = [llm.chat_with_tools([ADD], "Add"), *stream_of(llm, wire, fragments(call("add", arguments)))]
        assert all(isinstance(kwargs, dict) for answer in answers for _, kwargs in calls_of(llm, answer))
        assert calls_of(llm, answers[0])[0][0] == "add"

    def test_t11_no_call(self, llm: Any) -> None:
        """No call raises a ValueError where one was expected, and is an empty list where not."""
        response = llm.chat_with_tools([ADD], "Hi")
        assert llm.get_tool_calls_from_response(response, error_on_no_tool_call=False) == []
        with pytest.raises(ValueError, match=r"\S"):
            llm.get_tool_calls_from_response(response, error_on_no_tool_call=True)

    def test_t12_round_trip(self, llm: Any, wire: WireServer) -> None:
        """Calls go back with arguments as a JSON string, results with the id of their call."""
        wire.chat(always("", calls=[call("add", FIRST)]))
        self._check_history(llm, wire, llm.chat_with_tools([ADD], "Add").message)

    def test_t13_blocks_alone(self, llm: Any, wire: WireServer) -> None:
        """A ToolCallBlock with a dict of arguments is enough."""
        block = ToolCallBlock(tool_call_id="call_0", tool_name="add", tool_kwargs={"a": 2, "b": 3})
        self._check_history(llm, wire, ChatMessage(role="assistant", blocks=[block]))

    def _check_history(self, llm: Any, wire: WireServer, message: ChatMessage) -> None:
        result = ChatMessage(role="tool", content="5", additional_kwargs={"tool_call_id": "call_0"})
        wire.chat(always("It is 5."))
        assert llm.chat([*user("Add"), message, result]).message.content == "It is 5."
        values = wire.bodies[-1]["messages"]
        assert len(values[1]["tool_calls"]) == 1
        function = values[1]["tool_calls"][0]["function"]
        assert function["name"] == "add"
        assert json.loads(function["arguments"]) == {"a": 2, "b": 3}
        assert (values[2]["role"], values[2]["tool_call_id"], values[2]["content"]) == ("tool", "call_0", "5")

    @pytest.mark.parametrize("flavour", ["sync", "async"])
    def test_t14_predict_and_call(self, llm: Any, wire: WireServer, flavour: str) -> None:
        """`predict_and_call` uses the API's tools."""
        wire.chat(always("", calls=[call("add", FIRST)]))
        if flavour == "async":
            response = run(llm.apredict_and_call([ADD], user_msg="Add"))
        else:
            response = llm.predict_and_call([ADD], user_msg="Add")
        assert response.response == "5"
        assert wire.bodies[0]["tools"]

    def test_t15_tools_as_they_are(self, llm: Any, wire: WireServer) -> None:
        """Nothing is added to the tools or to the request."""
        llm.chat_with_tools([ADD], "Add", allow_parallel_tool_calls=True)
        function = wire.bodies[0]["tools"][0]["function"]
        assert set(function) == {"name", "description", "parameters"}
        assert "parallel_tool_calls" not in wire.bodies[0]

    def test_t23_streamed_call_in_a_store(self, llm: Any, wire: WireServer) -> None:
        """A streamed message with calls survives JSON, and the conversation goes on."""
        message = stream_of(llm, wire, fragments(call("add", FIRST)))[-1].message
        restored = ChatMessage.model_validate_json(message.model_dump_json())
        self._check_history(llm, wire, restored)


class PromptedToolChecks:
    """A model without tool calls can choose a tool by prompt."""

    @pytest.mark.parametrize("flavour", ["sync", "async"])
    def test_x14_predict_and_call_by_prompt(self, llm_factory: Factory, wire: WireServer, flavour: str) -> None:
        """`predict_and_call` falls back to prompting (core alone crashes there)."""
        wire.chat(always('Thought: I add.\nAction: add\nAction Input: {"a": 2, "b": 3}'))
        base_model = llm_factory(is_function_calling_model=False)
        if flavour == "async":
            response = run(base_model.apredict_and_call([ADD], user_msg="Add"))
        else:
            response = base_model.predict_and_call([ADD], user_msg="Add")
        if "requires a running workflow" in response.response:
            pytest.skip("this LlamaIndex cannot take a step of an agent outside a workflow")
        assert response.response == "5"
        assert "tools" not in wire.bodies[0]


__all__ = ["ADD", "BOTH", "FIRST", "SECOND", "PromptedToolChecks", "ToolChecks", "add", "calls_of", "stream_of"]
