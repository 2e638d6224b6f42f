"""Capabilities of models: facts in one dated table, so that no adapter guesses from a model's name.

The facts are in `models.json`, each row with its sources and the date on which they were read: the vendor's documentation and public
skill files, and two public maps of models (litellm, genai-prices). `tools/models_table.py` makes it. A model that is not listed works
with the defaults of `Capabilities`. Nothing here was verified against the live service.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from together_adapters.errors import ModelRemovedWarning

ModelType = Literal["chat", "language", "embedding", "rerank"]
ReasoningStyle = Literal["reasoning", "reasoning_content", "tags"]


@dataclass(frozen=True, slots=True)
class Prices:
    """US dollars per million tokens; None where nobody says."""

    input: float | None = None
    output: float | None = None
    cached_input: float | None = None


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The capabilities of a model."""

    type: ModelType = "chat"  # determines its endpoint
    context_length: int = 32_768  # maximum tokens of prompt and completion together
    max_output_tokens: int | None = None  # maximum tokens of a completion, where somebody says
    tools: bool = True  # whether it supports tool calls
    json_schema: bool = False  # whether it supports `response_format` of type `json_schema`
    vision: bool = False  # whether it supports images
    audio: bool = False  # whether it supports audio in messages
    video: bool = False  # whether it supports videos in messages
    reasoning: ReasoningStyle | None = (
        None  # the place of its reasoning: a field of the message, or tags at the start of the text
    )
    reasoning_switch: Literal["enabled", "effort"] | None = (
        None  # what controls it: `reasoning={"enabled": bool}`, or `reasoning_effort`
    )
    dimensions: int = 0  # length of an embedding
    query_prefix: str = ""  # that its authors use for a query to embed
    document_prefix: str = ""  # that its authors use for a passage to embed
    max_documents: int = 1024  # in one rerank request
    prices: Prices = Prices()
    served_on: str | None = None  # ISO date of the last day on which the vendor listed it as serverless
    removed_on: str | None = None  # ISO date on which it is said to be gone from serverless
    needs_data_sharing: bool = False  # whether it answers only organizations that allow sharing data with a third party
    alias_of: str | None = None  # the model that this name stands for
    sources: tuple[str, ...] = ()  # who says so
    read_on: str | None = None  # ISO date on which the sources were read

    @property
    def is_removed(self) -> bool:
        """Whether the model is said to be gone from serverless by now."""
        return self.removed_on is not None and self.removed_on <= datetime.now(UTC).date().isoformat()

    @property
    def is_served(self) -> bool:
        """Whether the vendor listed the model as serverless, and nobody says that it is gone since."""
        return self.served_on is not None and not self.is_removed


_TABLE = json.loads(Path(__file__).with_name("models.json").read_text("utf-8"))
TABLE_DATE: str = _TABLE["read_on"]
"""ISO date on which the newest sources of the table were read."""
_ROWS: dict[str, dict[str, Any]] = _TABLE["models"]
_NAMES = {name.lower(): name for name in _ROWS}


def canonical_name(model: str) -> str:
    """Returns the name of a model in the letter case of the table; a name that is not in the table as it is."""
    return _NAMES.get(model.lower(), model)


def table_facts(model: str) -> dict[str, Any]:
    """Returns what the table says of a model, under the names of `Capabilities` and without its defaults."""
    row = _ROWS.get(canonical_name(model), {})
    facts = _ROWS.get(row.get("alias_of", ""), {}) | row
    facts |= {"sources": facts.pop("says", [])}
    return {name: facts[name] for name in Capabilities.__dataclass_fields__ if name in facts}


def _parse(facts: dict[str, Any]) -> Capabilities:
    return Capabilities(**{**facts, "sources": tuple(facts["sources"]), "prices": Prices(**facts.get("prices", {}))})


MODELS: dict[str, Capabilities] = {name: _parse(table_facts(name)) for name in _ROWS}

# Which models are named where the user names none, and in examples; no source says that they are gone.
DEFAULT_CHAT_MODEL = "openai/gpt-oss-120b"  # cheap ($0.15 and $0.60), calls tools, fills schemas
DEFAULT_SMALL_MODEL = "Qwen/Qwen3.5-9B"  # cheaper ($0.17 and $0.25), sees images, and its reasoning can be switched off
DEFAULT_RERANK_MODEL = DEFAULT_SMALL_MODEL  # the service has no rerank model any more; a chat model ranks, see `resources.rerank`
DEFAULT_EMBEDDING_MODEL = "BAAI/bge-base-en-v1.5"  # the service has none any more; other servers have this one

_SIMILAR = 0.6  # ratio of common characters from which a name may be meant
_UNKNOWN = Capabilities()
_BY_LOWER_NAME = {name.lower(): capabilities for name, capabilities in MODELS.items()}


def capabilities(model: str) -> Capabilities:
    """Returns the capabilities of a model, or the defaults if it is not in the table. Letter case does not matter."""
    return _BY_LOWER_NAME.get(model.lower(), _UNKNOWN)


def is_known(model: str) -> bool:
    """Returns whether a model is in the table."""
    return model.lower() in _BY_LOWER_NAME


def status(model: str) -> str:
    """Returns in words whether a model is served: `served 2026-10-07`, `gone since 2026-10-22`, `not listed` or `unknown`.

    `served` has the last day on which the vendor listed the model as serverless. A model that is `not listed` may be served:
    others name it, the vendor did not. What is not in the table is `unknown`.
    """
    entry = capabilities(model)
    if not is_known(model):
        return "unknown"
    if entry.is_removed:
        return f"gone since {entry.removed_on}"
    until = f", until {entry.removed_on}" if entry.removed_on else ""
    return f"served {entry.served_on}{until}" if entry.served_on else f"not listed{until}"


def similar_names(model: str, others: Iterable[str] = ()) -> list[str]:
    """Returns up to three names like that of a model, the most similar first: of the table, and `others`."""
    return nearest_names(model, (*others, *MODELS))


def nearest_names(model: str, names: Iterable[str], *, with_removed: bool = False) -> list[str]:
    """Returns up to three of the names that are like that of a model, the most similar first.

    Models that are gone from serverless are left out, unless `with_removed`: what can be tuned, or runs on an emulator, may be gone there.
    """
    from difflib import get_close_matches

    names = {name.lower(): name for name in names if with_removed or not capabilities(name).is_removed}
    titles = {name.rpartition("/")[2]: name for name in names}
    matches = [
        *get_close_matches(model.lower(), names, cutoff=_SIMILAR),
        *get_close_matches(model.lower(), titles, cutoff=_SIMILAR),
    ]
    return list(dict.fromkeys(names[titles.get(name, name)] for name in matches))[:3]


def alternatives(model: str, catalogue: Sequence[str] = ()) -> list[str]:
    """Returns up to three models of a type to use instead of one, the most similar names first, then the defaults.

    Args:
        model: The model.
        catalogue: Names of the type that the service has. Without them, it is those that the vendor served by the table.
    """
    from difflib import SequenceMatcher

    kind, defaults = capabilities(model).type, (DEFAULT_SMALL_MODEL, DEFAULT_CHAT_MODEL)

    def is_usable(name: str) -> bool:
        entry = capabilities(name)
        return not (entry.is_removed or entry.needs_data_sharing or entry.alias_of or name.lower() == model.lower())

    def order(name: str) -> tuple[float, int, float]:
        ratio = SequenceMatcher(None, model.lower(), name.lower()).ratio()
        price = capabilities(name).prices.input
        return -ratio if ratio >= _SIMILAR else 0.0, -defaults.index(name) - 1 if name in defaults else 0, price or 0.0

    names = catalogue or [name for name, entry in MODELS.items() if entry.is_served and entry.type == kind]
    return sorted(filter(is_usable, names), key=order)[:3]


def removal_warning(model: Any) -> ModelRemovedWarning | None:
    """Returns the warning about a model that the table says is gone, and None for any other."""
    entry = _BY_LOWER_NAME.get(model.lower()) if isinstance(model, str) else None
    if entry is None or entry.removed_on is None or not entry.is_removed:
        return None
    return ModelRemovedWarning(_removal_text(model, entry.removed_on))


@lru_cache(maxsize=256)  # a client warns once, but every request asks, and looking for similar names takes a millisecond
def _removal_text(model: str, date: str) -> str:
    return (
        f"{model} is said to be gone from the serverless models of Together AI since {date} "
        f"(table of {TABLE_DATE}). {advice(model)}"
    )


def advice(model: str, kind: str | None = None, catalogue: Sequence[str] = ()) -> str:
    """Returns what to do instead of calling a model that the service does not serve, as a chat, an embedding or a rerank model.

    Args:
        model: The model.
        kind: The type as which it was called; None for that of the table.
        catalogue: Names of the type that the service has, where they are known.
    """
    kind = kind or capabilities(model).type
    own = "A dedicated endpoint of your own (endpoints.create) or another server (base_url=) can still run it"
    if kind == "embedding":
        return (
            f"Together AI offers no embedding model since 2026-09-15. {own}: docs/embeddings-elsewhere.md. "
            "Retrieval without embeddings: cookbook/rag_langchain.py, cookbook/rag_llama_index.py."
        )
    if kind == "rerank":
        return (
            "Together AI offers no rerank model since 2026-03-06. A chat model can rank instead, such as "
            f'model="{DEFAULT_RERANK_MODEL}". {own}.'
        )
    names = ", ".join(alternatives(model, catalogue))
    source = "Of the catalogue of the service" if catalogue else "Served as the table says"
    named = f"{source}: {names}; " if names else ""
    return f"{named}models.list() and `together-adapters models list` name all models. {own}."
