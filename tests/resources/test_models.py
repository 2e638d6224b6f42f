"""The catalogue: a plain list with `.data`, in which an invalid entry does not hide the others."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from together_adapters import APIResponseValidationError
from together_adapters.emulator import Emulator
from together_adapters.types.models import ModelObject

NEW = {"nobody": {"knows": 1}}
CARD: dict[str, Any] = {
    "id": "acme/chat",
    "object": "model",
    "created": 1_692_896_905,
    "type": "telepathy",
    "display_name": "Acme Chat",
    "organization": None,
    "link": "https://example.com",
    "license": "other",
    "context_length": 131_072,
    "pricing": {"hourly": 0, "input": 0.88, "output": 0.88, "base": 0, "finetune": 0, "cached_input": 0.1, **NEW},
    "config": {"stop": ["</s>"], "chat_template": None},
    **NEW,
}


def entries(flavour: Any, client: Any = None, **options: Any) -> Any:
    return flavour.run((client or flavour.client()).models.list(**options))


def test_a_plain_sorted_list_that_has_data(flavour: Any) -> None:
    models = entries(flavour)
    assert isinstance(models, list)
    assert models.data == models
    assert all(isinstance(model, ModelObject) for model in models)
    names = [model.id for model in models]
    assert names == sorted(names, key=str.lower)
    assert len(names) == len(set(names)) > 10
    assert {"chat", "embedding", "rerank"} <= {model.type for model in models}


def test_case_does_not_count_in_the_order(flavour: Any, stub_client: Any) -> None:
    client, _ = stub_client([{"id": name} for name in ("b/x", "A/x", "a/y", "C/x")])
    assert [model.id for model in entries(flavour, client)] == ["A/x", "a/y", "b/x", "C/x"]


def test_dedicated_models_are_some_of_them(flavour: Any, emulator: Emulator) -> None:
    everything = [model.id for model in entries(flavour)]
    dedicated_models = entries(flavour, dedicated=True)
    assert [request.path for request in emulator.requests] == ["/v1/models", "/v1/models", "/v1/autoscale/models"]
    names = [model.id for model in dedicated_models]
    assert 0 < len(names) < len(everything)
    assert names == [name for name in everything if name in set(names)]
    assert dedicated_models.data == dedicated_models


def test_every_field_is_kept(flavour: Any, stub_client: Any) -> None:
    client, _ = stub_client([CARD])
    models = entries(flavour, client)
    assert models.model_dump(exclude_unset=True) == [CARD]
    assert (models[0].type, models[0].nobody, models[0].pricing.output) == ("telepathy", NEW["nobody"], 0.88)


def test_a_list_under_data_as_gateways_send_it(flavour: Any, stub_client: Any) -> None:
    client, _ = stub_client({"object": "list", "data": [CARD, {"id": "acme/b"}]})
    assert [model.id for model in entries(flavour, client)] == ["acme/b", "acme/chat"]


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"id": None},
        {"id": "acme/odd", "context_length": "very long"},
        {"id": "acme/odd", "pricing": "free"},
        {"id": "acme/odd", "pricing": {"input": {"usd": 1}}},
        {"id": "acme/odd", "created": "yesterday"},
        {"id": 7},
        {"id": 7, "context_length": "very long"},
        {"id": ["acme", "odd"]},
        {"id": {"name": "acme/odd"}},
        {"self": 1, "model_config": 4, "created": "yesterday"},
        "acme/odd",
        None,
        7,
        ["acme/odd"],
    ],
    ids=str,
)
def test_one_unexpected_item_does_not_hide_the_others(odd: Any, flavour: Any, stub_client: Any) -> None:
    client, _ = stub_client([{"id": "acme/b"}, odd, {"id": "acme/a"}])
    models = entries(flavour, client)
    assert len(models) == 3
    assert [model.id for model in models if model.id in ("acme/a", "acme/b")] == ["acme/a", "acme/b"]


def test_what_is_unexpected_is_kept_as_far_as_it_can(flavour: Any, stub_client: Any) -> None:
    odd = {"id": "acme/odd", "context_length": "very long", "type": "chat", **NEW}
    client, _ = stub_client([odd])
    (model,) = entries(flavour, client)
    assert (model.id, model.type, model.context_length, model.nobody) == ("acme/odd", "chat", "very long", NEW["nobody"])


@pytest.mark.parametrize("odd", [{}, None, "acme/x", {"name": None}, {"name": ["acme/a"]}], ids=str)
def test_one_unexpected_dedicated_item_does_not_hide_the_others(odd: Any, flavour: Any, stub_client: Any) -> None:
    answers = iter([[{"id": "acme/a"}, {"id": "acme/b"}], [odd, {"name": "acme/a"}]])
    client, _ = stub_client(lambda body: next(answers))
    assert [model.id for model in entries(flavour, client, dedicated=True)] == ["acme/a"]


@pytest.mark.parametrize("body", [{}, {"data": None}, {"data": "x"}, "x", None, 7], ids=str)
def test_what_is_no_list_is_reported(body: Any, flavour: Any, stub_client: Any) -> None:
    client, _ = stub_client(httpx.Response(200, json=body))
    with pytest.raises(APIResponseValidationError, match=r"GET /v1/models"):
        entries(flavour, client)


def test_no_models_are_no_error(flavour: Any, stub_client: Any) -> None:
    client, _ = stub_client([])
    assert entries(flavour, client) == entries(flavour, client).data == []


def test_raw_response(flavour: Any) -> None:
    raw = flavour.run(flavour.client().models.with_raw_response.list())
    assert raw.status_code == 200
    assert raw.parse().data[0].id
