"""Uploads of custom models: the request, both forms of the response, and a token that appears in no error."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.resources.response_variants import find_unreadable
from together_adapters import BadRequestError, InternalServerError
from together_adapters.emulator import Emulator

pytestmark = pytest.mark.every_transport

TOKEN = "hf_secretsecretsecret"
JOB = {"job_id": "job-1", "model_name": "u/m", "model_id": "model-1", "model_source": "huggingface", "nobody": 1}
ARGUMENTS: dict[str, Any] = {"model_name": "m", "model_source": "org/repo"}


def upload(flavour: Any, client: Any = None, **changes: Any) -> Any:
    return flavour.run((client or flavour.client()).models.upload(**{**ARGUMENTS, **changes}))


def test_an_upload(flavour: Any, emulator: Emulator) -> None:
    answer = upload(flavour, hf_token=TOKEN, description="mine")
    assert answer.message
    assert (answer.job_id, answer.model_source) == (answer.data.job_id, "huggingface")
    assert emulator.requests[0].json == {**ARGUMENTS, "model_type": "model", "hf_token": TOKEN, "description": "mine"}


@pytest.mark.parametrize("reply", [{"message": "m", "data": JOB}, {"message": "m", **JOB}, JOB, {"data": JOB, "message": None}])
def test_nested_and_flat_responses(reply: Any, flavour: Any, stub_client: Any) -> None:
    client, _ = stub_client(reply)
    answer = upload(flavour, client)
    assert [answer.job_id, answer.model_name, answer.model_id, answer.model_source] == ["job-1", "u/m", "model-1", "huggingface"]
    assert answer.message in ("m", "")


def test_any_field_may_be_missing(flavour: Any, stub_client: Any) -> None:
    response = {"message": "m", "data": JOB, "new": 1}
    client, service = stub_client(response)

    def read(sample: Any) -> Any:
        service.reply = sample
        return upload(flavour, client).model_dump(exclude_unset=True)

    assert read(response) == response
    assert find_unreadable(response, read) == {}


def test_adapters(flavour: Any, stub_client: Any) -> None:
    client, service = stub_client({"data": JOB})
    upload(flavour, client, model_type="adapter", base_model="org/base")
    assert json.loads(service.requests[0].content) == {**ARGUMENTS, "model_type": "adapter", "base_model": "org/base"}


@pytest.mark.parametrize(
    "wrong", [{"base_model": "b"}, {"lora_model": "b"}, {"model_type": "adapter", "base_model": "b", "lora_model": "c"}]
)
def test_contradictory_parameters_are_not_sent(wrong: Any, flavour: Any, emulator: Emulator) -> None:
    with pytest.raises(ValueError, match="base_model"):
        upload(flavour, **wrong)
    assert emulator.requests == []


def test_no_error_repeats_the_token(flavour: Any, stub_client: Any) -> None:
    client, _ = stub_client(httpx.Response(400, json={"error": {"message": f"bad token {TOKEN}"}}))
    with pytest.raises(BadRequestError) as error_info:
        upload(flavour, client, hf_token=TOKEN)
    response: Any = error_info.value.response
    assert TOKEN not in f"{error_info.value}{error_info.value.body}{response.text}"


def test_no_description_shows_the_token() -> None:
    from together_adapters.resources.models import upload as describe

    assert TOKEN not in repr(describe(**ARGUMENTS, hf_token=TOKEN))


def test_an_upload_that_may_have_started_is_not_repeated(flavour: Any, emulator: Emulator) -> None:
    emulator.inject("500")
    with pytest.raises(InternalServerError, match="may have accepted it"):
        upload(flavour)
    assert len(emulator.requests) == 1
