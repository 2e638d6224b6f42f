"""Whatever a LlamaIndex program holds, as training data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, islice
from os import PathLike
from typing import Any, Literal, TypeAlias

from together_adapters.finetune.formats.conversations import Expand, expanded

from llama_index_together_adapters.finetuning import evaluations
from llama_index_together_adapters.finetuning.messages import Options, conversation, plain
from llama_index_together_adapters.finetuning.records import Pair, Talk, is_message, read_record, unpacked
from llama_index_together_adapters.requests import wire_tools
from together_adapters.errors import DatasetError
from together_adapters.finetune.dataset import TrainingData
from together_adapters.finetune.formats.rag import RagPrompt
from together_adapters.finetune.records import Converted, Example, Record, Refusal, Row, Unconvertible
from together_adapters.finetune.writing.trace_prefixes import drop_prefixes

Tools: TypeAlias = "Sequence[Any] | Callable[[Any], Sequence[Any]]"
Template: TypeAlias = Callable[[str, Sequence[str]], str]


def from_llama_index(
    source: Any,
    *,
    tools: Tools | None = None,
    form: Literal["conversation", "instruction"] = "conversation",
    template: Template | None = None,
    expand: Expand = "whole",
    evaluated: Literal["preferences", "passing"] = "preferences",
    reasoning: Literal["keep", "drop"] = "keep",
    collapse_prefixes: bool | None = None,
    name: str = "llama_index",
) -> TrainingData:
    """Read what LlamaIndex holds as rows for training.

    A source is one conversation or many: lists of chat messages, chat stores and memories, fine-tuning handlers and their files, the
    events of agents' runs, questions with answers or with the responses of engines, RAG data sets, and results of evaluators.
    Messages are read block by block. Nothing is guessed, nothing vanishes: what a row cannot hold becomes a refusal that says where
    it is.

    Args:
        source: One of these, a list of them, or an iterator, which can be read once only. A path is read by `finetune.load`.
        tools: What the model could call: tools or dicts; for all rows, or a function that is given a record. What a record declares
            itself goes before.
        form: What a question with its answer becomes.
        template: Makes the prompt of a question and its contexts. None is the `RagPrompt` of the fine-tuning helper, which can also
            mix in the contexts of other questions.
        expand: Which answers are trained on: `whole`, all in one row; `last_turn`, those after the last question;
            `every_assistant_turn`, each in a row of its own that ends with it.
        evaluated: What evaluators' results become: pairs of the best and the worst answer to a question, or the answers that pass.
        reasoning: Whether reasoning is trained on, or left out and counted.
        collapse_prefixes: Whether conversations that another one continues are left out, as the calls of an agent repeat their
            history. None does so for the events of a handler.
        name: What the data is called in reports.

    Raises:
        TypeError: The source is nothing that can be read.
    """
    if isinstance(source, str | PathLike):
        from together_adapters.finetune.loading import load

        return load(source)
    records = _records(source)
    prompt = template or RagPrompt()

    def read() -> Iterator[Record]:
        return _Reader(Options(reasoning), tools, form, _pooled(prompt, records), evaluated, name).read(records())

    handled = hasattr(source, "get_finetuning_events") if collapse_prefixes is None else collapse_prefixes
    whole = drop_prefixes(read) if handled else read
    return TrainingData(whole if expand == "whole" else lambda: _expanded(whole(), expand), name)


def _expanded(records: Iterable[Record], expand: Expand) -> Iterator[Record]:
    for record in records:
        if isinstance(record, Example) and "messages" in record.row:
            for messages in expanded(record.row["messages"], expand):
                yield record._replace(row={**record.row, "messages": messages})
        else:
            yield record


def _pooled(template: Template, records: Callable[[], Iterable[Any]]) -> Template:
    """A template that mixes in other contexts is given all that there are."""
    if not isinstance(template, RagPrompt) or not template.distractors:
        return template
    found = (one for record in records() for one in read_record(record))
    contexts = {context for one in found if isinstance(one, Pair) for context in one.contexts}
    return partial(template, pool=sorted(contexts))


def _records(source: Any) -> Callable[[], Iterable[Any]]:
    """Return what gives the records of a source, each time from the beginning."""
    if unpacked(source) is not None:
        return lambda: unpacked(source) or ()
    if isinstance(source, Mapping | tuple) or is_message(source):
        return lambda: (source,)
    if not isinstance(source, Iterable) or hasattr(source, "model_fields"):
        raise TypeError(f"from_llama_index cannot read a {type(source).__name__}")
    if isinstance(source, Iterator):
        beginning = list(islice(source, 1))
        source = chain(beginning, source)
        if not any(map(_is_part, beginning)):
            return _Once(source)
        source = list(source)
    first = next(iter(source), None)
    return (lambda: (source,)) if _is_part(first) else (lambda: source)


def _is_part(first: Any) -> bool:
    """Whether a list that begins so is one conversation, or one run."""
    return is_message(first) or type(first).__name__ in ("AgentInput", "AgentSetup", "AgentWorkflowStartEvent")


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

    def __init__(self, options: Options, tools: Tools | None, form: str, template: Template, evaluated: str, name: str) -> None:
        self._options = options
        self._choose = tools if callable(tools) else None
        self._tools = (wire_tools(tools) or []) if tools is not None and not callable(tools) else []
        self._form = form
        self._template = template
        self._evaluated = evaluated
        self._name = name

    def read(self, records: Iterable[Any]) -> Iterator[Record]:
        """Read all records."""
        items = iter(records)
        beginning = list(islice(items, 1))
        items = chain(beginning, items)
        if any(map(evaluations.is_result, beginning)):
            rows = evaluations.passing if self._evaluated == "passing" else evaluations.preferences
            return rows(items, self._name)
        return self._rows(items)

    def _rows(self, records: Iterable[Any]) -> Iterator[Record]:
        name, tools, quick, make = self._name, self._tools, not self._choose, tuple.__new__
        for number, record in enumerate(records, 1):
            if quick and type(record) is list:
                messages = plain(record)
                if messages:
                    row: Row = {"messages": messages, "tools": tools} if tools else {"messages": messages}
                    yield make(Example, (row, number, name, None, ()))
                    continue
            try:
                for made, group, changed in self._converted(record, number):
                    yield Example(made, number, name, group, changed)
            except Unconvertible as refused:
                yield Refusal(
                    refused.code, refused.message, number, name, refused.path, refused.value, refused.skipped
                )  # fmt: skip

    def _converted(self, record: Any, number: int) -> Iterator[Converted]:
        for found in read_record(record):
            yield self._of_pair(found) if isinstance(found, Pair) else self._of_talk(found, record, number)

    def _of_pair(self, pair: Pair) -> Converted:
        if not pair.answer:
            raise Unconvertible("content_missing", "there is no answer to this question", "reference_answer", pair.query)
        asked = self._template(pair.query, pair.contexts) if pair.contexts else pair.query
        if self._form == "instruction":
            return Converted({"prompt": asked, "completion": pair.answer})
        said = [{"role": "user", "content": asked}, {"role": "assistant", "content": pair.answer}]
        return Converted({"messages": said})

    def _of_talk(self, talk: Talk, record: Any, number: int) -> Converted:
        messages, changed = conversation(talk.messages, self._options, number)
        if not messages:
            raise Unconvertible("messages_empty", "there is no message")
        tools = self._declared(talk.tools or (self._choose(record) if self._choose else ()))
        return Converted({"messages": messages, "tools": tools} if tools else {"messages": messages}, talk.group, changed)

    def _declared(self, own: Sequence[Any]) -> list[Row]:
        if not own:
            return self._tools
        try:
            tools = wire_tools(own) or []
        except Exception as problem:
            text = f"the tools cannot be described: {str(problem).splitlines()[0]}"
            raise Unconvertible("tool_invalid", text, "tools") from None
        return [tool if "function" in tool else {"type": "function", "function": tool} for tool in tools]
