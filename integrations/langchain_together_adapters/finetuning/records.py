"""What one record of a source is: the messages and the tools in it, whatever object holds them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from langchain_core.documents import Document
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.prompt_values import PromptValue
from pydantic import BaseModel

from langchain_together_adapters.finetuning.exported import is_exported
from langchain_together_adapters.finetuning.trajectories import executed
from together_adapters.finetune.records import Unconvertible

_ROLES: Final = frozenset(
    {"human", "user", "ai", "assistant", "system", "developer", "tool", "function", "placeholder", "messages_placeholder"}
)
_PAIRS: Final = (("prompt", "completion"), ("input", "output"), ("prompt", "output"))
_GROUPS: Final = ("thread_id", "conversation_id", "session_id")


class Talk(NamedTuple):
    """A conversation before its messages are read.

    Attributes:
        messages: Its messages; or one text, with `answer` that completes it.
        tools: What it declares itself.
        group: The id of the thread that it belongs to.
        answer: What completes a plain text.
        chat: Whether it comes from a chat, where nobody may be the model.
    """

    messages: Any
    tools: Sequence[Any] = ()
    group: str | None = None
    answer: str | None = None
    chat: bool = False


def is_message(value: Any) -> bool:
    """Whether something is one message: an object, a pair of role and text, or a dict with a role."""
    if isinstance(value, BaseMessage):
        return True
    if isinstance(value, Mapping):
        return "role" in value or is_exported(value)
    if not isinstance(value, tuple) or len(value) != 2:
        return False
    return isinstance(value[0], str) and value[0] in _ROLES and isinstance(value[1], str | list)


def is_pair(value: Any) -> bool:
    """Whether something is a pair of a prompt and what a model made of it."""
    return isinstance(value, tuple) and len(value) == 2 and not isinstance(value[0], BaseMessage) and not is_message(value)


def talk_of(record: Any, input_key: str | None, output_key: str | None) -> Talk:
    """Return the conversation in a record.

    Args:
        record: Messages, a prompt value, a pair, a chat session, a graph's state, an executor's result, or a dict of two texts.
        input_key: Where a dict has its question.
        output_key: Where a dict has its answer.

    Raises:
        Unconvertible: It is nothing of that, or it is not clear which key is which.
    """
    if is_message(record):
        return Talk([record])
    if isinstance(record, PromptValue):
        return Talk(record.to_messages())
    if is_pair(record):
        return _paired(record[0], record[1])
    if isinstance(record, Mapping):
        return _of_mapping(record, input_key, output_key)
    if isinstance(record, list | tuple) and not hasattr(record, "values"):
        return Talk(record)
    return _of_object(record, input_key, output_key)


def _of_object(record: Any, input_key: str | None, output_key: str | None) -> Talk:
    values = getattr(record, "values", None)
    if isinstance(values, Mapping):  # a snapshot of a graph's state
        config = getattr(record, "config", None) or {}
        thread = (config.get("configurable") or {}).get("thread_id")
        return _of_mapping(values, input_key, output_key)._replace(group=None if thread is None else str(thread))
    messages = getattr(record, "messages", None)
    if isinstance(messages, list):  # a state that is a model or a dataclass, a history
        return Talk(messages, getattr(record, "tools", None) or ())
    text = f"a {type(record).__name__} is no conversation"
    raise Unconvertible("record_unknown", text, value=type(record).__name__)


def _of_mapping(record: Mapping[str, Any], input_key: str | None, output_key: str | None) -> Talk:
    group = next((str(record[key]) for key in _GROUPS if record.get(key)), None)
    tools = record.get("tools") or record.get("functions") or ()
    if "intermediate_steps" in record:
        return Talk(executed(record, input_key or "input", output_key or "output"), tools, group)
    if "messages" in record and input_key is None:
        messages = record["messages"]
        if not isinstance(messages, Sequence) or isinstance(messages, str):
            raise Unconvertible("messages_not_list", "messages must be a list", "messages", type(messages).__name__)
        return Talk(messages, tools, group, chat=True)
    asked, answered = _keys(record, input_key, output_key)
    return _paired(record[asked], record[answered])._replace(tools=tools, group=group)


def _keys(record: Mapping[str, Any], input_key: str | None, output_key: str | None) -> tuple[str, str]:
    keys = [(input_key, output_key)] if input_key and output_key else _PAIRS
    found = next(((a, b) for a, b in keys if a in record and b in record), None)
    if found is None:
        shown = ", ".join(repr(str(key)[:40]) for key in list(record)[:10]) or "nothing"
        text = f"which of {shown} is the question, and which the answer? input_key= and output_key= say so"
        raise Unconvertible("columns_undeclared", text)
    return found


def _paired(prompt: Any, output: Any) -> Talk:
    """A prompt and what came of it: two texts, or a conversation."""
    if isinstance(prompt, Document):
        prompt = prompt.page_content
    answers = list(_answers(output))
    if isinstance(prompt, str):
        if len(answers) == 1 and isinstance(answers[0], str):
            return Talk(prompt, answer=answers[0])
        prompt = [HumanMessage(prompt)]
    elif isinstance(prompt, PromptValue):
        prompt = prompt.to_messages()
    elif isinstance(prompt, Mapping) and "messages" in prompt:
        prompt = prompt["messages"]
    elif isinstance(prompt, BaseMessage):
        prompt = [prompt]
    if not isinstance(prompt, list | tuple):
        raise Unconvertible("record_unknown", f"a {type(prompt).__name__} is no prompt", value=type(prompt).__name__)
    return Talk([*prompt, *(AIMessage(one) if isinstance(one, str) else one for one in answers)])


def _answers(output: Any) -> Iterator[Any]:
    """What a chain gave: a text, a message, messages, a generation, a structured answer with or without its raw message."""
    if isinstance(output, Mapping) and isinstance(output.get("raw"), BaseMessage):
        output = output["raw"]
    output = getattr(output, "message", output)
    if isinstance(output, str | BaseMessage):
        yield output
    elif isinstance(output, Document):
        yield output.page_content
    elif isinstance(output, list) and output and all(isinstance(one, BaseMessage) for one in output):
        yield from output
    elif isinstance(output, BaseModel):
        yield output.model_dump_json()
    else:
        raise Unconvertible("record_unknown", f"a {type(output).__name__} is no answer", value=type(output).__name__)
