"""Detects the format of a source from its first records; exactly one format must fit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import lru_cache
from itertools import chain, islice
from typing import Any, Final

from together_adapters.finetune.accounting import PAIRING, has_value, is_messages, meaning_of
from together_adapters.finetune.errors import SchemaDetectionError
from together_adapters.finetune.formats.column_names import ANSWERS as ANSWER_NAMES
from together_adapters.finetune.formats.column_names import (
    QUESTIONS,
    Reading,
    is_question_or_answer,
    reading_of,
    sides_of,
    way_on,
)
from together_adapters.finetune.formats.exports.langchain_files import is_langchain
from together_adapters.finetune.formats.exports.message_trees import is_table
from together_adapters.finetune.formats.function_calling import is_calls, is_chat_text
from together_adapters.finetune.formats.instruction import answer_texts
from together_adapters.finetune.formats.langchain_json import is_message
from together_adapters.finetune.formats.layouts.provider_messages import role_of
from together_adapters.finetune.formats.layouts.turns import turn_column
from together_adapters.finetune.formats.options import CONVERSION_ERRORS
from together_adapters.finetune.formats.preference import ANSWERS, BESIDE_MESSAGES, has_scores
from together_adapters.finetune.formats.registry import DATA_FORMATS
from together_adapters.finetune.formats.requests import is_exchange
from together_adapters.finetune.formats.traces import attributes_of, spans
from together_adapters.finetune.readers.fields import field, flat, is_empty_json, nested
from together_adapters.finetune.records import Unconvertible

_RETRIEVAL: Final = (
    ("queries", "corpus", "relevant_docs"), ("anchor", "positive"), ("query", "positive"), ("query", "pos"),
    ("sentence1", "sentence2"), ("query", "passages"),
)  # fmt: skip
_RETRIEVAL_COLUMNS: Final = frozenset(chain.from_iterable(_RETRIEVAL))
_BATCH: Final = {
    "body": "these are the requests of a batch, which have no answers: join them with its output file, by custom_id, into records"
    " with `messages` that end with the answer",
    "params": "these are the requests of a batch, which have no answers: join them with its results, by custom_id, into records"
    " with `messages` that end with the answer",
    "response": "these are the responses of a batch: the questions are in its input file; join both, by custom_id, into records with"
    " `messages` that end with the answer",
    "result": "these are the results of a batch: the questions are in its input file; join both, by custom_id, into records with"
    " `messages` that end with the answer",
}
_DECISIONS: Final = ("accept", "reject", "ignore")
"""What Prodigy's `answer` says of an annotation."""
_BESIDE_ANSWERS: Final = frozenset({"chosen", "messages"})
"""Columns beside which a list of answers is no data of its own."""
_TEXT_KEYS: Final = ({"role", "content"}, {"from", "value"})
"""The keys of a message or turn with text only."""
_PARTS: Final = (("prompt", "instruction"), ("input", "context"), ("completion", "output"))
_OPENINFERENCE: Final = ("llm.input_messages", "llm.output_messages", "openinference.")
_OTEL: Final = ("gen_ai.",)
_OF_REQUESTS: Final = ("messages", "prompt_completion", "text")
_ADAPTERS: Final = {
    **dict.fromkeys(
        ("langchain", "langchain_core", "langgraph", "langsmith"), "langchain_together_adapters.finetuning.from_langchain"
    ),
    "llama_index": "llama_index_together_adapters.finetuning.from_llama_index",
}
"""The functions that read the objects of a package."""
MIXED: Final = frozenset({"messages", "sharegpt", "prompt_completion", "alpaca"})
"""Formats whose records may stand in one source: all can become conversations."""


def detect(records: Sequence[Any], *, pair: str | None = None) -> tuple[Reading, ...]:
    """Returns how some records are read: one reading, or several of which each record has one and all make conversations.

    Raises `SchemaDetectionError` if no format fits, or several do.
    """
    readings: dict[Reading, None] = {}
    several = False
    columns = _columns_with_values(records)
    shapes: set[tuple[tuple[Any, ...], ...]] = set()
    of_complete: dict[tuple[str, ...], list[Reading]] = {}
    for record in sorted(records, key=lambda record: not _is_complete(record, columns)):
        if shape := _shape_of(record):
            if shape in shapes:
                continue
            shapes.add(shape)
        refuse(record, pair)
        try:
            of_record = readings_of(record, columns.get(tuple(record), ()) if isinstance(record, dict) else (), pair)
        except SchemaDetectionError:
            raise
        except (Unconvertible, *CONVERSION_ERRORS):
            continue
        of_columns = of_complete.setdefault(tuple(record), of_record) if isinstance(record, dict) else of_record
        if of_columns != of_record and not _is_complete(record, columns):
            continue  # a failed call has a question alone
        several = several or len(of_record) > 1
        readings |= dict.fromkeys(of_record)
    for reading in [reading for reading in readings if reading.schema == "question_answers"]:  # some of its answers are lists
        same = {column for _, column in reading.columns}
        readings = {one: None for one in readings if one == reading or {column for _, column in one.columns} != same}
    names = list(dict.fromkeys(reading.schema for reading in readings))
    if len(readings) == 1 or (readings and not several and MIXED.issuperset(names)):
        return tuple(readings)
    if names:
        ways = " or ".join(f"schema={name!r}" for name in names)
        raise _error(f"several formats fit: {', '.join(names)}; {ways} says which", *names)
    record = next((record for record in records if isinstance(record, dict)), {})
    raise _unknown(columns.get(tuple(record), ()), record)


def readings_of(record: Any, columns: tuple[str, ...], pair: str | None = None) -> list[Reading]:
    """Returns how a record may be read; `columns` are those with a value, in this record or in others with the same columns."""
    reading = reading_of(columns) if isinstance(record, dict) else None
    if reading is not None and reading.schema == "preference" and reading.columns:
        return [reading]
    if {"chosen", "rejected"}.issubset(columns) and "prompt" not in columns and not QUESTIONS.isdisjoint(columns):
        raise _unknown(columns, record)
    names = candidates(record, pair)
    if reading is not None and names in ([], ["text"]):
        return [_with_answers(reading, record)]
    if names == ["messages"] and (answer := _answer_beside(record, columns)):
        return [Reading("prompt_completion", (("prompt", "messages"), ("completion", answer)))]
    if names == ["text"] and not (ANSWER_NAMES | QUESTIONS).isdisjoint(columns):
        raise _unknown(columns, record)
    return [Reading(name) for name in names]


def _shape_of(record: Any) -> tuple[tuple[Any, ...], ...]:
    """Returns what says alone how a record of texts, or of messages with texts, is read; nothing for other records.

    That is the columns, which of them have a value, and the keys and roles of the first and last message.
    """
    if type(record) is not dict or "type" in record or "chat" in record:
        return ()
    shape: list[tuple[Any, ...]] = []
    for column, value in record.items():
        if type(value) is str:
            if value[:1] in ("{", "[") or value[:1].isspace():
                return ()
            shape.append((column, value != ""))
        elif type(value) is list and value and column in ("messages", "conversations"):
            for message in (value[0], value[-1]):
                if (
                    type(message) is not dict
                    or message.keys() not in _TEXT_KEYS
                    or not all(type(text) is str for text in message.values())
                ):
                    return ()
                shape.append((column, *message, message.get("role")))
        else:
            return ()
    return tuple(shape)


def _with_answers(reading: Reading, record: dict[str, Any]) -> Reading:
    """Returns a reading whose answer is a list of texts as one of several answers."""
    columns = dict(reading.columns)
    question, context, answer = (columns.get(a, columns.get(b)) for a, b in _PARTS)
    if question is None or answer is None or not isinstance(record.get(answer), list) or not answer_texts(record[answer]):
        return reading
    others = () if context is None else (("context", context),)
    return Reading("question_answers", (("question", question), *others, ("answers", answer)))


def _answer_beside(record: Any, columns: tuple[str, ...]) -> str | None:
    """Returns the one column with the answer to messages that end with a question."""
    messages = record.get("messages") if isinstance(record, dict) else None
    answers = [column for column in columns if column in ANSWER_NAMES]
    last = messages[-1] if isinstance(messages, list) and messages else None
    ends_with_question = isinstance(last, dict) and role_of(last.get("role")) in ("user", "tool")
    return answers[0] if ends_with_question and len(answers) == 1 and answers[0] != "response" else None


def _columns_with_values(records: Iterable[Any]) -> dict[tuple[str, ...], tuple[str, ...]]:
    """Returns for each order of columns those that have a value in some record."""
    columns: dict[tuple[str, ...], dict[str, None]] = {}
    for record in records:
        if isinstance(record, dict):
            values = columns.setdefault(tuple(record), {})
            if len(values) < len(record):
                values |= dict.fromkeys(str(key) for key, value in record.items() if has_value(value))
    return {key: tuple(name for name in map(str, key) if name in values) for key, values in columns.items()}


def _is_complete(record: Any, columns: Mapping[tuple[str, ...], tuple[str, ...]]) -> bool:
    """Whether a record has a value in each column in which some record with the same columns has one."""
    names = columns.get(tuple(record), ()) if isinstance(record, dict) else ()
    return all(has_value(record.get(name)) and not is_empty_json(record.get(name)) for name in names)


def _empty_column(columns: Sequence[str], names: tuple[str, ...]) -> str | None:
    """Returns the column without a value, of all names, whose values would make questions and answers of the records."""
    if len(columns) == len(names) or reading_of(names) is None:
        return None
    return next((name for name in names if name not in columns and is_question_or_answer(name)), None)


def _unknown(columns: Sequence[str], record: dict[str, Any]) -> SchemaDetectionError:
    """Returns the error for records of which no format is known, with the way on."""
    if column := _empty_column(columns, tuple(map(str, record))):
        return _error(f"the column {column} is empty in all records: fill it")
    with_columns = f" with the columns {', '.join(columns[:20])}" if columns else ""
    if sides := sides_of(columns):
        names = " and ".join(map(repr, sides))
        text = f"no format fits records{with_columns}; {names} answer one question: put the better answer into a column `chosen`"
        return _error(f"{text}, the worse one into `rejected`, and the question into `prompt`")
    if any(str(column).rstrip()[-1:] in (".", "?", "!") for column in columns):
        return _error(
            f"no format fits records{with_columns}; these look like values: is the line with names, prompt,completion, missing?"
        )
    chats = [column for column in columns if is_messages(record.get(column))]
    advice = _advice(columns, record)
    if not advice and len(chats) == 1:
        answer = f"columns={ {'prompt': chats[0], 'completion': 'COLUMN'}!r} says which column is the answer"
        return _error(f"no format fits records{with_columns}; {chats[0]!r} ends without an answer; {answer}")
    if not advice:
        fields = flat(record, *(column for column in columns if isinstance(record.get(column), dict)))
        advice = _advice([column for column in fields if has_value(fields[column])], fields)
    advice = advice or "columns={'prompt': 'COLUMN', 'completion': 'COLUMN'} says which columns are the question and the answer"
    pairs = "; of two answers to compare, 'chosen' names the better and 'rejected' the worse" if len(columns) > 2 else ""
    return _error(f"no format fits records{with_columns}; {advice}{pairs}")


def _advice(columns: Sequence[str], record: dict[str, Any]) -> str:
    """Returns which columns are to be named, and how; empty where a guess may be wrong."""
    chats = [column for column in columns if is_messages(record.get(column))]
    if len(chats) == 1 and role_of(record[chats[0]][-1].get("role")) not in ("user", "system"):
        return f"columns={ {'messages': chats[0]}!r} reads the messages in {chats[0]!r}"
    others = [column for column in columns if meaning_of(column) is not True]
    texts = [column for column in others if isinstance(record.get(column), str) and record[column] not in _DECISIONS]
    if chats:
        named = way_on([*texts, "prompt"], is_all=False)
        named = named.replace("'prompt': 'prompt'", f"'prompt': {chats[0]!r}") if "'completion'" in named else ""
    else:
        named = way_on(texts, is_all=len(texts) == len(others))
    return f"{named} says which columns are the question and the answer" if named else ""


def candidates(record: Any, pair: str | None = None) -> list[str]:
    """Returns the formats that a record may have."""
    if isinstance(record, list):
        names = ["messages"] if record and isinstance(record[0], dict) and "role" in record[0] else []
        return names or (["langchain"] if is_langchain(record) else [])
    if not isinstance(record, dict):
        return _of_object(record)
    columns = frozenset(key for key, value in record.items() if value is not None)
    names = [*_formats_with(columns)]
    if is_langchain(record):
        return ["langchain"]
    if turn_column(record):
        names = [name for name in names if name != "messages" or turn_column(record) != "messages"]
        names.append("sharegpt")
        if "preference" in names and not _is_chat(record["chosen"]):
            names.remove("preference")
        elif "preference" in names:
            names.remove("sharegpt")  # the chat stands in both answers
    if "preference" in names and "messages" in names and record["messages"] == record.get("chosen"):
        names.remove("messages")
    if "messages" in names and any(map(columns.issuperset, BESIDE_MESSAGES)):
        names.remove("messages")
    if "preference" in names and _is_text_pair(record):
        raise _error(
            "whole dialogues as text, without a prompt, have no place where the answer begins; for HH's say schema='hh'", "hh"
        )
    if pair and any(isinstance(record.get(name), list) for name in ANSWERS):
        return ["preference"]
    names += _of_documents(record) + _of_traces(record, columns)
    if is_chat_text(record.get("chat")):
        names.append("glaive")
    if is_exchange(record) and "langfuse" not in names:
        names = [name for name in names if name not in _OF_REQUESTS] + ["requests"]
    if {"inputs", "outputs"} <= columns and "llm_runs" not in names:
        names.append("examples")
    if "text" in names and len(names) > 1:
        names.remove("text")  # the rendering of what stands beside it
    return list(dict.fromkeys(names))


@lru_cache(1000)
def _formats_with(columns: frozenset[str]) -> list[str]:
    return [name for name, format in DATA_FORMATS.items() if any(map(columns.issuperset, format.columns))]


def refuse(record: Any, pair: str | None = None) -> None:
    """Raises `SchemaDetectionError` for data that no job trains on, or that an integration reads."""
    values = record.get("messages", record) if isinstance(record, dict) else record
    first = values[0] if isinstance(values, list | tuple) and values else values
    if adapter := _ADAPTERS.get(type(first).__module__.partition(".")[0]):
        raise _error(f"a {type(first).__name__} is an object of a framework: {adapter}(records) reads it")
    if not isinstance(record, dict):
        return
    if "docstore/data" in record:
        raise _error("this is a LlamaIndex document store: it holds documents, and no questions and answers to train on")
    if _is_single_message(record):
        raise _error(
            "each record is a single message: put the messages of a conversation in one list, [[message, ...], ...] in a .json file;"
            " from_langchain and load read it"
        )
    if "input_ids" in record:
        raise _error("the data is tokenized already: it stays Parquet; check it with check_jsonl and give its path to start")
    if not _RETRIEVAL_COLUMNS.isdisjoint(record) and any(all(name in record for name in names) for names in _RETRIEVAL):
        raise _error("these are pairs for retrieval: they train embedding models and rerankers, and Together tunes none of them")
    if {"prompt", "completion", "label"} <= record.keys() and isinstance(record["label"], bool) and pair is None:
        raise _error(f"answers with a label (KTO) have no method here; {PAIRING} makes pairs of those to the same prompt")
    is_joined = isinstance(record.get("body"), dict) and has_value(record.get("response"))
    if "custom_id" in record and not is_joined and (side := next((name for name in _BATCH if name in record), None)):
        raise _error(_BATCH[side])
    if is_calls(record.get("answers")):
        return
    lists = [name for name in ANSWERS if isinstance(record.get(name), list)]
    if not lists or pair is not None or not _BESIDE_ANSWERS.isdisjoint(record):
        return
    if lists != ["answers"] or answer_texts(record["answers"]) is None:
        if not has_scores(record, lists[0]):
            text = f"{lists[0]!r} holds several answers, and no score says which is good"
            raise _error(f"{text}: write a record for each that is to be trained, with `prompt` and `completion`")
        raise _error(f"answers with scores have no method here; {PAIRING} makes a pair of the best and the worst")


def _is_chat(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 1 and isinstance(value[0], dict) and role_of(value[0].get("role")) == "user"


def _is_single_message(record: dict[str, Any]) -> bool:
    kind = record.get("type")
    is_stored = isinstance(record.get("data"), dict) and "content" in record["data"]
    is_plain = "role" in record and "content" in record and record.keys().isdisjoint(("messages", "prompt", "conversations"))
    is_logged = kind in ("user", "assistant", "system") and isinstance(record.get("message"), dict)
    return (
        (is_stored and kind in ("human", "ai", "system", "tool"))
        or (record.get("lc") == 1 and is_message(record) and not is_langchain(record))
        or is_plain
        or is_logged
    )


def _is_text_pair(record: dict[str, Any]) -> bool:
    return not record.get("prompt") and all(
        isinstance(record.get(name), str) and record[name][:2] != "[{" for name in ("chosen", "rejected")
    )


def _of_documents(record: dict[str, Any]) -> list[str]:
    examples = record.get("examples")
    if isinstance(examples, list) and examples and isinstance(examples[0], dict) and "reference_answer" in examples[0]:
        return ["labelled_rag"]
    data = record.get("data")
    if isinstance(data, list) and data and isinstance(data[0], dict) and "paragraphs" in data[0]:
        return ["question_answers"]
    if (
        isinstance(record.get("store"), dict)
        or isinstance(record.get("chat_store"), dict)
        or str(record.get("chat_store")).startswith('{"')
    ):
        return ["chat_store"]
    if is_table(record) or _is_chat_tree(record.get("replies")) or isinstance(nested(record, "prompt", "replies"), list):
        return ["oasst"]
    if "mapping" in record and isinstance(record["mapping"], dict) and "message" in next(iter(record["mapping"].values()), {}):
        return ["chatgpt"]
    values = list(record.values())
    if values and all(isinstance(value, list) and is_langchain(value) for value in values):
        return ["langchain"]
    if values and all(isinstance(value, dict) and {"messages", "response"} <= value.keys() for value in values):
        return ["handler"]
    return []


def _is_chat_tree(replies: Any) -> bool:
    return isinstance(replies, list) and (not replies or isinstance(replies[0], dict))


def _of_traces(record: dict[str, Any], columns: AbstractSet[str]) -> list[str]:
    if "observations" in columns or ({"type", "input", "output"} <= record.keys() and columns & {"traceId", "trace_id"}):
        return ["langfuse"]
    if columns & {"attributes", "resourceSpans", "resource_spans"} or any("." in str(key) for key in record):
        return list(dict.fromkeys(name for span in islice(spans(record), 100) for name in _of_span(span)))
    return []


def _of_object(record: Any) -> list[str]:
    if field(record, "run_type") is not None:
        return ["llm_runs"]
    if field(record, "inputs") is not None:
        return ["examples"]
    return _of_span(record) if field(record, "attributes") is not None else []


def _of_span(span: Any) -> list[str]:
    if attributes_of(span, _OPENINFERENCE):
        return ["openinference"]
    return ["otel"] if attributes_of(span, _OTEL) else []


def _error(message: str, *names: str) -> SchemaDetectionError:
    error = SchemaDetectionError(message)
    error.candidates = names
    return error
