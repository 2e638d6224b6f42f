"""Files of LangChain and LangGraph: histories of messages, states, checkpoints and threads, as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from together_adapters.finetune.formats.conversation import FrameworkConversationBuilder, json_text, parsed
from together_adapters.finetune.formats.langchain_json import is_message, read_langchain_message
from together_adapters.finetune.formats.langsmith import SYSTEM_ABSENT
from together_adapters.finetune.formats.openai import SYSTEM_COLUMNS, with_system
from together_adapters.finetune.formats.options import Options
from together_adapters.finetune.readers.fields import is_stored_message, nested, text_or_none
from together_adapters.finetune.recording import thread_of
from together_adapters.finetune.records import Converted, Row, Unconvertible

_STEPS: Final = "intermediate_steps"
_RESULT: Final = frozenset({"input", "output", "chat_history", _STEPS})
_ABOUT: Final = frozenset(
    """next config metadata tasks interrupts parent_config parent_checkpoint created_at updated_at thread_id checkpoint_id checkpoint_ns
    status v ts id lc type channel_versions versions_seen pending_sends pending_writes updated_channels checkpoint_map assistant_id
    name""".split()
)
"""What a step of a thread says about itself."""
COLUMNS: Final = _ABOUT.union(
    "values checkpoint channel_values state chat_memory kwargs messages tools functions remaining_steps is_last_step".split(),
    SYSTEM_COLUMNS, _RESULT,
)  # fmt: skip
_PARENTS: Final = ("values", "channel_values", "checkpoint", "state", "chat_memory", "kwargs")
_PARENT_NAMES: Final = frozenset(_PARENTS)
_READ: Final = frozenset({"messages", "tools", "functions", "remaining_steps", "is_last_step", *SYSTEM_COLUMNS})


def state_of(record: Any) -> Mapping[str, Any] | None:
    """Returns the state with messages in a snapshot, a checkpoint, a thread or a memory; None if there is none."""
    for _ in range(4):
        if not isinstance(record, Mapping):
            return None
        if "messages" in record:
            return record
        if _PARENT_NAMES.isdisjoint(record):
            return None
        record = next((record[name] for name in _PARENTS if isinstance(record.get(name), Mapping)), None)
    return None


def is_snapshot(record: Any) -> bool:
    """Whether a record is a state at one step of a thread, whose messages later steps repeat."""
    state = state_of(record)
    return state is not None and state is not record and not record.keys().isdisjoint(("values", "checkpoint", "channel_values"))


def is_langchain(record: Any) -> bool:
    """Whether a record holds messages as LangChain writes them, or a state with any messages."""
    if isinstance(record, list):
        return bool(record) and is_stored_message(record[0]) and "role" not in record[0]
    if isinstance(record, dict) and _STEPS in record and "output" in record:
        return True
    state = state_of(record)
    if state is None:
        return False
    messages = state["messages"]
    has_messages = isinstance(messages, list) and bool(messages) and is_message(messages[0])
    return has_messages and (state is not record or "role" not in messages[0])


def sessions(document: Any) -> Iterator[Any]:
    """Yields the conversations of a store of histories by session, or the document itself."""
    if (
        isinstance(document, dict)
        and document
        and all(isinstance(value, list) and is_langchain(value) for value in document.values())
    ):
        for name, messages in document.items():
            yield {"messages": messages, "thread_id": name}
    else:
        yield document


def conversation(record: Any, options: Options) -> Iterator[Converted]:
    """Converts a list of messages, or the state that holds them."""
    state = {"messages": record} if isinstance(record, list) else state_of(record)
    if isinstance(record, dict) and _STEPS in record:
        state = {key: value for key, value in record.items() if key not in _RESULT} | {"messages": [*_result_messages(record)]}
    if state is None:
        raise Unconvertible("messages_empty", "there is no state with messages", "messages", list(record) if record else record)
    builder = FrameworkConversationBuilder(options)
    messages = parsed(state["messages"], "messages")
    if not isinstance(messages, list):
        raise Unconvertible("messages_not_list", "messages must be a list", "messages", messages)
    for message in _with_system(messages, state):
        read_langchain_message(builder, message)
    if is_snapshot(record) and builder.messages and builder.messages[-1]["role"] != "assistant":
        raise Unconvertible("run_pending", "the state is from before the answer", "messages", skipped=True)
    if is_snapshot(record) and builder.messages and builder.messages[0]["role"] != "system":
        builder.change(SYSTEM_ABSENT)
    if isinstance(record, dict):
        _account(builder, record, state)
    yield builder.converted(state.get("tools") or state.get("functions"), _group(record))


def _result_messages(record: Mapping[str, Any]) -> Iterator[Any]:
    """Yields the messages of an agent executor's result; its steps become tool calls and results."""
    yield from record.get("chat_history") or ()
    question, answer = record.get("input"), record["output"]
    yield from question if isinstance(question, list) else (question,)
    for index, step in enumerate(record[_STEPS] or ()):
        action = step[0].get("kwargs", step[0]) if isinstance(step, list) and len(step) == 2 and isinstance(step[0], dict) else {}
        if not isinstance(action.get("tool"), str):
            text = "a step must be a pair of an action and its observation"
            raise Unconvertible("tool_call_invalid", text, f"{_STEPS}[{index}]", step)
        arguments, id = action.get("tool_input"), action.get("tool_call_id") or f"step_{index}"
        if not isinstance(arguments, dict):
            arguments = {"__arg1": arguments}
        reasoning = str(action.get("log") or "").partition("Action:")[0].strip().removeprefix("Thought:").strip()
        content = "" if "message_log" in action else reasoning
        yield {"type": "ai", "content": content, "tool_calls": [{"name": action["tool"], "args": arguments, "id": id}]}
        observation = step[1] if isinstance(step[1], str) else json_text(step[1])
        yield {"type": "tool", "content": observation, "tool_call_id": id}
    yield {"type": "ai", "content": answer} if isinstance(answer, str) else answer


def _account(builder: FrameworkConversationBuilder, record: Row, state: Mapping[str, Any]) -> None:
    """Records what is read neither of a record nor of the state in it."""
    if _STEPS in record:
        read = _RESULT
    elif state is record:
        read = _READ
    else:
        read = frozenset(name for name in _PARENTS if isinstance(record.get(name), Mapping))
        builder.account(dict(state), _READ, "values")
    builder.account({key: record[key] for key in COLUMNS - _ABOUT if key in record}, read)


def _with_system(messages: list[Any], state: Mapping[str, Any]) -> list[Any]:
    """Returns messages with the system prompt of their state."""
    first = messages[0] if messages and isinstance(messages[0], dict) else {}
    if "system" in (first.get("type"), first.get("role")):
        fields = first.get("data") or first
        messages = [{"role": "system", "content": fields.get("content")}, *messages[1:]]
    return with_system(messages, dict(state))


def _group(record: Any) -> str | None:
    if not isinstance(record, Mapping):
        return None
    return text_or_none(record.get("thread_id") or nested(record, "config", "configurable", "thread_id")) or thread_of(record)
