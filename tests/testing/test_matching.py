"""Which recorded exchange answers a request, and what is said where none does."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from tests.testing.conftest import NOWHERE, chat
from together_adapters import Together
from together_adapters.emulator import Emulator
from together_adapters.testing import RecordingMissError, record, replay


def ask(flavour: Any, text: str = "Say hello to Ann.", client: Any = None, **params: Any) -> str:
    client = client or flavour.client(base_url=NOWHERE, max_retries=0)
    answer = flavour.run(client.chat.completions.create(**chat(text, **params)))
    return str(answer.choices[0].message.content)


@pytest.fixture
def recording(path: Path, emulator: Emulator) -> Path:
    """A recording of three equal requests and two others."""
    with record(path), Together(base_url=emulator.base_url, api_key="any") as client:
        for reply in ("one", "two", "three"):
            emulator.reply(reply)
            client.chat.completions.create(**chat())
        client.chat.completions.create(**chat("What is the weather in Rome?", temperature=0.5))
        client.models.list()
    return path


def test_equal_requests_get_their_answers_in_order_and_then_the_last(flavour: Any, recording: Path) -> None:
    with replay(recording) as session:
        assert [ask(flavour) for _ in range(5)] == ["one", "two", "three", "three", "three"]
    assert [line.partition("), ")[2] for line in session.unused] == ["POST /v1/chat/completions", "GET /v1/models"]
    with replay(recording):
        assert ask(flavour) == "one"


def test_the_order_of_keys_and_the_host_do_not_count(flavour: Any, recording: Path) -> None:
    client = flavour.client(base_url="https://gateway.example.com/together/v1")
    body = {
        "temperature": 0.5,
        "messages": [{"content": "What is the weather in Rome?", "role": "user"}],
        "model": chat()["model"],
    }
    with replay(recording):
        assert flavour.run(client.request("POST", "/v1/chat/completions", body=body))["object"] == "chat.completion"


def test_a_miss_names_the_nearest_exchange_and_the_first_difference(
    flavour: Any, recording: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with replay(recording) as session, pytest.raises(RecordingMissError) as miss, caplog.at_level(logging.WARNING):
        ask(flavour, "What is the weather in Paris?", temperature=0.7)
    lines = recording.read_text("utf-8").splitlines()
    line = 1 + next(number for number, text in enumerate(lines) if "Rome" in text)
    message = str(miss.value)
    start = int(message.partition("exchange 4 (line ")[2].partition(")")[0])
    assert lines[start - 1] == "- request:"
    assert start < line < start + 9
    assert message == (
        f"{recording} has no answer to POST /v1/chat/completions: the nearest is exchange 4 (line {start}), POST "
        "/v1/chat/completions, where json.messages[0].content differs\n"
        "    recorded: 'What is the weather in Rome?'\n"
        "    current:  'What is the weather in Paris?'\n"
        "    and 1 more difference\n"
        f"Record it anew: record({str(recording)!r}, overwrite=True)"
    )
    assert session.misses == [message.rpartition("\n")[0]]
    assert session.misses[0] in caplog.text


def test_other_misses(flavour: Any, recording: Path) -> None:
    client = flavour.client(base_url=NOWHERE)
    with replay(recording):
        with pytest.raises(RecordingMissError, match=r"(?s)json.seed differs\n +recorded: nothing\n +current: +7"):
            ask(flavour, seed=7)
        with pytest.raises(RecordingMissError, match=r"(?s)GET /v1/files: .*path differs\n +recorded: '/v1/models'"):
            flavour.run(client.files.list())
        with pytest.raises(RecordingMissError, match=r"(?s)query differs\n +recorded: nothing\n +current: +{'page': '2'}"):
            flavour.run(client.request("GET", "/v1/models", query={"page": 2}))
        with pytest.raises(RecordingMissError, match=r"method differs"):
            flavour.run(client.request("DELETE", "/v1/models"))


def test_a_long_text_is_shown_where_it_differs(flavour: Any, path: Path, emulator: Emulator) -> None:
    text = "Lorem ipsum dolor sit amet. " * 40
    with record(path):
        ask(flavour, text + "one" + text, flavour.client())
    with (
        replay(path),
        pytest.raises(RecordingMissError, match=r"recorded: \.\.\.'.{30}one.*'\.\.\.\n +current: +\.\.\.'.{30}two") as miss,
    ):
        ask(flavour, text + "two" + text)
    assert len(str(miss.value)) < 700


def test_a_miss_shows_no_secret(flavour: Any, recording: Path) -> None:
    key = "correct-horse-battery"
    with replay(recording), pytest.raises(RecordingMissError) as miss:
        ask(flavour, f"I am ann@example.com and this is my key: {key}", flavour.client(base_url=NOWHERE, api_key=key))
    assert "I am [redacted] and this is my key: [redacted]" in str(miss.value)


def test_an_empty_recording(flavour: Any, path: Path) -> None:
    with record(path):
        pass
    with replay(path), pytest.raises(RecordingMissError, match="the recording is empty"):
        ask(flavour)


@pytest.mark.every_transport
def test_the_emulator_answers_what_is_missing(flavour: Any, recording: Path, tmp_path: Path) -> None:
    file = tmp_path / "train.jsonl"
    file.write_text('{"prompt": "a", "completion": "b"}\n')
    client = flavour.client(base_url=NOWHERE, api_key="correct-horse-battery")
    with replay(recording, miss="emulate") as session:
        assert ask(flavour, client=client) == "one"
        assert ask(flavour, "Say hello to Bob.", client) == "Hello to Bob."
        chunks = list(flavour.iterate(flavour.run(client.chat.completions.create(**chat("Say hello to Cid.", stream=True)))))
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Hello to Cid."
        uploaded = flavour.run(client.files.upload(file, purpose="fine-tune", check=False))
        assert flavour.run(client.files.content(uploaded.id)) == file.read_bytes()
    assert "Bob" in session.misses[0]
    assert len(session.misses) >= 4


@pytest.mark.parametrize("options", [{"miss": "ignore"}, {"pace": -1.0}, {"pace": float("nan")}])
def test_options_without_a_meaning(path: Path, options: dict[str, Any]) -> None:
    from together_adapters import ConfigurationError

    with pytest.raises(ConfigurationError, match="must be"):
        replay(path, **options)
