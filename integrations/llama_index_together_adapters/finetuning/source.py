"""Training data from LlamaIndex's objects: the conversations, or the question with its answer, in each kind of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, islice
from os import PathLike
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from llama_index.core.base.llms.types import ChatMessage

from llama_index_together_adapters import requests
from llama_index_together_adapters.finetuning import evaluations
from llama_index_together_adapters.finetuning.messages import convert_messages, plain_rows
from together_adapters.finetune.dataset import TrainingData
from together_adapters.finetune.formats.conversation import Expand
from together_adapters.finetune.formats.framework_source import (
    FrameworkConversation,
    FrameworkReader,
    Tools,
    fields_left_out,
    other_framework,
    records_of,
    training_data,
)
from together_adapters.finetune.formats.options import Options
from together_adapters.finetune.formats.rag import RagPrompt
from together_adapters.finetune.records import NO_FIELDS, Converted, Record, Row, Unconvertible

_RAG_FIELDS: Final = ("query", "reference_answer", "reference_contexts", "query_by", "reference_answer_by")
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
        reader = _LlamaIndexReader(Options(reasoning=reasoning, form=form), tools, _with_pool(prompt, records), evaluated, name)
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
        raise TypeError(f"from_llama_index reads messages, conversations and data sets, not a {type(source).__name__}")
    records, _ = records_of(source, _is_part)
    return records


def _is_part(first: Any) -> bool:
    """Whether a list that begins so is one conversation, or one run."""
    return is_message(first) or type(first).__name__ in ("AgentInput", "AgentSetup", "AgentWorkflowStartEvent")


def wire_tools(tools: Sequence[Any]) -> list[Row]:
    """Returns tools as a row declares them."""
    return requests.wire_tools(tools)


class _LlamaIndexReader(FrameworkReader):
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
            return Converted({"prompt": prompt, "completion": pair.answer}, left_out=pair.left_out)
        messages = [{"role": "user", "content": prompt}, {"role": "assistant", "content": pair.answer}]
        return Converted({"messages": messages}, left_out=pair.left_out)

    def _of_conversation(self, conversation: FrameworkConversation, record: Any, number: int) -> Converted:
        converted = convert_messages(conversation.messages, self._options, number)
        left_out = {**converted.left_out, **conversation.left_out} if conversation.left_out else converted.left_out
        return self.with_tools(converted._replace(group=conversation.group, left_out=left_out), record, conversation.tools)


class Pair(NamedTuple):
    """A question with its answer and the contexts that were retrieved for it."""

    query: str
    answer: str
    contexts: Sequence[str] = ()
    left_out: Mapping[str, Any] = NO_FIELDS


def is_message(value: Any) -> bool:
    """Whether a value is one message."""
    return isinstance(value, ChatMessage) or (isinstance(value, Mapping) and "role" in value)


def unpack(source: Any) -> Iterator[Any] | None:
    """Returns the records of a store, a memory, a handler or a data set, or None where a source is none of these."""
    if hasattr(source, "get_finetuning_events"):
        events = source.get_finetuning_events().items()
        return ({**event, "id": key} if isinstance(event, Mapping) else event for key, event in events)
    if isinstance(source, Mapping):
        store = source.get("store")
        return _of_items(store.items()) if isinstance(store, Mapping) else _of_dataset(source)
    if isinstance(getattr(source, "store", None), Mapping):  # its own export fails in some versions of LlamaIndex
        return _of_items(source.store.items())
    if hasattr(source, "get_keys") and hasattr(source, "get_messages"):
        return _of_items((key, source.get_messages(key)) for key in source.get_keys())
    if hasattr(source, "chat_store") and hasattr(source, "chat_store_key"):  # `get` would cut the conversation
        return _of_items([(source.chat_store_key, source.chat_store.get_messages(source.chat_store_key))])
    if hasattr(source, "get_all") and hasattr(source, "put"):
        session = getattr(source, "session_id", None)
        return iter([FrameworkConversation(source.get_all(), group=None if session is None else str(session))])
    return _of_dataset(source)


def _of_items(items: Iterable[tuple[Any, Any]]) -> Iterator[FrameworkConversation]:
    return (FrameworkConversation(messages, group=str(key)) for key, messages in items)


def _of_dataset(source: Any) -> Iterator[Any] | None:
    """Returns the examples of an evaluation set, recognised by its fields, because its classes change between versions."""
    fields = source if isinstance(source, Mapping) else getattr(source, "__dict__", {})
    if "relevant_docs" in fields:
        raise TypeError("an embedding data set pairs questions with documents: there is nothing that a chat model could learn")
    examples = fields.get("examples")
    if isinstance(examples, list):
        return iter(examples)
    if isinstance(fields.get("queries"), Mapping) and isinstance(fields.get("responses"), Mapping):
        return ((query, fields["responses"].get(key) or "") for key, query in fields["queries"].items())
    return None


def read_record(record: Any) -> list[FrameworkConversation | Pair]:
    """Returns the conversations or the question in a record; raises `Unconvertible` where there is none."""
    if isinstance(record, FrameworkConversation):
        return [record]
    if isinstance(record, list) and any(_is_event(one) for one in record):
        return list(_of_run(record))
    if isinstance(record, list) or is_message(record):
        return [FrameworkConversation([record] if is_message(record) else record)]
    if isinstance(record, tuple) and len(record) == 2:
        return [_of_pair(record[0], record[1])]
    if isinstance(record, Mapping) and ("messages" in record):
        return [_of_mapping(record)]
    if (query := _field(record, "query")) is not None and (answer := _field(record, "reference_answer")) is not None:
        return [Pair(query, answer, _field(record, "reference_contexts") or (), fields_left_out(record, *_RAG_FIELDS))]
    inner = unpack(record)
    if inner is not None:
        return [item for one in inner for item in read_record(one)]
    raise Unconvertible(
        "record_unknown", f"a {type(record).__name__} is no conversation{other_framework(record)}", value=type(record).__name__
    )


def _field(record: Any, name: str) -> Any:
    return record.get(name) if isinstance(record, Mapping) else getattr(record, name, None)


def _of_mapping(record: Mapping[str, Any]) -> FrameworkConversation:
    messages = list(record["messages"])
    if record.get("response") is not None:
        answer = record["response"]
        answer = getattr(answer, "message", answer)
        if not messages or messages[-1] is not answer:
            messages.append(answer)
    elif "response" in record:
        raise Unconvertible("run_pending", "the call has no answer", "response", skipped=True)
    role = _field(messages[-1], "role") if messages else None
    if "id" in record and getattr(role, "value", role) not in ("assistant", "chatbot", "model"):
        raise Unconvertible("run_pending", "the call has no answer: its last message is a question", "messages", skipped=True)
    left_out = fields_left_out(record, "messages", "response", "tools", "functions", "id")
    return FrameworkConversation(messages, record.get("tools") or record.get("functions") or (), left_out=left_out)


def _of_pair(question: Any, output: Any) -> FrameworkConversation | Pair:
    """Returns a question with its answer, which is text, a message, or the response of an engine or a model."""
    contexts = [node.get_content() for node in getattr(output, "source_nodes", None) or ()]
    answer = getattr(output, "message", output)
    if not isinstance(answer, str | ChatMessage):
        answer = getattr(output, "response", None) or getattr(output, "text", None) or str(output)
    query = getattr(question, "query_str", question)
    if isinstance(query, str) and isinstance(answer, str):
        return Pair(query, answer, contexts)
    messages = (
        [ChatMessage(role="user", content=query)] if isinstance(query, str) else [query] if is_message(query) else list(query)
    )
    return FrameworkConversation(
        [*messages, answer if not isinstance(answer, str) else ChatMessage(role="assistant", content=answer)]
    )


def _is_event(value: Any) -> bool:
    return type(value).__name__ in ("AgentInput", "AgentOutput", "AgentSetup", "AgentStream", "ToolCall", "ToolCallResult")


def _of_run(events: Sequence[Any]) -> Iterator[FrameworkConversation]:
    """Yields the conversation of each agent in a run: its last input, which holds the history, and its last answer."""
    inputs: dict[str, Sequence[ChatMessage]] = {}
    conversations: dict[str, list[Any]] = {}
    for event in events:
        kind, name = type(event).__name__, getattr(event, "current_agent_name", "")
        if kind == "AgentInput":
            inputs[name] = event.input
        elif kind == "AgentOutput" and name in inputs:
            conversations[name] = [*inputs[name], event.response]
    if not conversations:
        raise Unconvertible("record_unknown", "these events hold no AgentInput with its AgentOutput")
    yield from (FrameworkConversation(messages) for messages in conversations.values())
