"""The table of models is consistent, dated, made of its sources, and names what is left instead of a model that is gone."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import FrozenInstanceError, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, get_args

import pytest

from tests.cases import each
from together_adapters.errors import ModelRemovedWarning
from together_adapters.types import capabilities as table
from together_adapters.types.capabilities import (
    MODELS,
    TABLE_DATE,
    Capabilities,
    ModelType,
    ReasoningStyle,
    advice,
    alternatives,
    capabilities,
    nearest_names,
    removal_warning,
    similar_names,
)
from together_adapters.types.models import ModelList, ModelObject, Pricing, model_info

every_model = each("name", MODELS)
GONE = [name for name, entry in MODELS.items() if entry.is_removed]
SCRIPT = Path(__file__).parent.parent.parent / "tools" / "models_table.py"


def test_the_table_is_made_of_its_sources() -> None:
    spec = importlib.util.spec_from_file_location("models_table", SCRIPT)
    assert spec
    assert spec.loader
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.TABLE.read_text("utf-8") == script.text()


@every_model
def test_a_model_has_a_context_a_type_and_dated_sources(name: str) -> None:
    facts = MODELS[name]
    assert facts.context_length > 0
    assert facts.type in get_args(ModelType)
    vendor, _, short = name.partition("/")
    assert vendor
    assert short or facts.alias_of in MODELS
    assert name == name.strip()
    assert facts.sources
    assert facts.read_on
    dates = [date.fromisoformat(day) for day in (facts.read_on, facts.served_on, facts.removed_on) if day]
    assert max(dates) <= date.fromisoformat(TABLE_DATE)
    assert all(price is None or price >= 0 for price in (facts.prices.input, facts.prices.output, facts.prices.cached_input))


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
    assert facts.reasoning_switch is None or facts.reasoning
    assert facts.max_documents > 0


@every_model
@each("spell", [str, str.lower, str.upper, str.swapcase])
def test_letter_case_does_not_count(name: str, spell: type[str]) -> None:
    assert capabilities(spell(name)) == MODELS[name]


def test_no_two_names_differ_in_case_alone() -> None:
    assert len({name.lower() for name in MODELS}) == len(MODELS)


@pytest.mark.parametrize("name", ["acme/unheard-of", "", "my-endpoint", "acme/gpt-oss-120b"])
def test_an_unknown_model_chats_and_calls_tools(name: str) -> None:
    facts = capabilities(name)
    assert facts == Capabilities()
    assert (facts.type, facts.tools, facts.vision, facts.reasoning, facts.dimensions) == ("chat", True, False, None, 0)
    assert facts.context_length > 0


@pytest.mark.parametrize(
    ("default", "kind"),
    [
        ("DEFAULT_CHAT_MODEL", "chat"),
        ("DEFAULT_SMALL_MODEL", "chat"),
        ("DEFAULT_EMBEDDING_MODEL", "embedding"),
        ("DEFAULT_RERANK_MODEL", "chat"),
    ],
)
def test_defaults_are_in_the_table_and_not_gone(default: str, kind: str) -> None:
    facts = MODELS[getattr(table, default)]
    assert facts.type == kind
    assert facts.removed_on is None
    assert facts.is_served or kind == "embedding"  # the vendor serves none


@each("name", GONE)
def test_a_model_that_is_gone_is_told_with_what_is_left(name: str) -> None:
    warning = removal_warning(name.swapcase())
    assert isinstance(warning, UserWarning)
    text = str(warning)
    assert MODELS[name].removed_on in text  # type: ignore[operator]
    if MODELS[name].type == "chat":
        assert [model for model in alternatives(name) if model not in text] == []
    else:
        assert "base_url" in text


def test_a_model_that_is_not_gone_is_not_told() -> None:
    assert GONE
    assert [name for name in MODELS if name not in GONE and removal_warning(name)] == []
    assert [removal_warning(other) for other in ("acme/unheard-of", "", None, 5)] == [None] * 4


def test_a_model_is_gone_from_its_day_on() -> None:
    today = datetime.now(UTC).date()
    entry = replace(Capabilities(), served_on="2026-01-01")
    assert entry.is_served
    assert not replace(entry, removed_on=today.replace(year=today.year + 1, day=1).isoformat()).is_removed
    assert replace(entry, removed_on=today.isoformat()).is_removed


def test_alternatives_are_three_served_models_the_most_similar_first() -> None:
    assert alternatives("zai-org/GLM-5.3-Flsh")[0] == "zai-org/GLM-5.3-Flash"
    assert alternatives("quite/other")[:2] == [table.DEFAULT_CHAT_MODEL, table.DEFAULT_SMALL_MODEL]
    for name in [*MODELS, "x", ""]:
        models = alternatives(name)
        assert len(models) == len(set(models)) <= 3
        assert name not in models
        assert all(MODELS[model].is_served and not MODELS[model].needs_data_sharing for model in models)


def test_alternatives_of_a_catalogue_are_usable_models_that_it_has() -> None:
    catalogue = ["acme/foo-7b-instruct", "Qwen/Qwen3.5-9B", "ACME/FOO-8B-INSTRUCT", "Qwen/Qwen3.8-Flash", GONE[0], "acme/bar"]
    assert alternatives("acme/foo-8b-instruct", catalogue) == ["acme/foo-7b-instruct", "Qwen/Qwen3.5-9B", "acme/bar"]
    assert "Of the catalogue" not in advice("acme/chat", "chat", [GONE[0]])


def test_equally_good_alternatives_keep_the_order_of_the_table() -> None:
    assert alternatives("zai-org/GLM-5.0")[:2] == ["zai-org/GLM-5.2", "zai-org/GLM-5.3"]


@pytest.mark.parametrize("kind", ["embedding", "rerank"])
def test_where_the_service_has_none_the_advice_says_what_is_left(kind: str) -> None:
    assert alternatives(next(name for name, entry in MODELS.items() if entry.type == kind)) == []
    text = advice("acme/unheard-of", kind)
    assert "endpoints.create" in text
    assert "base_url" in text


def test_the_catalogue_counts_over_the_table() -> None:
    name = table.DEFAULT_CHAT_MODEL
    alone = model_info(name, None)
    assert (alone.source, alone.context_length, alone.tools) == (f"table {TABLE_DATE}", MODELS[name].context_length, True)
    entry = ModelObject(id=name, type="chat", context_length=5, pricing=Pricing(input=1, output=2, cached_input=0))
    live = model_info(name, entry)
    assert (live.source, live.context_length, live.prices.input, live.prices.output) == ("service", 5, 1, 2)
    assert (live.tools, live.json_schema, live.name) == (True, True, name)
    silent = model_info(name, ModelObject(id=name, pricing=Pricing(input=0, output=0), context_length=0))
    assert (silent.source, silent.context_length, silent.prices) == ("service", alone.context_length, alone.prices)
    assert model_info("acme/unheard-of", None).source == "unknown"


@pytest.mark.parametrize(
    "odd", [{"pricing": "free"}, {"pricing": {"input": "little"}}, {"context_length": "long"}, {"type": ["chat"]}]
)
def test_what_the_catalogue_says_in_another_type_counts_as_not_said(odd: dict[str, Any]) -> None:
    name = table.DEFAULT_CHAT_MODEL
    [entry] = ModelList.parse([{"id": name, **odd}], ModelObject)
    alone, live = model_info(name, None), model_info(name, entry)
    assert (live.type, live.context_length, live.prices) == (alone.type, alone.context_length, alone.prices)


@pytest.mark.parametrize("key", ["context_length", "max_model_len", "max_context_length"])
def test_other_servers_tell_their_length_too(key: str) -> None:
    assert model_info("acme/unheard-of", ModelObject.model_validate({"id": "acme/unheard-of", key: 4096})).context_length == 4096


def test_a_warning_is_a_user_warning() -> None:
    assert issubclass(ModelRemovedWarning, UserWarning)


def test_facts_cannot_be_changed_by_accident() -> None:
    with pytest.raises(FrozenInstanceError):
        capabilities("acme/unheard-of").tools = False  # type: ignore[misc]


def test_retrieval_without_embeddings_is_there_for_both_frameworks() -> None:
    recipes = re.findall(r"cookbook/\w+\.py", advice("BAAI/bge-base-en-v1.5"))
    assert {Path(recipe).stem for recipe in recipes} == {"rag_langchain", "rag_llama_index"}
    assert all((Path(__file__).parents[2] / recipe).is_file() for recipe in recipes)


def test_names_that_are_gone_are_not_suggested() -> None:
    for name in GONE:
        assert not {*nearest_names(name, MODELS), *similar_names(name, GONE)} & {*GONE}
        assert nearest_names(name, GONE, with_removed=True)[0] == name
