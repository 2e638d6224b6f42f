"""A response format beside tools: which requests are sent, and what of their responses is the response."""

from __future__ import annotations

from typing import Any

import pytest

from together_adapters.adapters.response_format import ToolsThenFormat

FORMAT = {"type": "json_object"}
TOOLS = [{"type": "function", "function": {"name": "weather"}}]
CALL = {"tool_calls": [{"id": "1", "function": {"name": "weather", "arguments": "{}"}}]}
BOTH: dict[str, Any] = {
    "model": "m",
    "tools": TOOLS,
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "response_format": FORMAT,
}


def response(*messages: dict[str, Any], usage: Any = None) -> dict[str, Any]:
    choices = [{"index": index, "finish_reason": "stop", "message": message} for index, message in enumerate(messages)]
    return {"choices": choices, "usage": usage}


def chunk(delta: dict[str, Any] | None, finish_reason: str | None = None, usage: Any = None) -> dict[str, Any]:
    choices = [] if delta is None else [{"index": 0, "finish_reason": finish_reason, "delta": delta}]
    return {"choices": choices, "usage": usage}


def exchange(params: dict[str, Any], *responses: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[Any]]:
    """The requests, and what of the chunks of their responses belongs to the response."""
    plan, sent, chunks = ToolsThenFormat(params), [], []
    for request, parts in zip(plan.requests(), responses, strict=False):
        sent.append(request)
        chunks += [passed for part in parts for passed in plan.feed(part)]
    return sent, chunks


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, [{}]),
        ({"tools": TOOLS}, [{"tools": TOOLS}]),
        ({"response_format": FORMAT}, [{"response_format": FORMAT}]),
        ({"tools": [], "response_format": FORMAT}, [{"tools": [], "response_format": FORMAT}]),
        ({"tools": TOOLS, "response_format": None}, [{"tools": TOOLS, "response_format": None}]),
        ({"tools": TOOLS, "response_format": {"type": "text"}}, [{"tools": TOOLS}]),
        ({**BOTH, "tool_choice": "none"}, [{"model": "m", "response_format": FORMAT}]),
        (
            BOTH,
            [
                {"model": "m", "tools": TOOLS, "tool_choice": "auto", "parallel_tool_calls": True},
                {"model": "m", "response_format": FORMAT},
            ],
        ),
        (
            {"tools": TOOLS, "extra_body": {"response_format": FORMAT, "x": 1}},
            [{"tools": TOOLS, "extra_body": {"x": 1}}, {"extra_body": {"response_format": FORMAT, "x": 1}}],
        ),
        (
            {"response_format": FORMAT, "extra_body": {"tools": TOOLS, "tool_choice": "auto"}},
            [{"extra_body": {"tools": TOOLS, "tool_choice": "auto"}}, {"response_format": FORMAT, "extra_body": {}}],
        ),
        ({"tools": TOOLS, "response_format": FORMAT, "extra_body": {"response_format": None}}, None),
    ],
)
def test_requests(params: dict[str, Any], expected: list[dict[str, Any]] | None) -> None:
    before = repr(params)
    sent, _ = exchange(params, [response({"content": "a"})], [response({"content": "{}"})])
    assert sent == ([params] if expected is None else expected)
    assert repr(params) == before


@pytest.mark.parametrize(
    "messages",
    [
        [CALL],
        [{"content": "a", **CALL}],
        [{"content": "a"}, CALL],
        [{"function_call": {"name": "weather"}}],
        [{"refusal": "No."}],
    ],
)
def test_a_response_with_a_call_or_a_refusal_is_the_response(messages: list[dict[str, Any]]) -> None:
    whole = response(*messages, usage={"total_tokens": 1})
    assert exchange(BOTH, [whole], [])[1] == [whole]
    assert len(exchange(BOTH, [whole], [])[0]) == 1


def test_a_stream_begins_with_its_call() -> None:
    parts = [chunk({"content": "I look."}), chunk(CALL), chunk({"content": ""}, "tool_calls", {"total_tokens": 1})]
    plan = ToolsThenFormat(BOTH)
    next(requests := plan.requests())
    assert [plan.feed(part) for part in parts] == [[], parts[:2], parts[2:]]
    assert next(requests, None) is None


@pytest.mark.parametrize("draft", [{"content": "It rains."}, {"content": None}, {"refusal": ""}, {"tool_calls": []}])
def test_a_draft_is_left_out_and_its_tokens_are_counted(draft: dict[str, Any]) -> None:
    usage = {"prompt_tokens": 3, "total_tokens": 5, "prompt_tokens_details": {"cached_tokens": 1}}
    answer = response({"content": "{}"}, usage={**usage, "prompt_tokens": 4})
    _, chunks = exchange(BOTH, [response(draft, usage=usage)], [answer])
    total = {"prompt_tokens": 7, "total_tokens": 10, "prompt_tokens_details": {"cached_tokens": 2}}
    assert chunks == [{**answer, "usage": total}]


@pytest.mark.parametrize(
    ("last", "usages"),
    [
        ([chunk({"content": "{}"}), chunk({}, "stop", {"total_tokens": 2})], [None, {"total_tokens": 5}]),
        ([chunk({"content": "{}"}, "stop"), chunk(None, usage={"total_tokens": 2})], [{"total_tokens": 3}, {"total_tokens": 5}]),
        ([chunk({"content": "{}"}), chunk({}, "stop")], [None, {"total_tokens": 3}]),
    ],
    ids=["on the last", "on its own", "none"],
)
def test_usage_of_a_stream(last: list[dict[str, Any]], usages: list[Any]) -> None:
    draft = [
        chunk({"content": "It rains."}, usage={"total_tokens": 1}),
        chunk({}, "stop"),
        chunk(None, usage={"total_tokens": 3}),
    ]
    _, chunks = exchange(BOTH, draft, last)
    assert [part["usage"] for part in chunks] == usages
    assert [part["choices"] for part in chunks] == [part["choices"] for part in last]


def test_without_usage_there_is_none() -> None:
    _, chunks = exchange(BOTH, [response({"content": "a"})], [response({"content": "{}"})])
    assert chunks[0]["usage"] is None


@pytest.mark.parametrize("content", ['{"a": 1}', " {}\n"])
def test_a_draft_that_follows_the_format_is_the_response(content: str) -> None:
    whole = response({"content": content}, usage={"total_tokens": 1})
    assert exchange(BOTH, [whole], []) == ([{name: BOTH[name] for name in BOTH if name != "response_format"}], [whole])
    parts = [
        chunk({"content": content[:2]}),
        chunk({"content": content[2:]}),
        chunk({}, "stop"),
        chunk(None, usage={"total_tokens": 1}),
    ]
    assert exchange(BOTH, parts, [])[1] == parts


@pytest.mark.parametrize(
    "draft",
    [
        [chunk({"content": "{}"}, "length")],
        [chunk({"content": "{}"})],
        [chunk({"content": "{}"}), chunk({"content": "!"}, "stop")],
        [response({"content": "{}"}, {"content": "{}"})],
        [chunk({"content": "[]"}, "stop")],
    ],
    ids=["cut off", "no end", "more text", "two choices", "another type"],
)
def test_a_draft_that_does_not_follow_it(draft: list[dict[str, Any]]) -> None:
    answer = response({"content": "{}"})
    sent, chunks = exchange(BOTH, draft, [answer])
    assert len(sent) == 2
    assert chunks == [answer]
