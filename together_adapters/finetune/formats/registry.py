"""All data formats: their names in `load(schema=...)`, how their records are converted, and how they are detected.

CONTRIBUTING.md says how to add one; if columns do not identify it, extend `detection.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from together_adapters.finetune.accounting import leaving
from together_adapters.finetune.formats import (
    chat_template,
    function_calling,
    instruction,
    langfuse,
    langsmith,
    llama_index_json,
    openai,
    otel,
    preference,
    rag,
    requests,
    sharegpt,
)
from together_adapters.finetune.formats.exports import chat_apps, langchain_files, message_trees
from together_adapters.finetune.formats.options import Options
from together_adapters.finetune.formats.traces import OTLP_KEYS, spans
from together_adapters.finetune.records import Converted, Unconvertible

Convert: TypeAlias = Callable[[Any, Options], Iterable[Converted | Unconvertible]]


class DataFormat(NamedTuple):
    """A format of training data; a record that has all columns of one set in `columns` is detected as this format."""

    convert: Convert  # yields the rows of a record, and an `Unconvertible` for a part; raises it for all
    unpack: Callable[[Any], Iterable[Any]] | None = None  # yields the records in a document
    traces: bool = False  # its records are calls of traces, which repeat each other
    columns: tuple[tuple[str, ...], ...] = ()
    reads: frozenset[str] | None = None  # the columns that it converts; None if its records are no objects of columns
    document: frozenset[str] | None = None  # the keys of a document that `unpack` reads, if what it yields are not the document's

    @property
    def has_attributes(self) -> bool:
        """Whether its records are spans, whose attributes have names with a dot."""
        return self.unpack is spans


def openai_line(record: Any, options: Options) -> Iterable[Converted | Unconvertible]:
    """Converts a line of a file for OpenAI's fine-tuning: a conversation, or a preference."""
    if not isinstance(record, dict):
        return openai.conversation(record, options)
    if "preferred_output" in record:
        return preference.preference(record, options)
    return [leaving(converted, record, preference.COLUMNS_OF_OPENAI) for converted in openai.conversation(record, options)]


DATA_FORMATS: Final[Mapping[str, DataFormat]] = {
    "messages": DataFormat(openai.conversation, columns=(("messages",),), reads=openai.COLUMNS),
    "openai": DataFormat(openai_line, reads=openai.COLUMNS | preference.COLUMNS_OF_OPENAI),
    "prompt_completion": DataFormat(
        instruction.prompt_completion, columns=(("prompt", "completion"),), reads=instruction.COLUMNS
    ),
    "text": DataFormat(chat_template.text, columns=(("text",),), reads=chat_template.COLUMNS),
    "preference": DataFormat(
        preference.preference,
        columns=(("chosen", "rejected"), ("preferred_output", "non_preferred_output"), *preference.BESIDE_MESSAGES),
        reads=preference.COLUMNS,
    ),
    "hh": DataFormat(preference.hh, reads=openai.CHAT_COLUMNS | {"chosen", "rejected"}),
    "sharegpt": DataFormat(sharegpt.sharegpt, reads=sharegpt.COLUMNS),
    "alpaca": DataFormat(instruction.alpaca, columns=(("instruction", "output"),), reads=instruction.ALPACA_COLUMNS),
    "question_answers": DataFormat(
        instruction.question_answers, instruction.articles, reads=instruction.QUESTION_ANSWERS_COLUMNS
    ),
    "requests": DataFormat(requests.requests, reads=requests.COLUMNS),
    "xlam": DataFormat(function_calling.xlam, columns=(("query", "answers", "tools"),), reads=function_calling.XLAM_COLUMNS),
    "glaive": DataFormat(function_calling.glaive, reads=function_calling.GLAIVE_COLUMNS),
    "chatml": DataFormat(chat_template.conversation, reads=chat_template.COLUMNS),
    "otel": DataFormat(otel.conversation, spans, traces=True, reads=otel.COLUMNS, document=OTLP_KEYS),
    "openinference": DataFormat(otel.openinference, spans, traces=True, reads=otel.COLUMNS, document=OTLP_KEYS),
    "langfuse": DataFormat(
        langfuse.conversation, langfuse.observations, traces=True, reads=langfuse.COLUMNS, document=langfuse.DOCUMENT_KEYS
    ),
    "langchain": DataFormat(langchain_files.conversation, langchain_files.sessions, reads=langchain_files.COLUMNS),
    "chatgpt": DataFormat(chat_apps.chatgpt, columns=(("mapping", "current_node"),), reads=chat_apps.CHATGPT_COLUMNS),
    "claude": DataFormat(chat_apps.claude, columns=(("chat_messages",),), reads=chat_apps.CLAUDE_COLUMNS),
    "oasst": DataFormat(message_trees.conversation),
    "chat_store": DataFormat(
        llama_index_json.conversation,
        llama_index_json.stored_conversations,
        document=llama_index_json.DOCUMENT_KEYS,
    ),
    "handler": DataFormat(llama_index_json.event, llama_index_json.events, reads=openai.COLUMNS | {"response"}),
    "labelled_rag": DataFormat(
        rag.labelled_rag,
        rag.rag_examples,
        columns=(("query", "reference_answer"),),
        reads=rag.COLUMNS,
        document=frozenset({"examples"}),
    ),
    "query_response": DataFormat(
        rag.query_response,
        rag.queries_with_responses,
        columns=(("queries", "responses"),),
        document=frozenset({"queries", "responses"}),
    ),
    "llm_runs": DataFormat(langsmith.runs, traces=True, columns=(("run_type", "inputs"),), reads=langsmith.COLUMNS),
    "examples": DataFormat(langsmith.dataset_examples, reads=langsmith.EXAMPLE_COLUMNS),
}
