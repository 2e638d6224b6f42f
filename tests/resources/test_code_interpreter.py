"""Code interpreter: order of outputs, sessions, and errors with status 200."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.resources.response_variants import find_unreadable
from together_adapters import APIError, APIStatusError
from together_adapters.emulator import Emulator

NEW = {"nobody": {"knows": 1}}
RESPONSE: dict[str, Any] = {
    "data": {
        "session_id": "ses_1",
        "status": "success",
        "outputs": [
            {"type": "stdout", "data": "2\n", **NEW},
            {"type": "display_data", "data": {"image/png": "iVBOR", "text/plain": "<Figure>", "application/json": {"a": [1]}}},
            {"type": "hologram", "data": {}},
        ],
        **NEW,
    },
    "errors": None,
    **NEW,
}


def test_without_permission_the_emulator_names_its_flag(flavour: Any) -> None:
    answer = flavour.run(flavour.client().code_interpreter.run("print(1)", "python")).data
    assert answer.session_id
    assert [output.type for output in answer.outputs] == ["error"]
    assert "--allow-code-execution" in answer.outputs[0].data


def test_what_is_sent(flavour: Any, stub_client: Any) -> None:
    client, service = stub_client(RESPONSE)
    files = [{"name": "a.txt", "encoding": "string", "content": "hi"}]
    flavour.run(client.code_interpreter.run(code="1 + 1", language="python", session_id="ses_1", files=files))
    flavour.run(client.code_interpreter.execute("2"))
    bodies = [json.loads(request.content) for request in service.requests]
    assert bodies == [
        {"code": "1 + 1", "language": "python", "session_id": "ses_1", "files": files},
        {"code": "2", "language": "python"},
    ]
    assert service.requests[0].url.path == "/v1/tci/execute"


@pytest.mark.parametrize(
    "file",
    [
        "a.txt",
        {"name": "a", "encoding": "string"},
        {"name": "a", "encoding": "utf-8", "content": "x"},
        {"name": 1, "encoding": "string", "content": "x"},
    ],
)
def test_a_wrong_file_is_refused_before_anything_is_sent(file: Any, flavour: Any, emulator: Emulator) -> None:
    with pytest.raises(ValueError, match=r"files\[0\]"):
        flavour.run(flavour.client().code_interpreter.run("1", files=[file]))
    assert emulator.requests == []


@pytest.mark.parametrize(
    ("errors", "message"),
    [(["session expired", "really"], "session expired; really"), ("gone.", "gone"), ([{"message": "no"}], "no")],
)
def test_errors_with_a_status_of_200_are_raised(errors: Any, message: str, flavour: Any, stub_client: Any) -> None:
    client, _ = stub_client({"data": None, "errors": errors})
    with pytest.raises(APIError, match=message) as error_info:
        flavour.run(client.code_interpreter.run("1"))
    assert not isinstance(error_info.value, APIStatusError)
    assert error_info.value.body == {"data": None, "errors": errors}


def test_an_unknown_session_is_such_an_error(flavour: Any) -> None:
    with pytest.raises(APIError, match="expired"):
        flavour.run(flavour.client().code_interpreter.run("1", session_id="ses_nothing"))


def test_sessions(flavour: Any) -> None:
    client = flavour.client()
    id = flavour.run(client.code_interpreter.run("1")).data.session_id
    flavour.run(client.code_interpreter.run("2", session_id=id))
    entries = flavour.run(client.code_interpreter.sessions.list()).data.sessions
    assert [one.execute_count for one in entries if one.id == id] == [2]


def test_every_field_is_kept_and_any_may_be_missing(flavour: Any, stub_client: Any) -> None:
    client, service = stub_client(RESPONSE)
    assert flavour.run(client.code_interpreter.run("1")).model_dump(exclude_unset=True) == RESPONSE

    def read(sample: Any) -> Any:
        service.reply = sample
        return flavour.run(client.code_interpreter.run("1")).model_dump(exclude_unset=True)

    assert find_unreadable(RESPONSE, read) == {}
