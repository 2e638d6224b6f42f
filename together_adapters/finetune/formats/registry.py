"""All data formats: the one list of the names that `load(schema=...)` takes, how a record of each is converted, and how it is recognised.

To add a format:

1. Write a module beside this one with a function `convert(record, options)` that gives a `Converted` for each row of a record, and raises
   `Unconvertible` for a record that cannot become one. Conversations are built with `conversation.ConversationBuilder`, which knows
   contents, tool calls and tool declarations; `langfuse.py` is a short example for traces, `sharegpt.py` for conversations.
2. Add a line to `DATA_FORMATS`. `columns` lets `load` recognise it; what is not seen by columns alone is told in `detection.py`.
3. Add a good record to `GOOD` in `tests/finetune/formats/test_counts.py`, which then tests that nothing gets lost, and name the format in
   the docstring of `load`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from together_adapters.finetune.formats import (
    chat_template,
    instruction,
    langfuse,
    langsmith,
    llama_index_json,
    openai,
    openinference,
    otel,
    preference,
    rag,
    sharegpt,
)
from together_adapters.finetune.formats.options import Options
from together_adapters.finetune.formats.span_attributes import spans
from together_adapters.finetune.records import Converted, Unconvertible

Convert: TypeAlias = Callable[[Any, Options], Iterable[Converted | Unconvertible]]


class DataFormat(NamedTuple):
    """A format of training data.

    Attributes:
        convert: Turns a record into rows. A part of it that cannot become one is given as `Unconvertible`, the whole raises it.
        unpack: Gives the records that a document holds.
        traces: Whether its records are calls of traces, which repeat each other.
        columns: Sets of columns by which its records are recognised; one set suffices.
    """

    convert: Convert
    unpack: Callable[[Any], Iterable[Any]] | None = None
    traces: bool = False
    columns: tuple[tuple[str, ...], ...] = ()


def openai_line(record: Any, options: Options) -> Iterable[Converted | Unconvertible]:
    """Convert a line of a file for OpenAI's fine-tuning: a conversation, or a preference."""
    is_preference = isinstance(record, dict) and "preferred_output" in record
    return preference.preference(record, options) if is_preference else openai.conversation(record, options)


DATA_FORMATS: Final[Mapping[str, DataFormat]] = {
    "messages": DataFormat(openai.conversation, columns=(("messages",),)),
    "openai": DataFormat(openai_line),
    "prompt_completion": DataFormat(instruction.prompt_completion, columns=(("prompt", "completion"),)),
    "text": DataFormat(chat_template.text, columns=(("text",),)),
    "preference": DataFormat(
        preference.preference, columns=(("chosen", "rejected"), ("preferred_output", "non_preferred_output"))
    ),
    "hh": DataFormat(preference.hh),
    "sharegpt": DataFormat(sharegpt.sharegpt),
    "alpaca": DataFormat(instruction.alpaca, columns=(("instruction", "output"),)),
    "chatml": DataFormat(chat_template.conversation),
    "otel": DataFormat(otel.conversation, spans, traces=True),
    "openinference": DataFormat(openinference.conversation, spans, traces=True),
    "langfuse": DataFormat(langfuse.conversation, langfuse.observations, traces=True),
    "chat_store": DataFormat(llama_index_json.conversation, llama_index_json.stored_conversations),
    "handler": DataFormat(llama_index_json.event, llama_index_json.events),
    "labelled_rag": DataFormat(rag.labelled_rag, rag.rag_examples, columns=(("query", "reference_answer"),)),
    "query_response": DataFormat(rag.query_response, rag.queries_with_responses, columns=(("queries", "responses"),)),
    "llm_runs": DataFormat(langsmith.runs, traces=True, columns=(("run_type", "inputs"),)),
    "examples": DataFormat(langsmith.dataset_examples),
}
