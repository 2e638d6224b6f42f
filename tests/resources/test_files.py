"""Files at the service: retrieve, list, delete, wait for the validation, check on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Flavour
from together_adapters.emulator import Emulator, Fault
from together_adapters.errors import APITimeoutError, JobFailedError, NotFoundError, TogetherError
from together_adapters.finetune import DatasetError, RemoteValidationError
from together_adapters.types.files import FileResponse, parse_purpose

GOOD = (
    '{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", "reasoning": "r"}], "weight": 0.5}\n'
)
BAD = GOOD + '{"messages": [{"role": "user", "content": "q"}]}\n'


@pytest.fixture(autouse=True)
def empty_account(emulator: Emulator) -> Iterator[None]:
    emulator._state.stores.files.clear()
    yield
    emulator._state.stores.files.clear()


@pytest.fixture
def train(tmp_path: Path) -> Path:
    path = tmp_path / "train.jsonl"
    path.write_text(GOOD)
    return path


def test_the_lifecycle_of_a_file(flavour: Flavour, train: Path) -> None:
    client = flavour.client()
    file_id = flavour.run(client.files.upload(train))
    updates: list[Any] = []
    file = flavour.run(client.files.wait(file_id.id, poll_interval=0.05, progress=updates.append))
    assert (file.processing_status, file.processed, file.line_count) == ("COMPLETED", True, 1)
    report = file.validation_report
    assert (report.valid, report.dataset_format, report.nlines) == (True, "CONVERSATION", 1)
    assert (report.dataset_has_reasoning, report.dataset_has_sample_weights, report.dataset_has_tools) == (True, True, False)
    indices = [["pending", "queued", "running", "completed"].index(progress.stage) for progress in updates]
    assert indices == sorted(set(indices)) and indices[-1] == 3, "a slow machine may miss a state, but sees them in order"
    entries = flavour.run(client.files.list())
    assert [item.id for item in entries.data] == [file.id]
    assert flavour.run(client.files.content(file.id)) == train.read_bytes()
    deletion = flavour.run(client.files.delete(file.id))
    assert (deletion.id, deletion.deleted) == (file.id, True)
    with pytest.raises(NotFoundError):
        flavour.run(client.files.retrieve(file.id))


def test_an_error_that_the_service_finds(flavour: Flavour, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text(BAD)
    client = flavour.client()
    file_id = flavour.run(client.files.upload(bad, check=False))
    with pytest.raises(RemoteValidationError, match="Line 2: .*assistant") as error_info:
        flavour.run(client.files.wait(file_id.id, poll_interval=0.05))
    assert isinstance(error_info.value, DatasetError | ValueError)
    assert isinstance(error_info.value, TogetherError)
    assert error_info.value.remote.error_type == "INVALID_FORMAT"
    assert error_info.value.completed.id == file_id.id


def states(*names: str | None, **more: Any) -> Any:
    waiting = iter(names)
    return lambda body: {"id": "file-1", "filename": "x.jsonl", "processing_status": next(waiting), **more}


def test_the_service_itself_fails(flavour: Flavour, stub_client: Any) -> None:
    client, _ = stub_client(states("PENDING", "FAILED"))
    with pytest.raises(JobFailedError, match="upload it again"):
        flavour.run(client.files.wait("file-1", poll_interval=0.001))


def test_new_states_and_no_states(flavour: Flavour, stub_client: Any) -> None:
    client, service = stub_client(states("PENDING", "THINKING_ABOUT_IT", "completed"))
    assert flavour.run(client.files.wait("file-1", poll_interval=0.001)).processing_status == "completed"
    assert len(service.requests) == 3
    client, service = stub_client({"id": "file-1"})
    assert flavour.run(client.files.wait("file-1")).processing_status is None
    client, _ = stub_client(states("RUNNING", "RUNNING", "RUNNING", "RUNNING", "RUNNING", "RUNNING"))
    with pytest.raises(APITimeoutError):
        flavour.run(client.files.wait("file-1", poll_interval=0.02, timeout=0.05))


def test_unexpected_responses_are_read_as_far_as_they_go(flavour: Flavour, stub_client: Any) -> None:
    odd = {"data": [{"id": "a", "purpose": "eval-sample", "FileType": "tar", "validation_report": None, "new": {"x": 1}},
                    {"file_type": "csv", "Processed": None, "validation_report": {"valid": True, "dataset_format": "odd"}}]}  # fmt: skip
    client, _ = stub_client(odd)
    one, other = flavour.run(client.files.list()).data
    assert (one.purpose, one.file_type, one.new) == ("eval-sample", "tar", {"x": 1})
    assert (other.file_type, other.validation_report.dataset_format) == ("csv", "odd")
    assert FileResponse.model_validate(one.model_dump()) == one


def test_a_check_on_this_machine(flavour: Flavour, emulator: Emulator, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text(BAD)
    report = flavour.run(flavour.client().files.check(bad))
    assert (report.ok, report.rows, report.valid) == (False, 2, 1)
    assert report.issues[0].line == 2
    assert flavour.run(flavour.client().files.check(bad, purpose="eval")).ok
    assert emulator.requests == []


@pytest.mark.parametrize(
    ("kwargs", "purpose"), [("fine-tunes", "fine-tune"), ("batch", "batch-api"), ("evaluation", "eval"), ("eval", "eval")]
)
def test_purposes(kwargs: str, purpose: str) -> None:
    assert parse_purpose(kwargs) == purpose
    assert parse_purpose(type("Enum", (), {"value": kwargs})()) == purpose


def test_raw_responses(flavour: Flavour, train: Path) -> None:
    response = flavour.run(flavour.client().files.with_raw_response.upload(train))
    assert (response.status_code, response.parsed.filename) == (200, "train.jsonl")
    assert response.request_id


def test_ids_are_one_segment(flavour: Flavour, emulator: Emulator) -> None:
    with pytest.raises(NotFoundError):
        flavour.run(flavour.client().files.retrieve("../models"))
    assert emulator.requests[0].path == "/v1/files/../models"  # decoded by the server, from %2E%2E%2F
    with pytest.raises(ValueError, match="must not be empty"):
        flavour.run(flavour.client().files.delete(""))
    for id in (".", ".."):  # which no encoding keeps apart from a step up
        with pytest.raises(ValueError, match="another resource"):
            flavour.run(flavour.client().files.delete(id))
    assert len(emulator.requests) == 1


def test_a_list_is_retried(flavour: Flavour, emulator: Emulator) -> None:
    emulator.inject(Fault("503", path="/files", retry_after_ms=1))
    assert flavour.run(flavour.client().files.list()).data == []
