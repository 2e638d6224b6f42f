"""Detects the format of a source from its first records; exactly one format must fit."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any, Final

from together_adapters.finetune.accounting import PAIRING
from together_adapters.finetune.errors import SchemaDetectionError
from together_adapters.finetune.formats.options import CONVERSION_ERRORS
from together_adapters.finetune.formats.preference import ANSWERS, BESIDE_MESSAGES
from together_adapters.finetune.formats.registry import DATA_FORMATS
from together_adapters.finetune.formats.traces import attributes_of, spans
from together_adapters.finetune.readers.fields import field
from together_adapters.finetune.records import Unconvertible

_RETRIEVAL: Final = (
    ("queries", "corpus", "relevant_docs"), ("anchor", "positive"), ("query", "positive"), ("query", "pos"),
    ("sentence1", "sentence2"), ("query", "passages"),
)  # fmt: skip
_OPENINFERENCE: Final = ("llm.input_messages", "llm.output_messages", "openinference.")
_OTEL: Final = ("gen_ai.",)


def detect(records: Iterable[Any], *, pair: str | None = None) -> str:
    """Returns the format of some records; raises `SchemaDetectionError` if none or several fit."""
    names: dict[str, None] = {}
    columns: list[str] = []
    for record in records:
        refuse(record, pair)
        try:
            names |= dict.fromkeys(candidates(record, pair))
        except SchemaDetectionError:
            raise
        except (Unconvertible, *CONVERSION_ERRORS):
            continue
        if isinstance(record, dict) and not columns:
            columns = [str(key) for key in record][:20]
    if len(names) == 1:
        return next(iter(names))
    if names:
        raise _error(f"several formats fit: {', '.join(names)}; name one with schema=, or name the columns with columns=", *names)
    with_columns = f" with the columns {', '.join(columns)}" if columns else ""
    raise _error(f"no format fits records{with_columns}; name it with schema=, or name the columns with columns=")


def candidates(record: Any, pair: str | None = None) -> list[str]:
    """Returns the formats that a record may have."""
    if isinstance(record, list):
        return ["messages"] if record and isinstance(record[0], dict) and "role" in record[0] else []
    if not isinstance(record, dict):
        return _of_object(record)
    columns = {key for key, value in record.items() if value is not None}
    names = [name for name, format in DATA_FORMATS.items() if any(map(columns.issuperset, format.columns))]
    if _is_sharegpt(record):
        names.append("sharegpt")
        if "chosen" in columns and "preference" in names:
            names.remove("preference")
    if "messages" in names and any(map(columns.issuperset, BESIDE_MESSAGES)):
        names.remove("messages")
    if "preference" in names and _is_text_pair(record):
        raise _error(
            "whole dialogues as text, without a prompt, have no place where the answer begins; for HH's say schema='hh'", "hh"
        )
    if pair and any(isinstance(record.get(name), list) for name in ANSWERS):
        names.append("preference")
    names += _of_documents(record) + _of_traces(record, columns)
    if {"inputs", "outputs"} <= columns and "llm_runs" not in names:
        names.append("examples")
    if "text" in names and len(names) > 1:
        names.remove("text")  # the rendering of what stands beside it
    return list(dict.fromkeys(names))


def refuse(record: Any, pair: str | None = None) -> None:
    """Raises `SchemaDetectionError` for data that no job trains on."""
    if not isinstance(record, dict):
        return
    if "input_ids" in record:
        raise _error("the data is tokenized already: it stays Parquet; check it with check_jsonl and give its path to start")
    if any(all(name in record for name in names) for names in _RETRIEVAL):
        raise _error("these are pairs for retrieval: they train embedding models and rerankers, and Together tunes none of them")
    if {"prompt", "completion", "label"} <= record.keys() and isinstance(record["label"], bool) and pair is None:
        raise _error(f"answers with a label (KTO) have no method here; {PAIRING} makes pairs of those to the same prompt")
    if any(isinstance(record.get(name), list) for name in ANSWERS) and "chosen" not in record and pair is None:
        raise _error(f"answers with scores have no method here; {PAIRING} makes a pair of the best and the worst")


def _is_sharegpt(record: dict[str, Any]) -> bool:
    turns = record.get("conversations") or record.get("conversation")
    return isinstance(turns, list) or (isinstance(turns, str) and turns.startswith("[{"))


def _is_text_pair(record: dict[str, Any]) -> bool:
    return not record.get("prompt") and all(
        isinstance(record.get(name), str) and record[name][:2] != "[{" for name in ("chosen", "rejected")
    )


def _of_documents(record: dict[str, Any]) -> list[str]:
    examples = record.get("examples")
    if isinstance(examples, list) and examples and isinstance(examples[0], dict) and "reference_answer" in examples[0]:
        return ["labelled_rag"]
    if isinstance(record.get("store"), dict) or isinstance(record.get("chat_store"), dict):
        return ["chat_store"]
    values = list(record.values())
    if values and all(isinstance(value, dict) and {"messages", "response"} <= value.keys() for value in values):
        return ["handler"]
    return []


def _of_traces(record: dict[str, Any], columns: set[str]) -> list[str]:
    if "observations" in columns or ({"type", "input", "output"} <= columns and columns & {"traceId", "trace_id"}):
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
