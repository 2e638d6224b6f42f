"""Training data from LangChain's, LangGraph's and LangSmith's objects."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final, Literal, TypeAlias

from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.prompt_values import PromptValue

from langchain_together_adapters.finetuning.messages import convert_messages, plain_rows
from langchain_together_adapters.finetuning.records import (
    conversation_of,
    is_example,
    is_message,
    is_pair,
    is_run,
    langsmith_json,
)
from langchain_together_adapters.tools import wire_tools
from together_adapters.finetune.dataset import TrainingData
from together_adapters.finetune.formats.conversation import Expand
from together_adapters.finetune.formats.framework_source import (
    Conversation,
    FrameworkReader,
    Tools,
    records_of,
    training_data,
)
from together_adapters.finetune.formats.langsmith import dataset_examples, runs
from together_adapters.finetune.formats.options import Options
from together_adapters.finetune.formats.trace_selection import Result
from together_adapters.finetune.readers.user_callbacks import CONVERSION_ERRORS
from together_adapters.finetune.records import Converted, Unconvertible

Schema: TypeAlias = Literal["auto", "messages", "examples", "llm_runs"]

_SCHEMAS: Final = ("auto", "messages", "examples", "llm_runs")


def from_langchain(
    source: Any,
    *,
    schema: Schema = "auto",
    tools: Tools | None = None,
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
    reader = _Reader(options, schema, tools, name)
    records, first = _records(source)
    collapse = schema == "llm_runs" or is_run(first) if collapse_prefixes is None else collapse_prefixes
    return training_data(lambda: reader.read(records()), name, expand=expand, collapse_prefixes=collapse)


def _records(source: Any) -> tuple[Callable[[], Iterable[Any]], Any]:
    """Returns a function that gives the records of a source, and the first record."""
    if hasattr(source, "lazy_load"):
        return source.lazy_load, None
    if _is_record(source):
        return lambda: (source,), source
    if not isinstance(source, Iterable) or isinstance(source, str | bytes):
        raise TypeError(f"from_langchain cannot read a {type(source).__name__}")
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


class _Reader(FrameworkReader):
    """Converts LangChain's records to rows."""

    plain_rows = staticmethod(plain_rows)
    wire_tools = staticmethod(wire_tools)

    def __init__(self, options: Options, schema: Schema, tools: Tools | None, name: str) -> None:
        super().__init__(tools, name, use_plain=options.reasoning == "keep")
        self._options = options
        self._message_options = replace(options, signed_reasoning="refuse")
        self._schema = schema

    def convert(self, record: Any, number: int) -> Iterator[Result]:
        schema = self._schema
        if schema == "llm_runs" or (schema == "auto" and is_run(record)):
            return self._langsmith(runs, record)
        if schema == "examples" or (schema == "auto" and is_example(record)):
            return self._langsmith(dataset_examples, record)
        conversation = conversation_of(record, self._options.input_key, self._options.output_key)
        return iter((self.with_tools(self._row(conversation, number), record, conversation.tools),))

    def _langsmith(self, decode: Callable[[Any, Options], Iterator[Result]], record: Any) -> Iterator[Result]:
        try:
            results = list(decode(langsmith_json(record), self._options))
        except CONVERSION_ERRORS as problem:
            text = f"the record has a format that is not known ({type(problem).__name__}: {str(problem)[:100]})"
            raise Unconvertible("record_unreadable", text) from None
        return (self.with_tools(one, record) if isinstance(one, Converted) else one for one in results)

    def _row(self, conversation: Conversation, number: int) -> Converted:
        messages = conversation.messages
        if conversation.answer is not None:
            if self._options.form != "conversation":
                return Converted({"prompt": messages, "completion": conversation.answer}, conversation.group)
            messages = [HumanMessage(messages), AIMessage(conversation.answer)]
        rows, changes = convert_messages(messages, self._message_options, number)
        if conversation.is_chat and not any(message["role"] == "assistant" for message in rows):
            text = "no message is the model's: map_ai_messages(sessions, sender=...) says who it is"
            raise Unconvertible("no_assistant_message", text, "messages")
        return Converted({"messages": rows}, conversation.group, changes)
