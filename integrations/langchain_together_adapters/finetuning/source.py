"""Training data from LangChain's, LangGraph's and LangSmith's objects: the conversation in each kind of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, Final, Literal, TypeAlias

from langchain_core.documents import Document
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.outputs import Generation
from langchain_core.prompt_values import PromptValue
from pydantic import BaseModel

from langchain_together_adapters.finetuning.messages import convert_messages, plain_rows
from langchain_together_adapters.tools import wire_tools
from together_adapters.finetune.accounting import RUN, TRACE, meaning_of
from together_adapters.finetune.dataset import TrainingData
from together_adapters.finetune.formats.conversation import Expand
from together_adapters.finetune.formats.exports.langchain_files import state_of
from together_adapters.finetune.formats.framework_source import (
    FrameworkConversation,
    FrameworkReader,
    Tools,
    fields_left_out,
    other_framework,
    records_of,
    training_data,
)
from together_adapters.finetune.formats.langchain_json import is_message as is_json_message
from together_adapters.finetune.formats.langsmith import COLUMNS, EXAMPLE_COLUMNS, SYSTEM_ABSENT, dataset_examples, runs
from together_adapters.finetune.formats.options import CONVERSION_ERRORS, Options
from together_adapters.finetune.formats.traces import Result
from together_adapters.finetune.readers.fields import field
from together_adapters.finetune.recording import thread_of
from together_adapters.finetune.records import Converted, Row, Unconvertible

Schema: TypeAlias = Literal["auto", "messages", "examples", "llm_runs"]

_SCHEMAS: Final = ("auto", "messages", "examples", "llm_runs")


def from_langchain(
    source: Any,
    *,
    schema: Schema = "auto",
    tools: Tools | None = None,
    system: str | None = None,
    input_key: str | None = None,
    output_key: str | None = None,
    form: Literal["conversation", "instruction"] | None = None,
    expand: Expand = "whole",
    reasoning: Literal["keep", "drop"] = "keep",
    tool_errors: Literal["keep", "drop_row"] = "keep",
    invalid_tool_calls: Literal["refuse", "keep", "drop"] = "refuse",
    collapse_prefixes: bool | None = None,
    name: str = "langchain",
) -> TrainingData:
    """Reads LangChain's, LangGraph's and LangSmith's objects as training data.

    A source is one conversation or many: messages (objects, chunks, pairs of role and text, dicts), prompt values, chat sessions
    and chat loaders, states of graphs, results of agent executors, pairs of a prompt and its output, and the examples and runs of
    LangSmith, as objects or as JSON. Records that cannot become a row are refused with the reason and the path.

    Args:
        source: One of these, a list of them, or an iterator, which can be read only once.
        schema: The format of dicts: `examples` or `llm_runs` of LangSmith, or `messages`; `auto` detects it for each record.
        tools: The tools of all rows (tools, pydantic classes, functions or dicts), or a function that returns those of a record.
            Tools that a record declares itself take precedence.
        system: The system prompt of conversations without one. The states of agents and graphs do not hold the agent's: without
            this argument, such rows are trained without it, and a warning says so; `""` says that there is none.
        input_key: The key of the question in dicts.
        output_key: The key of the answer in dicts.
        form: Whether a pair of texts becomes an `instruction`, the default, or a `conversation`.
        expand: Which answers are trained on: `whole`, all in one row; `last_turn`, those after the last question;
            `every_assistant_turn`, each in a row of its own that ends with it.
        reasoning: Whether to keep reasoning, or to drop and count it.
        tool_errors: Whether to keep and count conversations in which a tool failed, or to drop them.
        invalid_tool_calls: How to handle calls that LangChain could not parse: `refuse` the conversation, `keep` them as they are,
            or `drop` and count them.
        collapse_prefixes: Whether to drop conversations that another one continues, as the calls of an agent repeat their history.
            None does so for runs.
        name: The name of the data in reports.

    Raises:
        TypeError: The source cannot be read.
        ValueError: The schema is unknown.
    """
    if schema not in _SCHEMAS:
        raise ValueError(f"schema {schema!r} is none of {', '.join(_SCHEMAS)}")
    options = Options(
        input_key=input_key, output_key=output_key, form=form, reasoning=reasoning, tool_errors=tool_errors,
        invalid_tool_calls=invalid_tool_calls,
    )  # fmt: skip
    reader = _LangChainReader(options, schema, tools, system, name)
    records, first = _records(source)
    collapse = schema == "llm_runs" or is_run(first) if collapse_prefixes is None else collapse_prefixes
    return training_data(
        lambda: reader.read(records()), name, expand=expand, collapse_prefixes=collapse,
        read_rows=lambda: reader.read_rows(records()),
    )  # fmt: skip


def _records(source: Any) -> tuple[Callable[[], Iterable[Any]], Any]:
    """Returns a function that gives the records of a source, and the first record."""
    if hasattr(source, "lazy_load"):
        return source.lazy_load, None
    if _is_record(source):
        return lambda: (source,), source
    if not isinstance(source, Iterable) or isinstance(source, str | bytes):
        raise TypeError(
            f"from_langchain reads messages, conversations, runs and examples, not a {type(source).__name__}; load(path) reads files"
        )
    return records_of(source, lambda item: is_message(item) or isinstance(item, str))


def _is_record(source: Any) -> bool:
    """Whether a source is a single record."""
    if isinstance(source, Mapping | PromptValue) or is_message(source) or is_pair(source):
        return True
    return (
        is_run(source)
        or is_example(source)
        or isinstance(getattr(source, "messages", None), list)
        or isinstance(getattr(source, "values", None), Mapping)
    )


class _LangChainReader(FrameworkReader):
    """Converts LangChain's records to rows."""

    plain_rows = staticmethod(plain_rows)
    wire_tools = staticmethod(wire_tools)

    def __init__(self, options: Options, schema: Schema, tools: Tools | None, system: str | None, name: str) -> None:
        super().__init__(tools, name, use_plain=options.reasoning == "keep" and not system)
        self._system = system
        self._options = options
        self._message_options = replace(options, signed_reasoning="refuse")
        self._schema = schema

    def convert(self, record: Any, number: int) -> Iterator[Result]:
        schema = self._schema
        if schema == "llm_runs" or (schema == "auto" and is_run(record)):
            return self._langsmith(runs, record, COLUMNS, TRACE)
        if schema == "examples" or (schema == "auto" and is_example(record)):
            return self._langsmith(dataset_examples, record, EXAMPLE_COLUMNS, "")
        conversation = conversation_of(record, self._options.input_key, self._options.output_key)
        row = self._with_system(self._row(conversation, number), is_state=conversation.is_state)
        return iter((self.with_tools(row, record, conversation.tools),))

    def _langsmith(
        self, decode: Callable[[Any, Options], Iterator[Result]], record: Any, read: Iterable[str], prefix: str
    ) -> Iterator[Result]:
        try:
            results = list(decode(langsmith_json(record), self._options))
        except CONVERSION_ERRORS as problem:
            text = f"the record has a format that is not known ({type(problem).__name__}: {str(problem)[:100]})"
            raise Unconvertible("record_unreadable", text) from None
        others = _fields_around(record, read, prefix)
        return (
            self.with_tools(self._with_system(one._replace(left_out={**others, **one.left_out})), record)
            if isinstance(one, Converted)
            else one
            for one in results
        )

    def _with_system(self, converted: Converted, *, is_state: bool = False) -> Converted:
        """Adds the system prompt of the caller to a conversation without one, or says that a state does not hold it."""
        messages = converted.row.get("messages")
        if not messages or messages[0]["role"] == "system":
            return converted
        if self._system is None:
            return converted._replace(changed=(*converted.changed, SYSTEM_ABSENT)) if is_state else converted
        changes = tuple(code for code in converted.changed if code != SYSTEM_ABSENT)
        if self._system:
            messages = [{"role": "system", "content": self._system}, *messages]
        return converted._replace(row={**converted.row, "messages": messages}, changed=changes)

    def _row(self, conversation: FrameworkConversation, number: int) -> Converted:
        messages = conversation.messages
        if conversation.answer is not None:
            if self._options.form != "conversation":
                row = {"prompt": messages, "completion": conversation.answer}
                return Converted(row, conversation.group, (), conversation.left_out)
            messages = [HumanMessage(messages), AIMessage(conversation.answer)]
        converted = convert_messages(messages, self._message_options, number)
        if conversation.is_chat and not any(message["role"] == "assistant" for message in converted.row["messages"]):
            text = "no message is the model's: map_ai_messages(sessions, sender=...) says who it is"
            raise Unconvertible("no_assistant_message", text, "messages")
        left_out = {**converted.left_out, **conversation.left_out} if conversation.left_out else converted.left_out
        return converted._replace(group=conversation.group, left_out=left_out)


def _fields_around(record: Any, read: Iterable[str], prefix: str) -> Row:
    """Returns the fields of a run or an example that are not read.

    What LangSmith's class declares is its own bookkeeping: a user's data is in the inputs, the outputs, the tags and `extra`.
    """
    schema = type(record).model_fields if isinstance(record, BaseModel) else {}
    return {
        f"{RUN if prefix and name in schema and meaning_of(f'{prefix}{name}') is None else prefix}{name}": value
        for name, value in fields_left_out(record, *read).items()
    }


_ROLES: Final = frozenset(
    {"human", "user", "ai", "assistant", "system", "developer", "tool", "function", "placeholder", "messages_placeholder"}
)
_PAIRS: Final = (("prompt", "completion"), ("input", "output"), ("prompt", "output"))
_TOOL_KEYS: Final = ("tools", "functions")
_GIVEN_UP: Final = "Agent stopped due to "
_LANGSMITH_FIELDS: Final = (
    "id",
    "trace_id",
    "run_type",
    "status",
    "error",
    "extra",
    "metadata",
    "attachments",
    "name",
    "serialized",
)


def is_message(value: Any) -> bool:
    """Whether a value is one message: an object, a pair of role and text, or a dict with a role."""
    if isinstance(value, BaseMessage):
        return True
    if isinstance(value, Mapping):
        return is_json_message(value) and ("role" in value or "lc" in value or "content" in value or "data" in value)
    is_tuple = isinstance(value, tuple) and len(value) == 2
    return is_tuple and isinstance(value[0], str) and value[0] in _ROLES and isinstance(value[1], str | list)


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
    fields["child_runs"] = [_child_json(child) for child in field(record, "child_runs") or ()]
    for name in ("inputs", "outputs"):
        value = field(record, name)
        fields[name] = {key: _json(item, key) for key, item in value.items()} if isinstance(value, dict) else value
    return fields


def _child_json(run: Any) -> Row:
    """Returns a run below another: that of a model whole, of others only what is below."""
    kind = field(run, "run_type")
    if kind in ("llm", "chat_model"):
        return langsmith_json(run)
    return {"run_type": kind, "child_runs": [_child_json(child) for child in field(run, "child_runs") or ()]}


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


def conversation_of(record: Any, input_key: str | None, output_key: str | None) -> FrameworkConversation:
    """Returns the conversation in a record. The keys name the question and the answer in a dict."""
    if is_message(record):
        return FrameworkConversation([record])
    if isinstance(record, PromptValue):
        return FrameworkConversation(record.to_messages())
    if is_pair(record):
        return _of_pair(record[0], record[1])
    if isinstance(record, Mapping):
        return _of_mapping(record, input_key, output_key)
    if isinstance(record, list | tuple) and not hasattr(record, "values"):
        return FrameworkConversation(record)
    return _of_object(record, input_key, output_key)


def _of_object(record: Any, input_key: str | None, output_key: str | None) -> FrameworkConversation:
    values = getattr(record, "values", None)
    if isinstance(values, Mapping):  # a snapshot of a graph's state
        config = getattr(record, "config", None) or {}
        thread = (config.get("configurable") or {}).get("thread_id")
        return _of_mapping(values, input_key, output_key)._replace(group=None if thread is None else str(thread))
    messages = getattr(record, "messages", None)
    if isinstance(messages, list):  # a state that is a model or a dataclass, a history
        left_out = fields_left_out(record, "messages", "tools")
        return FrameworkConversation(
            messages, getattr(record, "tools", None) or (), left_out=left_out, is_state=_has_objects(messages)
        )
    raise Unconvertible(
        "record_unknown", f"a {type(record).__name__} is no conversation{other_framework(record)}", value=type(record).__name__
    )


def _of_mapping(record: Mapping[str, Any], input_key: str | None, output_key: str | None) -> FrameworkConversation:
    group = thread_of(record)
    tools = record.get("tools") or record.get("functions") or ()
    if "intermediate_steps" in record:
        keys = input_key or "input", output_key or "output"
        left_out = fields_left_out(record, *keys, *_TOOL_KEYS, "intermediate_steps", "chat_history")
        return FrameworkConversation(_executor_messages(record, *keys), tools, group, left_out=left_out)
    state = None if input_key is not None or output_key is not None else state_of(record)
    if state is not None and state is not record:  # a snapshot, a checkpoint or a thread, as JSON
        group = group or thread_of((record.get("config") or {}).get("configurable"))
        return _of_mapping(state, None, None)._replace(group=group)
    if "messages" in record and input_key is None:
        messages = record["messages"]
        if not isinstance(messages, Sequence) or isinstance(messages, str):
            raise Unconvertible("messages_not_list", "messages must be a list", "messages", type(messages).__name__)
        return FrameworkConversation(
            messages, tools, group, is_chat=True, left_out=fields_left_out(record, "messages", *_TOOL_KEYS),
            is_state=_has_objects(messages),
        )  # fmt: skip
    question, answer = _keys(record, input_key, output_key)
    left_out = fields_left_out(record, question, answer, *_TOOL_KEYS)
    return _of_pair(record[question], record[answer])._replace(tools=tools, group=group, left_out=left_out)


def _has_objects(messages: Sequence[Any]) -> bool:
    """Whether the messages are LangChain's objects, as those of a state are; dicts are data that someone has made."""
    return len(messages) > 0 and isinstance(messages[0], BaseMessage)


def _keys(record: Mapping[str, Any], input_key: str | None, output_key: str | None) -> tuple[str, str]:
    pairs = [(input_key, output_key)] if input_key and output_key else _PAIRS
    pair = next(((question, answer) for question, answer in pairs if question in record and answer in record), None)
    if pair is None:
        keys = ", ".join(repr(str(key)[:40]) for key in list(record)[:10]) or "nothing"
        text = f"which of {keys} is the question, and which the answer? input_key= and output_key= say so"
        raise Unconvertible("columns_undeclared", text)
    return pair


def _of_pair(prompt: Any, output: Any) -> FrameworkConversation:
    """Returns a prompt with its output: two texts, or a conversation."""
    question, answer = _unwrap(prompt), _unwrap(output)
    if isinstance(answer, BaseModel) and not isinstance(answer, BaseMessage):
        answer = answer.model_dump_json()
    if isinstance(question, Mapping) and "messages" in question:
        question = question["messages"]
    if isinstance(question, str) and isinstance(answer, str):
        return FrameworkConversation(question, answer=answer)
    messages = answer if isinstance(answer, list) else [answer]
    if not isinstance(answer, str) and not (messages and all(isinstance(one, BaseMessage) for one in messages)):
        raise Unconvertible("record_unknown", f"a {type(answer).__name__} is no answer", value=type(answer).__name__)
    return FrameworkConversation([*_messages(question, HumanMessage, "prompt"), *_messages(answer, AIMessage, "answer")])


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
        if isinstance(action, Mapping):
            action = SimpleNamespace(**action)
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
    is_pair = isinstance(value, Sequence) and len(value) == 2
    return is_pair and (
        hasattr(value[0], "tool") or (isinstance(value[0], Mapping) and {"tool", "tool_input"} <= value[0].keys())
    )


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
