"""All dialects by the names that `load(schema=...)` takes, and how one recognises them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from together_adapters.finetune.formats import chat_template as rendered
from together_adapters.finetune.formats import (
    instruction,
    langfuse,
    langsmith,
    openai,
    openinference,
    otel,
    preference,
    rag,
    sharegpt,
)
from together_adapters.finetune.formats import llama_index_json as llama_json
from together_adapters.finetune.formats.options import Options
from together_adapters.finetune.formats.span_attributes import spans
from together_adapters.finetune.records import Converted, Unconvertible

Convert: TypeAlias = Callable[[Any, Options], Iterable[Converted | Unconvertible]]


class Dialect(NamedTuple):
    """One way in which data is held.

    Attributes:
        convert: Turns a record into rows. A part of it that cannot become one is given as `Unconvertible`, the whole raises it.
        unpack: Gives the records that a document holds.
        traces: Whether its records are calls of traces, which repeat each other.
    """

    convert: Convert
    unpack: Callable[[Any], Iterable[Any]] | None = None
    traces: bool = False


DIALECTS: Final[Mapping[str, Dialect]] = {
    "messages": Dialect(openai.conversation),
    "openai": Dialect(openai.any_of_openai),
    "prompt_completion": Dialect(instruction.prompt_completion),
    "text": Dialect(rendered.text),
    "preference": Dialect(preference.preference),
    "hh": Dialect(preference.hh),
    "sharegpt": Dialect(sharegpt.sharegpt),
    "alpaca": Dialect(instruction.alpaca),
    "chatml": Dialect(rendered.conversation),
    "otel": Dialect(otel.conversation, spans, True),
    "openinference": Dialect(openinference.conversation, spans, True),
    "langfuse": Dialect(langfuse.conversation, langfuse.observations, True),
    "chat_store": Dialect(llama_json.conversation, llama_json.stored),
    "handler": Dialect(llama_json.event, llama_json.events),
    "labelled_rag": Dialect(rag.labelled_rag, rag.rag_examples),
    "query_response": Dialect(rag.query_response, rag.asked),
    "llm_runs": Dialect(langsmith.runs, None, True),
    "examples": Dialect(langsmith.dataset_examples),
}
