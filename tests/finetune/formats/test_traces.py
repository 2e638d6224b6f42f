"""Calls of models as tracing keeps them: OpenTelemetry, OpenInference, Langfuse, LangSmith."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("langchain_core")

from langchain_core.load import dumpd
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage, message_to_dict
from langchain_core.outputs import ChatGeneration

from tests.finetune.formats.reading import examples, only_refusal, only_row, refusals, says, user
from together_adapters.finetune import load

TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
AGENT = [
    {"role": "system", "content": "s"}, user(), {"role": "assistant", "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "content": "2"}, says(),
]  # fmt: skip


def text(content: str) -> dict[str, Any]:
    return {"type": "text", "content": content}


OTEL = {
    "gen_ai.system_instructions": [text("s")],
    "gen_ai.input.messages": [
        {"role": "user", "parts": [text("q")]},
        {"role": "assistant", "parts": [{"type": "tool_call", "id": "c1", "name": "add", "arguments": {"a": 1}}]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": 2}]},
    ],
    "gen_ai.output.messages": [{"role": "assistant", "parts": [text("a")], "finish_reason": "stop"}],
    "gen_ai.tool.definitions": [{"type": "function", "name": "add", "parameters": {"type": "object"}}],
}


def as_text(attributes: dict[str, Any]) -> dict[str, Any]:
    return {key: json.dumps(value) for key, value in attributes.items()}


def otlp(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return {"kvlistValue": {"values": [{"key": key, "value": otlp(item)} for key, item in value.items()]}}
    if isinstance(value, list):
        return {"arrayValue": {"values": [otlp(item) for item in value]}}
    return {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}


def span(attributes: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": "chat", "context": {"trace_id": "0xt1", "span_id": "0x1"}, "attributes": attributes, **more}


def export(*attributes: dict[str, Any]) -> dict[str, Any]:
    pairs = [[{"key": key, "value": otlp(value)} for key, value in one.items()] for one in attributes]
    return {"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "0xt1", "attributes": one} for one in pairs]}]}]}


@pytest.mark.parametrize(
    "record",
    [
        span(OTEL), span(as_text(OTEL)), export(OTEL), export(as_text(OTEL)), {**as_text(OTEL), "trace_id": "0xt1"},
        span({"gen_ai.operation.name": "chat"}, events=[{"name": "details", "attributes": OTEL}]),
        SimpleNamespace(attributes=as_text(OTEL), context=SimpleNamespace(trace_id=1), status=None, events=()),
    ],
)  # fmt: skip
def test_otel_spans_in_every_form(record: Any):
    row = only_row(load([record]))
    assert row == {"messages": AGENT, "tools": [TOOL]}
    assert examples(load([record]))[0].group in ("0xt1", format(1, "032x"))


def test_otel_s_older_form():
    attributes = {
        "gen_ai.prompt.0.role": "system", "gen_ai.prompt.0.content": "s", "gen_ai.prompt.1.role": "user",
        "gen_ai.prompt.1.content": "q", "gen_ai.prompt.2.role": "assistant", "gen_ai.prompt.2.tool_calls.0.id": "c1",
        "gen_ai.prompt.2.tool_calls.0.name": "add", "gen_ai.prompt.2.tool_calls.0.arguments": '{"a": 1}',
        "gen_ai.prompt.3.role": "tool", "gen_ai.prompt.3.tool_call_id": "c1", "gen_ai.prompt.3.content": "2",
        "gen_ai.completion.0.role": "assistant", "gen_ai.completion.0.content": "a",
        "gen_ai.completion.0.finish_reason": "stop", "llm.request.functions.0.name": "add",
        "llm.request.functions.0.parameters": '{"type": "object"}',
    }  # fmt: skip
    assert only_row(load([span(attributes)], "otel")) == {"messages": AGENT, "tools": [TOOL]}
    cut = {**attributes, "gen_ai.completion.0.finish_reason": "length"}
    refusal = only_refusal(load([span(cut)], "otel"))
    assert (refusal.code, refusal.skipped) == ("answer_unfinished", True)


@pytest.mark.parametrize(
    ("record", "code", "skipped"),
    [
        (span({**OTEL, "gen_ai.output.messages": [{"role": "assistant", "parts": [text("a")], "finish_reason": "length"}]}), "answer_unfinished", True),
        (span({**OTEL, "gen_ai.output.messages": [{"role": "assistant", "parts": [], "finish_reason": "content_filter"}]}), "answer_unfinished", True),
        (span(OTEL, status={"status_code": "ERROR"}), "run_failed", True),
        (span({**OTEL, "error.type": "timeout"}), "run_failed", True),
        ({"traceId": "1", "attributes": OTEL, "status": {"code": 2}}, "run_failed", True),
        (span({"gen_ai.operation.name": "execute_tool"}), "run_of_other", True),
        (span({**OTEL, "gen_ai.output.messages": "[]"}), "run_pending", True),
        (span({**OTEL, "gen_ai.input.messages": json.dumps(OTEL["gen_ai.input.messages"])[:60]}), "trace_json_truncated", False),
        (span({**OTEL, "gen_ai.input.messages": [{"role": "user", "parts": [{"type": "file", "file_id": "x"}]}]}), "content_part_unsupported", False),
        (span({**OTEL, "gen_ai.input.messages": [{"role": "user", "parts": [{"type": "blob", "modality": "audio"}]}]}), "content_part_unsupported", False),
        (span({**OTEL, "gen_ai.input.messages": [{"role": "user", "parts": [{"type": "uri", "modality": "image", "uri": "https://a/b.png"}]}]}), "image_remote", False),
    ],
)  # fmt: skip
def test_otel_spans_that_give_no_row(record: Any, code: str, skipped: bool):
    refusal = only_refusal(load([record], "otel"))
    assert (refusal.code, refusal.skipped) == ("run_not_of_model" if code == "run_of_other" else code, skipped)


EVENTS: list[tuple[str, dict[str, Any]]] = [
    ("gen_ai.system.message", {"content": "s"}),
    ("gen_ai.user.message", {"content": "q", "role": "user"}),
    ("gen_ai.assistant.message", {"tool_calls": [CALL]}),
    ("gen_ai.tool.message", {"content": "2", "id": "c1"}),
    ("gen_ai.choice", {"index": 0, "finish_reason": "stop", "message": {"content": "a", "role": "assistant"}}),
]
MODEL = {"gen_ai.system": "openai", "gen_ai.operation.name": "chat", "gen_ai.tool.definitions": json.dumps([TOOL])}


def in_events(as_event: Any, events: list[tuple[str, dict[str, Any]]] = EVENTS, **more: Any) -> dict[str, Any]:
    return span(MODEL, events=[as_event(name, body) for name, body in events], **more)


def as_body(name: str, body: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "attributes": {"gen_ai.system": "openai"}, "body": body}


def as_content(name: str, body: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "attributes": {"gen_ai.system": "openai", "gen_ai.event.content": json.dumps(body)}}


def as_attributes(name: str, body: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "attributes": {key: value if isinstance(value, str | int) else json.dumps(value) for key, value in body.items()},
    }


def as_otlp(name: str, body: dict[str, Any]) -> dict[str, Any]:
    attributes = {"gen_ai.event.content": json.dumps(body)}
    return {
        "name": name,
        "timeUnixNano": "1",
        "attributes": [{"key": key, "value": otlp(value)} for key, value in attributes.items()],
    }


def as_object(name: str, body: dict[str, Any]) -> Any:
    return SimpleNamespace(name=name, attributes=as_attributes(name, body)["attributes"])


@pytest.mark.parametrize(
    "record",
    [
        *map(in_events, (as_body, as_content, as_attributes, as_otlp, as_object)),
        span({**MODEL, "events": json.dumps([{"event.name": name, **body} for name, body in EVENTS])}),
        SimpleNamespace(
            attributes=MODEL, context=SimpleNamespace(trace_id=1), status=None, events=[as_object(*one) for one in EVENTS]
        ),
    ],
    ids=["body", "content", "attributes", "otlp", "objects", "one attribute", "span object"],
)
def test_messages_as_events_of_a_span(record: Any):
    assert only_row(load([record])) == {"messages": AGENT, "tools": [TOOL]}


def test_calls_as_the_answer_of_an_event():
    for place in ({"tool_calls": [CALL], "message": {"role": "assistant"}}, {"message": {"tool_calls": [CALL]}}):
        row = only_row(load([in_events(as_content, [*EVENTS[:2], ("gen_ai.choice", {"finish_reason": "tool_calls", **place})])]))
        assert row["messages"] == AGENT[:3]


def test_results_that_are_json_stay_text():
    events = [*EVENTS[:3], ("gen_ai.tool.message", {"content": '{"sum": 2}', "id": "c1"}), EVENTS[4]]
    assert only_row(load([in_events(as_attributes, events)]))["messages"][3]["content"] == '{"sum": 2}'


def test_several_choices_make_several_rows():
    second = ("gen_ai.choice", {"index": 1, "finish_reason": "length", "message": {"content": "cut"}})
    data = load([in_events(as_content, [*EVENTS, second, EVENTS[4]])])
    assert [refusal.code for refusal in refusals(data)] == ["answer_unfinished"]
    assert [results.row["messages"][-1] for results in examples(data)] == [says(), says()]


@pytest.mark.parametrize(
    ("record", "code", "skipped"),
    [
        (in_events(as_content, EVENTS[:4]), "run_pending", True),
        (in_events(as_content, [("exception", {})]), "run_not_of_model", True),
        (in_events(as_content, status={"status_code": "ERROR"}), "run_failed", True),
        (in_events(as_content, [(EVENTS[1][0], {}), EVENTS[4]]), "content_missing", False),
        (in_events(as_body, [(EVENTS[1][0], {"content": 3}), EVENTS[4]]), "content_wrong_type", False),
        (span(MODEL, events=[{"name": "gen_ai.choice", "attributes": {"gen_ai.event.content": '{"message": {"con'}}]), "trace_json_truncated", False),
    ],
)  # fmt: skip
def test_events_that_give_no_row(record: Any, code: str, skipped: bool):
    refusal = only_refusal(load([record], "otel"))
    assert (refusal.code, refusal.skipped) == (code, skipped)


def test_several_answers_make_several_rows_and_are_judged_one_by_one():
    answers = [
        {"parts": [text(name)], "finish_reason": reason} for name, reason in (("a", "stop"), ("b", "length"), ("c", "stop"))
    ]
    data = load([span({**OTEL, "gen_ai.output.messages": answers})])
    assert [example.row["messages"][-1]["content"] for example in examples(data)] == ["a", "c"]
    assert all("one_of_several_answers" in example.changed for example in examples(data))
    assert [refusal.code for refusal in refusals(data)] == ["answer_unfinished"]


def test_an_image_in_a_span():
    png = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    parts = [text("see"), {"type": "blob", "modality": "image", "mime_type": "image/png", "content": png}]
    row = only_row(load([span({**OTEL, "gen_ai.input.messages": [{"role": "user", "parts": parts}]})]))
    assert row["messages"][1]["content"][1] == {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{png}"}}
    assert row["messages"][-1]["content"] == [{"type": "text", "text": "a"}]


def growing(trace: str, steps: int) -> list[dict[str, Any]]:
    """The calls of an agent: each repeats all that was said, and adds an answer."""
    conversation: list[dict[str, Any]] = []
    spans = []
    for step in range(steps):
        conversation.append({"role": "user", "parts": [text(f"q{step}")]})
        answer = {"role": "assistant", "parts": [text(f"a{step}")]}
        attributes = {"gen_ai.input.messages": [*conversation], "gen_ai.output.messages": [{**answer, "finish_reason": "stop"}]}
        spans.append({"traceId": trace, "attributes": as_text(attributes)})
        conversation.append(answer)
    return spans


@pytest.mark.parametrize("once", [False, True])
def test_of_a_trace_the_longest_conversation_stays(once: bool):
    spans = [one for pair in zip(growing("t1", 4), growing("t2", 4), strict=True) for one in pair]
    data = load(iter(spans) if once else spans)
    for _ in range(2):
        results = examples(data)
        assert [(example.group, len(example.row["messages"])) for example in results] == [("t1", 8), ("t2", 8)]
        assert [refusal.code for refusal in refusals(data)] == ["prefix_of_longer"] * 6
    assert len(examples(load(spans, collapse_prefixes=False))) == 8


def test_the_user_selects():
    spans = [{**span(OTEL), "score": score} for score in (1, 0)]
    data = load(spans, select=lambda record: record["score"] > 0)
    assert [example.number for example in examples(data)] == [1]
    assert [(refusal.code, refusal.skipped) for refusal in refusals(data)] == [("not_selected", True)]


PHOENIX = {
    "openinference.span.kind": "LLM", "session.id": "s1",
    "llm.input_messages.0.message.role": "system", "llm.input_messages.0.message.content": "s",
    "llm.input_messages.1.message.role": "user", "llm.input_messages.1.message.contents.0.message_content.type": "text",
    "llm.input_messages.1.message.contents.0.message_content.text": "q",
    "llm.input_messages.2.message.role": "assistant",
    "llm.input_messages.2.message.tool_calls.0.tool_call.id": "c1",
    "llm.input_messages.2.message.tool_calls.0.tool_call.function.name": "add",
    "llm.input_messages.2.message.tool_calls.0.tool_call.function.arguments": '{"a": 1}',
    "llm.input_messages.3.message.role": "tool", "llm.input_messages.3.message.tool_call_id": "c1",
    "llm.input_messages.3.message.content": "2",
    "llm.output_messages.0.message.role": "assistant", "llm.output_messages.0.message.content": "a",
    "llm.tools.0.tool.json_schema": json.dumps(TOOL),
}  # fmt: skip
FRAME = {
    "context.trace_id": "t1", "span_kind": "LLM", "status_code": "OK", "attributes.session.id": "s1",
    "attributes.llm.input_messages": [
        {"message.role": "system", "message.content": "s"}, {"message.role": "user", "message.content": "q"},
        {"message.role": "assistant", "message.tool_calls": [
            {"tool_call.id": "c1", "tool_call.function.name": "add", "tool_call.function.arguments": '{"a": 1}'}]},
        {"message.role": "tool", "message.tool_call_id": "c1", "message.content": "2"},
    ],
    "attributes.llm.output_messages": [{"message.role": "assistant", "message.content": "a"}],
    "attributes.llm.tools": [{"tool.json_schema": json.dumps(TOOL)}],
}  # fmt: skip


@pytest.mark.parametrize("record", [span(PHOENIX), FRAME, export(PHOENIX)])
def test_openinference(record: dict[str, Any]):
    assert only_row(load([record])) == {"messages": AGENT, "tools": [TOOL]}
    assert examples(load([record]))[0].group == "s1"


def test_openinference_as_a_table():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame([FRAME, {**FRAME, "span_kind": "CHAIN"}, {**FRAME, "status_code": "ERROR"}])
    data = load(frame)
    assert [example.row["messages"] for example in examples(data)] == [AGENT]
    assert [refusal.code for refusal in refusals(data)] == ["run_not_of_model", "run_failed"]


GENERATION = {
    "id": "o1", "traceId": "t1", "type": "GENERATION", "level": "DEFAULT",
    "input": {"messages": AGENT[:-1], "tools": [TOOL]}, "output": says(),
}  # fmt: skip


@pytest.mark.parametrize(
    "output",
    [says(), "a", {"choices": [{"message": says(), "finish_reason": "stop"}]}, json.dumps(says()), [says()], {"completion": "a"}],
)
def test_langfuse(output: Any):
    assert only_row(load([{**GENERATION, "output": output}])) == {"messages": AGENT, "tools": [TOOL]}


def test_langfuse_traces_hold_observations():
    trace = {
        "id": "t1",
        "sessionId": "s1",
        "scores": [{"name": "good", "value": 1}],
        "observations": [{"type": "SPAN"}, GENERATION],
    }
    data = load([trace], select=lambda one: one["scores"][0]["value"] == 1)
    (results,) = examples(data)
    assert results.group == "s1"
    assert [refusal.code for refusal in refusals(data)] == ["run_not_of_model"]


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"level": "ERROR"}, "run_failed"), ({"output": None}, "run_pending"), ({"type": "SPAN"}, "run_not_of_model"),
        ({"output": {"choices": [{"message": says(), "finish_reason": "length"}]}}, "answer_unfinished"),
        ({"output": '{"role": "assis'}, "trace_json_truncated"), ({"input": 3}, "messages_empty"), ({"output": {"x": 1}}, "answer_missing"),
    ],
)  # fmt: skip
def test_langfuse_observations_that_give_no_row(changed: dict[str, Any], code: str):
    assert only_refusal(load([GENERATION | changed], "langfuse")).code == code


LC = [
    SystemMessage("s"), HumanMessage("q"), AIMessage("", tool_calls=[{"name": "add", "args": {"a": 1}, "id": "c1"}]),
    ToolMessage("2", tool_call_id="c1"),
]  # fmt: skip


def run(answer: Any, messages: Any = None, **more: Any) -> dict[str, Any]:
    return {
        "id": "r1", "trace_id": "t1", "run_type": "llm", "status": "success", "error": None,
        "inputs": {"messages": [[dumpd(message) for message in LC]] if messages is None else messages},
        "outputs": {"generations": [[{"text": "a", "message": answer}]]},
        "extra": {"invocation_params": {"tools": [TOOL]}}, **more,
    }  # fmt: skip


@pytest.mark.parametrize(
    "record",
    [
        run(dumpd(AIMessage("a"))),
        run(dumpd(AIMessage("a")), [dumpd(message) for message in LC]),
        run(message_to_dict(AIMessage("a")), [message_to_dict(message) for message in LC]),
        run(AIMessage("a").model_dump(), [message.model_dump() for message in LC]),
        run(None, AGENT[:-1], outputs={"choices": [{"message": says(), "finish_reason": "stop"}]}),
        run(None, outputs={"generations": [[dumpd(ChatGeneration(message=AIMessage("a")))["kwargs"]]]}),
        SimpleNamespace(**run(dumpd(AIMessage("a")))),
    ],
)
def test_runs(record: Any):
    assert only_row(load([record])) == {"messages": AGENT, "tools": [TOOL]}
    assert examples(load([record]))[0].group == "t1"


def test_runs_of_a_batch_make_a_row_each():
    record = run(
        None, [[dumpd(HumanMessage(name))] for name in "xy"],
        outputs={"generations": [[{"message": dumpd(AIMessage(name))}] for name in "ab"]},
    )  # fmt: skip
    results = [example.row["messages"] for example in examples(load([record], collapse_prefixes=False))]
    assert results == [[user("x"), says("a")], [user("y"), says("b")]]
    uneven = run(dumpd(AIMessage("a")), [[dumpd(HumanMessage("x"))]] * 2)
    assert only_refusal(load([uneven])).code == "batch_uneven"


@pytest.mark.parametrize(
    ("record", "code", "skipped"),
    [
        (run(None, error="boom"), "run_failed", True),
        (run(None, outputs=None), "run_pending", True),
        (run(None, status="pending"), "run_pending", True),
        (run(None, run_type="chain"), "run_not_of_model", True),
        (run(dumpd(AIMessage("a", response_metadata={"finish_reason": "length"}))), "answer_unfinished", True),
        (run({"lc": 1, "type": "constructor", "id": ["os", "system"], "kwargs": {}}), "foreign_class", False),
        (run({"lc": 1, "type": "secret", "id": ["TOGETHER_API_KEY"]}), "foreign_class", False),
        (run({"lc": 1, "type": "constructor", "id": ["langchain", "schema", "messages", "RemoveMessage"], "kwargs": {}}), "foreign_class", False),
        (run(dumpd(AIMessage("", invalid_tool_calls=[{"name": "f", "args": "{", "id": "1", "error": "x"}]))), "tool_call_invalid", False),
    ],
)  # fmt: skip
def test_runs_that_give_no_row(record: dict[str, Any], code: str, skipped: bool):
    refusal = only_refusal(load([record], "llm_runs"))
    assert (refusal.code, refusal.skipped) == (code, skipped)


def test_what_a_message_of_langchain_holds_is_kept():
    answer = AIMessage([{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "a"}])
    assert examples(load([run(dumpd(answer))]))[0].row["messages"][-1] == says("a", reasoning="hm")
    message = AIMessage("a", additional_kwargs={"reasoning_content": "hm"})
    assert examples(load([run(dumpd(message))]))[0].row["messages"][-1] == says("a", reasoning="hm")
    failed = [HumanMessage("q"), LC[2], ToolMessage("no", tool_call_id="c1", status="error")]
    row = examples(load([run(dumpd(AIMessage("a")), [dumpd(message) for message in failed])]))[0].row
    assert row["messages"][2]["status"] == "error"


def example(inputs: Any, outputs: Any, **more: Any) -> dict[str, Any]:
    return {"inputs": inputs, "outputs": outputs, **more}


def test_examples():
    assert only_row(load([example({"question": "q"}, {"answer": "a"})])) == {"prompt": "q", "completion": "a"}
    assert only_row(load([example({"question": "q"}, {"answer": "a"})], form="conversation")) == {"messages": [user(), says()]}
    conversation = {"messages": [user(), says()]}
    for outputs in (
        {"message": says()},
        {"messages": [says()]},
        {"output": says()},
        {"output": "a"},
        {"generations": [{"message": says()}]},
    ):
        assert only_row(load([example({"messages": [user()]}, outputs)])) == conversation
    assert only_row(load([example({"messages": [dumpd(HumanMessage("q"))]}, {"message": dumpd(AIMessage("a"))})])) == conversation


def test_examples_that_give_no_row():
    several = example({"question": "q", "k": "3"}, {"answer": "a"})
    assert only_refusal(load([several])).code == "columns_undeclared"
    assert only_row(load([several], input_key="question")) == {"prompt": "q", "completion": "a"}
    assert only_refusal(load([several], input_key="x")).code == "column_missing"
    assert only_refusal(load([example({"q": "q"}, None)], "examples")).code == "example_without_output"
    assert only_refusal(load([example({"q": "q"}, {"a": "a"}, attachments={"x": 1})])).code == "attachments_unsupported"
    assert only_refusal(load([example({"messages": [user()]}, {"messages": [user()]})])).code == "answer_missing"
