"""Finds the conversations, or the question with its answer, in each kind of LlamaIndex's objects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from llama_index.core.base.llms.types import ChatMessage

from together_adapters.finetune.formats.framework_source import Conversation
from together_adapters.finetune.records import Unconvertible


class Pair(NamedTuple):
    """A question with its answer and the contexts that were retrieved for it."""

    query: str
    answer: str
    contexts: Sequence[str] = ()


def is_message(value: Any) -> bool:
    """Whether a value is one message."""
    return isinstance(value, ChatMessage) or (isinstance(value, Mapping) and "role" in value)


def unpack(source: Any) -> Iterator[Any] | None:
    """Returns the records of a store, a memory, a handler or a data set, or None where a source is none of these."""
    if hasattr(source, "get_finetuning_events"):
        return _events(source.get_finetuning_events())
    if isinstance(source, Mapping):
        store = source.get("store")
        return _of_store(store) if isinstance(store, Mapping) else _of_dataset(source)
    if isinstance(getattr(source, "store", None), Mapping):  # its own export fails in some versions of LlamaIndex
        return _of_store(source.store)
    if hasattr(source, "get_keys") and hasattr(source, "get_messages"):
        return (Conversation(source.get_messages(key), group=str(key)) for key in source.get_keys())
    if hasattr(source, "chat_store") and hasattr(source, "chat_store_key"):  # `get` would cut the conversation
        key = source.chat_store_key
        return iter([Conversation(source.chat_store.get_messages(key), group=str(key))])
    if hasattr(source, "get_all") and hasattr(source, "put"):
        session = getattr(source, "session_id", None)
        return iter([Conversation(source.get_all(), group=None if session is None else str(session))])
    return _of_dataset(source)


def _of_store(store: Mapping[str, Any]) -> Iterator[Conversation]:
    for key, messages in store.items():
        yield Conversation(messages, group=str(key))


def _of_dataset(source: Any) -> Iterator[Any] | None:
    """Returns the examples of an evaluation set, recognised by its fields, because its classes change between versions."""
    fields = source if isinstance(source, Mapping) else getattr(source, "__dict__", {})
    if "relevant_docs" in fields:
        raise TypeError(
            "an embedding data set pairs questions with documents; there is nothing in it that a chat model could learn"
        )
    examples = fields.get("examples")
    if isinstance(examples, list):
        return iter(examples)
    if isinstance(fields.get("queries"), Mapping) and isinstance(fields.get("responses"), Mapping):
        return _queries_with_responses(fields["queries"], fields["responses"])
    return None


def _queries_with_responses(queries: Mapping[str, str], responses: Mapping[str, str]) -> Iterator[Any]:
    for key, query in queries.items():
        yield (query, responses.get(key) or "")


def _events(events: Mapping[str, Any]) -> Iterator[Any]:
    """Yields the events of a fine-tuning handler."""
    for key, event in events.items():
        yield {**event, "id": key} if isinstance(event, Mapping) else event


def read_record(record: Any) -> list[Conversation | Pair]:
    """Returns the conversations or the question in a record; raises `Unconvertible` where there is none."""
    if isinstance(record, Conversation):
        return [record]
    if isinstance(record, list) and any(_is_event(one) for one in record):
        return list(_of_run(record))
    if isinstance(record, list) or is_message(record):
        return [Conversation([record] if is_message(record) else record)]
    if isinstance(record, tuple) and len(record) == 2:
        return [_of_pair(record[0], record[1])]
    if isinstance(record, Mapping) and ("messages" in record):
        return [_of_mapping(record)]
    if (query := _field(record, "query")) is not None and _field(record, "reference_answer") is not None:
        return [Pair(query, _field(record, "reference_answer"), _field(record, "reference_contexts") or ())]
    inner = unpack(record)
    if inner is not None:
        return [item for one in inner for item in read_record(one)]
    raise Unconvertible("record_unknown", f"a {type(record).__name__} is no conversation", value=type(record).__name__)


def _field(record: Any, name: str) -> Any:
    return record.get(name) if isinstance(record, Mapping) else getattr(record, name, None)


def _of_mapping(record: Mapping[str, Any]) -> Conversation:
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
    return Conversation(messages, record.get("tools") or record.get("functions") or ())


def _of_pair(question: Any, output: Any) -> Conversation | Pair:
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
    return Conversation([*messages, answer if not isinstance(answer, str) else ChatMessage(role="assistant", content=answer)])


def _is_event(value: Any) -> bool:
    return type(value).__name__ in ("AgentInput", "AgentOutput", "AgentSetup", "AgentStream", "ToolCall", "ToolCallResult")


def _of_run(events: Sequence[Any]) -> Iterator[Conversation]:
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
    yield from (Conversation(messages) for messages in conversations.values())
