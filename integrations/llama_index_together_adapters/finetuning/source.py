"""LlamaIndex's objects as training data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, islice
from os import PathLike
from typing import Any, Literal, TypeAlias

from llama_index_together_adapters import requests
from llama_index_together_adapters.finetuning import evaluations
from llama_index_together_adapters.finetuning.messages import conversation, plain
from llama_index_together_adapters.finetuning.records import Pair, is_message, read_record, unpack
from together_adapters.finetune.dataset import TrainingData
from together_adapters.finetune.formats.conversation import Expand
from together_adapters.finetune.formats.framework_source import (
    Conversation,
    FrameworkReader,
    Tools,
    records_of,
    training_data,
)
from together_adapters.finetune.formats.options import Options
from together_adapters.finetune.formats.rag import RagPrompt
from together_adapters.finetune.records import Converted, Record, Row, Unconvertible

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
    """Read LlamaIndex's objects as training data.

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
        reader = _Reader(Options(reasoning=reasoning, form=form), tools, _with_pool(prompt, records), evaluated, name)
        return reader.read(records())

    is_handler = hasattr(source, "get_finetuning_events")
    collapse = is_handler if collapse_prefixes is None else collapse_prefixes
    return training_data(read, name, expand=expand, collapse_prefixes=collapse)


def _with_pool(template: Template, records: Callable[[], Iterable[Any]]) -> Template:
    """Give a template that mixes in contexts of other questions all contexts of the source."""
    if not isinstance(template, RagPrompt) or not template.distractors:
        return template
    pairs = (one for record in records() for one in read_record(record) if isinstance(one, Pair))
    return partial(template, pool=sorted({context for pair in pairs for context in pair.contexts}))


def _records(source: Any) -> Callable[[], Iterable[Any]]:
    """Return what gives the records of a source, each time from the beginning."""
    if unpack(source) is not None:
        return lambda: unpack(source) or ()
    if isinstance(source, Mapping | tuple) or is_message(source):
        return lambda: (source,)
    if not isinstance(source, Iterable) or hasattr(source, "model_fields"):
        raise TypeError(f"from_llama_index cannot read a {type(source).__name__}")
    records, _ = records_of(source, _is_part)
    return records


def _is_part(first: Any) -> bool:
    """Whether a list that begins so is one conversation, or one run."""
    return is_message(first) or type(first).__name__ in ("AgentInput", "AgentSetup", "AgentWorkflowStartEvent")


def wire_tools(tools: Sequence[Any]) -> list[Row]:
    """Return tools as a row declares them."""
    return [tool if "function" in tool else {"type": "function", "function": tool} for tool in requests.wire_tools(tools) or ()]


class _Reader(FrameworkReader):
    """Converts LlamaIndex's records to rows."""

    plain = staticmethod(plain)
    wire_tools = staticmethod(wire_tools)

    def __init__(self, options: Options, tools: Tools | None, template: Template, evaluated: str, name: str) -> None:
        super().__init__(tools, name)
        self._options = options
        self._template = template
        self._evaluated = evaluated

    def read(self, records: Iterable[Any]) -> Iterator[Record]:
        items = iter(records)
        start = list(islice(items, 1))
        items = chain(start, items)
        if any(map(evaluations.is_result, start)):
            rows = evaluations.passing if self._evaluated == "passing" else evaluations.preferences
            return rows(items, self._name)
        return super().read(items)

    def convert(self, record: Any, number: int) -> Iterator[Converted]:
        for item in read_record(record):
            yield self._of_pair(item) if isinstance(item, Pair) else self._of_conversation(item, record, number)

    def _of_pair(self, pair: Pair) -> Converted:
        if not pair.answer:
            raise Unconvertible("content_missing", "there is no answer to this question", "reference_answer", pair.query)
        prompt = self._template(pair.query, pair.contexts) if pair.contexts else pair.query
        if self._options.form == "instruction":
            return Converted({"prompt": prompt, "completion": pair.answer})
        return Converted({"messages": [{"role": "user", "content": prompt}, {"role": "assistant", "content": pair.answer}]})

    def _of_conversation(self, own: Conversation, record: Any, number: int) -> Converted:
        messages, changes = conversation(own.messages, self._options, number)
        return self.with_tools(Converted({"messages": messages}, own.group, changes), record, own.tools)
