"""Whatever a LangChain program holds, as training data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any, Final, Literal, TypeAlias

from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.prompt_values import PromptValue

from langchain_together_adapters.finetuning import langsmith
from langchain_together_adapters.finetuning.messages import Options, conversation, plain
from langchain_together_adapters.finetuning.records import Talk, is_message, is_pair, talk_of
from langchain_together_adapters.tools import wire_tools
from together_adapters.errors import DatasetError
from together_adapters.finetune.dataset import TrainingData
from together_adapters.finetune.formats.conversations import Expand, expanded
from together_adapters.finetune.records import Converted, Example, Record, Refusal, Row, Unconvertible
from together_adapters.finetune.writing.trace_prefixes import drop_prefixes

Schema: TypeAlias = Literal["auto", "messages", "examples", "llm_runs"]
Tools: TypeAlias = "Sequence[Any] | Callable[[Any], Sequence[Any]]"

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
    """Read what LangChain, LangGraph and LangSmith hold as rows for training.

    A source is one conversation or many: messages (objects, chunks, pairs of role and text, dicts), prompt values, chat sessions
    and chat loaders, states of graphs and results of agent executors, pairs of a prompt and what came of it, and the examples and
    runs of LangSmith, as objects or exported. Nothing is guessed, nothing vanishes: what a row cannot hold becomes a refusal that
    says where it is.

    Args:
        source: One of these, a list of them, or an iterator, which can be read once only.
        schema: `examples` or `llm_runs` where dicts are those of LangSmith, `messages` where they are not; `auto` looks at each.
        tools: What the model could call: tools, pydantic classes, functions or dicts; for all rows, or a function that is given
            a record. What a record declares itself goes before.
        input_key: The key of the question, in dicts that have it under a name of their own.
        output_key: The key of the answer.
        form: What a pair of texts becomes: an `instruction`, unless this says `conversation`.
        expand: Which answers are trained on: `whole`, all in one row; `last_turn`, those after the last question;
            `every_assistant_turn`, each in a row of its own that ends with it.
        reasoning: Whether reasoning is trained on, or left out and counted.
        tool_errors: Whether conversations in which a tool failed stay, and are counted, or are left out.
        invalid_tool_calls: What becomes of calls that LangChain could not parse: they `refuse` the conversation, are kept as they
            were written, or dropped and counted.
        collapse_prefixes: Whether conversations that another one continues are left out, as the calls of an agent repeat their
            history. None does so for runs.
        name: What the data is called in reports.

    Raises:
        TypeError: The source is nothing that can be read.
        ValueError: There is no such schema.
    """
    if schema not in _SCHEMAS:
        raise ValueError(f"schema {schema!r} is none of {', '.join(_SCHEMAS)}")
    reader = _Reader(Options(reasoning, tool_errors, invalid_tool_calls), schema, tools, input_key, output_key, form, name)
    records, runs = _records(source, schema)

    def read() -> Iterator[Record]:
        return reader.read(records())

    whole = drop_prefixes(read) if (runs if collapse_prefixes is None else collapse_prefixes) else read
    return TrainingData(whole if expand == "whole" else lambda: _expanded(whole(), expand), name)


def _expanded(records: Iterable[Record], expand: Expand) -> Iterator[Record]:
    for record in records:
        if isinstance(record, Example) and "messages" in record.row:
            for messages in expanded(record.row["messages"], expand):
                yield record._replace(row={**record.row, "messages": messages})
        else:
            yield record


def _records(source: Any, schema: Schema) -> tuple[Callable[[], Iterable[Any]], bool]:
    """Return what gives the records of a source, each time from the beginning, and whether they are runs."""
    if hasattr(source, "lazy_load"):
        return source.lazy_load, False
    if _is_one(source):
        return lambda: (source,), schema == "llm_runs" or langsmith.is_run(source)
    if not isinstance(source, Iterable) or isinstance(source, str | bytes):
        raise TypeError(f"from_langchain cannot read a {type(source).__name__}")
    if isinstance(source, Iterator):
        beginning = list(islice(source, 1))
        source = chain(beginning, source)
        if not is_message(next(iter(beginning), None)):
            return _Once(source), schema == "llm_runs" or any(map(langsmith.is_run, beginning))
        source = list(source)
    first = next(iter(source), None)
    if is_message(first) or isinstance(first, str):
        return lambda: (source,), False
    return lambda: source, schema == "llm_runs" or langsmith.is_run(first)


def _is_one(source: Any) -> bool:
    """Whether a source is a single record."""
    if isinstance(source, Mapping | PromptValue) or is_message(source) or is_pair(source):
        return True
    return (
        langsmith.is_run(source)
        or langsmith.is_example(source)
        or isinstance(getattr(source, "messages", None), list)
        or isinstance(getattr(source, "values", None), Mapping)
    )


class _Once:
    """An iterator, which says so when it is asked for a second time."""

    def __init__(self, items: Iterator[Any]) -> None:
        self._items: Iterator[Any] | None = items

    def __call__(self) -> Iterator[Any]:
        if self._items is None:
            raise DatasetError("the source is an iterator, which was read already; give a list to read it again")
        items, self._items = self._items, None
        return items


class _Reader:
    """Records to rows, as the caller wants them."""

    def __init__(
        self,
        options: Options,
        schema: Schema,
        tools: Tools | None,
        input_key: str | None,
        output_key: str | None,
        form: Literal["conversation", "instruction"] | None,
        name: str,
    ) -> None:
        self._options = options
        self._schema = schema
        self._choose = tools if callable(tools) else None
        self._tools = wire_tools(tools) if tools is not None and not callable(tools) else []
        self._last: tuple[Any, list[Row]] = (None, [])
        self._keys = (input_key, output_key)
        self._form = form
        self._name = name

    def read(self, records: Iterable[Any]) -> Iterator[Record]:
        """Read all records."""
        name = self._name
        quick, make = not self._choose and self._options.reasoning == "keep", tuple.__new__
        tools = self._tools
        for number, record in enumerate(records, 1):
            try:
                if quick and type(record) is list:
                    messages = plain(record)
                    if messages:
                        row: Row = {"messages": messages, "tools": tools} if tools else {"messages": messages}
                        yield make(Example, (row, number, name, None, ()))
                        continue
                for made, group, changed in self._converted(record, number):
                    yield Example(made, number, name, group, changed)
            except Unconvertible as refused:
                yield Refusal(
                    refused.code, refused.message, number, name, refused.path, refused.value, refused.skipped
                )  # fmt: skip

    def _converted(self, record: Any, number: int) -> Iterator[Converted]:
        talks = langsmith.talks_of(record, self._schema, *self._keys)
        for talk in [talk_of(record, *self._keys)] if talks is None else talks:
            yield self._row(talk, record, number)

    def _row(self, talk: Talk, record: Any, number: int) -> Converted:
        if talk.answer is not None:
            if self._form != "conversation":
                return Converted({"prompt": talk.messages, "completion": talk.answer}, talk.group)
            talk = talk._replace(messages=[HumanMessage(talk.messages), AIMessage(talk.answer)])
        messages, changed = conversation(talk.messages, self._options, number)
        if not messages:
            raise Unconvertible("messages_empty", "there is no message")
        if talk.chat and not any(message["role"] == "assistant" for message in messages):
            text = "no message is the model's: map_ai_messages(sessions, sender=...) says who it is"
            raise Unconvertible("no_assistant_message", text, "messages")
        tools = self._declared(record, talk.tools)
        return Converted({"messages": messages, "tools": tools} if tools else {"messages": messages}, talk.group, changed)

    def _declared(self, record: Any, own: Sequence[Any]) -> list[Row]:
        """The tools of a row: its own, or those that the caller says."""
        given = own or (self._choose(record) if self._choose else ())
        if not given:
            return self._tools
        if self._last[0] is not given:
            try:
                self._last = (given, wire_tools(given))
            except Exception as problem:
                text = f"the tools cannot be described: {str(problem).splitlines()[0]}"
                raise Unconvertible("tool_invalid", text, "tools") from None
        return self._last[1]
