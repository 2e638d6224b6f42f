"""Finds the conversation in each kind of LangChain's objects, and converts LangSmith's objects to JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from langchain_core.documents import Document
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.outputs import Generation
from langchain_core.prompt_values import PromptValue
from pydantic import BaseModel

from langchain_together_adapters.tools import wire_tools
from together_adapters.finetune.formats.framework_source import Conversation
from together_adapters.finetune.formats.langchain_json import is_message as is_json_message
from together_adapters.finetune.readers.fields import field
from together_adapters.finetune.records import Row, Unconvertible

_ROLES: Final = frozenset(
    {"human", "user", "ai", "assistant", "system", "developer", "tool", "function", "placeholder", "messages_placeholder"}
)
_PAIRS: Final = (("prompt", "completion"), ("input", "output"), ("prompt", "output"))
_GROUPS: Final = ("thread_id", "conversation_id", "session_id")
_GIVEN_UP: Final = "Agent stopped due to "
_LANGSMITH_FIELDS: Final = ("id", "trace_id", "run_type", "status", "error", "extra", "metadata", "attachments")


def is_message(value: Any) -> bool:
    """Whether a value is one message: an object, a pair of role and text, or a dict with a role."""
    if isinstance(value, BaseMessage):
        return True
    if isinstance(value, Mapping):
        return is_json_message(value) and ("role" in value or "lc" in value or "content" in value or "data" in value)
    if not isinstance(value, tuple) or len(value) != 2:
        return False
    return isinstance(value[0], str) and value[0] in _ROLES and isinstance(value[1], str | list)


def is_pair(value: Any) -> bool:
    """Whether a value is a pair of a prompt and a model's answer to it."""
    return isinstance(value, tuple) and len(value) == 2 and not isinstance(value[0], BaseMessage) and not is_message(value)


def is_run(value: Any) -> bool:
    """Whether a value is a run of LangSmith."""
    return "run_type" in value if isinstance(value, Mapping) else hasattr(value, "run_type") and hasattr(value, "inputs")


def is_example(value: Any) -> bool:
    """Whether a value is an example of a dataset of LangSmith."""
    if isinstance(value, Mapping):
        return isinstance(value.get("inputs"), Mapping) and "outputs" in value
    return hasattr(value, "inputs") and hasattr(value, "outputs")


def langsmith_json(record: Any) -> Row:
    """Returns a run or an example as the JSON that LangSmith exports."""
    fields: Row = {name: field(record, name) for name in _LANGSMITH_FIELDS}
    for name in ("inputs", "outputs"):
        value = field(record, name)
        fields[name] = {key: _json(item, key) for key, item in value.items()} if isinstance(value, dict) else value
    return fields


def _json(value: Any, key: str = "") -> Any:
    kind = type(value)
    if kind is str:
        return value
    if kind is list or kind is tuple:
        is_tools = key in ("tools", "functions") and not all(isinstance(tool, dict) for tool in value)
        return wire_tools(value) if is_tools else [_json(item) for item in value]
    if kind is dict:
        if "lc" in value:
            return value
        raw = value.get("raw")
        return _json(raw) if isinstance(raw, BaseMessage) else {key: _json(item, key) for key, item in value.items()}
    if isinstance(value, BaseMessage):
        return {"type": value.type, "data": value.__dict__}
    if isinstance(value, Generation):
        return {**value.__dict__, "message": _json(getattr(value, "message", None))}
    content = _unwrap(value)
    if content is not value:
        return _json(content)
    return value.model_dump_json() if isinstance(value, BaseModel) else value


def _unwrap(value: Any) -> Any:
    """Returns the text, message or messages in one of LangChain's objects; other values are returned unchanged."""
    if isinstance(value, Mapping) and isinstance(value.get("raw"), BaseMessage):
        return value["raw"]
    if isinstance(value, PromptValue):
        return value.to_messages()
    if isinstance(value, Document):
        return value.page_content
    return getattr(value, "message", value)


def conversation_of(record: Any, input_key: str | None, output_key: str | None) -> Conversation:
    """Returns the conversation in a record. The keys name the question and the answer in a dict."""
    if is_message(record):
        return Conversation([record])
    if isinstance(record, PromptValue):
        return Conversation(record.to_messages())
    if is_pair(record):
        return _of_pair(record[0], record[1])
    if isinstance(record, Mapping):
        return _of_mapping(record, input_key, output_key)
    if isinstance(record, list | tuple) and not hasattr(record, "values"):
        return Conversation(record)
    return _of_object(record, input_key, output_key)


def _of_object(record: Any, input_key: str | None, output_key: str | None) -> Conversation:
    values = getattr(record, "values", None)
    if isinstance(values, Mapping):  # a snapshot of a graph's state
        config = getattr(record, "config", None) or {}
        thread = (config.get("configurable") or {}).get("thread_id")
        return _of_mapping(values, input_key, output_key)._replace(group=None if thread is None else str(thread))
    messages = getattr(record, "messages", None)
    if isinstance(messages, list):  # a state that is a model or a dataclass, a history
        return Conversation(messages, getattr(record, "tools", None) or ())
    raise Unconvertible("record_unknown", f"a {type(record).__name__} is no conversation", value=type(record).__name__)


def _of_mapping(record: Mapping[str, Any], input_key: str | None, output_key: str | None) -> Conversation:
    group = next((str(record[key]) for key in _GROUPS if record.get(key)), None)
    tools = record.get("tools") or record.get("functions") or ()
    if "intermediate_steps" in record:
        return Conversation(_executor_messages(record, input_key or "input", output_key or "output"), tools, group)
    if "messages" in record and input_key is None:
        messages = record["messages"]
        if not isinstance(messages, Sequence) or isinstance(messages, str):
            raise Unconvertible("messages_not_list", "messages must be a list", "messages", type(messages).__name__)
        return Conversation(messages, tools, group, is_chat=True)
    question, answer = _keys(record, input_key, output_key)
    return _of_pair(record[question], record[answer])._replace(tools=tools, group=group)


def _keys(record: Mapping[str, Any], input_key: str | None, output_key: str | None) -> tuple[str, str]:
    pairs = [(input_key, output_key)] if input_key and output_key else _PAIRS
    pair = next(((question, answer) for question, answer in pairs if question in record and answer in record), None)
    if pair is None:
        keys = ", ".join(repr(str(key)[:40]) for key in list(record)[:10]) or "nothing"
        text = f"which of {keys} is the question, and which the answer? input_key= and output_key= say so"
        raise Unconvertible("columns_undeclared", text)
    return pair


def _of_pair(prompt: Any, output: Any) -> Conversation:
    """Returns a prompt with its output: two texts, or a conversation."""
    question, answer = _unwrap(prompt), _unwrap(output)
    if isinstance(answer, BaseModel) and not isinstance(answer, BaseMessage):
        answer = answer.model_dump_json()
    if isinstance(question, Mapping) and "messages" in question:
        question = question["messages"]
    if isinstance(question, str) and isinstance(answer, str):
        return Conversation(question, answer=answer)
    messages = answer if isinstance(answer, list) else [answer]
    if not isinstance(answer, str) and not (messages and all(isinstance(one, BaseMessage) for one in messages)):
        raise Unconvertible("record_unknown", f"a {type(answer).__name__} is no answer", value=type(answer).__name__)
    return Conversation([*_messages(question, HumanMessage, "prompt"), *_messages(answer, AIMessage, "answer")])


def _messages(value: Any, kind: type[BaseMessage], name: str) -> Sequence[Any]:
    if isinstance(value, str):
        return [kind(content=value)]
    if isinstance(value, BaseMessage):
        return [value]
    if not isinstance(value, list | tuple):
        raise Unconvertible("record_unknown", f"a {type(value).__name__} is no {name}", value=type(value).__name__)
    return value


def _executor_messages(result: Mapping[str, Any], input_key: str, output_key: str) -> Iterator[Any]:
    """Yields the messages of an agent executor's result; its `intermediate_steps` become tool calls and results."""
    answer = result.get(output_key)
    if not isinstance(answer, str | BaseMessage):
        raise Unconvertible("columns_undeclared", f"the agent's answer {output_key!r} is no text", output_key)
    if isinstance(answer, str) and answer.startswith(_GIVEN_UP):
        raise Unconvertible("answer_unfinished", "the agent gave up", output_key, answer, skipped=True)
    yield from result.get("chat_history") or ()
    question = result.get(input_key)
    if isinstance(question, list):
        yield from question
    else:
        yield HumanMessage(question) if isinstance(question, str) else question
    logged_ids: set[int] = set()
    steps: Sequence[Any] = result["intermediate_steps"] or ()
    for index, step in enumerate(steps):
        if not _is_step(step):
            text = "a step must be a pair of an action and its observation"
            raise Unconvertible("message_kind_unknown", text, f"intermediate_steps[{index}]", type(step).__name__)
        action, observation = step
        log = getattr(action, "message_log", None)
        if log:  # each action of a parallel call logs the same messages
            yield from (message for message in log if id(message) not in logged_ids)
            logged_ids.update(map(id, log))
        else:
            yield _call_message(action, f"step_{index}")
        call_id = getattr(action, "tool_call_id", None) or ("" if log else f"step_{index}")
        yield ToolMessage(_observation_content(observation), tool_call_id=call_id)
    yield AIMessage(answer) if isinstance(answer, str) else answer


def _is_step(value: Any) -> bool:
    return isinstance(value, Sequence) and len(value) == 2 and hasattr(value[0], "tool")


def _call_message(action: Any, id: str) -> AIMessage:
    args = action.tool_input if isinstance(action.tool_input, Mapping) else {"__arg1": action.tool_input}
    reasoning = str(getattr(action, "log", "") or "").partition("Action:")[0].strip().removeprefix("Thought:").strip()
    return AIMessage(reasoning, tool_calls=[{"name": action.tool, "args": dict(args), "id": id}])


def _observation_content(observation: Any) -> Any:
    is_blocks = isinstance(observation, list) and all(
        isinstance(one, str) or (isinstance(one, dict) and "type" in one) for one in observation
    )
    if isinstance(observation, str) or is_blocks:
        return observation
    try:
        return json.dumps(observation, ensure_ascii=False)
    except (TypeError, ValueError):
        return str(observation)
