"""Training data from LlamaIndex's objects."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, islice
from os import PathLike
from typing import Any, Literal, TypeAlias

from llama_index_together_adapters import requests
from llama_index_together_adapters.finetuning import evaluations
from llama_index_together_adapters.finetuning.messages import convert_messages, plain_rows
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
    """Reads LlamaIndex's objects as training data.

    A source is one conversation or many: lists of chat messages, chat stores and memories, fine-tuning handlers and their files, the
    events of agents' runs, questions with answers or with the responses of engines, RAG data sets, and results of evaluators.
    Records that cannot become a row are refused with the reason and the path.

    Args:
        source: One of these, a list of them, or an iterator, which can be read only once. A path is read by `finetune.load`.
        tools: The tools of all rows (tools or dicts), or a function that returns those of a record. Tools that a record declares
            itself take precedence.
        form: Whether a question with its answer becomes a conversation or an instruction.
        template: Returns the prompt of a question with its contexts. The default is the `RagPrompt` of the fine-tuning helper,
            which can also mix in the contexts of other questions.
        expand: Which answers are trained on: `whole`, all in one row; `last_turn`, those after the last question;
            `every_assistant_turn`, each in a row of its own that ends with it.
        evaluated: Whether results of evaluators become preferences (the best and the worst answer to a question) or the answers that pass.
        reasoning: Whether to keep reasoning, or to drop and count it.
        collapse_prefixes: Whether to drop conversations that another one continues, as the calls of an agent repeat their history.
            None does so for the events of a handler.
        name: The name of the data in reports.

    Raises:
        TypeError: The source cannot be read.
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
    """Binds all contexts of the source to a template that mixes in contexts of other questions."""
    if not isinstance(template, RagPrompt) or not template.distractors:
        return template
    pairs = (one for record in records() for one in read_record(record) if isinstance(one, Pair))
    return partial(template, pool=sorted({context for pair in pairs for context in pair.contexts}))


def _records(source: Any) -> Callable[[], Iterable[Any]]:
    """Returns a function that gives the records of a source."""
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
    """Returns tools as a row declares them."""
    return [tool if "function" in tool else {"type": "function", "function": tool} for tool in requests.wire_tools(tools) or ()]


class _Reader(FrameworkReader):
    """Converts LlamaIndex's records to rows."""

    plain_rows = staticmethod(plain_rows)
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

    def _of_conversation(self, conversation: Conversation, record: Any, number: int) -> Converted:
        messages, changes = convert_messages(conversation.messages, self._options, number)
        return self.with_tools(Converted({"messages": messages}, conversation.group, changes), record, conversation.tools)
