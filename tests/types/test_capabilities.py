"""The table of model capabilities is consistent."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import get_args

import pytest

from together_adapters.types import capabilities as table
from together_adapters.types.capabilities import MODELS, Capabilities, ModelType, ReasoningStyle, capabilities

every_model = pytest.mark.parametrize("name", MODELS)


@every_model
def test_a_model_has_a_context_a_type_and_a_vendor(name: str) -> None:
    facts = MODELS[name]
    assert facts.context_length > 0
    assert facts.type in get_args(ModelType)
    vendor, _, short = name.partition("/")
    assert vendor
    assert short
    assert name == name.strip()


@every_model
def test_only_embedding_models_have_dimensions_and_prefixes(name: str) -> None:
    facts = MODELS[name]
    assert (facts.dimensions > 0) == (facts.type == "embedding")
    assert facts.type == "embedding" or not (facts.query_prefix or facts.document_prefix)


@every_model
def test_only_chat_models_call_tools_see_reason_and_fill_schemas(name: str) -> None:
    facts = MODELS[name]
    assert facts.type == "chat" or not (facts.tools or facts.json_schema or facts.vision or facts.reasoning)
    assert facts.reasoning is None or facts.reasoning in get_args(ReasoningStyle)
    assert facts.max_documents > 0


@every_model
@pytest.mark.parametrize("spell", [str, str.lower, str.upper, str.swapcase])
def test_letter_case_does_not_count(name: str, spell: type[str]) -> None:
    assert capabilities(spell(name)) == MODELS[name]


def test_no_two_names_differ_in_case_alone() -> None:
    assert len({name.lower() for name in MODELS}) == len(MODELS)


@pytest.mark.parametrize("name", ["acme/unheard-of", "", "my-endpoint", "acme/Llama-3.3-70B-Instruct-Turbo"])
def test_an_unknown_model_chats_and_calls_tools(name: str) -> None:
    facts = capabilities(name)
    assert facts == Capabilities()
    assert (facts.type, facts.tools, facts.vision, facts.reasoning, facts.dimensions) == ("chat", True, False, None, 0)
    assert facts.context_length > 0


@pytest.mark.parametrize(
    ("default", "kind"),
    [("DEFAULT_CHAT_MODEL", "chat"), ("DEFAULT_EMBEDDING_MODEL", "embedding"), ("DEFAULT_RERANK_MODEL", "rerank")],
)
def test_defaults_are_in_the_table(default: str, kind: str) -> None:
    name = getattr(table, default)
    assert name in MODELS
    assert MODELS[name].type == kind


def test_facts_cannot_be_changed_by_accident() -> None:
    with pytest.raises(FrozenInstanceError):
        capabilities("acme/unheard-of").tools = False  # type: ignore[misc]


def test_the_table_says_where_and_when_its_facts_were_read() -> None:
    assert table.__doc__ is not None
    assert "Source:" in table.__doc__
    assert "20" in table.__doc__.partition("read on")[2][:5]
